import numpy as np
import pytest

from flood_seg.evaluation.tta import Augmentations


class Corner:
    """A 'network' that is not the same in all orientations: it adds a ramp to the first band."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, batch: np.ndarray) -> np.ndarray:
        self.shapes.append(batch.shape)
        height, width = batch.shape[2:]
        ramp = np.linspace(0, 1, width, dtype=np.float32) + np.linspace(0, 2, height, dtype=np.float32)[:, None]
        return batch[:, :1] + ramp


@pytest.fixture
def tensor() -> np.ndarray:
    return np.random.default_rng(0).random((3, 64, 64)).astype(np.float32)


def test_one_view_is_the_plain_answer(tensor):
    plain = Corner().run(tensor[None])[0]
    np.testing.assert_array_equal(Augmentations().run(Corner(), tensor), plain)
    assert (
        Augmentations().is_identity
        and not Augmentations(True).is_identity
        and not Augmentations(scales=(1.0, 0.5)).is_identity
    )


def test_eight_orientations_are_turned_back_and_cancel_what_an_orientation_adds(tensor):
    answer = Augmentations(orientations=True).run(network := Corner(), tensor)
    assert len(network.shapes) == 8
    # The picture itself comes back in place; the ramps of the eight views add up to a constant.
    np.testing.assert_allclose(answer[0] - tensor[0], 1.5, atol=1e-5)


def test_a_picture_that_is_no_square_is_never_put_on_its_side():
    tensor = np.random.default_rng(0).random((3, 32, 64)).astype(np.float32)
    answer = Augmentations(orientations=True).run(network := Corner(), tensor)
    assert set(network.shapes) == {(1, 3, 32, 64)} and len(network.shapes) == 4
    np.testing.assert_allclose(answer[0] - tensor[0], 1.5, atol=1e-5)


def test_scales_are_multiples_of_32_and_come_back_at_the_networks_size(tensor):
    answer = Augmentations(scales=(0.5, 1.0, 1.3)).run(network := Corner(), tensor)
    assert [shape[2:] for shape in network.shapes] == [(32, 32), (64, 64), (96, 96)]
    assert answer.shape == (1, 64, 64)
