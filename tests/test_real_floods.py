"""What needs the real photos: FLOOD_SEG_DATA names their folder (images/ and masks/)."""

import os
from pathlib import Path

import pytest

from flood_seg.data.pairing import find_pairs
from flood_seg.data.store import open_store
from flood_seg.evaluation.evaluate import evaluate
from flood_seg.inference.models import boxed_model
from flood_seg.schema import DataConfig, EvaluateConfig

FLOOD = Path(os.environ.get("FLOOD_SEG_DATA", "data/raw"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (FLOOD / "images").is_dir(), reason="no real photos: set FLOOD_SEG_DATA to their folder"),
]


def test_every_faulty_pair_of_the_public_set_is_named():
    pairs, unpaired = find_pairs(FLOOD / "images", FLOOD / "masks")
    store = open_store(pairs, 64, 64, "ram")
    assert {fault.stem: fault.reason for fault in unpaired} == dict.fromkeys(["1024", "1084"], "mask without an image")
    assert {fault.stem: fault.reason.split(":")[0] for fault in store.faults} == dict.fromkeys(
        ["1061", "14", "15"], "mask of another shape"
    )
    assert len(store.pairs) == 247


def test_the_model_in_the_box_is_as_good_as_its_card_says():
    model = boxed_model()
    data = DataConfig(data_dir=str(FLOOD), split_file=str(model.parent / "split.txt"))
    backend = {"_target_": "flood_seg.inference.backends.onnxruntime.OnnxRuntimeBackend"}
    record = evaluate(EvaluateConfig(data, backend), str(model))
    assert record["images"] == 49
    assert record["iou"] == pytest.approx(0.816, abs=0.003)
    assert record["image_iou"] == pytest.approx(0.800, abs=0.003)
