"""Which draws make which step, and who works on them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """An epoch of `length` draws in steps of `batch_size`, dealt in micro-batches to `world` ranks.

    Step s is made of draws [s * batch_size, (s + 1) * batch_size) whatever the number of ranks;
    its micro-batches go round the ranks, so each has batch_size / (micro_batch * world) of them.
    An epoch too short for one whole step is one small step, whose micro-batches may not reach
    every rank.
    """

    length: int
    batch_size: int
    micro_batch: int
    rank: int = 0
    world: int = 1

    @classmethod
    def of(
        cls, images: int, batch_size: int, micro_batch: int | None, rank: int = 0, world: int = 1
    ) -> Plan:
        """An epoch of about `images` draws: whole steps, or one small one.

        micro_batch: None for a rank's whole share at once. Raises ValueError unless batch_size
        is a multiple of micro_batch * world.
        """
        micro = micro_batch or max(batch_size // world, 1)
        if batch_size % (micro * world):
            raise ValueError(
                f"a step of {batch_size} images is not a multiple of {micro} a pass times "
                f"{world} devices: change --batch or --micro-batch"
            )
        return cls(images - images % batch_size or images, batch_size, micro, rank, world)

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return -(-self.length // self.batch_size)

    def batches(self, step: int) -> list[range]:
        """The draws of each micro-batch of this rank in a step."""
        start, stop = step * self.batch_size, min((step + 1) * self.batch_size, self.length)
        first = range(start, stop, self.micro_batch)[self.rank :: self.world]
        return [range(k, min(k + self.micro_batch, stop)) for k in first]
