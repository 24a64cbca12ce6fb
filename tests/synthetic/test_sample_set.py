import json

import cv2
import numpy as np
import pytest
import rasterio

from flood_seg.config.schema import SampleConfig
from flood_seg.errors import DataError
from flood_seg.imaging.binary_mask import read_binary_mask
from flood_seg.synthetic.sample_set import write_sample
from flood_seg.synthetic.scene import draw_scene


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(seed, 128, 128) for seed in range(40)]


def test_a_seed_draws_the_same_scene_again():
    first, again, other = draw_scene(1, 64, 96), draw_scene(1, 64, 96), draw_scene(2, 64, 96)
    assert first[0].shape == (64, 96, 3) and first[1].shape == (64, 96)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_masks_are_two_valued_and_the_share_of_water_varies(scenes):
    shares = [(mask > 0).mean() for _, mask in scenes]
    assert all(set(np.unique(mask)) <= {0, 255} for _, mask in scenes)
    assert 0.2 < np.mean(shares) < 0.6 and np.std(shares) > 0.15


def best_threshold_iou(values: np.ndarray, water: np.ndarray) -> float:
    """The best IoU of `value <= t` or `value >= t` over all t, exactly, from histograms of uint8 values."""
    wet, dry = (np.bincount(values[part], minlength=256) for part in (water, ~water))
    return max(float((w.cumsum() / (wet.sum() + d.cumsum())).max()) for w, d in ((wet, dry), (wet[::-1], dry[::-1])))


def test_no_threshold_on_one_channel_solves_it(scenes):
    water = np.concatenate([mask.ravel() for _, mask in scenes]) > 0
    spaces = {"RGB": lambda i: i, "HSV": lambda i: cv2.cvtColor(i, cv2.COLOR_RGB2HSV),
              "Lab": lambda i: cv2.cvtColor(i, cv2.COLOR_RGB2LAB)}  # fmt: skip
    found = {}
    for space, convert in spaces.items():
        pixels = np.concatenate([convert(image).reshape(-1, 3) for image, _ in scenes])
        found |= {space[c]: best_threshold_iou(pixels[:, c], water) for c in range(3)}
    print({channel: round(iou, 3) for channel, iou in found.items()})
    assert max(found.values()) < 0.8


def test_writing_is_done_once_and_again_where_parameters_change(tmp_path):
    folder = tmp_path / "sample"
    write_sample(folder, SampleConfig(False, 3, 64, 64, 0, None))
    assert json.loads((folder / "sample.json").read_text())["count"] == 3
    mask = read_binary_mask(folder / "masks" / "0002.png")
    np.testing.assert_array_equal(mask * 255, draw_scene(2, 64, 64)[1])
    before = (folder / "images" / "0000.jpg").stat().st_mtime_ns
    write_sample(folder, SampleConfig(False, 3, 64, 64, 0, None))
    assert (folder / "images" / "0000.jpg").stat().st_mtime_ns == before
    write_sample(folder, SampleConfig(False, 2, 64, 64, 1, None))
    assert len(list((folder / "images").iterdir())) == 2


def test_an_interrupted_drawing_is_done_again(tmp_path):
    write_sample(tmp_path, SampleConfig(False, 2, 64, 64, 0, None))
    (tmp_path / "sample.json").unlink()
    (tmp_path / "images" / "0001.jpg").write_bytes(b"half")
    write_sample(tmp_path, SampleConfig(False, 2, 64, 64, 0, None))
    assert (tmp_path / "images" / "0001.jpg").stat().st_size > 1000


def test_other_peoples_files_are_never_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="not of the sample set"):
        write_sample(tmp_path, SampleConfig(False, 2, 64, 64, 0, None))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_broken_sample_json_is_drawn_over(tmp_path):
    write_sample(tmp_path, SampleConfig(False, 2, 64, 64, 0, None))
    (tmp_path / "sample.json").write_text("{")
    write_sample(tmp_path, SampleConfig(False, 2, 64, 64, 0, None))
    assert json.loads((tmp_path / "sample.json").read_text())["height"] == 64


def test_georeferenced_scenes_lie_side_by_side(tmp_path):
    write_sample(tmp_path, SampleConfig(False, 2, 64, 80, 0, 0.5))
    files = [tmp_path / "images" / f"000{number}.tif" for number in range(2)]
    with rasterio.open(files[0]) as first, rasterio.open(files[1]) as second:
        assert first.crs.to_epsg() == 32632 and first.res == (0.5, 0.5)
        assert first.bounds.right - first.bounds.left == 40
        assert second.bounds.left == first.bounds.right and second.bounds.top == first.bounds.top
        image = np.moveaxis(first.read(), 0, 2)
    assert np.array_equal(image, draw_scene(0, 64, 80)[0])
