"""Keyed hashes in place of identity: what the node's database and log name patients and images by.

HMAC-SHA256 with a secret of this node: who has the database alone can try no list of patient IDs
against it, and two nodes have no name in common.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mammosono.appliance.identity import id_of, issuer_of
from mammosono.appliance.node.admit import Header
from mammosono.appliance.node.pairing import Instance
from mammosono.engines.disk import write_whole

FILE = "secret.key"
_SECRET_BYTES = 32
_DIGITS = 32


class SecretLost(Exception):
    """The secret is gone while what was hashed with it is there. `str(error)` names the remedy."""


@dataclass(frozen=True, slots=True, repr=False)
class Names:
    """The hashes of one node."""

    secret: bytes

    def patient(self, patient_id: str, issuer: str) -> str:
        """Of an ID and its issuer as identity.py normalises them."""
        return self._of("patient", issuer, patient_id)

    def instance(self, header: Header, sender: str, issuer: str, received: float) -> Instance:
        """What is kept of a header. issuer: that of the sender's patients, where the file names
        none."""
        patient_id, own_issuer = header.patient_id
        patient = self.patient(patient_id, own_issuer or issuer_of(issuer))
        identity = header.identity
        return Instance(
            key=self._of("instance", patient, header.sop_instance),
            patient=patient,
            study=self._of("study", patient, header.study),
            modality=header.modality,
            sender=sender,
            received=received,
            day=header.day.toordinal() if header.day else None,
            birth=self._stated("birth", patient, identity.birth_date),
            sex=self._stated("sex", patient, identity.sex),
            side=header.side,
            place=header.place,
            reason=header.reason,
            unread=header.unread,
        )

    def _stated(self, what: str, patient: str, value: date | str | None) -> str:
        return self._of(what, patient, str(value)) if value else ""

    def _of(self, *words: str) -> str:
        text = "\0".join(words).encode()
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()[:_DIGITS]


def patient_named(names: Names, patient_id: str, issuer: str) -> str | None:
    """The key of a patient as a person writes it; None for what is no ID."""
    plain = id_of(patient_id)
    return names.patient(plain, issuer_of(issuer)) if plain else None


def names_of(folder: Path, *, made: bool) -> Names:
    """The node's hashes, by its secret. made: one is made if there is none.

    Raises SecretLost if there is none and must be, OSError."""
    file = folder / FILE
    if not file.exists():
        if not made:
            raise SecretLost(
                f"{FILE} of the node's folder is lost, and nobody can be found without it; put it "
                "back, or move the folder away and let the images be sent again"
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(os.fspath(file), secrets.token_bytes(_SECRET_BYTES), 0o600)
    return Names(file.read_bytes())
