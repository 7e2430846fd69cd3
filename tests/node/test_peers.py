"""A destination need not be a sender to answer; images of it are taken only while they are
fetched."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import images
import pytest
from node_bench import LOCAL, NODE, echo, needs_dcmtk, node, saved, send

from mammosono.appliance.node import config
from mammosono.appliance.node.peers import Peers, fetching

PACS = {"name": "pacs", "ae_title": "PACS", "host": LOCAL, "port": 104}
HERE = ("PACS", LOCAL)


def peers(state: Path, *destinations: dict[str, Any], **tables: Any) -> Peers:
    return Peers(config.parse({"destination": list(destinations), **tables}, state), state)


def test_title_and_address_of_a_destination_must_both_fit(tmp_path: Path) -> None:
    known = peers(tmp_path, PACS, {"name": "web", "stow": "http://10.0.0.9/dicom-web"})
    assert known.addresses == {LOCAL}
    assert known.of(*HERE) is not None
    assert known.of("PACS", "10.0.0.9") is known.of("OTHER", LOCAL) is None


def test_its_images_are_taken_only_while_somebody_fetches(tmp_path: Path) -> None:
    known = peers(tmp_path, PACS, {**PACS, "name": "other", "ae_title": "OTHER"})
    pacs, other = known.of(*HERE), known.of("OTHER", LOCAL)
    assert pacs is not None
    assert other is not None
    assert not known.may_store(pacs)
    with fetching(tmp_path, "pacs"), fetching(tmp_path, "pacs"):
        assert known.may_store(pacs)
        assert not known.may_store(other)
    assert not known.may_store(pacs)


def test_a_fetch_that_is_killed_has_ended(tmp_path: Path) -> None:
    known = peers(tmp_path, PACS)
    pacs = known.of(*HERE)
    assert pacs is not None
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_fetch, args=(tmp_path, theirs))
    child.start()
    ours.recv()
    assert known.may_store(pacs)
    child.kill()
    child.join()
    assert not known.may_store(pacs)


def _fetch(state: Path, told: Any) -> None:
    with fetching(state, "pacs"):
        told.send(os.getpid())
        told.recv()


def test_a_sender_may_always_send(tmp_path: Path) -> None:
    sender = {"ae_title": "PACS", "address": LOCAL, "issuer": "X"}
    both = peers(tmp_path, {**PACS, "issuer": "Y"}, sender=[sender])
    peer = both.of(*HERE)
    assert peer is not None
    assert peer.sender.issuer == "X"
    assert both.may_store(peer)
    alone = peers(tmp_path, {**PACS, "issuer": "Y"}).of(*HERE)
    assert alone is not None
    assert alone.sender.issuer == "Y"


def test_a_name_that_nobody_knows_keeps_nobody_else_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = peers(tmp_path, {**PACS, "host": "pacs.invalid", "name": "lost"}, PACS)
    assert known.addresses == {LOCAL}
    assert "lost: nobody knows its address" in caplog.text


@needs_dcmtk
def test_a_destination_is_answered_and_its_images_are_not_taken(tmp_path: Path) -> None:
    file = saved(images.ultrasound(), tmp_path / "in", "still")
    with node(tmp_path, destination=[PACS]) as started:
        assert echo(started.port, calling="PACS")
        assert not echo(started.port, calling="ELSE")
        assert send(started.port, [file], calling="PACS", called=NODE) == []
        with fetching(started.state, "pacs"):
            assert send(started.port, [file], calling="PACS") == ["0x0000"]
        assert len(started.held) == 1
