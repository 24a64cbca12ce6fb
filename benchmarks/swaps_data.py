"""Generates data sets of several kinds from seeds, for `benchmarks/swaps.py`.

They are difficult by design: similar tiles of one site, lines and shapes outside the masks, low contrast, shadows,
nearly uniform tiles, and inaccurate masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.synthetic.scene import CROPS, ROOFS, draw_scene, noise

if TYPE_CHECKING:
    from collections.abc import Callable

    Drawn = tuple[np.ndarray, np.ndarray]


def _make_inaccurate(random: np.random.Generator, mask: np.ndarray, share: float) -> np.ndarray:
    """Makes a share of the masks inaccurate: shifted, half missing, or dilated."""
    if random.random() >= share:
        return mask
    flaw = random.integers(3)
    if flaw == 0:
        return np.roll(mask, random.integers(4, 12, 2), (0, 1))
    if flaw == 1:
        kept = mask.copy()
        kept[:, : mask.shape[1] // 2] = 0
        return kept
    return np.asarray(cv2.dilate(mask, np.ones((7, 7), np.uint8)))


def _degrade(random: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Applies exposure, haze, cloud shadows in some tiles, blur and sensor noise."""
    result = image * random.uniform(0.75, 1.2)
    if random.random() < 0.25:
        cloud = noise(random, image.shape[:2], 1.5, 2) > random.uniform(0, 1)
        result = result * np.where(cloud, random.uniform(0.5, 0.8), 1)[..., None]
    haze = random.uniform(0, 0.35)
    result = cv2.GaussianBlur(result * (1 - haze) + 180 * haze, (0, 0), random.uniform(0.5, 1.2))
    return np.asarray((result + random.normal(0, 4, image.shape)).clip(0, 255), np.uint8)


def _ground(random: np.random.Generator, side: int, tones: np.ndarray) -> np.ndarray:
    """Returns land with patches of blended tones, float [side, side, 3]."""
    patches = noise(random, (side, side), random.uniform(2, 6), 4)
    rank = np.argsort(np.argsort(patches.ravel())).reshape(side, side) / side**2
    base = tones[(rank * len(tones)).astype(int).clip(0, len(tones) - 1)]
    return np.asarray(base + noise(random, (side, side), 50, 2)[..., None] * random.uniform(4, 12), np.float32)


def _curve(random: np.random.Generator, side: int, angle: float, bend: float) -> np.ndarray:
    """Returns a line across the tile, int32 [points, 2] in sixteenths of a pixel."""
    heading = np.array([np.cos(angle), np.sin(angle)])
    normal = heading[::-1] * (-1, 1)
    steps = np.linspace(-0.9, 0.9, 30)[:, None] * side
    wave = np.sin(steps / side * random.uniform(2, 6) + random.uniform(0, 6)) * bend * side
    points = random.uniform(0.1, 0.9, 2) * side + heading * steps + normal * wave
    return np.asarray(np.round(points * 16), np.int32)


def draw_roads(seed: int, place: int, side: int = 400) -> Drawn:
    """Thin bright roads with antialiased mask edges, among hedges, ditches and tracks that are not in the mask."""
    scene, random = np.random.default_rng([place, 1]), np.random.default_rng([place, seed, 2])
    grid = scene.uniform(0, np.pi)
    color = _ground(random, side, CROPS[scene.permutation(len(CROPS))[:4]])
    mask = np.zeros((side, side), np.uint8)
    tone, width = random.uniform(135, 225), int(random.integers(3, 7))
    for kind in random.permutation(["road"] * int(random.integers(1, 6)) + ["other"] * int(random.integers(1, 7))):
        angle = grid + random.choice([0, np.pi / 2]) + random.normal(0, 0.15)
        line = _curve(random, side, angle, random.choice([0, 0.02, 0.1]))
        drawn = np.zeros((side, side), np.uint8)
        cv2.polylines(
            drawn, [line], False, 255, width if kind == "road" else int(random.integers(2, 7)), cv2.LINE_AA, 4
        )
        paint = np.full(3, tone) if kind == "road" else random.choice([40, 70, 120, 190]) + random.normal(0, 8, 3)
        share = drawn[..., None] / 255 * (random.uniform(0.5, 1) if kind == "road" else 0.9)
        color = color * (1 - share) + paint * share
        if kind == "road":
            mask = np.maximum(mask, drawn)
    trees = noise(random, (side, side), 25, 2) > random.uniform(0.8, 2.5)  # tree crowns hide roads that are in the mask
    color[trees] = (52, 70, 42) + noise(random, (side, side), 60, 1)[trees][:, None] * 8
    return _degrade(random, color), _make_inaccurate(random, mask, 0.08)


def draw_street(seed: int, place: int, side: int = 256) -> Drawn:
    """A street seen from a car, twelve class indices; tiles of one site are frames of one drive."""
    scene, random = np.random.default_rng([place, seed // 8, 3]), np.random.default_rng([place, seed, 4])
    horizon = int(side * (0.45 + scene.normal(0, 0.03)))
    middle = side * (0.5 + scene.normal(0, 0.04)) + random.normal(0, 4)
    tones = np.array([(150, 165, 185), (110, 100, 95), (95, 95, 98), (130, 125, 120), (60, 75, 50), (90, 90, 105),
                      (80, 70, 70), (120, 115, 110), (70, 80, 90), (140, 130, 110), (85, 80, 75)], float)  # fmt: skip
    tones = tones + scene.normal(0, 10, tones.shape)
    mask = np.full((side, side), 1, np.uint8)
    facade = np.interp(np.arange(side), np.linspace(0, side, 9), horizon - scene.uniform(0, 0.4, 9) * side)
    shift = int(random.integers(-20, 20))
    mask[np.arange(side)[:, None] > np.roll(facade, shift)[None]] = 2
    bottom = np.array([[-0.3 * side, side], [1.3 * side, side], [middle + 12, horizon], [middle - 12, horizon]])
    cv2.fillPoly(mask, [np.int32(bottom)], 4)
    cv2.fillPoly(mask, [np.int32(bottom * (1, 1) + ((0.25 * side, 0), (-0.25 * side, 0), (-4, 0), (4, 0)))], 3)
    for _ in range(random.integers(3, 9)):
        near = random.uniform(0.05, 0.6)
        x, y = int(random.uniform(0, side)), int(horizon + near * (side - horizon) * 0.6)
        tall = int(side * (0.05 + 0.3 * near))
        kind = int(random.integers(5, 12))
        wide = max(2, tall // {5: 1, 6: 1}.get(kind, 4))
        if kind == 5:
            cv2.ellipse(mask, (x, y - tall), (wide, tall), 0, 0, 360, 5, -1)
        else:
            cv2.rectangle(mask, (x - wide, y - tall), (x + wide, y), kind, -1)
    color = tones[mask.astype(int) - 1] + noise(random, (side, side), 20, 3)[..., None] * 12
    if random.random() < 0.6:  # shadow of a house across the road
        edge = random.uniform(0.2, 0.8) * side
        color[:, : int(edge)] *= random.uniform(0.45, 0.75)
    return _degrade(random, color.astype(np.float32)), np.where(random.random((side, side)) < 0.002, 0, mask)


def draw_buildings(seed: int, place: int, side: int = 256) -> Drawn:
    """Buildings with shadows on ground of similar grey, among similar parking lots and courtyards."""
    scene, random = np.random.default_rng([place, 5]), np.random.default_rng([place, seed, 6])
    angle, pitch = scene.uniform(0, np.pi / 2), int(scene.integers(34, 60))
    color = _ground(random, side, np.array([(120, 118, 112), (100, 108, 92), (136, 130, 120), (90, 100, 80)], float))
    mask, shadow = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sun = np.array([4, 3])
    density = random.choice([0.05, 0.3, 0.6, 0.85])
    offset = random.uniform(0, pitch, 2)
    for row in range(-side, 2 * side, pitch):
        for column in range(-side, 2 * side, pitch):
            if random.random() > density:
                continue
            half = random.uniform(0.2, 0.45, 2) * pitch
            corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
            corners = (corners + np.array([column, row]) + offset + random.normal(0, 2, 2)) @ turn.T
            paint = ROOFS[random.integers(len(ROOFS))] + random.normal(0, 10, 3)
            if random.random() < 0.2:  # a courtyard or container: color of a roof, not in the mask
                cv2.fillPoly(color, [np.int32(corners)], paint.tolist())
                continue
            cv2.fillPoly(shadow, [np.int32(corners + sun)], 255)
            cv2.fillPoly(mask, [np.int32(corners)], 255)
            cv2.fillPoly(color, [np.int32(corners)], paint.tolist())
    color[(shadow > 0) & (mask == 0)] *= 0.6
    return _degrade(random, color), _make_inaccurate(random, mask, 0.1)


def draw_fields(seed: int, place: int, side: int = 256) -> Drawn:
    """Fields in strips, some of one crop whose tone differs little from the others."""
    scene, random = np.random.default_rng([place, 7]), np.random.default_rng([place, seed, 8])
    angle, pitch = scene.uniform(0, np.pi) + random.normal(0, 0.1), scene.uniform(20, 50)
    rows, columns = np.mgrid[:side, :side]
    across = columns * np.cos(angle) + rows * np.sin(angle) + random.uniform(0, side)
    along = rows * np.cos(angle) - columns * np.sin(angle) + random.uniform(0, side)
    strip = np.floor(across / pitch).astype(int)
    shift = random.uniform(0, side, 512)[strip % 512]
    parcel = np.floor((along + shift) / (pitch * random.uniform(1.2, 3))).astype(int)
    key = (strip * 7919 + parcel * 104729) % 499
    wanted = (random.random(499) < random.uniform(0.1, 0.5))[key]
    tones = CROPS[random.integers(0, len(CROPS), 499)] + random.normal(0, 8, (499, 3))
    crop = CROPS[scene.integers(len(CROPS))] + random.normal(0, 10, 3)
    mixed = random.uniform(0.2, 1)  # share of the crop's own tone in the tile
    color = np.where(wanted[..., None], crop * mixed + tones[key] * (1 - mixed), tones[key])
    color = color + noise(random, (side, side), 40, 3)[..., None] * 8
    return _degrade(random, color.astype(np.float32)), _make_inaccurate(random, wanted.astype(np.uint8) * 255, 0.1)


_SCENES: dict[tuple[int, int], np.ndarray] = {}


def _relief(place: int, side: int) -> np.ndarray:
    """Returns the elevation of a scene of 24×24 tiles, at a quarter of the resolution."""
    if (place, side) not in _SCENES:
        _SCENES[place, side] = noise(np.random.default_rng([place, 9]), (side * 6, side * 6), 9, 6)
    return _SCENES[place, side]


def draw_water(seed: int, place: int, side: int = 128) -> Drawn:
    """A tile of one satellite scene in twelve bands, uint16: rivers and lakes beside dark forest and shadow."""
    random = np.random.default_rng([place, seed, 10])
    relief = _relief(place, side)
    row, column = divmod(int(np.random.default_rng([place, 11]).permutation(576)[seed % 576]), 24)
    quarter = side // 4
    height = cv2.resize(relief[row * quarter : (row + 1) * quarter, column * quarter : (column + 1) * quarter],
                        (side, side), interpolation=cv2.INTER_CUBIC)  # fmt: skip
    water = (height < -0.9) | (np.abs(height - 0.15) < 0.02)
    wood = noise(random, (side, side), 6, 3) > 0.8
    level = np.linspace(900, 2600, 12) * random.uniform(0.85, 1.15)
    image = level * (1 + 0.08 * height[..., None] + 0.1 * noise(random, (side, side), 8, 4)[..., None])
    image[wood] *= np.linspace(0.5, 0.75, 12)
    image[water] = image[water] * 0.35 + np.linspace(900, 200, 12) * random.uniform(0.8, 1.3)
    if random.random() < 0.2:  # thin cloud
        image += np.clip(noise(random, (side, side), 2, 3), 0, None)[..., None] * 1500
    image = image + random.normal(0, 40, image.shape)
    return image.clip(1, 10000).astype(np.uint16), water.astype(np.uint8) * 255


def draw_unseen(seed: int, place: int, side: int = 128) -> Drawn:
    """Masks of something the images do not show, such as wells or ownership: nothing should be reported."""
    random = np.random.default_rng([place, seed, 12])
    color = _ground(random, side, CROPS)
    mask = noise(random, (side, side), random.uniform(1, 8), 3) > random.uniform(0.3, 1.5)
    return _degrade(random, color), mask.astype(np.uint8) * 255


def draw_uniform(seed: int, place: int, side: int = 128) -> Drawn:
    """Open water or snow with a faint shore in the corner of some tiles."""
    random = np.random.default_rng([place, seed, 13])
    image = np.full((side, side, 3), random.uniform(90, 160), np.float32) + noise(random, (side, side), 3, 3)[..., None]
    mask = np.zeros((side, side), np.uint8)
    center = (int(random.choice([0, side])), int(random.choice([0, side])))
    cv2.circle(mask, center, int(random.uniform(0.05, 0.5) * side), 255, -1)
    image += mask[..., None] / 255 * random.choice([0, 0.5, 2, 10])
    return np.asarray((image + random.normal(0, 3, image.shape)).clip(0, 255), np.uint8), mask


def draw_flood(seed: int, place: int, side: int = 160) -> Drawn:
    """A scene of `flood-seg data sample`."""
    return draw_scene(place * 100_000 + seed, side, side)


KINDS: dict[str, Callable[[int, int], Drawn]] = {
    "roads": draw_roads,
    "street": draw_street,
    "buildings": draw_buildings,
    "fields": draw_fields,
    "water12": draw_water,
    "floods": draw_flood,
    "uniform": draw_uniform,
    "unseen": draw_unseen,
}
