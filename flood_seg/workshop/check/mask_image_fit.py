"""Measures how well a mask fits an image by two cues that need no model.

Outlines: the correlation of the mask's outlines with the image's edges. Colours: the share of the mask's variance (R²)
that a linear regression on colour and texture explains. The cues differ in value between data sets; `swapped_pairs.py`
estimates that on the data set itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

CUES = ("outlines", "colors")
BATCH_MASKS = 512  # masks that are regressed at once
FEATURE_COUNT = 4  # lightness, two of colour, texture


def fit_scores(views: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
    """Returns how well each mask fits each image.

    Args:
        views: images, uint8 [S, S, 3] RGB each.
        masks: the share of the foreground, float32 [S, S] in [0, 1], or the indices of several classes,
            uint8 [S, S].

    Returns:
        float32 [cues, images, masks] in the order of `CUES`; only values of the same cue are comparable.
    """
    labs = [cv2.cvtColor(view, cv2.COLOR_RGB2LAB).astype(np.float32) for view in views]
    edges = _unit([np.sqrt(_gradient(cv2.GaussianBlur(lab, (0, 0), 1))) for lab in labs])
    outlines = _unit([np.sum([_outline(layer) for layer in class_layers(mask)], axis=0) for mask in masks])
    return np.stack([edges @ outlines.T, _explained(labs, masks)])


def class_layers(mask: np.ndarray) -> np.ndarray:
    """Returns the shares of a mask's classes, float32 [layers, S, S]; of two classes only the foreground's."""
    if mask.dtype != np.uint8:
        return mask[None]
    return np.asarray(mask == np.unique(mask)[:, None, None], np.float32)


def _gradient(image: np.ndarray) -> np.ndarray:
    across, down = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    return np.asarray(np.hypot(across, down).sum(axis=2))


def _outline(share: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(cv2.Sobel(share, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(share, cv2.CV_32F, 0, 1)))


def _unit(maps: Sequence[np.ndarray]) -> np.ndarray:
    flat = np.stack(maps).reshape(len(maps), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9))


def _explained(labs: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
    """R² of each mask on each image's lightness, colour and texture; of several classes over all layers."""
    features = np.concatenate([_whitened(lab) for lab in labs])  # [4 * images, pixels]
    columns = [
        _explained_by(features, masks[start : start + BATCH_MASKS]) for start in range(0, len(masks), BATCH_MASKS)
    ]
    return np.concatenate(columns, axis=1)


def _explained_by(features: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    stacks = [class_layers(mask).reshape(-1, features.shape[1]) for mask in masks]
    flat = np.concatenate(stacks)
    starts = np.cumsum([0, *(len(stack) for stack in stacks[:-1])])
    mean = flat.mean(axis=1)
    variance = np.add.reduceat(mean * (1 - mean), starts) + 1e-3
    joint = (features @ flat.T / features.shape[1]) ** 2
    explained = joint.reshape(-1, FEATURE_COUNT, len(flat)).sum(axis=1)
    return np.asarray(np.add.reduceat(explained, starts, axis=1) / variance, np.float32)


def _whitened(lab: np.ndarray) -> np.ndarray:
    """Returns the features of an image, uncorrelated and of unit variance, float32 [4, pixels]."""
    texture = cv2.GaussianBlur(np.sqrt(_gradient(lab)), (0, 0), 2)
    features = np.dstack([lab, texture]).reshape(-1, FEATURE_COUNT)
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    covariance = features.T @ features / len(features) + 1e-2 * np.eye(FEATURE_COUNT)
    return np.asarray(np.linalg.solve(np.linalg.cholesky(covariance), features.T), np.float32)
