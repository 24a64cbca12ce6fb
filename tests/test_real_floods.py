"""What needs the real photos: FLOOD_SEG_DATA names their folder (images/ and masks/)."""

import os
from pathlib import Path

import pytest

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import (
    DataConfig,
    EvaluateConfig,
    InferConfig,
    QuantizeOptions,
    VerifyOptions,
)
from flood_seg.data.pairing import find_pairs
from flood_seg.data.reading import SampleReader
from flood_seg.data.store import open_store
from flood_seg.errors import BackendError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.read import read_bands
from flood_seg.inference.engines import open_backend, parse_engine
from flood_seg.inference.models import bundled_model
from flood_seg.inference.predictor import Predictor
from flood_seg.verbs.evaluate import run_evaluation as evaluate

FLOOD = Path(os.environ.get("FLOOD_SEG_DATA", "data/raw"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (FLOOD / "images").is_dir(), reason="no real photos: set FLOOD_SEG_DATA to their folder"),
]


def test_every_faulty_pair_of_the_public_set_is_named():
    pairs, unpaired = find_pairs(FLOOD / "images", FLOOD / "masks")
    store = open_store(pairs, SampleReader.of(defaults(DataConfig), "binary"), 64, 64, "ram")
    assert {fault.stem: fault.reason for fault in unpaired} == dict.fromkeys(["1024", "1084"], "mask without an image")
    assert {fault.stem: fault.reason.split(":")[0] for fault in store.faults} == dict.fromkeys(
        ["1061", "14", "15"], "mask of another shape"
    )
    assert len(store.pairs) == 247


def test_no_real_photo_is_unusual_to_the_bundled_model():
    model = str(bundled_model())
    predictor = Predictor(open_backend(parse_engine(model).node(), model))
    bands = BandSelection.of(predictor.spec)
    shifts = [predictor.prepare(read_bands(path, bands).values).shift for path in (FLOOD / "images").iterdir()]
    assert len(shifts) == 250 and max(shifts) < defaults(InferConfig).max_input_shift


@pytest.fixture(scope="module")
def checked():
    from flood_seg.config.compose import compose
    from flood_seg.config.schema.workshop import DataToolsConfig
    from tests.workshop.tools import find_problems

    return find_problems(compose("data", [f"datamodule.data_dir='{FLOOD}'"], DataToolsConfig))


def test_the_check_names_what_is_faulty_swapped_and_doubled_and_nothing_else(checked):
    found = {(finding.kind, *finding.stems) for finding in checked.findings if finding.severity != "note"}
    doubled = ["1012 1057", "1015 1066", "1020 3011 39", "1026 18", "1032 1061 24", "1033 3029", "1037 3014",
               "1041 3033", "1049 3019", "15 2050", "26 3020"]  # fmt: skip
    assert found == {
        ("unpaired", "1024"), ("unpaired", "1084"), ("shape", "1061"), ("shape", "14"), ("shape", "15"),
        ("swapped", "14", "15"), ("misfit", "1022"), ("misfit", "2034"),
        ("contradiction", "1037", "3014"), ("contradiction", "1041", "3033"),
        *(("duplicate", *stems.split()) for stems in doubled),
    }  # fmt: skip
    (text,) = (finding.text for finding in checked.findings if finding.kind == "shape" and finding.stems == ("1061",))
    assert text.endswith("as the image 1032, a near-duplicate")


def test_masks_that_are_exchanged_on_purpose_are_found(checked):
    """As docs/data.md says, and nothing else is; nor are the two that really are swapped an error of the fits alone."""
    import numpy as np

    from flood_seg.workshop.check.mask_image_fit import fit_scores
    from flood_seg.workshop.check.swapped_pairs import find_swaps, weigh_cues

    seen = [
        one for one in checked.samples.values() if one.pair.stem not in ("14", "15") and 0 < one.mask_view.mean() < 1
    ]
    table = fit_scores([one.view for one in seen], [one.mask_view for one in seen])
    assert find_swaps(weigh_cues(table).scores, 0.01) == []
    random, found = np.random.default_rng(0), []
    for _ in range(60):
        one, other = sorted(random.choice(len(seen), 2, replace=False).tolist())
        order = np.arange(len(seen))
        order[[one, other]] = other, one
        found.append([(swap.first, swap.second) for swap in find_swaps(weigh_cues(table[:, :, order]).scores, 0.01)])
        assert found[-1] in ([], [(one, other)])
    assert np.mean([bool(swaps) for swaps in found]) > 0.9
    assert (
        abs(np.mean([bool(swaps) for swaps in found]) - checked.detectability[0].power) < 0.06
    )  # what the report says


def test_the_model_in_the_box_is_as_good_as_its_card_says():
    model = bundled_model()
    data = defaults(DataConfig, data_dir=str(FLOOD), split_file=str(model.parent / "split.txt"))
    backend = {"_target_": "flood_seg.inference.backends.onnxruntime.OnnxRuntimeBackend"}
    record = evaluate(defaults(EvaluateConfig, datamodule=data, backend=backend), str(model)).record
    assert record["images"] == 49
    assert record["iou"] == pytest.approx(0.816, abs=0.003)
    assert record["image_iou"] == pytest.approx(0.800, abs=0.003)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_int8_of_the_model_in_the_box_stays_within_its_bound(suffix, tmp_path):
    from flood_seg.export.quantize import quantize
    from flood_seg.inference.engines import open_backend, parse_engine

    out = quantize(
        defaults(DataConfig, data_dir=str(FLOOD)),
        defaults(QuantizeOptions),
        bundled_model(),
        tmp_path / f"int8{suffix}",
    )
    engine = parse_engine(str(out))
    record = open_backend(engine.node(), engine.model).spec.provenance["quantization"]
    assert record["float_iou"] == pytest.approx(0.8205, abs=0.002)
    assert record["float_iou"] - record["iou"] <= 0.005
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 9e6


def test_bfloat16_finds_the_water_that_float32_finds():
    from flood_seg.benchmarking.verify import verify

    model = bundled_model()
    data = defaults(DataConfig, data_dir=str(FLOOD), split_file=str(model.parent / "split.txt"))
    try:
        (found,) = verify(
            data, defaults(VerifyOptions, images=49), [str(model), f"openvino,precision=bfloat16:{model}"]
        )
    except BackendError as error:
        pytest.skip(str(error))  # a processor without bfloat16
    assert found.mask_iou >= 0.995
