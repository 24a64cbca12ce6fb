"""`/jobs/{id}/tiles`: the layers of a mapped scene as map tiles, TileJSON and WMTS."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from flood_seg.service.problems import Problem, documented
from flood_seg.service.security.auth import allowed
from flood_seg.service.state import ServiceOf
from flood_seg.service.tiles.drawing import MEDIA_TYPE, Style, draw_tile, etag
from flood_seg.service.tiles.rasters import PICTURES, PROBABILITY, JobRasters, damaged
from flood_seg.service.tiles.readers import MAX_ZOOM, Plane, Pyramid, Tile
from flood_seg.service.tiles.tilejson import TileJson, describe_layer
from flood_seg.service.tiles.wmts import WmtsLayer, capabilities

CACHE = {"Cache-Control": "private, max-age=3600"}
XML = "application/xml"

router = APIRouter(prefix="/jobs/{job}/tiles", tags=["tiles"], dependencies=[Depends(allowed("read"))])
Job = Annotated[str, Path(description="identifier of a job")]
Layer = Annotated[str, Path(description="scene, probability, mask, change, flood or differences, as far as there are")]
Zoom = Annotated[int, Path(ge=0, le=MAX_ZOOM)]
Number = Annotated[int, Path(ge=0, lt=2**MAX_ZOOM)]
Crs = Annotated[
    Plane | None,
    Query(description="mercator: EPSG:3857; pixels: those of the scene; default: mercator where it is georeferenced"),
]
Threshold = Annotated[
    float | None,
    Query(ge=0, le=1, allow_inf_nan=False, description="of the probability: what is above it is drawn, without a ramp"),
]
Band = Annotated[int | None, Query(ge=1, le=1000, description="of the probability of several classes, from 1")]
PROBLEMS = documented(
    HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
)


class LayerLink(BaseModel):
    """A layer that a job has."""

    name: str
    title: str
    tilejson: str
    wmts: str | None


class LayerList(BaseModel):
    """The layers that a job has, and the WMTS with all of them; of a scene without georeference none has one."""

    layers: list[LayerLink]
    wmts: str | None


@router.get("", responses=PROBLEMS)
async def list_layers(request: Request, job: Job, service: ServiceOf) -> LayerList:
    """Returns the layers of a job."""

    def find() -> LayerList:
        rasters = _rasters(service, job)
        on_earth = rasters.frame.ground is not None
        links = [
            LayerLink(
                name=name, title=rasters.title(name),
                tilejson=str(request.url_for("tilejson", job=job, layer=name)),
                wmts=str(request.url_for("layer_wmts", job=job, layer=name)) if on_earth else None,
            )
            for name in rasters.names()
        ]  # fmt: skip
        return LayerList(layers=links, wmts=str(request.url_for("wmts", job=job)) if on_earth else None)

    return await service.desk.run(find)


@router.get("/WMTSCapabilities.xml", response_class=Response, responses={200: {"content": {XML: {}}}, **PROBLEMS})
async def wmts(request: Request, job: Job, service: ServiceOf) -> Response:
    """Returns the capabilities of a WMTS with all layers of a job."""
    return await service.desk.run(_wmts, request, service, job, None)


@router.get(
    "/{layer}/WMTSCapabilities.xml", response_class=Response, responses={200: {"content": {XML: {}}}, **PROBLEMS}
)
async def layer_wmts(request: Request, job: Job, layer: Layer, service: ServiceOf) -> Response:
    """Returns the capabilities of a WMTS with one layer."""
    return await service.desk.run(_wmts, request, service, job, layer)


@router.get("/{layer}/tilejson.json", response_model_exclude_none=True, responses=PROBLEMS)
async def tilejson(
    request: Request, job: Job, layer: Layer, service: ServiceOf, crs: Crs = None, threshold: Threshold = None,
    band: Band = None,
) -> TileJson:  # fmt: skip
    """Returns the TileJSON of a layer; `threshold` and `band` become part of the address of the tiles."""

    def find() -> TileJson:
        rasters = _rasters(service, job)
        rasters.check(layer)
        style = _style(rasters, layer, threshold, band)
        chosen = {"crs": crs, "threshold": style.threshold, "band": style.band}
        address = _address(request, job, layer, {name: value for name, value in chosen.items() if value is not None})
        return describe_layer(rasters, layer, Pyramid.of(rasters, crs), address, style)

    return await service.desk.run(find)


@router.get(
    "/{layer}/{z}/{x}/{y}.png", response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {}}}, 304: {"description": "not modified"}, **PROBLEMS},
)  # fmt: skip
async def tile(
    request: Request, job: Job, layer: Layer, z: Zoom, x: Number, y: Number, service: ServiceOf,
    crs: Crs = None, threshold: Threshold = None, band: Band = None,
    scale: Annotated[int, Query(ge=1, le=2, description="2: 512 × 512 pixels, for fine screens")] = 1,
) -> Response:  # fmt: skip
    """Returns a tile of 256 × 256 pixels; transparent where there is no data or background, 404 beside the scene."""

    def open_layer() -> tuple[JobRasters, Pyramid, Tile, Style]:
        rasters = _rasters(service, job)
        rasters.check(layer)
        pyramid, place = Pyramid.of(rasters, crs), Tile(z, x, y, Tile.size * scale)
        if not pyramid.has(place):
            raise Problem(HTTPStatus.NOT_FOUND, f"tile {z}/{x}/{y}: lies beside the scene; see tilejson.json")
        return rasters, pyramid, place, _style(rasters, layer, threshold, band)

    def draw() -> Response:
        rasters, pyramid, place, style = open_layer()
        try:
            headers = {**CACHE, "ETag": etag(rasters.path(layer), layer, pyramid.plane, place, style)}
        except OSError as error:
            raise damaged(layer) from error
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        content = draw_tile(rasters, layer, pyramid, place, style, service.desk.readers)
        return Response(content, media_type=MEDIA_TYPE, headers=headers)

    if layer in PICTURES:
        await service.desk.picture((await service.desk.run(open_layer))[0].shown(layer))
    return await service.desk.run(draw)


def _rasters(service: ServiceOf, job: str) -> JobRasters:
    return JobRasters.of(service.jobs.store.get(job))


def _style(rasters: JobRasters, layer: str, threshold: float | None, band: int | None) -> Style:
    """Returns how a layer is drawn; raises Problem where it cannot be drawn so."""
    if layer != PROBABILITY:
        if threshold is None and band is None:
            return Style()
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"layer {layer}: threshold and band are of probability alone")
    known = rasters.bands()
    if band is not None and band > len(known):
        text = ", ".join(f"{number} {name}" for number, name in enumerate(known, 1))
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"band {band}: there is none; there are {text}")
    if threshold is not None and band is None and len(known) > 1:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"threshold: give the band too, 1 to {len(known)}")
    return Style(threshold, band)


def _address(request: Request, job: str, layer: str, query: dict[str, Any]) -> str:
    """Returns the address of the tiles of a layer, with {z}, {x} and {y}."""
    base = request.url_for("tilejson", job=job, layer=layer).include_query_params(**query)
    return str(base).replace("tilejson.json", "{z}/{x}/{y}.png")


def _wmts(request: Request, service: ServiceOf, job: str, layer: str | None) -> Response:
    rasters = _rasters(service, job)
    if layer:
        rasters.check(layer)
    pyramid = Pyramid.of(rasters, "mercator")
    names = [layer] if layer else rasters.names()
    layers = [
        WmtsLayer(name, rasters.title(name), found.tiles[0], found.bounds or ())
        for name in names
        for found in [describe_layer(rasters, name, pyramid, _address(request, job, name, {}))]
    ]
    title = str(rasters.record.get("id", job))
    return Response(capabilities(title, layers, pyramid, str(request.url)), media_type=XML, headers=CACHE)
