"""Small images of many formats, and models whose answers can be computed by hand, for requests to the service."""

from __future__ import annotations

import io
import struct
import zlib
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from tests.inference.conftest import red_spec, write_model

PLACE = {"crs": "EPSG:32632", "transform": from_origin(560_000, 5_600_000, 10, 10)}


def noise(seed: int, height: int = 48, width: int = 96, bands: int = 3, top: int = 255) -> np.ndarray:
    """Values from 0 to `top`, uint8 or uint16 [height, width, bands], of 8×8 pixels each, so that polygons are few."""
    small = np.random.default_rng(seed).integers(0, top + 1, (height // 8, width // 8, bands))
    return small.repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8 if top < 256 else np.uint16)


def encode(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def geotiff(pixels: np.ndarray, **profile: object) -> bytes:
    height, width, count = pixels.shape
    with MemoryFile() as memory:
        given = {"height": height, "width": width, "count": count, "dtype": pixels.dtype, **PLACE, **profile}
        with memory.open(driver="GTiff", **given) as out:
            out.write(np.moveaxis(pixels, 2, 0))
        return bytes(memory.read())


def decode(picture: bytes | str) -> np.ndarray:
    """Reads a PNG, or one in base64, with Pillow."""
    return np.array(Image.open(io.BytesIO(b64decode(picture) if isinstance(picture, str) else picture)))


def png_header(width: int, height: int) -> bytes:
    """A PNG of some bytes that says it is that large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def write_models(folder: Path) -> dict[str, Path]:
    """Models: red of 8 bits; the strongest of three colours; near infrared of four bands; one that may miss a band."""
    classes = red_spec(task="multiclass", class_names=("land", "road", "water"), label_values=(0, 7, 9))
    bands = ("red", "green", "blue", "nir")
    four = replace(red_spec(), bands=bands, mean=(0.0,) * 4, std=(1.0,) * 4, value_scale=10000.0)
    maybe = replace(four, optional_bands={"infrared": ("nir",)}, one_of=bands[:3])
    strong = [[0.0, 0.0, 0.0, 25.5]]
    return {
        "red": write_model(folder / "red.onnx", red_spec()),
        "classes": write_model(folder / "classes.onnx", classes, weights=(25.5 * np.eye(3)).tolist(), bias=[0.0] * 3),
        "nir": write_model(folder / "nir.onnx", four, bands=4, weights=strong),
        "maybe": write_model(folder / "maybe.onnx", maybe, bands=4, weights=strong),
    }
