import numpy as np
import pytest
import torch
from torch.nn import functional

from flood_seg.classes import IGNORED
from flood_seg.metrics.loss import cross_entropy


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_loss_is_pytorchs(channels, temperature):
    random = np.random.default_rng(0)
    logits = random.normal(0, 30, (channels, 9, 7)).astype(np.float32)
    target = random.integers(0, max(channels, 2), (9, 7)).astype(np.uint8)
    target[0, :3] = IGNORED
    scores, true = torch.from_numpy(logits / temperature), torch.from_numpy(target.astype(np.int64))
    if channels == 1:
        counted = true != IGNORED
        expected = functional.binary_cross_entropy_with_logits(scores[0][counted], (true[counted] == 1).float())
    else:
        expected = functional.cross_entropy(scores[None], true[None], ignore_index=IGNORED)
    assert cross_entropy(logits, target, temperature) == pytest.approx(float(expected), rel=1e-5)


def test_nothing_that_counts_is_no_loss():
    assert cross_entropy(np.ones((1, 2, 2), np.float32), np.full((2, 2), IGNORED, np.uint8)) == 0
