"""Post a pair to an appliance and wait for its answer, with httpx.

    python examples/post_pair.py http://127.0.0.1:8000 mlo.dcm us.png
    MAMMOSONO_TOKEN=... python examples/post_pair.py https://appliance:8000 mlo.dcm us.png \\
        --ca appliance.pem

The same files under the same key are read once: posting again after a lost connection is safe.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import ssl
import sys
from pathlib import Path

import httpx

WAIT_S = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("mammogram", type=Path)
    parser.add_argument("ultrasound", type=Path)
    parser.add_argument("--ca", help="certificate of an appliance that signed its own")
    options = parser.parse_args()
    mammogram, ultrasound = options.mammogram.read_bytes(), options.ultrasound.read_bytes()
    # A key of our own, never a patient's name; from the bytes, so that it is the same next time.
    key = hashlib.sha256(mammogram + ultrasound).hexdigest()[:32]
    token = os.environ.get("MAMMOSONO_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    verify = ssl.create_default_context(cafile=options.ca) if options.ca else True
    with httpx.Client(
        base_url=options.url, headers=headers, verify=verify, timeout=WAIT_S + 30
    ) as client:
        answer = client.post(
            "/v1/studies",
            params={"wait": WAIT_S},
            files={"mammogram": mammogram, "ultrasound": ultrasound},
            data={"study_id": key},
        )
    document = answer.json()
    if answer.status_code >= 400:  # problem+json: `code` is stable, `detail` is for people
        print(f"{document['code']}: {document['detail']}", file=sys.stderr)
        return 2
    if document["status"] != "done":  # acknowledged, and read when its turn comes
        print(f"{document['status']}; ask again at {answer.headers['Location']}")
        return 0
    print(f"fused: {document['verdict']}")
    for image in document["images"]:
        if image["verdict"] is None:  # it could not be read: the study is never negative
            print(f"{image['modality']}: not read: {' '.join(image['warnings'])}")
        else:
            print(f"{image['modality']}: {image['verdict']}, {len(image['findings'])} findings")
    return 0


if __name__ == "__main__":
    sys.exit(main())
