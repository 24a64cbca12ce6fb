import numpy as np
import pytest
from PIL import Image

from flood_seg.errors import ImageError
from flood_seg.imaging.binary_mask import read_binary_mask
from tests.conftest import draw_pond

PHOTO, MASK = draw_pond(0, 48, 64)
WATER = MASK > 0


def palette(colors: list[int]) -> Image.Image:
    image = Image.fromarray(WATER.astype(np.uint8), "P")
    image.putpalette(colors)
    return image


def wide_palette() -> Image.Image:
    image = Image.fromarray(np.where(WATER, 7, 3).astype(np.uint8), "P")
    image.putpalette([0] * 9 + [0, 0, 0] + [9] * 9 + [0, 160, 255])
    return image


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(MASK),
        Image.fromarray(WATER.astype(np.uint8)),
        Image.fromarray(WATER),
        Image.fromarray(WATER.astype(np.uint16)),
        Image.fromarray(WATER.astype(np.uint16) * 255),
        Image.fromarray(WATER.astype(np.uint16) * 65535),
        Image.fromarray(np.stack([MASK] * 3, 2)),
        Image.fromarray(np.stack([MASK * 0, MASK * 0, MASK], 2)),
        Image.fromarray(np.stack([MASK, MASK, MASK, MASK * 0 + 255], 2)),
        Image.fromarray(np.stack([MASK, MASK * 0 + 255], 2), "LA"),
        palette([0, 0, 0, 128, 0, 0]),
        palette([255, 255, 255, 0, 0, 0]),
        wide_palette(),
    ],
    ids=["0-255", "0-1", "1-bit", "16-bit 0-1", "16-bit 0-255", "16-bit full", "rgb", "blue", "rgba", "la",
         "palette 0-1", "palette 0-1 inverted colours", "palette of colours"],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_masks_of_all_kinds_read_as_0_and_1(tmp_path, image, suffix):
    path = tmp_path / f"mask.{suffix}"
    image.save(path)
    mask = read_binary_mask(path)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, WATER)


def test_grey_edges_are_split_at_half(tmp_path):
    values = np.zeros((20, 20), np.uint8)
    values[:, 10:], values[:, 9], values[:, 8] = 255, 128, 127
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = np.zeros((20, 20), np.uint8)
    expected[:, 9:] = 1
    np.testing.assert_array_equal(read_binary_mask(tmp_path / "a.png"), expected)


def test_a_photo_in_place_of_a_mask_is_refused(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="mid-grey"):
        read_binary_mask(tmp_path / "a.png")


def test_a_mask_of_dim_values_is_refused_instead_of_read_as_dry(tmp_path):
    Image.fromarray(MASK // 10).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="brightest value is 25"):
        read_binary_mask(tmp_path / "a.png")


def test_an_empty_mask_stays_empty(tmp_path):
    Image.fromarray(MASK * 0).save(tmp_path / "a.png")
    assert read_binary_mask(tmp_path / "a.png").sum() == 0
