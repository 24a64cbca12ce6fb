"""What a check of a data set found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flood_seg.console import counted
from flood_seg.workshop.check.swapped_pairs import LEAST

if TYPE_CHECKING:
    from flood_seg.workshop.check.examine import Examined
    from flood_seg.workshop.check.findings import Finding


@dataclass(frozen=True)
class SwapDetectability:
    """How well exchanged masks can be told in a block of a data set.

    Attributes:
        masks: that were tried on each other's images.
        separation: of each sign, the share of other combinations that half of the own pairs fit better than.
        power: the share of exchanges of two masks that would be found; 0: none can.
    """

    masks: int
    separation: dict[str, float]
    power: float

    def describe(self) -> str:
        """Says it in a line."""
        if not self.separation:
            return f"swapped masks cannot be found among {counted(self.masks, 'mask')}: it takes {LEAST}"
        if not self.power:
            return "swapped masks cannot be found here: masks fit their own images hardly better than others"
        return f"swapped masks: of 100 exchanges of two {self.power * 100:.0f} would be found"


@dataclass
class CheckResult:
    """What is known of a data set after a check.

    Attributes:
        samples: each pair that was found.
        parts: of each stem, None where nothing says it.
        findings: the errors first, then warnings and notes.
        swaps: stems whose masks fit better the other way round.
        groups: stems of near-duplicates.
        alike: the pairs that these groups are made of.
        trials: how well swaps can be told, of each block.
    """

    samples: dict[str, Examined]
    parts: dict[str, str | None]
    findings: list[Finding] = field(default_factory=list)
    swaps: list[tuple[str, str]] = field(default_factory=list)
    groups: list[list[str]] = field(default_factory=list)
    alike: set[tuple[str, str]] = field(default_factory=set)
    trials: list[SwapDetectability] = field(default_factory=list)

    def count(self, severity: str) -> int:
        """Returns how many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)
