"""What the spool's tests share: a spool whose clocks and disk are the test's, and uploads."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path

from mammosono.appliance.studies.spool import Spool, Upload
from mammosono.appliance.values import Modality

_names = itertools.count()


@dataclass
class World:
    """What a spool sees of the machine, to be changed at will. Times in seconds."""

    folder: Path
    wall: float = 1_800_000_000.0
    monotonic: float = 50.0
    free: int = 10**9
    queue_length: int = 8
    max_age_s: float = 3600.0
    opened: list[Spool] = field(default_factory=list)

    def spool(self) -> Spool:
        """Open the spool; one that is still open is dropped as by kill -9."""
        self.kill()
        spool = Spool(
            self.folder,
            queue_length=self.queue_length,
            max_age_s=self.max_age_s,
            min_free_bytes=10**6,
            wall=lambda: self.wall,
            monotonic=lambda: self.monotonic,
            free_bytes=lambda _: self.free,
        )
        self.opened.append(spool)
        return spool

    def kill(self) -> None:
        """What the kernel does for a killed process: close its files, nothing else."""
        for spool in self.opened:
            release(spool)
        self.opened.clear()

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


def release(spool: Spool) -> None:
    import os

    spool._database.close()
    os.close(spool._lock)


def upload(spool: Spool, data: bytes = b"pixels", modality: Modality = Modality.MG) -> Upload:
    path = spool.incoming / str(next(_names))
    path.write_bytes(data)
    return Upload(modality, path, hashlib.sha256(data).hexdigest(), len(data))


def files_under(folder: Path) -> set[str]:
    """Files of a spool, but for the database's own and the reserve of room."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(("studies.db", "lock", "reserve"))
    }
