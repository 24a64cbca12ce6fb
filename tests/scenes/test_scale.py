"""The scale that a model is run at, against cases worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pystac
import pytest
from PIL import Image

from flood_seg.cli.main import main
from flood_seg.errors import ModelError
from flood_seg.scenes.scale import choose_scale
from flood_seg.spec import ModelSpec
from tests.conftest import make_spec
from tests.scenes.conftest import write_scene, write_smoothing_model

PHOTOS = (0.2, 0.5, 1.25)  # of a model with a network of 64×64: of photos of 320, 128 and 51 pixels
TILES = (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("scales", "given", "size", "distance", "expected"),
    [
        (PHOTOS, "auto", (128, 256), None, 0.5),  # 64 / 128: the shorter side is one window
        (PHOTOS, "auto", (256, 128), None, 0.5),
        (PHOTOS, "auto", (3000, 4000), None, 0.2),  # not 64 / 3000, which is finer than any training photo was reduced
        (PHOTOS, "auto", (32, 32), None, 1.25),
        (PHOTOS, "auto", (3000, 4000), 0.1, 0.5),  # a mosaic: the median
        (PHOTOS, "native", (128, 256), None, 1),
        (PHOTOS, "0.7", (128, 256), None, 0.7),
        (TILES, "auto", (3000, 4000), None, 1),  # tiles as large as the network
        (None, "auto", (3000, 4000), None, 1),  # an older record
        (None, "auto", (3000, 4000), 0.1, 1),
    ],
)
def test_scale_of_models_without_ground_sample_distance(scales, given, size, distance, expected) -> None:
    scale = choose_scale(given, size, distance, make_spec(image_scales=scales))
    assert scale.value == pytest.approx(expected)
    assert bool(scale.reason) == (given == "auto" and scales is not None)


def test_distances_decide_where_both_are_known() -> None:
    scale = choose_scale("auto", (3000, 4000), 0.5, make_spec(image_scales=PHOTOS, ground_sample_distance=0.75))
    assert scale.value == pytest.approx(2 / 3) and not scale.warnings
    photo = choose_scale("auto", (128, 256), None, make_spec(image_scales=PHOTOS, ground_sample_distance=0.75))
    assert photo.value == 0.5


def test_network_that_is_not_square() -> None:
    spec = make_spec(height=64, width=96, image_scales=(0.1, 0.2, 0.3))
    assert choose_scale("auto", (640, 480), None, spec).value == pytest.approx(96 / 480)  # 64 / 640 would not fit it


def test_record_with_and_without_scales() -> None:
    assert ModelSpec.from_json(make_spec(image_scales=PHOTOS).to_json()).image_scales == PHOTOS
    assert "image_scales" not in make_spec().to_json()
    with pytest.raises(ModelError, match="three numbers above 0"):
        make_spec(image_scales=(0.5, 0.4, 0.6))


def test_choice_is_said_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_smoothing_model(tmp_path / "model.onnx", make_spec(image_scales=PHOTOS))
    noise = np.random.default_rng(0).integers(1, 256, (160, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    write_scene(tmp_path / "mosaic.tif", noise)
    reasons = {
        "photo.png": (0.4, "at which the shorter side fills a window"),
        "mosaic.tif": (0.5, "the median of the "),
    }
    for name, (scale, reason) in reasons.items():
        out = tmp_path / "out" / name
        main(["map", "--model", str(model), "--image", str(tmp_path / name), "--out", str(out)])
        assert f"{name}: map.scale {scale}, {reason}" in capsys.readouterr().out
        record = pystac.Item.from_file(out / "item.json").properties
        assert record["flood_seg:scale"] == record["flood_seg:signature"]["scale"] == scale
        assert record["flood_seg:scale_reason"].startswith(reason)
        assert f'["Scale","{scale}, {reason}' in (out / "map.html").read_text("utf-8")
