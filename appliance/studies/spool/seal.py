"""Seal of a study's row: holds number, id, verdict and result document together.

Against bytes that change on the disk, not against who writes the database: he can seal anew.
"""

from __future__ import annotations

import hashlib


def sha256(data: bytes) -> str:
    """Hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def seal(number: int, study_id: str, verdict: str, result_sha256: str) -> str:
    """Of a row that is done."""
    return sha256("\n".join((str(number), study_id, verdict, result_sha256)).encode())
