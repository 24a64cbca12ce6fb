"""Chooses and orders the bands of an image, from its file and from files of the same stem in sibling folders."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.decode import check_range_used, decode_bands, read_photo
from flood_seg.imaging.gdal import has_rasterio
from flood_seg.imaging.name_pattern import PLACEHOLDER, find_name, match_name
from flood_seg.imaging.preprocess import resize_image, resize_valid
from flood_seg.imaging.raster import Raster, Window, clean, read_raster
from flood_seg.imaging.source import IMAGE_SUFFIXES, ImageInput, ImageSource, is_raster

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RGB = ("red", "green", "blue")
PHOTO_SCALE = 255.0
MAX_TRANSLUCENT = 0.1  # share of an alpha channel's pixels; where more are translucent, it is another band


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
    """

    names: tuple[str, ...] = RGB
    sources: Mapping[str, str] = field(default_factory=dict)
    value_scale: float = PHOTO_SCALE
    nodata: float | None = None

    @property
    def is_photo(self) -> bool:
        """Whether these are red, green and blue in 8 bits alone."""
        return self.names == RGB and not self.sources and self.value_scale == PHOTO_SCALE

    @classmethod
    def of(cls, model: SelectsBands) -> BandSelection:
        """Returns those of a model, or of a configuration."""
        return cls(tuple(model.bands), dict(model.band_sources or {}), float(model.value_scale), model.nodata)


def read_bands(given: ImageInput, bands: BandSelection, window: Window | None = None) -> Raster:
    """Reads an image's bands, uint8, uint16 or float32 [H, W, bands] with raw values, upright.

    Pixels have no data, and are 0 in all bands, where the file says so by a nodata value or a mask, where a band has
    `bands.nodata` or is not finite, and where an alpha channel that is none of the bands is 0.

    Args:
        given: a file, or encoded bytes; bands in sibling folders belong to files alone.
        bands: which, and where they are.
        window: the part that is read; None: all.

    Raises:
        ImageError: a file is missing or damaged, has not the bands, or is of another shape than the image.
        OutOfMemoryError: there is not enough memory.
    """
    source = ImageSource.of(given)
    if bands.is_photo and window is None and not (has_rasterio() and is_raster(source)):
        return _read_photo(source, bands)
    image = _read_layer(source, bands, window)
    inside = [name for name in bands.names if not _folder(bands, name)[0]]
    places = _places(source, image, inside, bands)
    layers: dict[str, Raster] = {}
    chosen = []
    valid = [image.valid, _opaque(image, places.values()) if inside else None]
    for name in bands.names:
        folder, number = _folder(bands, name)
        if not folder:
            chosen.append(image.values[:, :, places[name]])
            continue
        file = ImageSource(_sibling(source, folder))
        if folder not in layers:
            layers[folder] = _fitted(_read_layer(file, bands, window), image.values.shape[:2], source, folder)
            used = [number - 1 for at, number in (_folder(bands, name) for name in bands.names) if at == folder]
            valid += [layers[folder].valid, _opaque(layers[folder], used)]
        chosen.append(_numbered(layers[folder], number, file))
    values = np.ascontiguousarray(np.stack(chosen, axis=2))
    known = [where for where in valid if where is not None]
    return clean(values, bands.names, np.logical_and.reduce(known)) if known else Raster(values, bands.names)


def _read_photo(source: ImageSource, bands: BandSelection) -> Raster:
    values, alpha = read_photo(source)
    if alpha is None and bands.nodata is None:  # as good as every photo
        return Raster(values, RGB)
    return clean(values, RGB, None if alpha is None else _visible(alpha), bands.nodata)


def _opaque(layer: Raster, used: Iterable[int]) -> np.ndarray | None:
    """Where an alpha channel that no band is made of is not transparent, bool [H, W]; None: there is none."""
    place = layer.names.index("alpha") if "alpha" in layer.names else -1
    return None if place < 0 or place in used else _visible(layer.values[:, :, place])


def _visible(alpha: np.ndarray) -> np.ndarray | None:
    """Returns where alpha is above 0, bool [H, W]; None: everywhere, or it is another band.

    GDAL calls the fourth band of 8 bits alpha unless it is told otherwise, near infrared too, which is 0 on clear
    water. What is transparent in some places is opaque in nearly all others; near infrared has every value.
    """
    shown = alpha > 0
    if shown.all() or alpha.dtype.kind != "u" or np.mean(shown & (alpha < np.iinfo(alpha.dtype).max)) > MAX_TRANSLUCENT:
        return None
    return np.asarray(shown)


def band_files(path: Path, bands: BandSelection) -> list[Path]:
    """Returns the files that an image is read from: its own, and those in sibling folders."""
    own = any(not _folder(bands, name)[0] for name in bands.names)
    return [*([path] if own else []), *sibling_files(path, bands).values()]


def sibling_files(path: Path, bands: BandSelection) -> dict[str, Path]:
    """Returns the files in sibling folders that some of an image's bands are in, by the folders' names.

    Raises:
        ImageError: one is missing.
    """
    folders = {_folder(bands, name)[0] for name in bands.names} - {""}
    return {plain_source(folder): _sibling(ImageSource(path), folder) for folder in sorted(folders)}


def plain_source(source: str) -> str:
    """Returns the source of a band in a written data set, whose files have equal stems in sibling folders."""
    if PLACEHOLDER not in source:
        return source
    pattern, colon, number = source.rpartition("=")[2].partition(":")
    folder = re.sub(r"[^A-Za-z0-9-]+", "_", str(Path(pattern).with_suffix(""))).strip("_")
    return f"{folder}{colon}{number}"


def _folder(bands: BandSelection, name: str) -> tuple[str, int]:
    """Returns a band's sibling folder, empty for the image's own file, and its number there."""
    source = str(bands.sources.get(name, ""))
    if not source or source.isdigit():
        return "", 0
    folder, _, number = source.partition(":")
    return folder, int(number or 1)


def _read_layer(source: ImageSource, bands: BandSelection, window: Window | None) -> Raster:
    if window or is_raster(source):
        layer = read_raster(source, window, bands.nodata)
    else:
        layer = clean(*decode_bands(source), nodata=bands.nodata)
    if bands.value_scale == PHOTO_SCALE and layer.values.dtype == np.uint16 and set(bands.names) <= set(RGB):
        reduced = (layer.values >> 8).astype(np.uint8)
        if not window:  # which may hold nothing but dark water
            check_range_used(reduced[:, :, [name != "alpha" for name in layer.names]], source)  # opaque is no light
        return Raster(reduced, layer.names, layer.valid)
    return layer


def _places(source: ImageSource, layer: Raster, names: Sequence[str], bands: BandSelection) -> dict[str, int]:
    """Returns the channel of each named band in the file: by number, the rest by their names, else by their order.

    Order decides where as many channels as names are left; beside numbers, only of channels without a name in the file.
    """
    count = layer.values.shape[2]
    numbered = {name: str(bands.sources.get(name, name)) for name in names}
    places = {name: int(number) - 1 for name, number in numbered.items() if number.isdigit()}
    for name, place in places.items():
        if not 0 <= place < count:
            raise ImageError(
                f"{source}: has {count} bands; there is no band {place + 1} ({name}); see datamodule.bands"
            )
    rest = [name for name in names if name not in places]
    if all(name.lower() in layer.names for name in rest):
        return places | {name: layer.names.index(name.lower()) for name in rest}
    left = [place for place in range(count) if place not in places.values()]
    if len(rest) == len(left) and not (places and any(layer.names[place] for place in left)):
        return places | dict(zip(rest, left, strict=True))
    if tuple(names) == RGB and count == 1:
        return dict.fromkeys(names, 0)
    there = ", ".join(name or str(number) for number, name in enumerate(layer.names, 1))
    raise ImageError(
        f"{source}: has {count} bands ({there}), not {', '.join(rest)}; choose by number, as in "
        f"'datamodule.band_sources={{{rest[0]}:1}}'"
    )


def _sibling(source: ImageSource, folder: str) -> Path:
    """Finds the file of the same stem in `images/../folder`, or in `img/../folder/train` for `img/train`."""
    path = source.content
    if not isinstance(path, Path):
        raise ImageError(f"{source}: its bands in the folder {folder} are files beside an image file; give its path")
    if PLACEHOLDER in folder:
        return _sibling_by_pattern(path, folder)
    for place in (path.parent.parent / folder, path.parent.parent.parent / folder / path.parent.name):
        for suffix in (path.suffix, *sorted(IMAGE_SUFFIXES)):
            if (candidate := place / f"{path.stem}{suffix}").is_file():
                return candidate
    raise ImageError(f"{path}: there is no file of this stem in the folder {folder} beside {path.parent}")


def _sibling_by_pattern(path: Path, source: str) -> Path:
    """Finds the file with an image's identifier by `IMAGE_PATTERN=FOLDER/PATTERN`."""
    image_pattern, _, pattern = source.rpartition("=")
    identifier = match_name(image_pattern, path)
    if identifier is None:
        raise ImageError(f"{path}: its name does not match {image_pattern}; see datamodule.pair_pattern")
    folder, name = Path(pattern).parent, Path(pattern).name
    for place in (path.parent.parent / folder, path.parent.parent.parent / folder / path.parent.name):
        if found := find_name(place, name, identifier, IMAGE_SUFFIXES):
            if len(found) > 1:
                raise ImageError(f"{found[1]}: same identifier {identifier} as {found[0].name}; see band_sources")
            return found[0]
    raise ImageError(f"{path}: there is no file {pattern} for {identifier} beside {path.parent}")


def _fitted(layer: Raster, size: tuple[int, ...], source: ImageSource, folder: str) -> Raster:
    """Resizes a layer of another resolution to the image's."""
    height, width = layer.values.shape[:2]
    if (height, width) == size:
        return layer
    ratio = (width / height) / (size[1] / size[0])
    if max(ratio, 1 / ratio) > 1.01:
        raise ImageError(
            f"{source}: is {size[1]}×{size[0]}, its bands in {folder} are of another shape, {width}×{height}"
        )
    valid = layer.valid
    if valid is not None:
        valid = resize_valid(valid, *size)
    return Raster(resize_image(layer.values, *size), layer.names, valid)


def _numbered(layer: Raster, number: int, source: ImageSource) -> np.ndarray:
    count = layer.values.shape[2]
    if not 1 <= number <= count:
        raise ImageError(f"{source}: has {count} bands; there is no band {number}; see datamodule.band_sources")
    return layer.values[:, :, number - 1]
