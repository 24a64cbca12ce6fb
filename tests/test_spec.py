import json

import pytest

from flood_seg.errors import ModelError
from flood_seg.spec import ModelSpec
from tests.conftest import make_spec


def test_a_spec_survives_json():
    spec = make_spec(provenance={"encoder": "mobilenet_v2", "metrics": {"val_iou": 0.8}, "git_commit": None})
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert "\n" not in spec.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2 is not 1"),
        ({"surprise": 1}, "unknown keys ['surprise']"),
        ({"mean": [0.5]}, "3 bands, 1 means"),
        ({"class_names": ["water"]}, "1 class names and 2 label values"),
        ({"height": "tall"}, "model.onnx: ModelSpec: its size is 'tall' × 64"),
        ({"width": 0}, "two whole numbers above 0"),
        ({"mean": [float("nan")] * 3}, "is not a finite number"),
        ({"value_scale": "255"}, "is not a finite number"),
        ({"std": [0.0, 1.0, 1.0]}, "std is not above 0"),
        ({"bands": [1, 2, 3]}, "is not text"),
        ({"provenance": []}, "is not a JSON object"),
        ({"optional_bands": ["red"]}, "model.onnx: ModelSpec: optional_bands is not a JSON object"),
        ({"optional_bands": {"ir": ["nir"]}}, "'nir' of optional_bands or one_of is none of its bands"),
        ({"one_of": ["vv"]}, "'vv' of optional_bands"),
        ({"task": "magic"}, "task is 'magic'; allowed: binary, multiclass"),
    ],
)
def test_a_wrong_record_is_named(change, message):
    record = json.loads(make_spec().to_json()) | change
    with pytest.raises(ModelError) as error:
        ModelSpec.from_json(json.dumps(record), "model.onnx")
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 1}'])
def test_what_is_no_spec_is_refused_with_its_place(text):
    with pytest.raises(ModelError):
        ModelSpec.from_json(text, "model.onnx")


def test_binary_answers_one_channel_and_multiclass_one_a_class():
    assert make_spec().logit_channels == 1
    names, values = ("a", "b", "c"), (0, 1, 2)
    assert make_spec(task="multiclass", class_names=names, label_values=values).logit_channels == 3


def test_a_nodata_value_is_kept_and_without_one_earlier_releases_can_read_the_record():
    assert ModelSpec.from_json(make_spec(nodata=-9999.0).to_json()).nodata == -9999
    record = json.loads(make_spec().to_json())
    assert "nodata" not in record and ModelSpec.from_json(json.dumps(record)).nodata is None
    with pytest.raises(ModelError, match="nodata is 'none'"):
        ModelSpec.from_json(json.dumps(record | {"nodata": "none"}))


def test_optional_bands_are_kept_and_without_any_earlier_releases_can_read_the_record():
    spec = make_spec(optional_bands={"warm": ("red", "green"), "cold": ("blue",)}, one_of=("red", "blue"))
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert not {"optional_bands", "one_of"} & set(json.loads(make_spec().to_json()))
