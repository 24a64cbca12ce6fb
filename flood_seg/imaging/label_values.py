"""Reads the values of label files as they stand in them, and which of their pixels have no data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.decode import decode, enough_to_decode, open_with_pillow, read_encoded
from flood_seg.imaging.gdal import has_rasterio, open_raster
from flood_seg.imaging.raster import Window, equals, window_options
from flood_seg.imaging.source import ImageInput, ImageSource, is_raster

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_GDAL_NODATA = 42113  # the TIFF tag


class Labels(NamedTuple):
    """The values of a mask's pixels.

    Attributes:
        values: any number type [H, W], or uint8 [H, W, 3] RGB.
        declared: bool [H, W], True where the pixel has the value that the file declares as nodata; None: nowhere.
        masked: bool [H, W], True where a mask inside or beside the file hides the pixel, or it is NaN; None: nowhere.
            Alpha does not count: annotation tools write a transparent background.
    """

    values: np.ndarray
    declared: np.ndarray | None = None
    masked: np.ndarray | None = None

    @property
    def without_data(self) -> np.ndarray | None:
        """Where one of the two says so, bool [H, W]; None: nowhere."""
        if self.declared is None or self.masked is None:
            return self.masked if self.declared is None else self.declared
        return np.asarray(self.declared | self.masked)


def read_labels(given: ImageInput, window: Window | None = None, *, by_color: bool) -> Labels:
    """Reads a mask's values as they stand in the file; EXIF orientation is honoured, alpha is dropped.

    Args:
        given: a file, or encoded bytes.
        window: the part that is read; None: all. A file of another resolution is resampled by the nearest pixel.
        by_color: whether colours are returned, or numbers; of a palette: its colours, or its indices.

    Returns:
        values uint8 [H, W, 3] RGB with `by_color`, else any type [H, W].

    Raises:
        ImageError: as `decode` and `read_raster`; or `by_color` is False and the file has several colours.
        OutOfMemoryError: there is not enough memory.
    """
    source = ImageSource.of(given)
    if window or is_raster(source):
        labels = _read_raster(source, window, palette=by_color)
    else:
        labels = Labels(_flat(decode(source, indices=not by_color).values))
    values = labels.values
    if by_color:
        return labels if values.ndim == 3 else labels._replace(values=np.repeat(values[:, :, None], 3, axis=2))
    if values.ndim == 3:
        if np.any(values != values[:, :, :1]):
            raise ImageError(f"{source}: is in colour; name colours in datamodule.labels, as in '#ff0000': water")
        values = np.ascontiguousarray(values[:, :, 0])
    return labels._replace(values=values)


def read_mask_values(given: ImageInput, window: Window | None = None) -> Labels:
    """Reads the values [H, W] of a two-class mask: the indices of a palette of two, else the brightest channel's.

    A TIFF is read by Pillow, which knows of palettes and orientations, unless it holds what only GDAL reads.

    Raises:
        ImageError: as `read_labels`; without rasterio, a TIFF that declares a nodata value.
        OutOfMemoryError: there is not enough memory.
    """
    source = ImageSource.of(given)
    if window is not None:
        return read_labels(source, window, by_color=False)
    if is_raster(source):
        if not has_rasterio():
            _refuse_nodata(source)
        elif _needs_gdal(source):
            labels = _read_raster(source, None, palette=False)
            return labels._replace(values=_brightest(labels.values))
    values, palette = decode(source, indices=True)
    if palette is not None and values.max(initial=0) > 1:
        values = palette[values[:, :, 0]]
    return Labels(_brightest(_flat(values)))


def _flat(values: np.ndarray) -> np.ndarray:
    """Returns [H, W] of one channel, else [H, W, 3]."""
    return values[:, :, :3] if values.shape[2] >= 3 else values[:, :, 0]


def _brightest(values: np.ndarray) -> np.ndarray:
    """Returns the highest of the channels, [H, W]; of 8 and 16 bits by OpenCV, in a tenth of NumPy's time."""
    if values.ndim == 2:
        return values
    if values.dtype not in (np.uint8, np.uint16):
        return np.asarray(values.max(axis=2))
    red, green, blue = cv2.split(values)
    return np.asarray(cv2.max(cv2.max(red, green), blue))


def _refuse_nodata(source: ImageSource) -> None:
    with enough_to_decode(source), open_with_pillow(source, read_encoded(source)) as opened:
        if _GDAL_NODATA in getattr(opened, "tag_v2", {}):
            raise ImageError(f"{source}: declares a nodata value, which GDAL reads; pip install 'flood-seg[geo]'")


def _needs_gdal(source: ImageSource) -> bool:
    """Whether a label raster may hold what a photo cannot: nodata, a mask, negative numbers or fractions."""
    with open_raster(source) as dataset:
        signed = any(np.dtype(name).kind != "u" for name in dataset.dtypes)
        return signed or dataset.nodata is not None or _has_mask(dataset)


def _read_raster(source: ImageSource, window: Window | None, *, palette: bool) -> Labels:
    """Reads [H, W] or [H, W, 3]; with `palette` its indices become their colours."""
    with open_raster(source) as dataset:
        options = window_options(dataset, source, window, nearest=True)
        values = np.moveaxis(dataset.read(**options), 0, 2)
        declared, masked = _declared(dataset, values), _masked(dataset, values, options)
        if palette and dataset.count == 1 and dataset.colorinterp[0].name == "palette":
            values = _colors(values, dataset.colormap(1))
    return Labels(np.ascontiguousarray(_flat(values)), declared, masked)


def _declared(dataset: DatasetReader, values: np.ndarray) -> np.ndarray | None:
    """True where every band has its nodata value: of a colour some channels may well be 0."""
    if any(nodata is None for nodata in dataset.nodatavals):
        return None
    there = [equals(values[:, :, band], nodata) for band, nodata in enumerate(dataset.nodatavals)]
    declared = np.logical_and.reduce(there)
    return declared if declared.any() else None


def _has_mask(dataset: DatasetReader) -> bool:
    from rasterio.enums import MaskFlags

    return any(MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in dataset.mask_flag_enums)


def _masked(dataset: DatasetReader, values: np.ndarray, options: dict[str, Any]) -> np.ndarray | None:
    masked = np.zeros(values.shape[:2], bool)
    if _has_mask(dataset):
        one_band = options | ({"out_shape": options["out_shape"][1:]} if "out_shape" in options else {})
        masked = np.asarray(dataset.read_masks(1, **one_band) == 0)
    if values.dtype.kind == "f":
        masked |= np.isnan(values).any(axis=2)
    return masked if masked.any() else None


def _colors(values: np.ndarray, colormap: dict[int, tuple[int, ...]]) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    for index, color in colormap.items():
        table[index] = color[:3]
    return np.asarray(table[values[:, :, 0]])
