"""Damaged PDUs and data sets against a listener. `python tests/node/node_fuzz.py 10000`."""

from __future__ import annotations

import random
import sys
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import images
from node_bench import connected
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context


def request() -> bytes:
    """An A-ASSOCIATE-RQ."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "MG1", "MAMMOSONO"
    longest, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received = 16382
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [longest, implementation]
    context = build_context(UltrasoundImageStorage, ExplicitVRLittleEndian)
    context.context_id = 1
    primitive.presentation_context_definition_list = [context]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def damaged(data: bytes, chance: random.Random) -> bytes:
    """With some bytes other ones, a piece cut out, or the end cut off."""
    bytes_ = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(bytes_))
        kind = chance.randrange(4)
        if kind == 0:
            bytes_[at] = chance.randrange(256)
        elif kind == 1:
            bytes_[at : at + 4] = chance.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"])
        elif kind == 2:
            del bytes_[at : at + chance.randint(1, 40)]
        else:
            del bytes_[at:]
        if not bytes_:
            return b"\x01"
    return bytes(bytes_)


def damage(port: int, count: int, seed: int) -> None:
    """Half of them damaged before they have an association, half after."""
    from test_node_attacks import store_request

    chance = random.Random(seed)
    ds: Dataset = images.ultrasound(pixels=images.drawn(images.Modality.US, 1, 64, 80))
    whole = encode(ds, False, True)
    assert whole is not None
    hello = request()
    for number in range(count):
        store = store_request(ds, damaged(whole, chance) if number % 3 == 0 else whole)
        said = b"".join(store)
        with suppress(OSError), connected(port) as peer:
            peer.settimeout(2)
            if number % 2:
                peer.sendall(damaged(hello + said, chance))
            else:
                peer.sendall(hello)
                peer.recv(4096)
                peer.sendall(said if number % 3 == 0 else damaged(said, chance))
                peer.recv(4096)


def main() -> None:
    import tempfile

    from node_bench import echo, node, rss_mib, until

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder, node(Path(folder)) as started:
        damage(started.port, 200, 0)
        before = rss_mib()
        damage(started.port, count, 1)
        grown = rss_mib() - before
        until(lambda: not started.listener._server.active_associations)
        alive = echo(started.port)
    sys.stdout.write(f"{count} damaged; memory grew by {grown:.0f} MiB; alive: {alive}\n")
    sys.exit(0 if alive and grown < 64 else 1)


if __name__ == "__main__":
    main()
