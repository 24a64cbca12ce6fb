from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, WindowsConfig
from flood_seg.errors import DataError
from flood_seg.evaluation.eval_images import load_images
from tests.conftest import make_spec, write_ponds
from tests.data.test_windows import write_scene
from tests.inference.conftest import red_spec

SIZE = 64
SPEC = make_spec(SIZE, SIZE, bands=("east", "south"), mean=(0.1, 0.1), std=(1.0, 1.0), value_scale=1e4)


def config_of(folder: Path) -> DataConfig:
    return defaults(DataConfig, data_dir=str(folder), windows=WindowsConfig(SIZE, block=2.0, min_data=0.1, seed=0))


def on_the_map(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The scene's pixels and its mask, as rasterio reads them."""
    with (
        rasterio.open(folder / "images" / f"{name}.tif") as image,
        rasterio.open(folder / "masks" / f"{name}.tif") as m,
    ):
        return np.moveaxis(image.read(), 0, 2), m.read(1)


def test_rasters_are_tried_in_their_validation_windows(tmp_path):
    write_scene(tmp_path, "a", 300, 300)
    image, mask = on_the_map(tmp_path, "a")
    photos, origin = load_images(config_of(tmp_path), SPEC, 100)
    assert origin == f"windows of {tmp_path}" and len(photos) > 2
    full = [photo for photo in photos if (photo.mask != 255).all()]
    for photo in full:
        row, column = photo.image[0, 0, 1] - 1000, photo.image[0, 0, 0] - 1000
        place = np.s_[row : row + SIZE, column : column + SIZE]
        assert photo.name == f"a/r{row}c{column}"
        np.testing.assert_array_equal(photo.image, image[place])
        np.testing.assert_array_equal(photo.mask, mask[place])
    assert len({photo.name for photo in photos}) == len(photos) and len(full) > 1


def test_rasters_without_masks_are_tried_in_all_their_windows(tmp_path):
    write_scene(tmp_path, "a", 128, 192, transform=rasterio.Affine(10, 0, 0, 0, -10, 1280))  # blocks without a rest
    image, _ = on_the_map(tmp_path, "a")
    photos, _ = load_images(config_of(tmp_path / "images"), SPEC, 100)
    assert all(photo.mask is None and photo.image.shape == (SIZE, SIZE, 2) for photo in photos)
    seen = {tuple(pixel) for photo in photos for pixel in photo.image.reshape(-1, 2).tolist()}
    assert len(seen - {(0, 0)}) == 128 * 192 == image[:, :, 0].size


def test_photos_of_several_folders_are_all_looked_at(tmp_path):
    folders = [str(write_ponds(tmp_path / name, 3) / "images") for name in "ab"]
    assert len(load_images(defaults(DataConfig, data_dir=folders), red_spec(), 100)[0]) == 6
    with pytest.raises(DataError, match="nowhere: no such folder"):
        load_images(defaults(DataConfig, data_dir=[*folders, str(tmp_path / "nowhere")]), red_spec(), 100)


def test_a_whole_scene_is_one_photo_where_no_windows_are_asked_for(tmp_path):
    write_scene(tmp_path, "a", 300, 300)
    (photo,), _ = load_images(replace(config_of(tmp_path), windows=None), SPEC, 100)
    assert photo.name == "a" and photo.image.shape == (SIZE, SIZE, 2)
