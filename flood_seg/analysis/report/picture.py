"""The map of a report: one picture of all scenes with the flood, and what is drawn on it as vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from flood_seg.analysis.report.tables import read_shapes
from flood_seg.analysis.result import FLOODED, PERMANENT, UNOBSERVED
from flood_seg.errors import FloodSegError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.display import to_picture
from flood_seg.products.page.frame import RADIUS, Frame
from flood_seg.scenes.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flood_seg.analysis.report.figures import PlaceFigures
    from flood_seg.analysis.report.sources import Sources
    from flood_seg.analysis.result import MapResult

LONGEST = 1500  # pixels, 200 per inch on paper
JPEG_QUALITY = 84
PAPER = (233, 237, 240)  # RGB where there is no scene
FLOOD_COLOR, PERMANENT_COLOR, UNOBSERVED_COLOR = (10, 88, 202), (128, 178, 214), (120, 124, 130)
OPACITY = {FLOODED: 0.68, PERMANENT: 0.8}
HATCH, HATCH_WIDTH = 14, 4  # pixels between the stripes of what is not observed, and their width
TOLERANCE = 0.7  # pixels by which outlines are simplified
NEAR_WATER = 3  # pixels around the flood within which a road counts as flooded on the picture
SCALE_SHARE = 0.22  # of the map's width that the scale bar takes at most


@dataclass
class ReportMap:
    """The map.

    Attributes:
        height: in pixels.
        width: in pixels.
        jpeg: the picture.
        metres: per pixel in its middle; None: the scene is not georeferenced.
        values: of `FloodLayer`, uint8 [height, width]; what lies beyond the scenes is UNOBSERVED.
        outside: what lies beyond the scenes, bool [height, width].
        without_scene: names of the scenes that are not shown, since their files cannot be read.
        districts: outlines as the path of an SVG.
        labels: of districts: name, x and y as shares of the picture.
        roads: flooded roads as the path of an SVG.
    """

    height: int
    width: int
    jpeg: bytes
    metres: float | None
    values: np.ndarray
    outside: np.ndarray
    without_scene: list[str]
    _bounds: tuple[float, float, float, float]
    districts: str = ""
    labels: list[tuple[str, float, float]] = field(default_factory=list)
    roads: str = ""

    def shares(self, place: PlaceFigures) -> tuple[float, float] | None:
        """Returns where a place lies, as shares of the width and the height; None: beyond the picture, or unknown."""
        if self.metres is None or place.longitude is None or place.latitude is None:
            return None
        left, bottom, right, top = self._bounds
        x, y = _plane(np.array([[place.longitude, place.latitude]]), on_earth=True)[0]
        across, down = (x - left) / (right - left), (top - y) / (top - bottom)
        return (float(across), float(down)) if 0 <= across <= 1 and 0 <= down <= 1 else None

    @property
    def scale_bar(self) -> tuple[float, float] | None:
        """Metres of the scale bar, and its share of the width; None: there is no scale."""
        if self.metres is None:
            return None
        most = SCALE_SHARE * self.width * self.metres
        power = 10.0 ** math.floor(math.log10(most))
        length = max(step * power for step in (1, 2, 5) if step * power <= most)
        return length, length / (self.width * self.metres)

    def add_districts(self, path: Path, layer: str | None) -> None:
        """Draws the outlines of districts with their names."""
        import shapely

        shapes, fields = self._read(path, layer)
        self.districts = _path(part for shape in shapes for part in _lines(shape.boundary))
        frame = shapely.box(0, 0, self.width, self.height)
        for shape, name in zip(shapes, fields.get("name", []), strict=False):
            seen = shape.intersection(frame)
            if name and not seen.is_empty and seen.area > 0:
                middle = seen.representative_point()
                self.labels.append((str(name), middle.x / self.width, middle.y / self.height))

    def add_roads(self, path: Path, layer: str) -> None:
        """Draws the flooded parts of roads; those on bridges are not flooded."""
        shapes, fields = self._read(path, layer)
        flooded = cv2.dilate((self.values == FLOODED).view(np.uint8), np.ones((NEAR_WATER, NEAR_WATER), np.uint8)) > 0
        bridges = fields.get("bridge", np.zeros(len(shapes), bool))
        parts = list[np.ndarray]()
        for shape, bridge in zip(shapes, bridges, strict=True):
            for line in () if bridge else _lines(shape):
                parts += _where(line, flooded)
        self.roads = _path(parts)

    def _read(self, path: Path, layer: str | None) -> tuple[Any, dict[str, np.ndarray]]:
        """Returns the shapes of a layer in pixels, and their fields."""
        import shapely

        _, found, fields = read_shapes(path, layer, "EPSG:4326")
        left, bottom, right, top = self._bounds

        def place(points: np.ndarray) -> np.ndarray:
            scale = (self.width / (right - left), -self.height / (top - bottom))
            return np.asarray((_plane(points, on_earth=True) - (left, top)) * scale)

        return shapely.simplify(shapely.transform(found, place), TOLERANCE), fields


def draw_map(sources: Sources) -> ReportMap:
    """Draws the scenes of a report that count, the newer ones over the older ones.

    Raises:
        ImageError: the layers of a result cannot be read.
    """
    results = [scene.result for scene in reversed(sources.counted)]
    frames = [Frame(result) for result in results]
    on_earth = frames[0].ground is not None
    boxes = [_plane(np.array(frame.bounds).reshape(2, 2), on_earth=on_earth).ravel() for frame in frames]
    low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    longest = min(LONGEST, max(max(frame.picture_size(LONGEST)) for frame in frames) * 2) if on_earth else LONGEST
    scale = longest / float(max(high - low))
    width, height = (max(1, round(float(side) * scale)) for side in high - low)
    canvas = np.full((height, width, 3), PAPER, np.uint8)
    values, outside = np.full((height, width), UNOBSERVED, np.uint8), np.ones((height, width), bool)
    missing = []
    for result, frame, box in zip(results, frames, boxes, strict=True):
        left, top = round((box[0] - low[0]) * scale), round((high[1] - box[3]) * scale)
        columns, rows = (max(1, round(float(side) * scale)) for side in (box[2] - box[0], box[3] - box[1]))
        columns, rows = min(columns, width - left), min(rows, height - top)
        part = np.s_[top : top + rows, left : left + columns]
        picture = _scene_picture(result, frame, max(rows, columns))
        if picture is None:
            missing.append(result.name)
        else:
            _blend(canvas[part], _resized(picture, rows, columns, cv2.INTER_AREA))
        seen = frame.place(result.flood.preview(2 * LONGEST), max(rows, columns), UNOBSERVED)
        seen = _resized(seen, rows, columns, cv2.INTER_NEAREST)
        covered = _resized(frame.place(np.ones((64, 64), np.uint8), max(rows, columns), UNOBSERVED), rows, columns,
                           cv2.INTER_NEAREST) == 1  # fmt: skip
        values[part][covered], outside[part][covered] = seen[covered], False
    _tint(canvas, values, outside)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1]
    metres = None
    if on_earth:
        latitude = math.atan(math.sinh((low[1] + high[1]) / 2))
        metres = RADIUS * math.cos(latitude) / scale
    bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return ReportMap(height, width, encoded.tobytes(), metres, values, outside, missing, bounds)


def _scene_picture(result: MapResult, frame: Frame, longest: int) -> np.ndarray | None:
    """Returns the scene itself, RGBA [h, w, 4]; None: its file is not there any more, another one, or remote."""
    href = str(result.record.get("assets", {}).get("scene", {}).get("href", ""))
    if not href or "://" in href or not Path(href).is_file():
        return None
    try:
        with Scene.open(Path(href), BandSelection.of(result.spec)) as scene:
            if (scene.height, scene.width) != (result.height, result.width):
                return None
            raster = scene.preview(longest)
            height, width = raster.values.shape[:2]
            valid = np.ones((height, width), bool) if raster.valid is None else raster.valid
            picture = np.dstack([to_picture(raster.values, scene.bands.names), np.uint8(255) * valid])
    except FloodSegError:
        return None
    return frame.place(picture, longest)


def _resized(picture: np.ndarray, rows: int, columns: int, how: int) -> np.ndarray:
    if picture.shape[:2] == (rows, columns):
        return picture
    return np.asarray(cv2.resize(picture, (columns, rows), interpolation=how))


def _blend(canvas: np.ndarray, picture: np.ndarray) -> None:
    """Draws a scene in muted colours, on which those of the flood stand out."""
    color, alpha = picture[..., :3].astype(np.float32), picture[..., 3:].astype(np.float32) / 255
    grey = color.mean(axis=2, keepdims=True)
    muted = 0.45 * color + 0.25 * grey + 0.3 * 255
    canvas[:] = np.rint(canvas * (1 - alpha) + muted * alpha)


def _tint(canvas: np.ndarray, values: np.ndarray, outside: np.ndarray) -> None:
    for value, color in ((FLOODED, FLOOD_COLOR), (PERMANENT, PERMANENT_COLOR)):
        part = values == value
        canvas[part] = np.rint(canvas[part] * (1 - OPACITY[value]) + np.array(color) * OPACITY[value])
    rows, columns = np.indices(values.shape)
    stripes = (values == UNOBSERVED) & ~outside & ((rows + columns) % HATCH < HATCH_WIDTH)
    canvas[stripes] = UNOBSERVED_COLOR


def _plane(points: np.ndarray, *, on_earth: bool) -> np.ndarray:
    """Returns positions on the plane of the map: Web Mercator on a sphere of radius 1, or pixels as they are."""
    if not on_earth:
        return points
    longitudes, latitudes = np.radians(points).T
    return np.column_stack([longitudes, np.arcsinh(np.tan(latitudes))])


def _lines(shape: Any) -> Iterable[np.ndarray]:
    """Yields the lines of a geometry as points, float64 [points, 2]."""
    import shapely

    for part in shapely.get_parts(shape):
        yield np.array(part.coords)


def _where(line: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """Returns the parts of a line that lie where a mask is true, by points a pixel apart."""
    lengths = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    steps = np.linspace(0, along[-1], max(2, math.ceil(along[-1]) + 1))
    points = np.column_stack([np.interp(steps, along, axis) for axis in line.T])
    rows, columns = np.floor(points[:, 1]).astype(int), np.floor(points[:, 0]).astype(int)
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    found = np.zeros(len(points), bool)
    found[inside] = mask[rows[inside], columns[inside]]
    cuts = np.flatnonzero(np.diff(found.astype(int))) + 1
    runs = zip(np.split(points, cuts), np.split(found, cuts), strict=True)
    return [run for run, wet in runs if wet[0] and len(run) > 1]


def _path(lines: Iterable[np.ndarray]) -> str:
    """Returns lines as the path of an SVG, in tenths of a pixel."""
    import shapely

    texts = []
    for line in lines:
        simple = shapely.get_coordinates(shapely.simplify(shapely.LineString(line), TOLERANCE))
        texts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in simple))
    return "".join(texts)
