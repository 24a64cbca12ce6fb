"""How a data set is read for a model that is tried on it."""

from pathlib import Path

import numpy as np
import pytest

from flood_seg.classes import IGNORED
from flood_seg.config.compose import compose
from flood_seg.config.schema import BenchmarkConfig, EvaluateConfig, QuantizeConfig, VerifyConfig
from flood_seg.data.pairing import Pair
from flood_seg.data.reading import SampleReader
from flood_seg.errors import ConfigError
from tests.conftest import make_spec
from tests.imaging.test_bands import noise, write_raster

FOUR = ("red", "green", "blue", "nir")
SPEC = make_spec(bands=FOUR, band_sources={"nir": "nir"}, value_scale=1e4, mean=(0.1,) * 4, std=(1.0,) * 4)
VERBS = {"evaluate": EvaluateConfig, "verify": VerifyConfig, "benchmark": BenchmarkConfig, "quantize": QuantizeConfig}


def reader_of(*overrides: str, verb: str = "evaluate") -> SampleReader:
    return SampleReader.for_model(
        compose(verb, [f"datamodule.{one}" for one in overrides], VERBS[verb]).datamodule, SPEC
    )


@pytest.mark.parametrize("verb", VERBS)
def test_the_keys_of_a_training_may_be_given_again(verb, tmp_path):
    bands = ["bands=[red,green,blue,nir]", "value_scale=10000"]
    assert reader_of(verb=verb).bands == reader_of(*bands, verb=verb).bands
    path = write_raster(tmp_path / "images" / "a.tif", values := noise(4))
    mask = write_raster(tmp_path / "masks" / "a.tif", np.ones((1, 12, 20), np.uint8))
    reader = reader_of(*bands, "band_sources={nir:4}", verb=verb)  # this data set has the band elsewhere
    np.testing.assert_array_equal(reader.load(Pair("a", path, mask))[0], np.moveaxis(values, 0, 2))


def test_bands_that_the_model_does_not_have_are_refused():
    with pytest.raises(ConfigError, match=r"datamodule.bands=\('x', 'y'\): the model was trained on .*'nir'"):
        reader_of("bands=[x,y]")
    with pytest.raises(ConfigError, match=r"datamodule.value_scale=3000.0: the model was trained on 10000.0"):
        reader_of("value_scale=3000")


def test_a_value_to_be_ignored_is_ignored_beside_the_models_own_labels(tmp_path: Path):
    path = write_raster(tmp_path / "a.tif", np.array([[[0, 255, 7]] * 3], np.uint8))
    reader = reader_of("ignore_index=7")
    assert reader.read_mask(Pair("a", path, path))[0].tolist() == [0, 1, IGNORED]
