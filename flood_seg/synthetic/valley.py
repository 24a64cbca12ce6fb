"""Draws a valley from above at two dates, with normal water and in flood, and the exact water of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.synthetic.scene import ROOFS, WATERS, Canvas, draw_fields, draw_ripples, expose, noise
from flood_seg.synthetic.valley_plan import ROAD_WIDTHS

if TYPE_CHECKING:
    from shapely import Geometry

    from flood_seg.synthetic.valley_plan import Valley

FLOOD_LEVEL = 2.0  # metres above normal water
PLAIN = 0.18  # from the river to the foot of the slopes, as a share of the valley's shorter side
PAINT = {"primary": (112, 112, 114), "secondary": (122, 120, 118), "tertiary": (130, 127, 122),
         "residential": (138, 134, 128), "track": (150, 132, 104)}  # fmt: skip
NORMAL_TINT, FLOOD_TINT = np.array((175, 153, 122), float), WATERS[0]
GRASS = np.array((66, 92, 44), np.float32)  # of an embankment
MEADOW, MEADOW_SHARE = np.array((92, 112, 62), np.float32), 0.45  # which tones fields down
TREES_PER_HECTARE = 5.0


@dataclass(frozen=True)
class ValleyPicture:
    """A valley at a date: image uint8 [H, W, 3] RGB, and water bool [H, W], without roofs, crowns and bridges."""

    image: np.ndarray
    water: np.ndarray


class ValleyPainter:
    """Draws a valley with pixels of a size; the land is the same at each date."""

    def __init__(self, valley: Valley, distance: float) -> None:
        """Takes the valley and the side of a pixel in metres."""
        self._valley, self._distance = valley, distance
        self._shape = (round(valley.height / distance), round(valley.width / distance))
        self._random = np.random.default_rng([valley.seed, *self._shape])
        self._ground = self._elevation()

    def draw(self, *, flood: bool) -> ValleyPicture:
        """Draws it with normal water or in flood."""
        random = np.random.default_rng([self._valley.seed, 5])
        canvas = Canvas(
            random, np.zeros((*self._shape, 3), np.float32), np.ones(self._shape, np.float32), self._ground.copy(),
            np.zeros(self._shape, bool), 1 / self._distance, np.array([0.75, 0.65]),
        )  # fmt: skip
        draw_fields(canvas)
        canvas.color += (MEADOW - canvas.color) * MEADOW_SHARE
        raised = self._mask([self._valley.dry_ways])
        canvas.color[raised] = GRASS + noise(random, self._shape, 50, 3)[raised][:, None] * 7
        self._draw_roads(canvas, bridges=False)
        water = self._water(flood=flood)
        self._draw_water(canvas, water, np.random.default_rng([self._valley.seed, 6 + flood]), flood=flood)
        canvas.random = np.random.default_rng([self._valley.seed, 8])
        self._draw_roads(canvas, bridges=True)
        self._draw_trees(canvas)
        self._draw_houses(canvas)
        image = expose(np.random.default_rng([self._valley.seed, 9]), canvas.color * canvas.light[..., None])
        return ValleyPicture(image, water & ~canvas.dry)

    def _water(self, *, flood: bool) -> np.ndarray:
        """Returns where water stands: the river and the lake, and in flood all low ground that they reach."""
        normal = self._mask([self._valley.river, self._valley.lake])
        if not flood:
            return normal
        low = normal | (self._ground < FLOOD_LEVEL)
        _, areas = cv2.connectedComponents(low.view(np.uint8), connectivity=4)
        return np.isin(areas, np.setdiff1d(np.unique(areas[normal]), [0]))

    def _elevation(self) -> np.ndarray:
        """Returns metres above normal water: a plain along the river with a rise in it, and slopes."""
        valley, unit = self._valley, self._valley.unit
        axis = self._mask([valley.axis.buffer(self._distance)])
        away = cv2.distanceTransform((~axis).view(np.uint8), cv2.DIST_L2, 5) * self._distance / unit
        rough = 0.38 * noise(self._random, self._shape, 4, 5) + 0.2 * noise(self._random, self._shape, 16, 4)
        ground = 0.9 + 0.5 * away / PLAIN + 40 * np.maximum(away - PLAIN, 0) + rough
        center, radius = valley.island
        rows, columns = np.ogrid[: self._shape[0], : self._shape[1]]
        apart = np.hypot(rows * self._distance - center.y, columns * self._distance - center.x)
        ground += 3.2 * np.exp(-((apart / radius) ** 4))
        ground[self._mask([valley.dry_ways])] = FLOOD_LEVEL + 1.0
        return np.asarray(ground, np.float32)

    def _mask(self, shapes: list[Geometry]) -> np.ndarray:
        """Returns which pixels have their centre in one of the shapes, bool [H, W]."""
        from rasterio import Affine
        from rasterio.features import rasterize

        place = Affine.scale(self._distance)
        found = [(shape, 1) for shape in shapes if not shape.is_empty]
        return np.asarray(rasterize(found, self._shape, 0, transform=place, dtype="uint8")) > 0

    def _draw_roads(self, canvas: Canvas, *, bridges: bool) -> None:
        """Draws roads on the ground, or bridges, whose decks are dry and lie above the water."""
        for kind, width in ROAD_WIDTHS.items():
            lines = [road.line for road in self._valley.roads if road.kind == kind and road.bridge == bridges]
            if not lines:
                continue
            cap = "flat" if bridges else "round"
            deck = self._mask([line.buffer(width / 2 + (1 if bridges else 0), cap_style=cap) for line in lines])
            if bridges:
                shadow = np.roll(deck, (round(3 / self._distance), round(2 / self._distance)), (0, 1)) & ~deck
                canvas.light[shadow] *= 0.7
                canvas.dry |= deck
            canvas.color[deck] = PAINT[kind]
            canvas.color[deck] += noise(canvas.random, self._shape, 30, 2)[deck][:, None] * 4
            if kind in ("primary", "secondary"):
                canvas.color[self._mask([line.buffer(0.3) for line in lines])] = (206, 204, 198)

    def _draw_water(self, canvas: Canvas, water: np.ndarray, random: np.random.Generator, *, flood: bool) -> None:
        """Draws turbid water, shallow at its shore, and wet ground beside it."""
        level = FLOOD_LEVEL if flood else 0.9
        depth = np.where(water, np.maximum(level - self._ground, 0.1), 0)
        tint = FLOOD_TINT if flood else NORMAL_TINT
        drift = noise(random, self._shape, 3, 4)[..., None] * 5
        calm = Canvas(random, canvas.color, canvas.light, canvas.height, canvas.dry, canvas.scale, canvas.sun)
        surface = tint + drift + 0.6 * draw_ripples(calm)[..., None]
        seen = 0.3 * np.exp(-2.5 * depth)[..., None]
        canvas.color[water] = (surface * (1 - seen) + 0.75 * canvas.color * seen)[water]
        shore = cv2.GaussianBlur(water.astype(np.float32), (0, 0), 4 / self._distance)
        canvas.color[~water] *= (1 - 0.3 * shore)[~water][:, None]

    def _draw_trees(self, canvas: Canvas) -> None:
        """Draws woods on the slopes, trees along the river and scattered ones; crowns above the water are dry."""
        random, unit = canvas.random, self._valley.unit
        height, width = self._shape
        count = round(TREES_PER_HECTARE * 12 * self._valley.width * self._valley.height / 10_000)
        spots = random.uniform(0, 1, (count, 2)) * (width, height)
        rows, columns = spots[:, 1].astype(int), spots[:, 0].astype(int)
        woods = (noise(random, self._shape, 4, 3) > 1.25) & (self._ground > 6)
        free = ~self._mask([road.line.buffer(ROAD_WIDTHS[road.kind] / 2 + 4) for road in self._valley.roads])
        free &= ~self._mask([house.outline.buffer(4) for house in self._valley.houses])
        free &= ~self._mask([self._valley.river.buffer(-2), self._valley.lake])
        bank = self._mask([self._valley.river.buffer(0.01 * unit)])
        likely = np.where(woods, 0.75, np.where(bank, 0.10, 0.012)) * free
        spots = spots[random.random(count) < likely[rows, columns]]
        radii = random.uniform(2.2, 5.0, len(spots)) / self._distance
        crowns, shadows = np.zeros(self._shape, np.uint8), np.zeros(self._shape, np.uint8)
        for (x, y), radius in zip(spots, radii, strict=True):
            dx, dy = canvas.sun * radius * 1.2
            cv2.circle(shadows, (round(x + dx), round(y + dy)), max(1, round(radius)), 1, -1)
            cv2.circle(crowns, (round(x), round(y)), max(1, round(radius)), 1, -1)
        canvas.light[shadows > 0] *= 0.65
        leaves = noise(random, self._shape, 90, 3)
        rough = (crowns > 0) & (leaves > -1.6)
        canvas.color[rough] = np.array((56, 74, 40)) + leaves[rough][:, None] * 13
        canvas.light[rough] = 1.0
        canvas.dry |= rough

    def _draw_houses(self, canvas: Canvas) -> None:
        """Draws roofs, half lit and half in the shade, with their shadows."""
        shadow, half = np.zeros(self._shape, np.uint8), np.zeros(self._shape, np.int32)
        colors = [(0.0, 0.0, 0.0)]
        outlines = [np.array(house.outline.exterior.coords)[:4] / self._distance for house in self._valley.houses]
        for outline in outlines:
            cv2.fillPoly(shadow, [np.round(outline + canvas.sun * 4 / self._distance).astype(np.int32)], 1)
            a, b, c, d = outline
            color = ROOFS[canvas.random.integers(len(ROOFS))] + canvas.random.normal(0, 8, 3)
            for corners, gain in (((a, b, (b + c) / 2, (a + d) / 2), 1.12), (((a + d) / 2, (b + c) / 2, c, d), 0.85)):
                cv2.fillPoly(half, [np.round(np.array(corners) - 0.5).astype(np.int32)], len(colors))
                colors.append(tuple(color * gain))
        tops = self._mask([house.outline for house in self._valley.houses])
        canvas.light[shadow > 0] *= 0.6
        half[tops & (half == 0)] = 1
        canvas.color[tops], canvas.light[tops] = np.array(colors, np.float32)[half[tops]], 1.0
        canvas.dry |= tops
