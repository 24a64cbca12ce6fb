"""Finds near-duplicate images by perceptual hashes and the correlation of small views.

The hash is ImageHash's pHash (the signs of the 64 lowest frequencies), compared in all eight orientations, so that
flipped and rotated copies are found. Hashes alone match many images of low contrast; so the views must correlate too.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

HASH_BITS = 64
BLOCK_IMAGES = 2048  # compared with all images in one matrix product


def hash_view(view: np.ndarray) -> np.ndarray:
    """Returns the hashes of an image's eight orientations, bool [8, 64], from uint8 [H, W, 3] RGB, H = W."""
    import imagehash
    from PIL import Image

    hashes = [imagehash.phash(Image.fromarray(np.ascontiguousarray(turned))).hash for turned in orientations(view)]
    return np.stack(hashes).reshape(8, HASH_BITS)


def orientations(view: np.ndarray) -> list[np.ndarray]:
    """Returns a square image in its eight orientations (quarter turns, each also flipped), unchanged first."""
    return [turned for k in range(4) for turned in (np.rot90(view, k), np.rot90(view, k)[:, ::-1])]


def find_near_duplicates(views: Sequence[np.ndarray], bits: int, correlation: float) -> list[tuple[int, int]]:
    """Finds pairs of near-duplicates.

    Args:
        views: uint8 [S, S, 3] RGB each.
        bits: the largest number of different bits, of 64.
        correlation: the smallest correlation of the grey views, at most 1.

    Returns:
        indices (i, j) with i < j.
    """
    if len(views) < 2:
        return []
    signs = np.stack([hash_view(view) for view in views]).astype(np.float32) * 2 - 1  # [N, 8, 64]
    found = set[tuple[int, int]]()
    for start in range(0, len(views), BLOCK_IMAGES):
        for orientation in range(8):
            # Equal bits minus different bits, of all pairs at once.
            same = signs[start : start + BLOCK_IMAGES, 0] @ signs[:, orientation].T
            for i, j in np.argwhere(same >= HASH_BITS - 2 * bits):
                first, second = sorted((int(i) + start, int(j)))
                if first < second and (first, second) not in found:
                    turned = orientations(views[int(j)])[orientation]
                    if _correlation(views[int(i) + start], turned) >= correlation:
                        found.add((first, second))
    return sorted(found)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    a, b = (_grey(view) for view in (one, other))
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-9))


def _grey(view: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(view), cv2.COLOR_RGB2GRAY).astype(np.float64)
    return np.asarray(grey - grey.mean())


def connected_groups(pairs: Sequence[tuple[int, int]], count: int) -> list[list[int]]:
    """Joins pairs that share an image; returns the groups of two or more of `count` images, each in ascending order."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.array(pairs, int).reshape(-1, 2).T
    labels = connected_components(coo_array((np.ones(edges.shape[1]), tuple(edges)), (count, count)), directed=False)[1]
    return [np.flatnonzero(labels == label).tolist() for label in np.flatnonzero(np.bincount(labels) > 1)]
