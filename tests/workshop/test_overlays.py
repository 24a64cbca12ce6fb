import numpy as np
import pytest
from PIL import Image

from flood_seg.config.compose import compose
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.data.pairing import Pair
from flood_seg.errors import FindingsError
from flood_seg.imaging.display import FALSE_ALARM, HIT, MISS, draw_difference
from flood_seg.workshop.overlays import _Drawer
from tests.inference.conftest import red_spec, write_model
from tests.workshop.tools import overlay


def config_of(folder, *options: str) -> DataToolsConfig:
    return compose("data", [f"datamodule.data_dir='{folder}'", *options], DataToolsConfig)


def test_each_sample_is_drawn_with_its_mask_and_sheets_hold_all(ponds, tmp_path):
    overlay(config_of(ponds, "overlay.columns=3", "overlay.rows=2"), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"{n:02d}.jpg" for n in range(10)), "sheet_1.jpg", "sheet_2.jpg"
    }  # fmt: skip
    photo, mask = (np.array(Image.open(ponds / part)) for part in ("images/00.jpg", "masks/00.png"))
    drawn = np.array(Image.open(tmp_path / "out" / "00.jpg")).astype(int)
    assert drawn.shape[0] > photo.shape[0] and drawn.shape[1] == photo.shape[1]  # a legend below
    apart = np.abs(drawn[: photo.shape[0]] - photo).sum(axis=2)
    assert np.median(apart[mask > 0]) > 60 > 30 > np.median(apart[mask == 0])


def test_so_many_are_taken_evenly(ponds, tmp_path):
    overlay(config_of(ponds, "overlay.count=3"), tmp_path / "out")
    assert [path.stem for path in sorted((tmp_path / "out").glob("0*.jpg"))] == ["00", "03", "06"]


def test_a_model_adds_its_prediction_and_the_difference(ponds, tmp_path):
    model = write_model(tmp_path / "m.onnx", red_spec(), weights=[[0.0, 0.0, 25.5]])
    overlay(config_of(ponds, "overlay.count=2"), tmp_path / "out", str(model))
    drawn = np.array(Image.open(tmp_path / "out" / "00.jpg"))
    assert drawn.shape[1] == 3 * 80 + 2 * 6


def test_found_missed_and_false_are_three_colours_and_ignored_none():
    image = np.zeros((40, 40, 3), np.uint8)
    truth, predicted = np.zeros((2, 40, 40), np.uint8)
    truth[:20], predicted[:, :20], truth[:, 35:] = 1, 1, 255
    drawn = draw_difference(image, truth, predicted, opacity=1.0)
    for (row, col), color in {(5, 5): HIT, (5, 28): MISS, (30, 5): FALSE_ALARM, (30, 28): (0, 0, 0)}.items():
        assert tuple(drawn[row, col]) == color
    assert not drawn[:, 37:].any()


def test_what_cannot_be_drawn_is_named_and_the_rest_is_done(ponds, tmp_path):
    (ponds / "images" / "03.jpg").write_bytes(b"")
    with pytest.raises(FindingsError, match="1 of 10 samples could not be drawn"):
        overlay(config_of(ponds), tmp_path / "out")
    assert len(list((tmp_path / "out").glob("0*.jpg"))) == 9


def test_ignored_pixels_are_no_foreground_of_a_caption(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    mask = np.zeros((40, 40), np.uint8)
    mask[:10], mask[10:20] = 1, 9
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "images" / "a.png")
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    config = config_of(tmp_path, "datamodule.labels={0:land,1:water,9:ignore}")
    drawer = _Drawer(config.datamodule, config.task, config.overlay, None)
    drawn = drawer.draw(Pair("a", tmp_path / "images" / "a.png", tmp_path / "masks" / "a.png"))
    assert drawn.caption == "33%"
