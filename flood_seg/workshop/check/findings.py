"""The kinds of findings of a data set check, with their texts in tables and pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class FindingKind:
    """A kind of finding.

    Attributes:
        severity: an error makes a sample unusable or a metric wrong; a warning should be reviewed; a note informs.
        title: two or three words.
        meaning: one sentence.
        fix: what `--fix` does about it; empty: the file is copied unchanged.
    """

    severity: Severity
    title: str
    meaning: str
    fix: str = ""


FINDING_KINDS = {
    "unpaired": FindingKind("error", "unpaired file", "A file has no counterpart of its stem, or two.", "left out"),
    "unreadable": FindingKind("error", "unreadable", "A file is empty, damaged or not an image.", "left out"),
    "shape": FindingKind(
        "error", "aspect ratio mismatch", "Image and mask have different aspect ratios, so they are not a pair.",
        "left out, unless an exchange or the georeference fixes it",
    ),
    "labels": FindingKind(
        "error", "unknown values", "The mask contains values that no label lists.", "left out"
    ),
    "swapped": FindingKind(
        "error", "swapped masks", "The masks of two images fit better when exchanged; a coincidence is very unlikely.",
        "exchanged by check.fix_swaps=true or their stems, otherwise copied unchanged",
    ),
    "place": FindingKind(
        "error", "georeference mismatch", "Image and label have different coordinate reference systems or grids.",
        "the label is warped to the image's grid where it covers the whole image, otherwise left out",
    ),
    "leak": FindingKind(
        "error", "leak between parts", "Near-duplicates are in several parts, so metrics are too optimistic.",
        "kept once, outside the training part",
    ),
    "duplicate": FindingKind("warning", "near-duplicates", "Nearly the same image is in the data set several times."),
    "contradiction": FindingKind(
        "warning", "contradicting masks", "The masks of near-duplicates differ: at least one is inaccurate."
    ),
    "maybe_swapped": FindingKind(
        "warning", "possibly swapped masks", "The masks of two images fit better when exchanged; review them.",
        "exchanged where check.fix_swaps lists their stems, otherwise copied unchanged",
    ),
    "misfit": FindingKind(
        "warning", "poor fit", "The mask fits another image better than its own, or fits its own image poorly."
    ),
    "size": FindingKind("warning", "size mismatch", "Only the size differs, not the shape.", "resized to the image"),
    "lossy": FindingKind(
        "warning", "lossy mask", "Lossy compression has changed mask values away from any edge.",
        "rewritten with the values of its classes",
    ),
    "empty_data": FindingKind("warning", "mostly nodata", "More than half of the pixels have no data (nodata or NaN)."),
    "stray": FindingKind(
        "warning", "suspected nodata", "A value lies far outside all others of its band, probably undeclared nodata; "
        "mean and standard deviation of the band are then wrong.",
    ),
    "unplaced": FindingKind("warning", "georeference missing", "Only one of image and label is georeferenced."),
    "constant": FindingKind("note", "single class", "The whole mask is of one class, which may be correct."),
    "soft": FindingKind(
        "note", "smoothed edges", "The edges of the mask are smoothed; values are thresholded at half.",
        "rewritten with the values of its classes",
    ),
    "nodata": FindingKind("note", "some nodata", "Some pixels have no data; they are ignored."),
    "exif": FindingKind(
        "note", "EXIF orientation", "The image is stored rotated; programs that ignore EXIF orientation "
        "show it so.", "rotated upright",
    ),
    "suffix": FindingKind("note", "wrong suffix", "The file name's suffix does not match the format.", "renamed"),
    "channels": FindingKind("note", "unusual channels", "Most other files have other channels or bit depths."),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        kind: a key of `FINDING_KINDS`.
        stems: of the samples concerned; the first is the main one.
        file: name of the file concerned.
        text: the details in one line.
    """

    kind: str
    stems: tuple[str, ...]
    file: str
    text: str

    @property
    def severity(self) -> Severity:
        """The severity of the kind."""
        return FINDING_KINDS[self.kind].severity
