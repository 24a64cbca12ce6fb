"""Reads the bands of an image, or of a window of it, in their order: the entry for photos and rasters alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.bands import PHOTO_SCALE, RGB, BandSelection, find_sibling
from flood_seg.imaging.decode import check_range_used, decode_bands, read_photo
from flood_seg.imaging.gdal import has_rasterio, open_raster
from flood_seg.imaging.optional import OptionalBands, fill_missing
from flood_seg.imaging.preprocess import resize_image, resize_valid, same_aspect
from flood_seg.imaging.raster import Raster, Window, band_names, clean, first_valid, read_raster
from flood_seg.imaging.source import ImageInput, ImageSource, is_raster

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flood_seg.imaging.raster import Opener

MAX_TRANSLUCENT = 0.1  # share of an alpha channel's pixels; where more are translucent, it is another band


def read_bands(
    given: ImageInput, bands: BandSelection, window: Window | None = None, opener: Opener = open_raster
) -> Raster:
    """Reads an image's bands, uint8, uint16 or float32 [H, W, bands] with raw values, upright.

    Pixels have no data, and are 0 in all bands, where the file says so by a nodata value or a mask, where a band has
    `bands.nodata` or is not finite, and where an alpha channel that is none of the bands is 0. Bands that may be
    missing (`bands.optional`) are filled instead, where their file is missing, or has no data while others have.

    Args:
        given: a file, or encoded bytes; bands in sibling folders belong to files alone.
        bands: which, and where they are.
        window: the part that is read; None: all.
        opener: opens the files of rasters; one that keeps them open saves time where many windows are read.

    Raises:
        ImageError: a file is missing or damaged, has not the bands, or is of another shape than the image.
        OutOfMemoryError: there is not enough memory.
    """
    source = ImageSource.of(given)
    if bands.is_photo and not bands.optional and window is None and not (has_rasterio() and is_raster(source)):
        return _read_photo(source, bands)
    image = _read_file(source, bands, window, opener)
    layers = [_Layer(image, _places(source, image.names, bands))]
    absent: list[ImageError] = []
    for folder, numbers in bands.in_siblings.items():
        try:
            file = _sibling(source, folder)
        except ImageError as error:
            if not bands.optional:
                raise
            absent.append(error)
            if is_raster(source):  # one file of all bands; photos, grey ones too, have red, green and blue
                layers[0].places.update(_named(image.names, numbers))
            continue
        layer = _fitted(_read_file(file, bands, window, opener), image.values.shape[:2], source, folder)
        layers.append(_Layer(layer, {name: _place(layer, number, file) for name, number in numbers.items()}))
    if bands.optional:
        return _with_missing(layers, bands, bands.optional, source, absent)
    return _stacked(layers, bands)


@dataclass(frozen=True)
class _Layer:
    """A file that was read, and the channel of each band that is taken from it."""

    raster: Raster
    places: dict[str, int]

    @cached_property
    def opaque(self) -> np.ndarray | None:
        """See `_opaque`."""
        return _opaque(self.raster, self.places.values()) if self.places else None


def _stacked(layers: Sequence[_Layer], bands: BandSelection) -> Raster:
    """Puts together the bands of several files, each of which is in one of them."""
    found = {name: layer.raster.values[:, :, place] for layer in layers for name, place in layer.places.items()}
    image, places = layers[0].raster.values, layers[0].places
    if len(layers) == 1 and [places[name] for name in bands.names] == list(range(image.shape[2])):
        values = image
    else:
        values = np.ascontiguousarray(np.stack([found[name] for name in bands.names], axis=2))
    valid = [where for layer in layers for where in (layer.raster.valid, layer.opaque) if where is not None]
    return clean(values, bands.names, np.logical_and.reduce(valid)) if valid else Raster(values, bands.names)


def _with_missing(
    layers: Sequence[_Layer], bands: BandSelection, optional: OptionalBands, source: ImageSource,
    errors: Sequence[ImageError],
) -> Raster:  # fmt: skip
    """Puts together the bands that are there, and fills those that are not; raises where they may not be missing."""
    found = {name: (layer, place) for layer in layers for name, place in layer.places.items()}
    missing = [name for name in bands.names if name not in found]
    if not optional.allow(missing):
        reason = str(errors[0]) if errors else f"{source}: has no band {', '.join(missing)}"
        raise ImageError(f"{reason}; the model was trained to miss {optional}, not {', '.join(missing)}")
    if not missing and all(layer.raster.valid is None and layer.opaque is None for layer in layers):
        return _stacked(layers, bands)
    size = layers[0].raster.values.shape[:2]
    nothing = np.zeros(size, next(iter(found.values()))[0].raster.values.dtype)
    channels = [
        found[name][0].raster.values[:, :, found[name][1]] if name in found else nothing for name in bands.names
    ]
    values, valid = np.ascontiguousarray(np.stack(channels, axis=2)), np.ones((*size, len(bands.names)), bool)
    for place, name in enumerate(bands.names):
        valid[:, :, place] = name in found
        if name in found:
            layer, channel = found[name]
            if layer.raster.valid is not None:
                valid[:, :, place] &= layer.raster.valid[:, :, channel]
            if layer.opaque is not None:
                valid[:, :, place] &= layer.opaque
    return fill_missing(values, valid, bands.names, optional)


def find_data(given: ImageInput, bands: BandSelection, window: Window, opener: Opener) -> np.ndarray | None:
    """Returns where a window of a raster may have data, bool [H, W]; None: everywhere.

    It reads one band, or the alpha channel, of the image's own file. In a part of the window that is False as a whole
    `read_bands` finds no data; where the result is True, other bands may still lack it.

    Raises:
        ImageError: the file is damaged, or has not the bands.
    """
    if bands.optional:  # others may have data where these have none
        return None
    source = ImageSource.of(given)
    with opener(source) as dataset:
        names = band_names(dataset)
        used = _places(source, names, bands).values()
        place = names.index("alpha") if "alpha" in names and used else -1
        if place >= 0 and place not in used and np.dtype(dataset.dtypes[place]).kind == "u":  # see `_visible`
            return np.asarray(dataset.read(place + 1, window=window.slices) > 0)
        return first_valid(dataset, window, bands.nodata)


def _read_photo(source: ImageSource, bands: BandSelection) -> Raster:
    values, alpha = read_photo(source)
    if alpha is None and bands.nodata is None:  # as good as every photo
        return Raster(values, RGB)
    return clean(values, RGB, None if alpha is None else _visible(alpha), bands.nodata)


def _read_file(source: ImageSource, bands: BandSelection, window: Window | None, opener: Opener) -> Raster:
    if window or is_raster(source):
        layer = read_raster(source, window, bands.nodata, opener, each_band=bands.optional is not None)
    else:
        layer = clean(*decode_bands(source), nodata=bands.nodata, each_band=bands.optional is not None)
    if bands.value_scale == PHOTO_SCALE and layer.values.dtype == np.uint16 and set(bands.names) <= set(RGB):
        reduced = (layer.values >> 8).astype(np.uint8)
        if not window:  # which may hold nothing but dark water
            check_range_used(reduced[:, :, [name != "alpha" for name in layer.names]], source)  # opaque is no light
        return Raster(reduced, layer.names, layer.valid)
    return layer


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


def _places(source: ImageSource, there: tuple[str, ...], bands: BandSelection) -> dict[str, int]:
    """Returns the channel of each band in the image's own file: by number, the others by name, else by their order.

    Order decides where as many channels as names are left; beside numbers, only of channels without a name in the file.
    Bands that may be missing are left out where they are not in the file.
    """
    names, count = bands.in_own_file, len(there)
    numbered = {name: str(bands.sources.get(name, name)) for name in names}
    places = {name: int(number) - 1 for name, number in numbered.items() if number.isdigit()}
    for name, place in list(places.items()):
        if bands.optional and place >= count:
            del places[name]
        elif not 0 <= place < count:
            raise ImageError(
                f"{source}: has {count} bands; there is no band {place + 1} ({name}); see datamodule.bands"
            )
    rest = [name for name in names if not numbered[name].isdigit()]
    if all(name.lower() in there for name in rest):
        return places | {name: there.index(name.lower()) for name in rest}
    left = [place for place in range(count) if place not in places.values()]
    no_alpha = [place for place in left if there[place] != "alpha"]
    for some in (left, no_alpha):
        if len(rest) == len(some) and not (places and any(there[place] for place in some)):
            return places | dict(zip(rest, some, strict=True))
    if tuple(names) == RGB and len(no_alpha) == 1:
        return dict.fromkeys(names, no_alpha[0])
    if bands.optional and (named := _named(there, rest)):
        return places | named
    shown = ", ".join(name or str(number) for number, name in enumerate(there, 1))
    raise ImageError(
        f"{source}: has {count} bands ({shown}), not {', '.join(rest)}; choose by number, as in "
        f"'datamodule.band_sources={{{rest[0]}:1}}'"
    )


def _named(there: tuple[str, ...], names: Iterable[str]) -> dict[str, int]:
    """Returns the channel of each of the bands that are among the names in a file."""
    return {name: there.index(name.lower()) for name in names if name.lower() in there}


def _sibling(source: ImageSource, folder: str) -> ImageSource:
    if not isinstance(source.content, Path):
        raise ImageError(f"{source}: its bands in the folder {folder} are files beside an image file; give its path")
    return ImageSource(find_sibling(source.content, folder))


def _fitted(layer: Raster, size: tuple[int, ...], source: ImageSource, folder: str) -> Raster:
    """Resizes a layer of another resolution to the image's."""
    height, width = layer.values.shape[:2]
    if (height, width) == size:
        return layer
    if not same_aspect((height, width), size):
        raise ImageError(
            f"{source}: is {size[1]}×{size[0]}, its bands in {folder} are of another shape, {width}×{height}"
        )
    valid = None if layer.valid is None else resize_valid(layer.valid, *size)
    return Raster(resize_image(layer.values, *size), layer.names, valid)


def _place(layer: Raster, number: int, source: ImageSource) -> int:
    count = layer.values.shape[2]
    if not 1 <= number <= count:
        raise ImageError(f"{source}: has {count} bands; there is no band {number}; see datamodule.band_sources")
    return number - 1
