import numpy as np
import pytest

from flood_seg.errors import ImageError
from flood_seg.imaging.preprocess import preprocess
from flood_seg.inference.predictor import Predictor
from tests.inference.conftest import red_spec


class Recorder:
    """A backend that keeps what it is fed and answers (red - 127.5) / 10."""

    def __init__(self, **changes: object) -> None:
        self.spec = red_spec(**changes)

    def run(self, batch: np.ndarray) -> np.ndarray:
        self.batch = batch
        return batch[:, :1] * 25.5 - 12.75


PHOTO = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def test_the_backend_is_fed_what_preprocess_gives():
    backend = Recorder(height=32, width=48)
    Predictor(backend).predict(PHOTO)
    np.testing.assert_array_equal(backend.batch, preprocess(PHOTO, backend.spec)[None])


def test_at_network_size_the_mask_is_red_above_half():
    prediction = Predictor(Recorder()).predict(PHOTO)
    np.testing.assert_array_equal(prediction.mask, PHOTO[:, :, 0] > 127)
    expected = 1 / (1 + np.exp(-(PHOTO[:, :, :1] - 127.5) / 10))
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-5)
    assert prediction.shares(("dry", "red"))["red"] == pytest.approx((PHOTO[:, :, 0] > 127).mean())


def test_the_answer_has_the_photos_own_size():
    prediction = Predictor(Recorder()).predict(np.full((37, 91, 3), 100, np.uint8))
    assert prediction.mask.shape == (37, 91) and prediction.probabilities.shape == (37, 91, 1)
    assert prediction.mask.dtype == np.uint8 and not prediction.mask.any()


def test_a_threshold_that_is_given_wins_over_the_specs():
    photo = np.full((64, 64, 3), 140, np.uint8)  # probability 0.78
    assert Predictor(Recorder()).predict(photo).mask.all()
    assert not Predictor(Recorder(), threshold=0.8).predict(photo).mask.any()
    assert not Predictor(Recorder(threshold=0.9)).predict(photo).mask.any()


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (8, 8, 1)])
def test_another_number_of_bands_is_refused_with_their_names(shape):
    with pytest.raises(ImageError, match="red, green, blue"):
        Predictor(Recorder()).predict(np.zeros(shape, np.uint8))
