"""Which bands an image is made of, and in which files they are: its own, or those in sibling folders."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from unicodedata import normalize

from flood_seg.errors import ImageError
from flood_seg.imaging.optional import OptionalBands
from flood_seg.imaging.source import IMAGE_SUFFIXES
from flood_seg.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RGB = ("red", "green", "blue")
PHOTO_SCALE = 255.0
PLACEHOLDER = "{}"  # of the identifier that file names share: `S2_after_{}.png` and `S2_mask_{}.png`


class SelectsBands(Protocol):
    """A model's record or a data set's configuration, as far as it says which bands an image is made of."""

    @property
    def bands(self) -> Sequence[str]:
        """See `BandSelection.names`."""

    @property
    def band_sources(self) -> Mapping[str, str] | None:
        """See `BandSelection.sources`."""

    @property
    def value_scale(self) -> float:
        """See `BandSelection.value_scale`."""

    @property
    def nodata(self) -> float | None:
        """See `BandSelection.nodata`."""


@dataclass(frozen=True)
class BandSelection:
    """Which bands an image is made of.

    Attributes:
        names: in the order of the channels: names, or numbers from 1 within the file.
        sources: where a band is found, by its name: a number from 1 within the file, a sibling folder,
            `folder:number`, or `image_{}=folder/name_{}:number` with the identifier of the image's
            name; a band that is not named is looked up by its name in the image's own file.
        value_scale: of the raw values; 255 turns 16-bit photos into 8 bits.
        nodata: a raw value that stands for no data where the file does not say so itself.
        optional: bands that may be missing; None: all must be there.
    """

    names: tuple[str, ...] = RGB
    sources: Mapping[str, str] = field(default_factory=dict)
    value_scale: float = PHOTO_SCALE
    nodata: float | None = None
    optional: OptionalBands | None = None

    @classmethod
    def of(cls, model: SelectsBands | ModelSpec) -> BandSelection:
        """Returns those of a model; or of a configuration, for training, where none may be missing."""
        optional = OptionalBands.of(model) if isinstance(model, ModelSpec) and model.optional_bands else None
        sources = dict(model.band_sources or {})
        return cls(tuple(model.bands), sources, float(model.value_scale), model.nodata, optional)

    @property
    def is_photo(self) -> bool:
        """Whether these are red, green and blue in 8 bits alone."""
        return self.names == RGB and not self.sources and self.value_scale == PHOTO_SCALE

    @property
    def in_siblings(self) -> dict[str, dict[str, int]]:
        """By sibling folder, the bands in its file: the number of each, from 1, by its name."""
        found: dict[str, dict[str, int]] = {}
        for name in self.names:
            source = str(self.sources.get(name, ""))
            if source and not source.isdigit():
                folder, _, number = source.partition(":")
                found.setdefault(folder, {})[name] = int(number or 1)
        return found

    @property
    def in_own_file(self) -> list[str]:
        """The names of the bands in the image's own file."""
        elsewhere = {name for numbers in self.in_siblings.values() for name in numbers}
        return [name for name in self.names if name not in elsewhere]


def band_files(path: Path, bands: BandSelection) -> list[Path]:
    """Returns the files that an image is read from: its own, and those in sibling folders.

    Raises:
        ImageError: one in a sibling folder is missing.
    """
    siblings = [*sibling_files(path, bands).values()]
    return [*([path] if bands.in_own_file or bands.optional else []), *siblings]


def sibling_files(path: Path, bands: BandSelection) -> dict[str, Path]:
    """Returns the files in sibling folders that some of an image's bands are in, by the folders' names.

    Raises:
        ImageError: one is missing, and bands may not be.
    """
    found = {}
    for folder in sorted(bands.in_siblings):
        with suppress(*[ImageError] if bands.optional else []):  # `read_bands` says what is missing
            found[plain_source(folder)] = find_sibling(path, folder)
    return found


def plain_source(source: str) -> str:
    """Returns the source of a band in a written data set, whose files have equal stems in folders below its own."""
    folder, colon, number = source.rpartition("=")[2].partition(":")
    path = Path(folder)
    if PLACEHOLDER in source:
        steps = path.with_suffix("").parts
    elif path.is_absolute() or ".." in path.parts:  # would be written outside of the data set
        steps = tuple({"..": "parent", path.anchor: "root"}.get(step, step) for step in path.parts)
    else:
        return source
    name = re.sub(r"[^A-Za-z0-9-]+", "_", "/".join(steps)).strip("_")
    return f"{name}{colon}{number}"


def find_sibling(path: Path, folder: str) -> Path:
    """Finds an image's file in a sibling folder.

    Args:
        path: of the image.
        folder: with a file of the same stem, `images/../folder`, or `img/../folder/train` for `img/train`; or
            `image_{}=folder/name_{}`, where the two names share an identifier.

    Raises:
        ImageError: there is none, or several with that identifier.
    """
    if PLACEHOLDER in folder:
        return _find_by_identifier(path, folder)
    for place in _beside(path, folder):
        for suffix in (path.suffix, *sorted(IMAGE_SUFFIXES)):
            if (candidate := place / f"{path.stem}{suffix}").is_file():
                return candidate
    raise ImageError(f"{path}: there is no file of this stem in the folder {folder} beside {path.parent}")


def _find_by_identifier(path: Path, source: str) -> Path:
    image_pattern, _, pattern = source.rpartition("=")
    identifier = match_name(image_pattern, path)
    if identifier is None:
        raise ImageError(f"{path}: its name does not match {image_pattern}; see datamodule.pair_pattern")
    for place in _beside(path, Path(pattern).parent):
        if found := _files_of(identifier, place, Path(pattern).name):
            if len(found) > 1:
                raise ImageError(f"{found[1]}: same identifier {identifier} as {found[0].name}; see band_sources")
            return found[0]
    raise ImageError(f"{path}: there is no file {pattern} for {identifier} beside {path.parent}")


def _files_of(identifier: str, folder: Path, pattern: str) -> list[Path]:
    if "*" not in pattern and Path(pattern).suffix:  # without listing the folder, which may be long
        file = folder / pattern.replace(PLACEHOLDER, identifier)
        return [file] if file.is_file() else []
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES and match_name(pattern, file) == identifier]


def _beside(path: Path, folder: str | Path) -> tuple[Path, Path]:
    return path.parent.parent / folder, path.parent.parent.parent / folder / path.parent.name


def match_name(pattern: str, path: Path) -> str | None:
    """Returns the identifier in a file's name, or None where the name does not match.

    Args:
        pattern: of the name: `{}` stands for the identifier, `*` for any text; without a suffix it is that of the stem.
        path: of the file.
    """
    name = path.name if Path(pattern).suffix else path.stem
    parts = {PLACEHOLDER: "(.+)", "*": ".*"}
    expression = "".join(
        parts.get(part) or re.escape(part) for part in re.split(r"(\{\}|\*)", normalize("NFC", pattern))
    )
    found = re.fullmatch(expression, normalize("NFC", name))
    return found[1] if found else None
