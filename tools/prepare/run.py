"""Run of a preparation: sources in, a prepared folder out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mammosono.appliance.errors import IntakeError
from mammosono.tools.prepare.item import Entry, Item, Offer, Remark, Unreadable
from mammosono.tools.prepare.outputs import SKIPPED, Placed, stratum, write_outputs, write_remarks
from mammosono.tools.prepare.split import assign, group_names
from mammosono.tools.prepare.store import Store, open_store
from mammosono.tools.progress import OnPhase

_TAKEN = "another picture has this name"


@dataclass(slots=True)
class Tally:
    """stored: pictures written in this run; kept: found whole from an earlier one.

    remarks: ("skipped" | "noted", remark), in the order met.
    """

    stored: int = 0
    kept: int = 0
    remarks: list[tuple[str, Remark]] = field(default_factory=list)
    on_remark: Callable[[str, Remark], None] = lambda kind, remark: None

    def add(self, kind: str, remark: Remark) -> None:
        self.remarks.append((kind, remark))
        self.on_remark(kind, remark)

    def counts(self, kind: str) -> dict[str, int]:
        """Remarks of a kind by reason, the most frequent first."""
        return dict(Counter(one.reason for k, one in self.remarks if k == kind).most_common())


@dataclass(frozen=True, slots=True)
class PreparedSet:
    """split: split.json without its list of images."""

    tally: Tally
    placed: tuple[Placed, ...]
    split: dict[str, Any]


def prepare(
    offers: Sequence[tuple[str, Offer]],
    out: Path,
    *,
    seed: int,
    keep_split: bool,
    on_progress: OnPhase,
    on_remark: Callable[[str, Remark], None],
) -> PreparedSet:
    """Store what the offers hold, split it, and write the files about it into `out`.

    offers: a name for the progress bar, and what a reader found. on_progress: (name, done, of).
    Raises ValueError if no picture is left; OSError.
    """
    tally = Tally(on_remark=on_remark)
    entries = store_all(offers, out, tally, on_progress)
    write_remarks(out / SKIPPED, tally.remarks)
    if not entries:
        raise ValueError(f"no picture could be read; {SKIPPED} in the output folder says why")
    placed = place(entries, seed, keep_split)
    return PreparedSet(tally, placed, write_outputs(out, placed, seed, keep_split))


def store_all(
    offers: Sequence[tuple[str, Offer]], out: Path, tally: Tally, on_progress: OnPhase
) -> list[Entry]:
    """Every picture that can be read, stored below `out`, one at a time; the rest into `tally`.

    Raises OSError.
    """
    entries: dict[str, Entry] = {}
    with open_store(out) as store:
        for name, offer in offers:
            on_progress(name, 0, offer.total)
            for done, offered in enumerate(offer.items, 1):
                entry = _stored(offered, store, entries, tally)
                if entry:
                    entries[entry.name] = entry
                on_progress(name, done, offer.total)
    return list(entries.values())


def place(entries: Sequence[Entry], seed: int, keep_split: bool) -> tuple[Placed, ...]:
    """Each entry with its group and split, in the order of names."""
    entries = sorted(entries, key=lambda entry: entry.name)
    groups = group_names(entries)
    kept = [entry.split for entry in entries] if keep_split else []
    splits = assign([stratum(entry) for entry in entries], groups, seed, kept)
    return tuple(map(Placed, entries, groups, splits))


def _stored(
    offered: Item | Remark, store: Store, taken: Container[str], tally: Tally
) -> Entry | None:
    if isinstance(offered, Remark):
        tally.add("skipped", offered)
        return None
    if offered.name in taken:
        tally.add("skipped", Remark(_TAKEN, offered.name))
        return None
    try:
        entry, was_there = store.put(offered)
    except Unreadable as error:
        tally.add("skipped", error.remark)
    except IntakeError as error:
        tally.add("skipped", Remark(error.title[:1].lower() + error.title[1:], offered.name))
    except FileNotFoundError:
        tally.add("skipped", Remark("a file is missing", offered.name))
    else:
        tally.kept += was_there
        tally.stored += not was_there
        for remark in entry.remarks:
            tally.add("noted", remark)
        return entry
    return None
