"""The result of a check of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field

from flood_seg.workshop.check.examine import ExaminedPair
from flood_seg.workshop.check.findings import Finding
from flood_seg.workshop.check.swapped_pairs import SwapDetectability


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

    def of_kind(self, kind: str) -> list[Finding]:
        """Returns the findings of a kind."""
        return [finding for finding in self.findings if finding.kind == kind]
