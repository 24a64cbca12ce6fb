"""Bytes are read as the file that they are the content of: the same arrays, headers, checks and errors."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from flood_seg.errors import ImageError, OutOfMemoryError
from flood_seg.imaging import decode as decode_module
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.binary_mask import read_binary_mask
from flood_seg.imaging.decode import decode_bands, read_photo
from flood_seg.imaging.encoded import limit_megapixels
from flood_seg.imaging.gdal import open_raster
from flood_seg.imaging.label_values import read_labels
from flood_seg.imaging.raster import Window
from flood_seg.imaging.read import read_bands
from flood_seg.imaging.source import ImageInput, ImageSource
from flood_seg.workshop.header import read_header
from tests.conftest import draw_pond, read_image

IMAGE, MASK = draw_pond(0, 48, 64)
NIR = BandSelection(("red", "green", "blue", "nir"), value_scale=10000.0)
WINDOW = Window(8, 16, 24, 32, (48, 64))


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def geotiff() -> bytes:
    bands = np.concatenate([np.moveaxis(IMAGE, 2, 0), MASK[None]]).astype(np.uint16) * 30 + 1
    bands[:, :5] = 0
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", height=48, width=64, count=4, dtype="uint16", nodata=0, crs="EPSG:32632",
                         transform=from_origin(5e5, 5e6, 10, 10)) as out:  # fmt: skip
            out.write(bands)
            for number, name in enumerate(("Blue", "Green", "Red", "NIR"), 1):
                out.set_band_description(number, name)
        return bytes(memory.read())


PHOTO = Image.fromarray(IMAGE)
RGBA = Image.fromarray(np.dstack([IMAGE, MASK]))
ENCODED = {
    **{f"jpeg turned by {number}": encode(PHOTO, "JPEG", exif=turned(number)) for number in (1, 6, 8)},
    "png of 16 bits": bytes(cv2.imencode(".png", IMAGE.astype(np.uint16) * 257)[1]),
    "palette png": encode(PHOTO.quantize(16), "PNG"),
    "palette png with a transparent colour": encode(PHOTO.quantize(16), "PNG", transparency=3),
    "rgba png turned": encode(RGBA, "PNG", exif=turned(6)),
    "mask": encode(Image.fromarray(MASK), "PNG"),
    "webp": encode(PHOTO, "WEBP"),
    "webp with alpha": encode(RGBA, "WEBP", lossless=True),
    "gif": encode(PHOTO.quantize(16), "GIF"),
    "jp2": encode(PHOTO, "JPEG2000"),
    "tiff": encode(PHOTO, "TIFF"),
    "tiff of pages": encode(PHOTO.getchannel(0), "TIFF", save_all=True,
                            append_images=[PHOTO.getchannel(1), PHOTO.getchannel(2)]),
    "geotiff": geotiff(),
}  # fmt: skip
READERS: dict[str, Callable[[ImageInput], object]] = {
    "photo": read_photo,
    "bands of a photo": lambda given: read_bands(given, BandSelection()),
    "four bands": lambda given: read_bands(given, NIR),
    "channels": decode_bands,
    "mask": read_binary_mask,
    "numbers": lambda given: read_labels(given, by_color=False),
    "colours": lambda given: read_labels(given, by_color=True),
    "header": read_header,
}


def outcome(read: Callable[[ImageInput], object], given: ImageInput) -> object:
    """What is read, in a form that can be compared; an error's text where it cannot be read."""
    try:
        return plain(read(given))
    except ImageError as error:
        return str(error)


def plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return tuple(map(plain, vars(value).values())) if hasattr(value, "__dataclass_fields__") else value


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("what", READERS)
def test_bytes_and_the_file_with_them_are_read_alike(kind, what, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(ENCODED[kind])
    assert outcome(READERS[what], ImageSource(ENCODED[kind], str(path))) == outcome(READERS[what], path)


def test_what_is_read_of_bytes_is_what_was_encoded():
    assert read_header(ENCODED["jpeg turned by 6"]).upright_size == read_image(ENCODED["jpeg turned by 6"]).shape[:2]
    assert read_image(ENCODED["jpeg turned by 6"]).shape == (64, 48, 3)
    np.testing.assert_array_equal(decode_bands(ENCODED["png of 16 bits"])[0][:, :, ::-1], IMAGE.astype(np.uint16) * 257)
    raster = read_bands(ENCODED["geotiff"], NIR)
    assert raster.valid is not None and not raster.valid[:5].any()
    np.testing.assert_array_equal(raster.values[5:, :, 2], IMAGE[5:, :, 0].astype(np.uint16) * 30 + 1)
    header = read_header(ENCODED["geotiff"])
    assert (header.format, header.channels, header.depth, header.size) == ("TIFF", "4 bands", "uint16", (48, 64))
    assert header.crs == "EPSG:32632" and header.transform == (10.0, 0.0, 5e5, 0.0, -10.0, 5e6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_with_alpha_is_turned_upright_in_its_own_depth(orientation):
    deep = np.dstack([IMAGE, MASK]).astype(np.uint16) * 257
    data = bytes(cv2.imencode(".png", cv2.cvtColor(deep, cv2.COLOR_RGBA2BGRA))[1])
    exif = encode(RGBA, "PNG", exif=turned(orientation))
    start = exif.find(b"eXIf") - 4
    chunk = exif[start : start + 12 + int.from_bytes(exif[start : start + 4], "big")]
    values, _ = decode_bands(data[:33] + chunk + data[33:])
    upright = [lambda a: a, np.fliplr, lambda a: np.rot90(a, 2), np.flipud, lambda a: np.swapaxes(a, 0, 1),
               lambda a: np.rot90(a, -1), lambda a: np.rot90(np.swapaxes(a, 0, 1), 2), np.rot90]  # fmt: skip
    np.testing.assert_array_equal(values, upright[orientation - 1](deep))


def test_a_window_of_bytes_is_that_of_the_file(tmp_path):
    (tmp_path / "a.tif").write_bytes(ENCODED["geotiff"])
    whole = read_bands(ENCODED["geotiff"], NIR).values
    for given in (ENCODED["geotiff"], tmp_path / "a.tif"):
        np.testing.assert_array_equal(read_bands(given, NIR, WINDOW).values, whole[8:32, 16:48])


@pytest.mark.parametrize("kind", ENCODED)
def test_truncated_bytes_are_an_error_that_names_them(kind):
    data = ENCODED[kind]
    for given, name in ((data[: len(data) * 3 // 5], "<bytes>"), (ImageSource(data[:40], "upload.jpg"), "upload.jpg")):
        with pytest.raises(ImageError) as error:
            read_bands(given, BandSelection())
        assert name in str(error.value) and "/vsimem" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n", b"II*\0", b"BM"])
def test_bytes_that_are_no_image_are_named(data):
    for read in READERS.values():
        with pytest.raises(ImageError, match="^<bytes>: "):
            read(data)


def test_bytes_that_name_other_files_are_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(ENCODED["geotiff"])
    vrt = f"""<VRTDataset rasterXSize="64" rasterYSize="48"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>
        <SourceFilename>{tmp_path / "a.tif"}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>
        </VRTDataset>""".encode()
    (tmp_path / "a.vrt").write_bytes(vrt)
    assert read_bands(
        tmp_path / "a.vrt", BandSelection(("1",), value_scale=10000.0)
    ).values.any()  # by path it is whose it is
    for data in (vrt, b"\0\0\0\x0cjP  " + vrt, b"II*\0" + vrt):
        with pytest.raises(ImageError, match="^<bytes>: "):
            read_bands(data, BandSelection(("1",), value_scale=10000.0))
    with pytest.raises(ImageError, match="neither a TIFF nor a JPEG 2000"), open_raster(vrt):
        pass


def test_a_band_in_a_sibling_folder_needs_a_file():
    bands = BandSelection(("red", "green", "blue", "nir"), {"nir": "nir"})
    with pytest.raises(ImageError, match=r"^<bytes>: its bands in the folder nir are files beside an image file"):
        read_bands(ENCODED["webp"], bands)


@pytest.mark.parametrize("kind", ["jpeg turned by 1", "palette png", "webp", "gif", "geotiff"])
def test_the_limit_of_pixels_and_of_memory_holds_for_bytes(kind, monkeypatch):
    monkeypatch.setenv("FLOOD_SEG_MAX_MEGAPIXELS", "400")
    limit_megapixels(0.003)
    with pytest.raises(ImageError, match=r"^<bytes>: 64×48 = 0.003072 megapixels, more than max_megapixels=0.003; "):
        read_bands(ENCODED[kind], BandSelection())
    limit_megapixels(400)

    def end(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode_module.cv2, "imdecode", end)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", end)
    if kind != "geotiff":
        with pytest.raises(OutOfMemoryError, match="not enough memory for <bytes>; "):
            read_bands(ENCODED[kind], BandSelection())


def test_a_path_is_its_own_name():
    assert str(ImageSource(Path("a b.png"))) == "a b.png" and str(ImageSource.of(b"x")) == "<bytes>"
