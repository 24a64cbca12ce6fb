"""What a check of a data set found."""

from __future__ import annotations

from dataclasses import dataclass, field

from flood_seg.console import counted
from flood_seg.workshop.check.examine import ExaminedPair
from flood_seg.workshop.check.findings import Finding
from flood_seg.workshop.check.swapped_pairs import MIN_IMAGES


@dataclass(frozen=True)
class SwapDetectability:
    """How well swapped masks can be detected in a block of a data set.

    Attributes:
        masks: number of masks that were compared with each other's images.
        separation: of each cue, the share of other combinations that the median own pair fits better than.
        power: the share of exchanges of two masks that would be found.
    """

    masks: int
    separation: dict[str, float]
    power: float

    def describe(self) -> str:
        """Returns one line for people."""
        if not self.separation:
            few = counted(self.masks, "mask")
            return f"swapped masks cannot be detected among {few}: at least {MIN_IMAGES} are required"
        if not self.power:
            return "swapped masks cannot be detected: masks fit their own images hardly better than others"
        return f"swapped masks: an exchange of two would be detected with a probability of {self.power:.0%}"


@dataclass
class CheckResult:
    """The result of a check.

    Attributes:
        samples: each pair by its stem.
        parts: of each stem; None where neither the layout nor a split file names it.
        findings: the errors first, then warnings and notes.
        swaps: pairs of stems whose masks fit better when exchanged.
        duplicate_groups: stems of near-duplicates.
        duplicate_pairs: the pairs that these groups are made of.
        detectability: of swapped masks, in each block.
    """

    samples: dict[str, ExaminedPair]
    parts: dict[str, str | None]
    findings: list[Finding] = field(default_factory=list)
    swaps: list[tuple[str, str]] = field(default_factory=list)
    duplicate_groups: list[list[str]] = field(default_factory=list)
    duplicate_pairs: set[tuple[str, str]] = field(default_factory=set)
    detectability: list[SwapDetectability] = field(default_factory=list)

    def count(self, severity: str) -> int:
        """Returns how many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)
