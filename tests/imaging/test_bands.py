from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from flood_seg.errors import ImageError
from flood_seg.imaging.bands import Bands, band_files, read_bands

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
    return read_bands(path, Bands(names, sources, scale)).values


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
    bands = Bands(("nir", "red", "green", "blue"), {"nir": "nir"})
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
    found = read_bands(write_raster(tmp_path / "a.tif", values, nodata=0), Bands(("1", "2"), {}, 1.0))
    assert not found.valid[3, 4] and found.valid.sum() == found.valid.size - 1 and not found.values[3, 4].any()
    floats = noise(1, "float32")
    floats[0, 0, 0], floats[0, 1, 1] = np.nan, np.inf
    found = read_bands(write_raster(tmp_path / "b.tif", floats), Bands(("1",), {}, 1.0))
    assert (~found.valid).sum() == 2 and np.isfinite(found.values).all()
    assert read_bands(write_raster(tmp_path / "c.tif", noise(1)), Bands(("1",), {}, 1.0)).valid is None


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
        read_bands(path, Bands())
    cv2.imwrite(str(path), values * 6)
    assert read_bands(path, Bands()).values.max() == 60000 >> 8
