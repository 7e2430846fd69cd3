"""Objects of a reading, put into the outbox of every destination that is to have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from mammosono.appliance.node.admit import EXCLUDED
from mammosono.appliance.node.contexts import KIND_OF, ObjectKind
from mammosono.appliance.node.destinations import Destination
from mammosono.appliance.node.objects import Exam, Options, Source, written
from mammosono.appliance.node.outbox import Outbox
from mammosono.appliance.node.reading import Write
from mammosono.appliance.node.store import LeftOut, StoredReading
from mammosono.appliance.node.uids import Written, hashed

ONE_TOO_MANY = "more images than are read at once"
_REPORTS = (ObjectKind.REPORT, ObjectKind.CAD_REPORT)


def writer(
    outbox: Outbox, destinations: Sequence[Destination], path: Callable[[str], Path]
) -> Write:
    """What the reading thread calls with each reading. path: of a held image, by its key.

    Given the same reading again, after a kill, it puts nothing twice: UIDs and bytes are the same.
    """

    def put(reading: StoredReading, before: Written | None) -> Written | None:
        kinds = frozenset(kind for each in destinations for kind in each.objects)
        if not kinds or reading.document is None or reading.read_at is None:
            return None
        options = Options(
            datetime.fromtimestamp(reading.read_at).astimezone(), kinds, before=before
        )
        exam = Exam.of(reading.document, _sources(reading, path), options)
        objects = list(written(exam))
        for destination in destinations:
            wanted = [each for each in objects if KIND_OF[each.SOPClassUID] in destination.objects]
            outbox.put(reading.case, destination.name, wanted)
        reports = [each for each in objects if KIND_OF[each.SOPClassUID] in _REPORTS]
        return Written(exam.key, tuple(hashed(each.SOPInstanceUID) for each in reports))

    return put


def _sources(reading: StoredReading, path: Callable[[str], Path]) -> list[Source]:
    read = [Source(file, index) for index, (_, file) in enumerate(reading.images)]
    return read + [_unread(each, path(each.key)) for each in reading.left_out]


def _unread(left_out: LeftOut, file: Path) -> Source:
    series, _, number = left_out.place.partition(".")
    return Source(
        file if file.exists() else None,
        None,
        reason=EXCLUDED.get(left_out.reason, left_out.reason or ONE_TOO_MANY),
        failed=left_out.reason not in EXCLUDED,
        modality=left_out.modality,
        side=left_out.side,
        series=series.lstrip("0"),
        number=number.lstrip("0"),
    )
