"""Objects of a reading, put into the outbox of every destination that is to have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from mammosono.appliance.node.admit import EXCLUDED
from mammosono.appliance.node.contexts import KIND_OF
from mammosono.appliance.node.destinations import Destination
from mammosono.appliance.node.objects import Options, Source, write
from mammosono.appliance.node.outbox import Outbox
from mammosono.appliance.node.store import LeftOut, StoredReading

ONE_TOO_MANY = "more images than are read at once"


def writer(
    outbox: Outbox,
    destinations: Sequence[Destination],
    path: Callable[[str], Path],
    now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
) -> Callable[[StoredReading], None]:
    """What the reading thread calls with each reading. path: of a held image, by its key.

    Given the same reading again, after a kill, it puts nothing twice: UIDs are the same.
    """

    def put(reading: StoredReading) -> None:
        kinds = frozenset(kind for each in destinations for kind in each.objects)
        if not kinds or reading.document is None:
            return
        options = Options(read_at=now(), kinds=kinds)
        objects = list(write(reading.document, _sources(reading, path), options))
        for destination in destinations:
            wanted = [each for each in objects if KIND_OF[each.SOPClassUID] in destination.objects]
            outbox.put(reading.case, destination.name, wanted)

    return put


def _sources(reading: StoredReading, path: Callable[[str], Path]) -> list[Source]:
    read = [Source(file, index) for index, (_, file) in enumerate(reading.images)]
    return read + [_unread(each, path(each.key)) for each in reading.left_out]


def _unread(left_out: LeftOut, file: Path) -> Source:
    reason = EXCLUDED.get(left_out.reason, left_out.reason or ONE_TOO_MANY)
    return Source(
        file if file.exists() else None,
        None,
        reason=reason,
        failed=left_out.reason not in EXCLUDED,
        modality=left_out.modality,
    )
