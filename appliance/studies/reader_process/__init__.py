"""Reader process: reads studies apart from the service, which outlives what a file does to it.

The service writes one JSON object a line to the process's standard input, and reads its answers
from its standard output, line by line; standard error is its log.

    -> {"open": {bundle, options, memory_bytes}}     once
    <- {"ready": {model}} | {"unavailable": reason}
    -> {"read": study_id, "images": [{"modality", "path", "sha256"}],
                              "pictures": folder}
    <- {"done": document, "verdict": ...} | {"refused": problem}
    <- {"drawn": study_id}                           its pictures are in the folder, if it was done
    -> {"ping": n}
    <- {"pong": n}
"""
