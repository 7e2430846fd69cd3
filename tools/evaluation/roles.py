"""Roles of sources (hospitals) in judging: trained on or outside, judged by class or not.

They are data: the bundle's manifest says what it learned from and which of that without classes;
the command may name further sources without classes. No source is known by its name here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mammosono.tools.data.index import Record


@dataclass(frozen=True, slots=True)
class Roles:
    """trained: the sources that the model learned from; None where nobody says.

    class_free: sources whose images tell where lesions are and not of which kind (there the kind
    goes with something else, such as the scanner).
    """

    trained: frozenset[str] | None = None
    class_free: frozenset[str] = frozenset()

    def outside(self, source: str) -> bool:
        """Never trained on: reported by itself, neither pooled nor paired with others."""
        return self.trained is not None and source not in self.trained

    def groups(self, record: Record, what: str = "") -> tuple[str, ...]:
        """The groups of images that a record belongs to: its source ("US/NAME") and, where that is
        pooled, its modality ("US"). what: said after the modality, of records that are no images.
        """
        modality = record.modality.value + what
        own = f"{modality}/{record.source}"
        return (own, modality) if self.pooled(record.source) else (own,)

    def pooled(self, source: str) -> bool:
        """Whether its images count in the figures of their modality and in the pooled pairs."""
        return not self.outside(source) and source not in self.class_free


ONE_HOSPITAL = Roles()
"""Nothing is known of any source: all are pooled and judged by class."""


def roles_of(manifest: Mapping[str, Any], class_free: Iterable[str] = ()) -> Roles:
    """The roles that a bundle's manifest states; class_free: further such sources."""
    training = manifest.get("training", {})
    configs = [each.get("config", {}) for each in training.get("networks", {}).values()]
    own = {source for config in configs for source in config.get("class_free", ())}
    trained = frozenset(training["sources"]) if "sources" in training else None
    return Roles(trained, frozenset(own | set(class_free)))
