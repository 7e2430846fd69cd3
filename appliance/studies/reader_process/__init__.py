"""Reader process: reads studies apart from the service, which outlives what a file does to it.

The service writes one JSON object a line to the process's standard input, and reads its answers
from its standard output, line by line; standard error is its log.

    -> {"open": {bundle, options, memory_bytes}}     once
    <- {"ready": {model}} | {"unavailable": reason}
    -> {"read": study_id, "images": [{"modality", "path", "sha256", "posted"}],
                              "result": null}
    <- {"done": document, "verdict": ...} | {"refused": problem}
    <- {"drawn": null}                               after a document
    -> {"read": study_id, "images": [...],           somebody looks at an image of a study
                              "result": document, "index": n, "pictures": folder}
    <- {"done": document, "verdict": ...}            the same
    <- {"drawn": study_id | null}                    its pictures are in the folder, or not
    -> {"ping": n}
    <- {"pong": n}
"""
