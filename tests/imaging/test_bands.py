from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from flood_seg.errors import ImageError
from flood_seg.imaging.bands import BandSelection, band_files
from flood_seg.imaging.raster import Window
from flood_seg.imaging.read import read_bands

RANDOM = np.random.default_rng(0)


def write_raster(path: Path, values: np.ndarray, names: tuple[str, ...] = (), **options: object) -> Path:
    """Writes [bands, H, W]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    options = {"driver": "GTiff", "dtype": values.dtype} | options
    with rasterio.open(path, "w", height=height, width=width, count=count, **options) as out:
        out.write(values)
        for number, name in enumerate(names, 1):
            out.set_band_description(number, name)
    return path


def noise(bands: int, dtype: str = "uint16", height: int = 12, width: int = 20) -> np.ndarray:
    return RANDOM.integers(0, 200 if dtype == "uint8" else 9000, (bands, height, width)).astype(dtype)


def read(path: Path, *names: str, scale: float = 10000.0, **sources: str) -> np.ndarray:
    return read_bands(path, BandSelection(names, sources, scale)).values


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_bands_are_chosen_and_ordered_by_name_and_by_number(dtype, tmp_path):
    values = noise(4, dtype)
    path = write_raster(tmp_path / "a.tif", values, ("Blue", "Green", "Red", "NIR"))
    expected = np.moveaxis(values[[2, 3, 0]], 0, 2)
    for found in (read(path, "red", "nir", "blue"), read(path, "3", "4", "1"), read(path, "x", "nir", "blue", x="3")):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == (dtype if dtype in ("uint8", "uint16") else "float32")


def test_bands_without_names_are_taken_in_their_order_where_the_number_fits(tmp_path):
    path = write_raster(tmp_path / "a.tif", values := noise(4))
    np.testing.assert_array_equal(read(path, "red", "green", "blue", "nir"), np.moveaxis(values, 0, 2))
    with pytest.raises(ImageError, match=r"has 4 bands \(1, 2, 3, 4\), not red, green, blue; choose by number"):
        read(path, "red", "green", "blue")
    with pytest.raises(ImageError, match="has 4 bands; there is no band 5"):
        read(path, "5")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])  # GDAL calls the bands of the first red, green, blue and alpha
def test_one_band_by_number_leaves_the_others_their_order(dtype, tmp_path):
    path = write_raster(tmp_path / "a.tif", values := noise(4, dtype))
    found = read(path, "red", "green", "blue", "nir", nir="4")
    np.testing.assert_array_equal(found, np.moveaxis(values, 0, 2))
    path = write_raster(tmp_path / "b.tif", values := noise(4))
    np.testing.assert_array_equal(read(path, "nir", "red", "green", "blue", nir="1"), np.moveaxis(values, 0, 2))
    with pytest.raises(ImageError, match=r"not red, green; choose by number"):
        read(path, "red", "green", "nir", nir="4")  # three are left for two


def test_bands_with_other_names_are_not_taken_by_their_order(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(4), ("B02", "B03", "B04", "B08"))
    with pytest.raises(ImageError, match=r"has 4 bands \(b02, b03, b04, b08\), not red, green, blue; choose by number"):
        read(path, "red", "green", "blue", "nir", nir="4")


def test_colours_that_a_file_knows_are_names(tmp_path):
    path = write_raster(tmp_path / "a.tif", values := noise(4, "uint8"), photometric="RGB")
    with rasterio.open(path, "r+") as raster:
        raster.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined]
    np.testing.assert_array_equal(read(path, "red", "green", "blue", scale=255.0), np.moveaxis(values[[2, 1, 0]], 0, 2))


def test_sixteen_bits_are_kept_and_as_a_photo_scaled_never_cut_off(tmp_path):
    values = RANDOM.integers(0, 65536, (3, 9, 9)).astype(np.uint16)
    path = write_raster(tmp_path / "a.tif", values, photometric="RGB")
    np.testing.assert_array_equal(read(path, "red", "green", "blue", scale=65535.0), np.moveaxis(values, 0, 2))
    found = read(path, "red", "green", "blue", scale=255.0)
    np.testing.assert_array_equal(found, np.moveaxis(values >> 8, 0, 2))


def test_a_png_of_four_bands_keeps_the_fourth_in_both_depths(tmp_path):
    import cv2

    for dtype in (np.uint8, np.uint16):
        values = RANDOM.integers(0, np.iinfo(dtype).max, (9, 11, 4)).astype(dtype)
        cv2.imwrite(str(tmp_path / "a.png"), values[:, :, [2, 1, 0, 3]])
        scale = float(np.iinfo(dtype).max)
        np.testing.assert_array_equal(read(tmp_path / "a.png", "red", "green", "blue", "nir", scale=scale), values)
        np.testing.assert_array_equal(read(tmp_path / "a.png", "nir", scale=scale, nir="4"), values[:, :, 3:])


def test_a_band_comes_from_the_file_of_the_same_stem_in_a_sibling_folder(tmp_path):
    Image.fromarray(rgb := RANDOM.integers(0, 256, (12, 20, 3)).astype(np.uint8)).save(_made(tmp_path / "images/a.png"))
    nir = RANDOM.integers(0, 256, (12, 20)).astype(np.uint8)
    Image.fromarray(nir).save(_made(tmp_path / "nir/a.tif"))
    bands = BandSelection(("nir", "red", "green", "blue"), {"nir": "nir"})
    found = read_bands(tmp_path / "images" / "a.png", bands).values
    np.testing.assert_array_equal(found, np.dstack([nir, rgb]))
    assert band_files(tmp_path / "images" / "a.png", bands) == [tmp_path / "images/a.png", tmp_path / "nir/a.tif"]
    with pytest.raises(ImageError, match="no file of this stem in the folder swir"):
        read(tmp_path / "images" / "a.png", "swir", swir="swir")


def test_sibling_folders_of_parts_and_numbered_bands_in_them(tmp_path):
    first, other = noise(3), noise(2)
    path = write_raster(tmp_path / "img/train/a.tif", first)
    write_raster(tmp_path / "sar/train/a.tif", other)
    found = read(path, "vv", "1", "2", "3", vv="sar:2")
    np.testing.assert_array_equal(found, np.moveaxis(np.concatenate([other[1:], first]), 0, 2))


def test_a_coarser_band_is_resized_and_one_of_another_shape_refused(tmp_path):
    path = write_raster(tmp_path / "images/a.tif", np.full((1, 12, 20), 5, np.uint16))
    write_raster(tmp_path / "swir/a.tif", np.full((1, 6, 10), 9, np.uint16))
    write_raster(tmp_path / "odd/a.tif", noise(1, height=6, width=11))
    found = read(path, "1", "swir", swir="swir")
    assert found.shape == (12, 20, 2) and (found[:, :, 1] == 9).all()
    with pytest.raises(ImageError, match="is 20×12, its bands in odd are of another shape, 11×6"):
        read(path, "1", "odd", odd="odd")


def test_the_pages_of_a_tiff_are_its_bands(tmp_path):
    pages = [Image.fromarray(page) for page in noise(3, "uint8")]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    found = read(tmp_path / "a.tif", "a", "b", "c")
    np.testing.assert_array_equal(found, np.dstack([np.asarray(page) for page in pages]))


def test_where_a_raster_has_no_data_is_known(tmp_path):
    values = noise(2) + 1
    values[0, 3, 4] = 0
    found = read_bands(write_raster(tmp_path / "a.tif", values, nodata=0), BandSelection(("1", "2"), {}, 1.0))
    assert not found.valid[3, 4] and found.valid.sum() == found.valid.size - 1 and not found.values[3, 4].any()
    floats = noise(1, "float32")
    floats[0, 0, 0], floats[0, 1, 1] = np.nan, np.inf
    found = read_bands(write_raster(tmp_path / "b.tif", floats), BandSelection(("1",), {}, 1.0))
    assert (~found.valid).sum() == 2 and np.isfinite(found.values).all()
    assert read_bands(write_raster(tmp_path / "c.tif", noise(1)), BandSelection(("1",), {}, 1.0)).valid is None


def test_damaged_rasters_are_one_line(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(3, height=200, width=200), tiled=True, compress="deflate")
    whole = path.read_bytes()
    for cut in (20, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(ImageError, match="a.tif: ") as error:
            read(path, "1", "2", "3")
        assert "\n" not in str(error.value)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_reflectance_in_16_bits_is_not_taken_for_a_photo_of_16_bits(tmp_path, suffix):
    path = tmp_path / f"scene.{suffix}"
    values = np.random.default_rng(0).integers(0, 10001, (16, 16, 3), np.uint16)
    values[0, 0] = 10000
    cv2.imwrite(str(path), values)
    with pytest.raises(ImageError, match=r"scene.\w+: 16-bit values up to 10239 use only 15% of the range"):
        read_bands(path, BandSelection())
    cv2.imwrite(str(path), values * 6)
    assert read_bands(path, BandSelection()).values.max() == 60000 >> 8


HOLES = RANDOM.random((12, 20)) < 0.3


def rgba(dtype: type = np.uint8) -> np.ndarray:
    """[H, W, 4], transparent in `HOLES`, where the colours are not 0."""
    top = np.iinfo(dtype).max
    return np.dstack([RANDOM.integers(1, top, (12, 20, 3)), np.where(HOLES, 0, top)]).astype(dtype)


def write_rgba(folder: Path, kind: str) -> Path:
    values, path = rgba(np.uint16 if "16" in kind else np.uint8), folder / f"a.{kind.split()[0]}"
    if kind == "tif":
        return write_raster(path, np.moveaxis(values, 2, 0), photometric="RGB", alpha="yes")
    if kind == "png 16":
        cv2.imwrite(str(path), values[:, :, [2, 1, 0, 3]])
    elif kind == "png grey":
        Image.fromarray(values[:, :, [0, 3]], "LA").save(path)
    elif kind == "png palette":
        indices = np.where(HOLES, 7, RANDOM.integers(0, 7, HOLES.shape)).astype(np.uint8)
        image = Image.fromarray(indices, "P")
        image.putpalette(RANDOM.integers(1, 255, 24).tolist())
        image.save(path, transparency=7)
    else:
        Image.fromarray(values, "RGBA").save(path, **({"lossless": True} if kind == "webp" else {}))
    return path


@pytest.mark.parametrize("kind", ["png", "png 16", "png grey", "png palette", "webp", "tif"])
def test_where_alpha_is_0_a_photo_has_no_data(kind, tmp_path):
    path = write_rgba(tmp_path, kind)
    found = read_bands(path, BandSelection())
    np.testing.assert_array_equal(~found.valid, HOLES)
    assert not found.values[HOLES].any() and found.values.dtype == np.uint8 and found.values.shape == (12, 20, 3)
    with Image.open(path) as image:
        plain = np.array(image.convert("RGB")) if kind != "png 16" else cv2.imread(str(path))[:, :, ::-1]
    np.testing.assert_array_equal(found.values[~HOLES], plain[~HOLES])


def test_alpha_of_bands_chosen_by_name_counts_and_one_that_is_a_band_does_not(tmp_path):
    path = write_rgba(tmp_path, "png")
    np.testing.assert_array_equal(~read_bands(path, BandSelection(("green",), {}, 1.0)).valid, HOLES)
    assert read_bands(path, BandSelection(("red", "green", "blue", "nir"), {}, 1.0)).valid is None
    assert read_bands(path, BandSelection(("nir",), {"nir": "4"}, 1.0)).valid is None


def test_a_fourth_band_of_many_values_is_no_alpha_whatever_gdal_calls_it(tmp_path):
    """GDAL writes four bands of 8 bits as RGB and alpha; near infrared is 0 on clear water."""
    values = noise(4, "uint8") + 1
    values[3, :, :8] = 0
    path = write_raster(tmp_path / "a.tif", values, photometric="RGB", alpha="yes")
    assert read_bands(path, BandSelection()).valid is None


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint16"])
def test_a_nodata_value_of_the_configuration_is_as_one_that_the_file_declares(dtype, tmp_path):
    values, nodata = noise(3, dtype), 65535 if dtype == "uint16" else -9999
    values[RANDOM.random(values.shape) < 0.1] = nodata
    declared = write_raster(tmp_path / "a.tif", values, nodata=nodata)
    silent = write_raster(tmp_path / "b.tif", values)
    names = ("1", "2", "3")
    wanted, found = (
        read_bands(declared, BandSelection(names, {}, 1e4)),
        read_bands(silent, BandSelection(names, {}, 1e4, nodata)),
    )
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.valid, wanted.valid)
    np.testing.assert_array_equal(found.valid, (values != nodata).all(axis=0))
    assert read_bands(silent, BandSelection(names, {}, 1e4)).valid is None
    assert read_bands(silent, BandSelection(names, {}, 1e4, 0.5 if dtype != "float32" else 1e39)).valid is None


def test_a_nodata_value_counts_in_siblings_windows_and_photos(tmp_path):
    path = write_raster(tmp_path / "images/a.tif", np.full((1, 12, 20), 5, np.float32))
    coarse = np.full((1, 6, 10), 0.5, np.float32)
    coarse[0, 2, 3] = -9999
    write_raster(tmp_path / "sar/a.tif", coarse)
    bands, wanted = BandSelection(("1", "vv"), {"vv": "sar"}, 1.0, -9999), np.ones((12, 20), bool)
    wanted[4:6, 6:8] = False
    for window in (None, Window(0, 0, 12, 20, (12, 20))):
        found = read_bands(path, bands, window)
        np.testing.assert_array_equal(found.valid, wanted)
        assert found.values.min() >= 0, "interpolation does not spread it"
    photo = RANDOM.integers(1, 255, (12, 20, 3)).astype(np.uint8)
    photo[3, 4] = 255
    Image.fromarray(photo).save(tmp_path / "a.png")
    found = read_bands(tmp_path / "a.png", BandSelection(nodata=255))
    np.testing.assert_array_equal(found.valid, (photo != 255).all(axis=2))
    deep = RANDOM.integers(0, 65000, (3, 12, 20)).astype(np.uint16)
    deep[:, 2, 2] = 65535
    path = write_raster(tmp_path / "deep.tif", deep, photometric="RGB")
    assert np.argwhere(~read_bands(path, BandSelection(nodata=65535)).valid).tolist() == [[2, 2]], (
        "before 8 bits are made of 16"
    )


def test_an_opaque_alpha_channel_does_not_make_reflectance_a_photo_of_16_bits(tmp_path):
    values = np.concatenate([noise(3), np.full((1, 12, 20), 65535, np.uint16)])
    path = write_raster(tmp_path / "a.tif", values, photometric="RGB", alpha="yes")
    with pytest.raises(ImageError, match="a.tif: 16-bit values up to .* not a 16-bit photo"):
        read_bands(path, BandSelection())
