import numpy as np

from flood_seg.imaging.display import draw_overlay


def test_water_is_tinted_land_is_not_and_the_outline_is_drawn():
    image = np.full((40, 40, 3), 100, np.uint8)
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 1
    result = draw_overlay(image, mask, (200, 0, 0), 0.5, (0, 255, 0))
    assert result[20, 20].tolist() == [150, 50, 50]
    assert result[2, 2].tolist() == [100, 100, 100]
    assert result[10, 20, 1] > 200 > 50 > result[10, 20, 0]  # anti-aliased
    assert (image == 100).all()  # the photo itself is left alone


def test_a_full_and_an_empty_mask_are_no_problem():
    image = np.full((20, 30, 3), 100, np.uint8)
    assert (draw_overlay(image, np.zeros((20, 30), bool), (0, 0, 0), 0.5, (9, 9, 9)) == 100).all()
    assert (draw_overlay(image, np.ones((20, 30), bool), (0, 0, 0), 1.0, (0, 0, 0)) == 0).all()
