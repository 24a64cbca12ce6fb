"""Pillow is the independent truth: what it decodes, strictly, is what we must read."""

import io
import os
import resource
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from flood_seg.errors import ImageError, OutOfMemoryError
from flood_seg.imaging import decode as decode_module
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.binary_mask import read_binary_mask
from flood_seg.imaging.decode import decode_bands
from flood_seg.imaging.encoded import limit_megapixels, peek_size
from flood_seg.imaging.label_values import read_labels
from flood_seg.imaging.raster import read_raster
from flood_seg.imaging.read import read_bands
from flood_seg.imaging.source import IMAGE_SUFFIXES, PILLOW_FORMATS, SUFFIXES, is_image_file, is_raster
from flood_seg.workshop.header import read_header
from tests.conftest import draw_pond, read_image

PHOTO, MASK = draw_pond(0, 48, 64)


def save(path: Path, image: Image.Image, format: str, **options: object) -> Path:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phone_photo_is_turned_upright_as_its_exif_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", Image.fromarray(PHOTO), "JPEG", exif=exif, quality=95)
    with Image.open(path) as opened:
        expected = np.array(ImageOps.exif_transpose(opened).convert("RGB"))
    image = read_image(path)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= 3  # two decoders, one JPEG
    assert read_header(path).upright_size == expected.shape[:2]


@pytest.mark.parametrize(
    ("mode", "format"),
    [("RGB", "WEBP"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("L", "JPEG"), ("P", "PNG"), ("RGB", "BMP"), ("RGB", "TIFF")],
)
def test_the_content_decides_on_the_format_not_the_suffix(tmp_path, mode, format):
    path = save(tmp_path / "photo.jpg", Image.fromarray(PHOTO).convert(mode), format)
    with Image.open(path) as opened:
        expected = np.array(opened.convert("RGB"))
    assert np.abs(read_image(path).astype(int) - expected).max() <= 3


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    path = save(tmp_path / "a.png", Image.fromarray(values), "PNG")
    assert np.abs(read_image(path)[:, :, 0].astype(int) - values // 256).max() <= 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_truncated_file_is_an_error_not_a_half_grey_photo(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as some libraries do for the whole process
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PHOTO).resize((400, 300)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ImageError, match=r"a\.\w+: damaged or truncated"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in (read_image, read_binary_mask, read_header):
        with pytest.raises(ImageError) as error:
            read(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(ImageError, match=path.name):
            read_image(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_named(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(PHOTO).save(path)
    path.chmod(0)
    with pytest.raises(ImageError, match="Permission"):
        read_image(path)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
@pytest.mark.filterwarnings("error", "ignore::rasterio.errors.NotGeoreferencedWarning")
def test_damaged_bytes_of_any_kind_give_an_image_or_one_line(tmp_path, format):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = save(tmp_path / "a", Image.fromarray(PHOTO), format, **({} if format in ("GIF", "BMP") else {"exif": exif}))
    data, random = whole.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[random.integers(0, min(len(data), int(random.choice([60, 400, len(data)]))), 4)] = random.integers(
            0, 256, 4
        )
        whole.write_bytes(damaged.tobytes()[: len(data) if random.random() < 0.8 else random.integers(1, len(data))])
        for read in (read_image, read_binary_mask, read_header):
            try:
                read(whole)
            except (ImageError, OutOfMemoryError) as error:  # a size of a tag may be damaged
                assert str(whole) in str(error) and "\n" not in str(error)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *extra: bytes, rows: bytes = b"0") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


READERS = (read_image, read_binary_mask, read_header, decode_bands, lambda path: read_labels(path, by_color=True))


def test_a_header_of_too_many_pixels_is_refused_with_its_figures(tmp_path):
    (tmp_path / "a.png").write_bytes(png(30_000, 30_000))
    for read in READERS:
        with pytest.raises(ImageError, match="30000×30000 = 900 megapixels, more than max_megapixels=400; cut it"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tif", "jp2", "avif", "ppm"])
def test_the_limit_is_the_same_in_every_format_and_nothing_is_decoded_beyond_it(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PHOTO).save(path)
    monkeypatch.setenv("FLOOD_SEG_MAX_MEGAPIXELS", "0.003072")  # 64 × 48
    for read in READERS[:1] + READERS[2:]:
        read(path)
    limit_megapixels(0.003)
    monkeypatch.setattr(decode_module.cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
    readers = READERS if suffix not in ("tif", "jp2") else (lambda path: read_bands(path, BandSelection()), READERS[4])
    for read in readers:
        with pytest.raises(ImageError, match=r"0\.003072 megapixels, more than max_megapixels=0.003; ") as error:
            read(path)
        assert suffix in ("avif", "ppm") or "64×48 = " in str(error.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif"])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"progressive": True}, {"exif": True}])
def test_the_peeked_size_is_pillows(tmp_path, suffix, options):
    exif = Image.Exif()
    exif[0x010E] = "\xff\xc0" * 100  # what looks like a frame within a segment
    given = {"exif": exif} if options.get("exif") and suffix not in ("bmp", "gif") else options
    save(tmp_path / "a", Image.fromarray(PHOTO), {"jpg": "JPEG"}.get(suffix, suffix.upper()), **given)
    assert peek_size((tmp_path / "a").read_bytes()) == (64, 48)


def test_the_peek_at_damaged_bytes_raises_nothing_and_ends():
    random = np.random.default_rng(0)
    for head in (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBPVP8X", b"GIF89a", b"BM", b""):
        for length in range(64):
            peek_size(head + random.integers(0, 256, length, np.uint8).tobytes())
        peek_size(head + b"\xff" * 1000)
        peek_size(head + b"\xff\xe0\0\0" * 1000)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_compressed_text_and_profiles_that_grow_without_end_are_not_followed(tmp_path, kind):
    packed = zlib.compress(b"\0" * (1 << 28), 9)
    lead = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[kind]
    rows = (b"\0" + PHOTO[0].tobytes()) * 48
    (tmp_path / "a.png").write_bytes(png(64, 48, chunk(kind, lead + packed), rows=rows))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in READERS[:1] + READERS[2:]:
        try:
            assert read(tmp_path / "a.png") is not None
        except ImageError as error:
            assert "\n" not in str(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB, of 268 MB


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_memory_that_ends_is_no_damaged_and_no_large_file(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PHOTO).save(path)

    def end(*_: object) -> None:
        raise cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 1 bytes")

    def end_of_pillow(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode_module.cv2, "imdecode", end)
    monkeypatch.setattr(ImageFile.ImageFile, "load", end_of_pillow)
    for read in (read_image, read_binary_mask, decode_bands):
        with pytest.raises(OutOfMemoryError, match=rf"not enough memory for .*a\.{suffix}; close other programs"):
            read(path)


@pytest.mark.parametrize("format", ["EPS", "ICNS", "TGA", "PCX"])
def test_formats_beyond_the_listed_ones_are_refused_and_run_no_program(tmp_path, format, monkeypatch):
    path = save(tmp_path / f"a.{format.lower()}", Image.fromarray(PHOTO), format)
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("a program was run"))
    for read in (read_image, read_binary_mask, read_header):
        with pytest.raises(ImageError, match=rf"^\S+{path.name}: not an image$"):
            read(path)
    assert path.suffix not in IMAGE_SUFFIXES and not is_image_file(path)


@pytest.mark.parametrize("format", PILLOW_FORMATS)
def test_each_listed_format_is_read_by_each_of_its_suffixes(tmp_path, format):
    for suffix in SUFFIXES[format]:
        assert suffix in IMAGE_SUFFIXES
        path = save(tmp_path / f"a{suffix}", Image.fromarray(PHOTO), format)
        assert is_image_file(path) and read_image(path).shape == PHOTO.shape


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_tiff_is_read_as_it_is_stored_whatever_its_orientation_tag_says(tmp_path, orientation, compression):
    options = {"compression": compression, "tiffinfo": {274: orientation}}
    image = save(tmp_path / "a.tif", Image.fromarray(PHOTO), "TIFF", **options)
    mask = save(tmp_path / "mask.tif", Image.fromarray(MASK), "TIFF", **options)
    np.testing.assert_array_equal(read_bands(image, BandSelection()).values, PHOTO)  # by GDAL
    np.testing.assert_array_equal(read_image(image), PHOTO)  # by Pillow
    np.testing.assert_array_equal(read_binary_mask(mask), MASK > 0)
    assert read_header(image).upright_size == PHOTO.shape[:2]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path, make):
    make(tmp_path / "a.png")
    for read in (*READERS, is_raster, lambda path: read_bands(path, BandSelection()), read_raster):
        with pytest.raises(ImageError, match=r"a\.png: is a pipe, a socket or a device"):
            read(tmp_path / "a.png")


def test_a_tiff_whose_tiles_are_larger_than_any_image_is_refused_before_they_are_decoded(tmp_path):
    tags = {256: 1000, 257: 1000, 258: 8, 259: 8, 262: 1, 277: 1, 322: 65536, 323: 65536, 324: 300, 325: 1000}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries
    (tmp_path / "a.tif").write_bytes(head.ljust(300, b"\0") + zlib.compress(b"\0" * 100_000)[:1000].ljust(1000, b"\0"))
    with pytest.raises(ImageError, match="its blocks: 65536×65536 = 4295 megapixels, more than max_megapixels=400"):
        read_bands(tmp_path / "a.tif", BandSelection())
