"""TileJSON 3.0.0 of a layer: where its tiles are, and what its colours mean."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from flood_seg.classes import to_hex
from flood_seg.products.page.pictures import ramp
from flood_seg.service.tiles.drawing import Style
from flood_seg.service.tiles.rasters import CLASSES, PROBABILITY, JobRasters
from flood_seg.service.tiles.readers import TILE, Plane, Pyramid

RAMP_STEP = 5  # percent between the colours of a ramp


class LegendEntry(BaseModel):
    """A class of a layer, or a probability of its ramp, and its colour; what is not listed is transparent."""

    name: str
    color: str = Field(description="as #rrggbb")
    opacity: float = Field(default=1.0, ge=0, le=1)
    value: float = Field(description="of the class in the file, or the probability from which on it is drawn")


class TileJson(BaseModel):
    """TileJSON 3.0.0, and what is beyond it: `crs`, `extent`, `width`, `height`, `legend`, `bands`, `threshold`."""

    tilejson: Literal["3.0.0"] = "3.0.0"
    name: str
    description: str
    scheme: Literal["xyz"] = "xyz"
    tiles: list[str]
    minzoom: int
    maxzoom: int
    bounds: list[float] | None = Field(default=None, description="west, south, east, north; not in pixels")
    center: tuple[float, float, int] | None = Field(
        default=None, description="longitude, latitude, zoom level; not in pixels"
    )
    crs: Plane = Field(description="mercator: EPSG:3857; pixels: those of the scene")
    extent: list[float] = Field(
        description="as bounds, but longitudes go on beyond 180; in pixels: 0, -height, width, 0"
    )
    width: int = Field(description="of the scene in pixels")
    height: int = Field(description="of the scene in pixels")
    tile_size: int = TILE
    legend: list[LegendEntry]
    bands: list[str] = Field(default=[], description="classes that the bands of the probability are of")
    threshold: float | None = Field(default=None, description="of the result; null: there are several classes")


def describe_layer(
    rasters: JobRasters, layer: str, pyramid: Pyramid, address: str, style: Style | None = None
) -> TileJson:
    """Returns the TileJSON of a layer.

    Args:
        rasters: of the job.
        layer: that the job has.
        pyramid: of the scene.
        address: of the tiles, with {z}, {x} and {y}.
        style: of the probability.

    Raises:
        ImageError: a file is damaged.
    """
    west, south, east, north = extent = [round(number, 9) for number in rasters.frame.bounds]
    place: dict[str, Any] = {}
    if pyramid.plane == "mercator":
        across = (west, east) if west >= -180 and east <= 180 else (-180.0, 180.0)  # as the standard demands
        center = [(west + east) / 2, (south + north) / 2]
        center[0] -= 360 * (center[0] > 180)
        place = {"bounds": [across[0], south, across[1], north], "center": [*center, pyramid.minzoom]}
    elif rasters.frame.ground:
        extent = [0.0, -float(rasters.height), float(rasters.width), 0.0]
    return TileJson(
        name=rasters.title(layer), description=str(rasters.record.get("id", "")), tiles=[address],
        minzoom=pyramid.minzoom, maxzoom=pyramid.maxzoom, crs=pyramid.plane, extent=extent,
        width=rasters.width, height=rasters.height, legend=legend_of(rasters, layer, style or Style()),
        bands=rasters.bands() if layer == PROBABILITY else [], threshold=rasters.threshold, **place,
    )  # fmt: skip


def legend_of(rasters: JobRasters, layer: str, style: Style) -> list[LegendEntry]:
    """Returns what the colours of a layer mean; the background is transparent and not among them."""
    if layer in CLASSES:
        legend = rasters.legend(layer)
        entries = zip(legend.names[1:], legend.colors[1:], legend.values[1:], strict=True)
        return [LegendEntry(name=name, color=to_hex(color), value=value) for name, color, value in entries]
    if layer != PROBABILITY:
        return []
    if style.threshold is not None:
        band = style.band or 1
        color = to_hex(rasters.color(band))
        return [LegendEntry(name=rasters.bands()[band - 1], color=color, value=style.threshold)]
    return [
        LegendEntry(name=f"{percent} %", color=to_hex(tuple(color[:3])), opacity=round(color[3] / 255, 3),
                    value=percent / 100)
        for percent, color in enumerate(ramp().tolist()) if percent % RAMP_STEP == 0
    ]  # fmt: skip
