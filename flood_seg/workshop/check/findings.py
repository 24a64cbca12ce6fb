"""What may be wrong with a data set, in the words that tables and pages use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        severity: an error makes a sample useless or a measurement wrong; a warning wants a look; a note explains.
        title: in two or three words.
        meaning: in one sentence.
        fix: what the corrected copy does about it; empty: it is copied as it is.
    """

    severity: Severity
    title: str
    meaning: str
    fix: str = ""


KINDS = {
    "unpaired": Kind("error", "no partner", "A file has no partner of its stem, or two.", "left out"),
    "unreadable": Kind("error", "unreadable", "A file is empty, damaged, truncated or no image.", "left out"),
    "shape": Kind(
        "error", "another shape", "Image and mask have different aspect ratios, so they are not of one photo.",
        "left out, unless an exchange or the map mends it",
    ),
    "labels": Kind(
        "error", "unknown values", "The mask holds values that are no class, or is no mask of two values.", "left out"
    ),
    "swapped": Kind(
        "error", "swapped masks", "The masks of two images fit better the other way round, beyond reasonable doubt.",
        "exchanged with check.fix_swaps=true or their stems, else copied as they are",
    ),
    "place": Kind(
        "error", "another place", "Image and label lie on different grids of the map.",
        "the label is warped to the image's grid where it covers all of it, else left out",
    ),
    "leak": Kind(
        "error", "in two parts", "Nearly the same image is in several parts, so a validation figure is too good.",
        "kept once, outside of the training part",
    ),
    "duplicate": Kind("warning", "near-duplicates", "Nearly the same image is there several times."),
    "contradiction": Kind(
        "warning", "masks disagree", "Near-duplicates have masks that differ: at least one is badly drawn."
    ),
    "maybe_swapped": Kind(
        "warning", "maybe swapped masks", "The masks of two images fit better the other way round; look at them.",
        "exchanged where check.fix_swaps lists their stems, else copied as they are",
    ),
    "misfit": Kind(
        "warning", "poor fit", "The mask fits another image better than its own, or its own no better than others' do."
    ),
    "size": Kind("warning", "another size", "The mask is larger or smaller than its image.", "resized to the image"),
    "lossy": Kind(
        "warning", "lossy mask", "The mask was saved as a JPEG once: its values waver far from any edge.",
        "written anew with its classes' values",
    ),
    "empty_data": Kind("warning", "hardly any data", "Over half of the image has no data (nodata or NaN)."),
    "stray": Kind(
        "warning", "suspected nodata", "A value lies far outside all others of its band, as nodata does that no file "
        "declares; the band's mean and standard deviation are then wrong.",
    ),
    "unplaced": Kind("warning", "no place", "One of image and label says where on the map it is, the other does not."),
    "constant": Kind("note", "one class only", "The whole mask is one class; right where the photo is so."),
    "soft": Kind(
        "note", "grey edges", "The mask's edges are smoothed; they are split at half.",
        "written anew with its classes' values",
    ),
    "nodata": Kind("note", "some nodata", "A part of the image has no data; it counts nowhere."),
    "exif": Kind(
        "note", "turned by EXIF", "The photo lies in the file as the camera was held; a program that passes over EXIF "
        "sees it turned.", "turned upright",
    ),
    "suffix": Kind("note", "wrong suffix", "The file's content is of another format than its name says.", "renamed"),
    "channels": Kind("note", "odd channels", "Most files have other channels or another depth than this one."),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Something that was found.

    Attributes:
        kind: a key of `KINDS`.
        stems: of the samples concerned, the first one foremost.
        file: the one that is meant, for people.
        text: what was seen, in a line.
    """

    kind: str
    stems: tuple[str, ...]
    file: str
    text: str

    @property
    def severity(self) -> Severity:
        """Its kind's."""
        return KINDS[self.kind].severity
