"""Identity of a patient as two files state it, compared.

It lives while a study is being read: it is in no log, no result and no answer, and has no repr.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from enum import Enum

Words = tuple[str, ...]
Name = tuple[Words, ...]
"""The words of a name in each of its alphabets (alphabetic, ideographic, phonetic); empty where it
is not written in that one."""

# What devices and anonymisers write where nobody is known.
_NO_NAMES = frozenset(
    ("anon", "anonym", "anonymous", "anonymised", "anonymized", "unknown", "none", "null", "noname",
     "na", "nn", "xxx", "x", "no", "name", "id", "patient", "deidentified", "removed")
)  # fmt: skip
_TITLES = frozenset(("dr", "prof", "mr", "mrs", "ms", "miss", "frau", "herr", "mme", "med"))
_PLAIN = str.maketrans({"ø": "o", "æ": "a", "œ": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i"})
# Anonymised sets number images, as in P_00038_LEFT_CC.
_OF_AN_IMAGE = re.compile(r"[\W_]+(l|r|left|right)[\W_]*(cc|mlo)([\W_]+\d{1,2})?\s*\Z")
_FIRST_BIRTH_YEAR = 1901  # 1900-01-01 and earlier stand for "not known"


class Agreement(Enum):
    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """What a file says of whose it is; each part None or empty where it does not.

    patient_id: ID and issuer ("" if not stated). other_ids: further ones of the same patient.
    sex: "M" or "F". events: study UID and accession number, one patient's by definition.
    taken: day of the acquisition.
    """

    patient_id: tuple[str, str] | None = None
    other_ids: frozenset[tuple[str, str]] = frozenset()
    name: Name = ()
    birth_date: date | None = None
    sex: str | None = None
    events: frozenset[str] = frozenset()
    taken: date | None = None

    @property
    def known(self) -> bool:
        """Whether somebody is named."""
        return self.patient_id is not None or any(self.name)


NOBODY = Identity()
"""Of a file that says nothing."""


def compare(a: Identity, b: Identity) -> Agreement:
    """Whether two files are of one patient, as far as they say.

    Different: by ID (under issuers that can be compared), birth date, sex or name. Where ID and
    birth date are the same, a name that has a word of the other is none other: women marry; and
    where name and birth date are, an ID is: hospitals number their own (`under_two_ids`). Same:
    by ID, name, study or accession number. Unknown: nothing that both of them state tells.
    """
    ids = None if under_two_ids(a, b) else _same_id(a, b)
    birth = _equal(a.birth_date, b.birth_date)
    name = same_name(a.name, b.name)
    renamed = ids and birth and _share_a_word(a.name, b.name)
    if False in (ids, birth, _equal(a.sex, b.sex)) or (name is False and not renamed):
        return Agreement.DIFFERENT
    return Agreement.SAME if ids or name or a.events & b.events else Agreement.UNKNOWN


def _equal(a: object, b: object) -> bool | None:
    return None if a is None or b is None else a == b


def _same_id(a: Identity, b: Identity) -> bool | None:
    if any(_same(x, y) for x in _all_ids(a) for y in _all_ids(b)):
        return True
    if a.patient_id is None or b.patient_id is None:
        return None
    return _same(a.patient_id, b.patient_id)


def _all_ids(identity: Identity) -> frozenset[tuple[str, str]]:
    return identity.other_ids | ({identity.patient_id} if identity.patient_id else set())


def _same(a: tuple[str, str], b: tuple[str, str]) -> bool | None:
    """None under two issuers: each counts its own patients."""
    return None if a[1] and b[1] and a[1] != b[1] else a[0] == b[0]


def under_two_issuers(a: Identity, b: Identity) -> bool:
    """Whether both have an ID, of issuers that say nothing of each other's patients, and nothing
    else tells whether they are one patient's."""
    if a.patient_id is None or b.patient_id is None:
        return False
    return _same(a.patient_id, b.patient_id) is None and compare(a, b) is Agreement.UNKNOWN


def under_two_ids(a: Identity, b: Identity) -> bool:
    """Whether the IDs differ, neither says of which issuer it is, and the birth date is the same
    with a name of two words or more written out: so two hospitals number one woman, or a device
    that numbers images. An initial is not enough: twins have one birth date."""
    issued = [each.patient_id[1] for each in (a, b) if each.patient_id]
    return (
        issued == ["", ""]
        and _same_id(a, b) is False
        and _equal(a.birth_date, b.birth_date) is True
        and any(_written_out(x, y) for x, y in zip(a.name, b.name, strict=False))
    )


def _written_out(a: Words, b: Words) -> bool:
    return min(len(a), len(b)) > 1 and (set(a) <= set(b) or set(b) <= set(a))


def same_name(a: Name, b: Name) -> bool | None:
    """Whether one name has all the words of the other, an initial for a word included: names come
    shortened, not invented. A single word out of several tells nothing, nor do two scripts."""
    pairs = [(x, y) for x, y in zip(a, b, strict=False) if _scripts(x) & _scripts(y)]
    alphabets = [_same_words(x, y) for x, y in pairs]
    return True if True in alphabets else False if False in alphabets else None


def _same_words(a: Words, b: Words) -> bool | None:
    fewer, more = sorted((a, b), key=len)
    if not _covered(fewer, more) or (len(a) == len(b) and not _covered(more, fewer)):
        return "".join(a) == "".join(b)  # Mc Donald, McDonald
    return None if len(fewer) == 1 < len(more) else True


def _covered(words: Words, others: Words) -> bool:
    return all(any(_stands_for(word, other) for other in others) for word in words)


def _share_a_word(a: Name, b: Name) -> bool:
    return any(set(x) & set(y) for x, y in zip(a, b, strict=False))


def _scripts(words: Words) -> set[str]:
    """Latin, Cyrillic, CJK: a group that is meant for one of them may hold another."""
    return {unicodedata.name(letter, "").split(" ")[0] for word in words for letter in word}


def _stands_for(word: str, other: str) -> bool:
    return word == other or (1 in (len(word), len(other)) and word[0] == other[0])


def name_of(written: str) -> Name:
    """Of a DICOM person name (PS3.5 6.2.1): case, accents, order, titles and padding do not count.
    What is written where nobody is known is no name."""
    return tuple(_words(group) for group in written.split("=")[:3])


def _words(group: str) -> Words:
    if "\ufffd" in group:  # not decoded as it was written
        return ()
    plain = _folded("^".join(group.split("^")[:3])).replace("'", "").replace("’", "")
    plain = _OF_AN_IMAGE.sub("", plain)
    words = [word for word in re.findall(r"[^\W\d_]+", plain) if word not in _TITLES]
    if _NO_NAMES.issuperset(words):
        return ()
    # Mueller is how a keyboard without umlauts writes Müller.
    return tuple(re.sub(r"(?<=[aou])e", "", word) for word in words)


def id_of(written: str) -> str | None:
    """Of a patient ID: case, blanks, dashes and the like, leading zeros, and a side with a view
    at its end do not count."""
    plain = re.sub(r"[\W_]+", "", _OF_AN_IMAGE.sub("", _folded(written))).lstrip("0")
    return plain if plain not in {"", *_NO_NAMES} else None


def issuer_of(written: str) -> str:
    return re.sub(r"[\s\0]+", "", _folded(written))


def day_of(written: str) -> date | None:
    """Of a DICOM date, also with the dots of ACR-NEMA or with dashes."""
    match = re.fullmatch(r"(\d{4})([.-]?)(\d{2})\2(\d{2})", written.strip("\0 "))
    try:
        return date(int(match[1]), int(match[3]), int(match[4])) if match else None
    except ValueError:
        return None


def birth_of(written: str) -> date | None:
    day = day_of(written)
    return day if day and day.year >= _FIRST_BIRTH_YEAR else None


def _folded(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return unicodedata.normalize("NFKC", bare).casefold().translate(_PLAIN)
