"""`[[destination]]` of dicom.toml: what is written wrong is said with the key and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.destinations import (
    DestinationError,
    Dimse,
    Stow,
    Tls,
    parse,
    parse_all,
)

DIMSE = {"name": "pacs", "ae_title": "PACS", "host": "10.0.0.9"}
STOW = {"name": "web", "stow": "https://pacs/dicom-web/"}


def test_a_destination_of_dicom_has_defaults_for_all_but_three_keys() -> None:
    found = parse(DIMSE, calling="BOX")
    assert found.way == Dimse("PACS", "10.0.0.9", 104, "BOX", commitment=True, tls=None)
    assert found.objects == (ObjectKind.CAPTURE, ObjectKind.REPORT, ObjectKind.PRESENTATION)
    assert found.confirms


def test_files_are_taken_against_the_folder_of_dicom_toml(tmp_path: Path) -> None:
    table = {**DIMSE, "tls": True, "ca": "given/ca.pem", "certificate": "/etc/c", "key": "k"}
    found = parse(table, folder=tmp_path)
    assert found.way.tls == Tls(
        "10.0.0.9", tmp_path / "given" / "ca.pem", Path("/etc/c"), tmp_path / "k"
    )


def test_a_destination_of_stow_is_its_address() -> None:
    found = parse({**STOW, "objects": ["sr", "cad_sr", "sr"]})
    assert found.way == Stow("https://pacs/dicom-web", None, Tls("pacs"))
    assert found.objects == (ObjectKind.REPORT, ObjectKind.CAD_REPORT)
    assert not found.confirms


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "destination.name: it is missing"),
        ({**DIMSE, "name": "a b"}, "destination.name: give 1 to 32 letters"),
        ({**DIMSE, "name": 5}, "destination.name: give 1 to 32 letters"),
        ({"name": "p", "host": "h"}, "destination.ae_title of p: it is missing"),
        ({**DIMSE, "ae_title": "X" * 17}, "destination.ae_title of pacs: give the AE title"),
        ({**DIMSE, "ae_title": "A\\B"}, "destination.ae_title of pacs: give the AE title"),
        ({**DIMSE, "issuer": "X" * 65}, "destination.issuer of pacs: give what issues"),
        ({**STOW, "issuer": "X"}, "destination.issuer of web: it does not go with stow"),
        ({**DIMSE, "ae_title": "   "}, "destination.ae_title of pacs: give the AE title"),
        ({**DIMSE, "host": "http://x"}, "destination.host of pacs: give the address or name"),
        ({**DIMSE, "port": 0}, "destination.port of pacs: give a number from 1 to 65535"),
        ({**DIMSE, "port": True}, "destination.port of pacs: give a number from 1 to 65535"),
        ({**DIMSE, "port": "104"}, "destination.port of pacs: give a number from 1 to 65535"),
        ({**DIMSE, "tls": "yes"}, "destination.tls of pacs: write true or false"),
        ({**DIMSE, "ca": "x"}, "destination.ca of pacs: it goes with tls = true"),
        ({**DIMSE, "tls": True, "key": "x"}, "certificate and key go together"),
        ({**DIMSE, "tls": True, "ca": 1}, "destination.ca of pacs: give the name of a file"),
        ({**DIMSE, "objects": []}, "list some of sc, sr, pr, cad_sr, seg"),
        ({**DIMSE, "objects": ["sc", "gif"]}, "list some of sc, sr, pr, cad_sr, seg"),
        ({**DIMSE, "objects": "sc"}, "list some of sc, sr, pr, cad_sr, seg"),
        ({**DIMSE, "token_file": "x"}, "destination.token_file of pacs: it goes with stow"),
        ({**DIMSE, "prot": 1}, "destination.prot of pacs: there is no such key; there are"),
        ({**STOW, "host": "h"}, "destination.host of web: it does not go with stow; take it out"),
        ({**STOW, "commitment": True}, "it does not go with stow; take it out"),
        ({**STOW, "stow": "pacs"}, "destination.stow of web: give https://"),
        ({**STOW, "stow": "https://x:y"}, "destination.stow of web: give https://"),
        ({**STOW, "stow": "https://x/?a"}, "destination.stow of web: give https://"),
        ({**STOW, "stow": "https://u:p@x/"}, "put the secret into token_file"),
        ({**STOW, "stow": "http://x", "ca": "y"}, "it goes with tls = true, or with https://"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_remedy(
    table: dict[str, object], said: str
) -> None:
    with pytest.raises(DestinationError) as refused:
        parse(table)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_of_one_name_are_refused_and_none_is_none() -> None:
    assert parse_all([]) == ()
    with pytest.raises(DestinationError, match="pacs is there twice"):
        parse_all([DIMSE, DIMSE])
    with pytest.raises(DestinationError, match="write each as a table"):
        parse_all(DIMSE)
