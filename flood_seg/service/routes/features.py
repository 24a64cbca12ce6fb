"""`/jobs/{id}/features` and `/jobs/{id}/ogc`: the vectors of a job, by OGC API - Features."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from flood_seg.products.stac_item import time_text
from flood_seg.service.features.collections import DEFAULT, Collection, choose, collections_of
from flood_seg.service.features.query import MOST, Page, read_feature, read_page
from flood_seg.service.features.region import parse_bbox
from flood_seg.service.problems import Problem, documented
from flood_seg.service.security.auth import allowed
from flood_seg.service.state import ServiceOf
from flood_seg.service.tiles.rasters import JobRasters

GEOJSON = "application/geo+json"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
CONFORMANCE = tuple(f"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/{name}" for name in ("core", "geojson"))
LIMIT = 1000  # features of a page where none is given

router = APIRouter(prefix="/jobs/{job}", tags=["features"], dependencies=[Depends(allowed("read"))])


class GeoJson(Response):
    """A response of GeoJSON."""

    media_type = GEOJSON


class Link(BaseModel):
    """A link to another resource."""

    href: str
    rel: str
    type: str | None = None
    title: str | None = None


class Landing(BaseModel):
    """The entry to the collections of a job."""

    title: str
    description: str
    links: list[Link]


class Conformance(BaseModel):
    """The classes of the standard that are implemented."""

    conformsTo: list[str]


class Spatial(BaseModel):
    """Where the features of a collection lie."""

    bbox: list[list[float]] = Field(description="west, south, east, north")
    crs: str = CRS84


class Extent(BaseModel):
    """The extent of a collection."""

    spatial: Spatial


class CollectionRecord(BaseModel):
    """A collection of features."""

    id: str
    title: str
    itemType: Literal["feature"] = "feature"
    crs: list[str] = [CRS84]
    extent: Extent | None = None
    links: list[Link]


class Collections(BaseModel):
    """The collections of a job."""

    collections: list[CollectionRecord]
    links: list[Link]


class Feature(BaseModel):
    """A feature as GeoJSON."""

    type: Literal["Feature"]
    id: int
    properties: dict[str, Any] | None
    geometry: dict[str, Any] | None
    links: list[Link] | None = None


class FeatureCollection(BaseModel):
    """A page of features as GeoJSON."""

    type: Literal["FeatureCollection"]
    features: list[Feature]
    numberMatched: int
    numberReturned: int
    timeStamp: str
    links: list[Link]


Job = Annotated[str, Path(description="identifier of a job")]
Name = Annotated[str, Path(description="name of a collection")]
Layer = Annotated[str, Query(description="areas, change, flood, districts, ...; see ogc/collections")]
Bbox = Annotated[
    str | None, Query(description="west,south,east,north in WGS 84; west is greater than east across the antimeridian")
]
Limit = Annotated[int, Query(ge=1, description=f"most features of a page; {MOST} at most are returned")]
Offset = Annotated[int, Query(ge=0, le=2**53, description="number of features before the first one")]
Crs = Annotated[
    Literal["CRS84", "pixels"],
    Query(description="pixels: (column, -row) of a scene without georeference"),
]
PROBLEMS = documented(
    HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
)


@router.get("/features", response_class=GeoJson, response_model=FeatureCollection, responses=PROBLEMS)
async def list_features(
    request: Request, job: Job, service: ServiceOf,
    collection: Layer = DEFAULT, bbox: Bbox = None, limit: Limit = LIMIT, offset: Offset = 0,
    crs: Crs = "CRS84",
) -> Response:  # fmt: skip
    """Returns features of a collection, page by page: follow the link `next`."""
    return await service.desk.run(_items, request, service, job, collection, bbox, limit, offset, crs)


@router.get("/ogc", response_model_exclude_none=True, responses=PROBLEMS)
async def landing(request: Request, job: Job, service: ServiceOf) -> Landing:
    """Returns the landing page of OGC API - Features, whose address QGIS takes."""

    def find() -> Landing:
        rasters, _ = _open(service, job)
        links = {"self": "landing", "conformance": "conformance", "data": "list_collections"}
        found = [Link(href=_url(request, name, job), rel=rel, type="application/json") for rel, name in links.items()]
        api = str(request.url_for("openapi"))
        found.append(Link(href=api, rel="service-desc", type="application/vnd.oai.openapi+json;version=3.1"))
        title = str(rasters.record.get("id", job))
        return Landing(title=title, description=f"Vectors of the job {job}", links=found)

    return await service.desk.run(find)


@router.get("/ogc/conformance")
async def conformance(job: Job) -> Conformance:
    """Returns which parts of OGC API - Features are implemented."""
    return Conformance(conformsTo=list(CONFORMANCE))


@router.get("/ogc/collections", response_model_exclude_none=True, responses=PROBLEMS)
async def list_collections(request: Request, job: Job, service: ServiceOf) -> Collections:
    """Returns the collections of a job."""

    def find() -> Collections:
        _, known = _open(service, job)
        there = [_record(request, job, one) for one in known.values() if one.crs]
        link = Link(href=_url(request, "list_collections", job), rel="self", type="application/json")
        return Collections(collections=there, links=[link])

    return await service.desk.run(find)


@router.get("/ogc/collections/{collection}", response_model_exclude_none=True, responses=PROBLEMS)
async def get_collection(request: Request, job: Job, collection: Name, service: ServiceOf) -> CollectionRecord:
    """Returns a collection: its extent, and where its features are."""

    def find() -> CollectionRecord:
        return _record(request, job, choose(_open(service, job)[1], collection))

    return await service.desk.run(find)


@router.get(
    "/ogc/collections/{collection}/items", response_class=GeoJson, response_model=FeatureCollection, responses=PROBLEMS
)
async def list_items(
    request: Request, job: Job, collection: Name, service: ServiceOf, bbox: Bbox = None, limit: Limit = LIMIT,
    offset: Offset = 0,
) -> Response:  # fmt: skip
    """Returns features of a collection, page by page: follow the link `next`."""
    return await service.desk.run(_items, request, service, job, collection, bbox, limit, offset, "CRS84")


@router.get(
    "/ogc/collections/{collection}/items/{feature}", response_class=GeoJson, response_model=Feature, responses=PROBLEMS
)
async def get_item(
    request: Request, job: Job, collection: Name, feature: Annotated[int, Path(ge=0, le=2**53)], service: ServiceOf
) -> Response:
    """Returns a feature by its identifier."""

    def find() -> Response:
        chosen = choose(_open(service, job)[1], collection)
        _check_place(chosen, "CRS84")
        found = read_feature(chosen, feature)
        if found is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"feature {feature}: collection {collection} has none")
        links = [Link(href=str(request.url), rel="self", type=GEOJSON),
                 Link(href=_url(request, "get_collection", job, collection), rel="collection",
                      type="application/json")]  # fmt: skip
        return _geojson(found | {"links": [link.model_dump(exclude_none=True) for link in links]})

    return await service.desk.run(find)


def _open(service: ServiceOf, job: str) -> tuple[JobRasters, dict[str, Collection]]:
    found = service.jobs.store.get(job)
    return JobRasters.of(found), collections_of(found.results)


def _items(
    request: Request, service: ServiceOf, job: str, name: str, bbox: str | None, limit: int, offset: int,
    crs: Literal["CRS84", "pixels"],
) -> Response:  # fmt: skip
    collection = choose(_open(service, job)[1], name)
    _check_place(collection, crs)
    area = parse_bbox(bbox, in_degrees=crs == "CRS84") if bbox is not None else None
    page = read_page(collection, area, limit, offset)
    return _geojson({
        "type": "FeatureCollection", "features": page.features, "numberMatched": page.matched,
        "numberReturned": len(page.features), "timeStamp": time_text(datetime.now(UTC)),
        "links": [link.model_dump(exclude_none=True) for link in _page_links(request, page, limit, offset)],
    })  # fmt: skip


def _check_place(collection: Collection, crs: Literal["CRS84", "pixels"]) -> None:
    if crs == "CRS84" and collection.crs is None:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"collection {collection.name}: the scene is not georeferenced; "
                      "its features are in pixels, /features?crs=pixels")  # fmt: skip
    if crs == "pixels" and collection.crs is not None:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"collection {collection.name}: the scene is georeferenced; "
                      "leave out crs=pixels")  # fmt: skip


def _page_links(request: Request, page: Page, limit: int, offset: int) -> list[Link]:
    links = [Link(href=str(request.url), rel="self", type=GEOJSON)]
    if page.features and offset + len(page.features) < page.matched:
        after = request.url.include_query_params(offset=offset + len(page.features), limit=min(limit, MOST))
        links.append(Link(href=str(after), rel="next", type=GEOJSON))
    if offset > 0:
        before = request.url.include_query_params(offset=max(0, offset - limit), limit=min(limit, MOST))
        links.append(Link(href=str(before), rel="prev", type=GEOJSON))
    return links


def _record(request: Request, job: str, collection: Collection) -> CollectionRecord:
    items, this = (_url(request, name, job, collection.name) for name in ("list_items", "get_collection"))
    extent = Extent(spatial=Spatial(bbox=[list(collection.extent)])) if collection.extent else None
    links = [Link(href=this, rel="self", type="application/json"), Link(href=items, rel="items", type=GEOJSON)]
    title = collection.name.replace("_", " ")
    return CollectionRecord(id=collection.name, title=title, extent=extent, links=links)


def _url(request: Request, name: str, job: str, collection: str | None = None) -> str:
    return str(request.url_for(name, job=job, **({"collection": collection} if collection else {})))


def _geojson(content: dict[str, Any]) -> Response:
    return GeoJson(json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False))
