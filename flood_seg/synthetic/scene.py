"""Draws aerial flood scenes procedurally: an image and its exact mask, the same for a seed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# RGB of bare soil, wheat, stubble, meadow, maize, dark green and wet grass
CROPS = np.array(
    [(142, 102, 68), (184, 158, 88), (164, 138, 90), (94, 126, 54), (68, 106, 44), (52, 86, 42), (88, 110, 64)], float
)
# RGB of muddy, grey-green, dark, and sky-reflecting water: greyer than crops, near to roads, roofs and haze
WATERS = np.array([(142, 124, 96), (112, 116, 100), (88, 98, 102), (148, 150, 146)], float)
ROOFS = np.array([(150, 78, 58), (118, 62, 52), (128, 128, 130), (92, 96, 104), (176, 168, 156), (140, 112, 84)], float)
ROADS = np.array([(128, 126, 122), (146, 132, 108), (104, 104, 106)], float)


@dataclass
class Canvas:
    """A scene while it is drawn: colours float [H, W, 3] in 0-255, light float [H, W], heights float [H, W]."""

    random: np.random.Generator
    color: np.ndarray
    light: np.ndarray
    height: np.ndarray
    dry: np.ndarray
    scale: float
    sun: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        rows, columns = self.height.shape
        return rows, columns


def draw_scene(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws a scene from above: fields, hedges, roads, houses and trees, partly under water.

    Args:
        seed: of the random generator.
        height: in pixels.
        width: in pixels.

    Returns:
        image uint8 [H, W, 3] RGB and mask uint8 [H, W] with 0 dry and 255 water. Roofs and tree crowns that stand in
        the water are dry.
    """
    random = np.random.default_rng([seed, height, width])
    canvas = _start(random, height, width)
    draw_fields(canvas)
    roads = _draw_roads(canvas)
    water = _flood(canvas)
    _draw_trees(canvas)
    _draw_houses(canvas, roads)
    mask = (water & ~canvas.dry).astype(np.uint8) * np.uint8(255)
    image = canvas.color * canvas.light[..., None]
    image, mask = _tilt(random, image, mask)
    return expose(random, image), mask


def noise(random: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int = 4) -> np.ndarray:
    """Fractal noise, float32 [H, W], standardized; the first octave has `cells` across the shorter side."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        step = min(shape) / (cells * 2**octave)
        if step < 1:
            break
        grid = random.standard_normal([int(side / step) + 3 for side in shape], np.float32)
        rows, columns = (max(side, int((count - 1) * step)) for side, count in zip(shape, grid.shape, strict=True))
        total += cv2.resize(grid, (columns, rows), interpolation=cv2.INTER_CUBIC)[: shape[0], : shape[1]] * 0.55**octave
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6))


def _start(random: np.random.Generator, height: int, width: int) -> Canvas:
    shape = (height, width)
    rows, columns = np.mgrid[:height, :width].astype(np.float32) / min(shape)
    direction = random.uniform(0, 2 * np.pi)
    slope = (np.cos(direction) * columns + np.sin(direction) * rows) * random.uniform(0.5, 3.0)
    angle = random.uniform(0, 2 * np.pi)
    return Canvas(
        random=random,
        color=np.zeros((*shape, 3), np.float32),
        light=np.ones(shape, np.float32),
        height=noise(random, shape, random.uniform(1.5, 3.0), 5) + slope - slope.mean(),
        dry=np.zeros(shape, bool),
        scale=min(shape) / 256 * random.uniform(0.7, 1.8),  # pixels a metre, roughly
        sun=np.array([np.cos(angle), np.sin(angle)]) * random.uniform(0.5, 1.2),
    )


def draw_fields(canvas: Canvas) -> None:
    """Draws strips of parcels, each with its own crop, furrow direction and texture; hedges between some."""
    random, (height, width) = canvas.random, canvas.shape
    angle = random.uniform(0, np.pi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    wobble = noise(random, canvas.shape, 2, 2) * 2 * canvas.scale
    across = columns * np.cos(angle) + rows * np.sin(angle) + wobble
    along = rows * np.cos(angle) - columns * np.sin(angle) + wobble
    reach, pitch = height + width, random.uniform(28, 90) * canvas.scale
    cuts = np.cumsum(random.uniform(0.6, 1.4, 2 * int(reach / pitch) + 8)) * pitch - reach
    strip = np.searchsorted(cuts, across)
    shift = random.uniform(0, reach, len(cuts) + 1)[strip]
    parcel = ((along + shift + reach) / (pitch * random.uniform(1.0, 2.5))).astype(int)
    key = (strip * 7919 + parcel * 104729) % 997
    crops = CROPS[random.integers(0, len(CROPS), 997)] + random.normal(0, 7, (997, 3))
    canvas.color[:] = crops[key]
    furrow = random.uniform(0.6, 2.2, 997)[key] / canvas.scale
    turned = random.random(997)[key] < 0.5
    phase = np.where(turned, across, along) * furrow
    texture = np.sin(phase) * random.uniform(0, 9, 997)[key] + noise(random, canvas.shape, 60, 2) * random.uniform(3, 8)
    canvas.color += (texture + noise(random, canvas.shape, 6, 3) * 6)[..., None]
    _draw_hedges(canvas, key)


def _draw_hedges(canvas: Canvas, key: np.ndarray) -> None:
    edges = cv2.morphologyEx(key.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    wide = cv2.dilate(edges.view(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(canvas.scale))) > 0
    hedge = wide & (noise(canvas.random, canvas.shape, 5, 3) > canvas.random.uniform(-0.3, 1.5))
    canvas.color[hedge] = (52, 68, 40) + noise(canvas.random, canvas.shape, 50, 2)[hedge][:, None] * 9
    canvas.height[hedge] += 0.1


def _draw_roads(canvas: Canvas) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draws up to three roads, a little above the land; returns points (x, y) and unit directions along them."""
    random, (height, width) = canvas.random, canvas.shape
    places = []
    for _ in range(random.integers(0, 4)):
        start, end = random.uniform(-0.1, 1.1, (2, 2)) * (width, height)
        if random.random() < 0.5:
            start[0], end[0] = -5, width + 5
        else:
            start[1], end[1] = -5, height + 5
        steps = np.linspace(0, 1, 40)[:, None]
        normal = np.array([start[1] - end[1], end[0] - start[0]]) / max(float(np.hypot(*(end - start))), 1.0)
        line = (
            start
            + (end - start) * steps
            + normal * np.sin(steps * np.pi * random.uniform(0.5, 2)) * random.normal(0, 14)
        )
        road = np.zeros(canvas.shape, np.uint8)
        broad = max(2, round(random.uniform(4, 8) * canvas.scale))
        cv2.polylines(road, [np.round(line).astype(np.int32)], False, 1, broad)
        paint = ROADS[random.integers(len(ROADS))] + random.normal(0, 6, 3)
        canvas.color[road > 0] = paint + noise(random, canvas.shape, 30, 2)[road > 0][:, None] * 4
        canvas.height[road > 0] += random.uniform(0, 0.5)
        heading = np.gradient(line, axis=0)
        heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)
        places += list(zip(line, heading, strict=True))
    return places


def _flood(canvas: Canvas) -> np.ndarray:
    """Fills the low ground with water, turbid and rippled, shallow at its shore; returns where it is, bool [H, W]."""
    random = canvas.random
    share = random.choice([0.0, random.uniform(0.05, 0.8), 0.97], p=[0.04, 0.92, 0.04])
    level = np.quantile(canvas.height, share)
    depth = (level - canvas.height) * random.uniform(4, 12)
    water = depth > 0
    tint = WATERS[random.integers(len(WATERS))] + random.normal(0, 10) + random.normal(0, 2, 3)
    drift = noise(random, canvas.shape, 2, 4)[..., None] * (random.uniform(2, 9) + random.uniform(0, 2, 3))
    surface = tint + drift + draw_ripples(canvas)[..., None]
    clear = random.uniform(0.0, 0.35)  # how much of the ground shows through where it is shallow
    seen = clear * np.exp(-np.maximum(depth, 0))[..., None]
    blended = surface * (1 - seen) + (canvas.color * 0.75) * seen
    canvas.color[water] = blended[water]
    wet = np.exp(np.minimum(depth, 0) * 2)[..., None] * 0.25
    canvas.color[~water] *= (1 - wet)[~water]
    return np.asarray(water)


def draw_ripples(canvas: Canvas) -> np.ndarray:
    """Waves along the wind and, in some scenes, glints of the sun; float [H, W] to be added to each colour."""
    random = canvas.random
    shape = canvas.shape
    fine = noise(random, shape, 45, 2)
    streaks = cv2.blur(
        fine, (max(1, round(9 * canvas.scale)), 1) if random.random() < 0.5 else (1, max(1, round(9 * canvas.scale)))
    )
    result = streaks * random.uniform(2, 9)
    if random.random() < 0.35:
        place = random.uniform(0, 1, 2) * shape
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        halo = np.exp(
            -((rows - place[0]) ** 2 + (columns - place[1]) ** 2) / (min(shape) * random.uniform(0.1, 0.35)) ** 2
        )
        result = result + halo * (20 + 60 * (fine > 1.3)) * random.uniform(0.4, 1.4)
    return np.asarray(result)


def _draw_trees(canvas: Canvas) -> None:
    """Draws scattered trees and woods with their shadows; crowns above the water are dry."""
    random, (height, width) = canvas.random, canvas.shape
    woods = noise(random, canvas.shape, 3, 3) > random.uniform(0.8, 2.6)
    spots = random.uniform(0, 1, (int(random.uniform(60, 420) / canvas.scale**1.2), 2)) * (width, height)
    inside = woods[np.minimum(spots[:, 1].astype(int), height - 1), np.minimum(spots[:, 0].astype(int), width - 1)]
    spots = spots[inside | (random.random(len(spots)) < 0.12)]
    radii = random.uniform(2.0, 5.5, len(spots)) * canvas.scale
    crowns, shadows = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    for (x, y), radius in zip(spots, radii, strict=True):
        dx, dy = canvas.sun * radius * 1.2
        cv2.circle(shadows, (round(x + dx), round(y + dy)), max(1, round(radius)), 1, -1)
        cv2.circle(crowns, (round(x), round(y)), max(1, round(radius)), 1, -1)
    canvas.light[shadows > 0] *= random.uniform(0.5, 0.75)
    leaves = noise(random, canvas.shape, 40, 3)
    rough = (crowns > 0) & (leaves > -1.4)
    canvas.color[rough] = np.array((56, 74, 40)) + random.normal(0, 8, 3) + leaves[rough][:, None] * 13
    canvas.light[rough] = 1.0
    canvas.dry |= rough


def _draw_houses(canvas: Canvas, roads: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Draws houses along the roads and a few elsewhere: a lit and a shaded half of the roof, and a shadow."""
    random = canvas.random
    apart = [(random.uniform(0, 1, 2) * canvas.shape[::-1], np.array([1.0, 0.0])) for _ in range(random.integers(0, 5))]
    near = [roads[i] for i in random.permutation(len(roads))[: random.integers(0, 30)]] if roads else []
    for place, heading in [*near, *apart]:
        side = np.array([-heading[1], heading[0]])
        center = place + side * random.choice([-1, 1]) * random.uniform(9, 15) * canvas.scale
        long, short = heading * random.uniform(4, 9) * canvas.scale, side * random.uniform(3, 5) * canvas.scale
        shadow = np.array([center + a * long + b * short for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
        roof = np.zeros(canvas.shape, np.uint8)
        cv2.fillPoly(roof, [np.round(shadow + canvas.sun * 4 * canvas.scale).astype(np.int32)], 3)
        for half, sign in ((1, -1), (2, 1)):
            corners = [center - long, center + long, center + long + sign * short, center - long + sign * short]
            cv2.fillPoly(roof, [np.round(corners).astype(np.int32)], half)
        paint = ROOFS[random.integers(len(ROOFS))] + random.normal(0, 8, 3)
        canvas.light[roof == 3] *= 0.6
        for half, gain in ((1, 1.12), (2, 0.85)):
            canvas.color[roof == half], canvas.light[roof == half] = paint * gain, 1.0
        canvas.dry |= (roof == 1) | (roof == 2)


def _tilt(random: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Simulates an oblique view in half of the scenes: warps image and mask alike, cropped so that no border shows."""
    if random.random() < 0.5:
        return image, mask
    height, width = mask.shape
    inset = random.uniform(0.05, 0.22) * width
    seen = np.array([[0, 0], [width, 0], [width - inset, height], [inset, height]], np.float32)
    whole = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(seen - 0.5, whole - 0.5)
    size = (width, height)
    return (
        cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
        cv2.warpPerspective(mask, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101),
    )


def expose(random: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Simulates light, air and camera: exposure, colour temperature, haze, vignetting, blur and sensor noise."""
    height, width = image.shape[:2]
    warmth = random.normal(0, 0.05)
    result = image * random.uniform(0.75, 1.25) * np.array([1 + warmth, 1.0, 1 - warmth], np.float32)
    haze = random.uniform(0, 0.25)
    result = result * (1 - haze) + np.array([178, 186, 194], np.float32) * haze
    rows, columns = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    result *= (1 - random.uniform(0, 0.25) * (rows**2 + columns**2) / 2)[..., None]
    result = cv2.GaussianBlur(result, (0, 0), random.uniform(0.4, 1.0))
    grain = random.standard_normal(image.shape, np.float32) * random.uniform(1, 4)
    return np.asarray(np.clip(result + grain, 0, 255), np.uint8)
