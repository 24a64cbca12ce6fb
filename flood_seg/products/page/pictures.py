"""The rasters of a web map as pictures in data URIs: the scene, the mask and the probability."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from flood_seg.imaging.display import to_picture
from flood_seg.imaging.gdal import open_raster
from flood_seg.imaging.preprocess import shrunk
from flood_seg.products.layers import NODATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flood_seg.products.layers import Legend
    from flood_seg.products.page.frame import Frame
    from flood_seg.scenes.scene import Scene

SIZES = (2048, 1448, 1024, 724, 512)  # pixels of a picture's longer side; the first one whose file is small enough
SCENE_BYTES, MASK_BYTES, PROBABILITY_BYTES = 2_000_000, 1_000_000, 1_500_000
WEBP_QUALITY = 82
OPAQUE_FROM = 0.2  # probability; below, the ramp fades to transparent, so that the scene stays visible


def scene_picture(scene: Scene, frame: Frame) -> str:
    """Returns the scene, transparent where it has no data, as WebP.

    Raises:
        ImageError: the scene cannot be read.
    """

    def draw(longest: int) -> bytes:
        raster = scene.preview(longest)
        height, width = raster.values.shape[:2]
        valid = np.ones((height, width), bool) if raster.valid is None else raster.valid
        picture = np.dstack([to_picture(raster.values, scene.bands.names), np.uint8(255) * valid])
        return _encode(Image.fromarray(frame.place(picture, longest)), "WEBP", quality=WEBP_QUALITY, method=2)

    return _data_uri("image/webp", draw, SCENE_BYTES)


def mask_picture(path: Path, legend: Legend, frame: Frame) -> str:
    """Returns a raster in the colours of its classes, transparent where it is background, as PNG; raises as below."""
    palette = class_palette(legend)

    def draw(longest: int) -> bytes:
        with open_raster(path) as dataset:
            mask = dataset.read(1, out_shape=shrunk(dataset.shape, longest))
        return paletted(frame.place(mask, longest, NODATA), palette)

    return _data_uri("image/png", draw, MASK_BYTES)


def probability_picture(path: Path, frame: Frame) -> str:
    """Returns probability.tif, of several classes the largest probability, by `ramp`, as PNG.

    Raises:
        ImageError: the file cannot be read.
    """
    from rasterio.enums import Resampling

    palette = probability_palette()

    def draw(longest: int) -> bytes:
        with open_raster(path) as dataset:
            shape = (dataset.count, *shrunk(dataset.shape, longest))
            layer = dataset.read(out_shape=shape, resampling=Resampling.average, masked=True)
            percent = to_percent(layer.max(axis=0), dataset.scales[0])
        return paletted(frame.place(percent, longest, NODATA), palette)

    return _data_uri("image/png", draw, PROBABILITY_BYTES)


def ramp() -> np.ndarray:
    """Returns the colours of 0 to 100 %, uint8 [101, 4] RGBA: viridis, perceptually uniform and safe for CVD."""
    percent = np.arange(101)
    levels = np.rint(percent * 2.55).astype(np.uint8)[:, None]
    colors = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGBA)[:, 0]
    colors[:, 3] = np.rint(255 * np.minimum(1, percent / (100 * OPAQUE_FROM)))
    return np.asarray(colors)


def class_palette(legend: Legend) -> np.ndarray:
    """Returns the colours of a raster of classes, uint8 [256, 4] RGBA; background and no data are transparent."""
    palette = np.zeros((256, 4), np.uint8)
    values = list(legend.values)[1:]
    palette[values, :3], palette[values, 3] = legend.colors[1:], 255
    return palette


def probability_palette() -> np.ndarray:
    """Returns the colours of `to_percent`, uint8 [256, 4] RGBA."""
    palette = np.zeros((256, 4), np.uint8)
    palette[:101] = ramp()
    return palette


def to_percent(layer: np.ma.MaskedArray, scale: float) -> np.ndarray:
    """Returns whole percents of stored probabilities, uint8 [h, w], 255 without data; `scale` is the file's."""
    percent = np.rint(layer.filled(0).astype(np.float32) * (100 * scale)).astype(np.uint8)
    return np.where(np.ma.getmaskarray(layer), np.uint8(NODATA), percent)


def paletted(values: np.ndarray, palette: np.ndarray, compress_level: int = 6) -> bytes:
    """Returns a PNG of values, uint8 [h, w], with their colours, uint8 [256, 4] RGBA."""
    picture = Image.fromarray(values)
    picture.putpalette(palette.tobytes(), "RGBA")
    return _encode(picture, "PNG", compress_level=compress_level)


def _encode(picture: Image.Image, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _data_uri(media_type: str, draw: Callable[[int], bytes], limit: int) -> str:
    content = b""
    for longest in SIZES:
        content = draw(longest)
        if len(content) <= limit:
            break
    return f"data:{media_type};base64,{b64encode(content).decode()}"
