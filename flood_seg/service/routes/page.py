"""`/`: the page, its files, and what it has to know of this service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.staticfiles import StaticFiles

from flood_seg.classes import PALETTE, to_rgb
from flood_seg.service.state import ServiceOf
from flood_seg.version import __version__

PAGE = Path(__file__).parent.parent / "page"
REPORTS = Path(__file__).parents[2] / "products" / "page"  # whose styles and Leaflet are those of map.html as well

router = APIRouter(tags=["page"])
_page = StaticFiles(directory=PAGE)
_reports = StaticFiles(directory=REPORTS)
_leaflet = StaticFiles(directory=REPORTS / "leaflet")


@dataclass
class PageLimits:
    """Limits that the page tells a user before a file is sent.

    Attributes:
        body_mb: of an image; larger ones are mapped as scenes.
        upload_gb: of all files of a job.
    """

    body_mb: float
    upload_gb: float


@dataclass
class PageConfig:
    """What the page has to know of this service.

    Attributes:
        version: of flood-seg.
        base_map: address of the tiles below the layers; null: outlines of countries.
        paths: whether scenes may be given as a path or an address.
        max_input_shift: above which the page warns of an image.
        colors: of the classes after the background, RGB; they repeat.
        limits: of uploads.
    """

    version: str
    base_map: str | None
    paths: bool
    max_input_shift: float
    colors: list[tuple[int, int, int]]
    limits: PageLimits


@router.get("/page/config")
async def page_config(service: ServiceOf) -> PageConfig:
    """Returns what the page has to know of this service."""
    options = service.config.serve
    return PageConfig(
        version=__version__,
        base_map=options.base_map,
        paths=bool(options.security.data_dir or options.security.sources),
        max_input_shift=service.config.max_input_shift,
        colors=[to_rgb(color) for color in PALETTE],
        limits=PageLimits(options.limits.body_mb, options.limits.upload_gb),
    )


@router.get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    """Returns the page."""
    return await _file(_page, "index.html", request)


@router.get("/static/{name:path}", include_in_schema=False)
async def page_file(name: str, request: Request) -> Response:
    """Returns a file of the page, of Leaflet, or the styles that the page shares with the maps of `flood-seg map`."""
    if name == "common.css":
        return await _file(_reports, name, request)
    folder, _, rest = name.partition("/")
    return await (_file(_leaflet, rest, request) if folder == "leaflet" else _file(_page, name, request))


async def _file(files: StaticFiles, name: str, request: Request) -> Response:
    response = await files.get_response(name, request.scope)
    # Browsers ask by ETag on each visit, so that after an update no page mixes old and new modules.
    response.headers["Cache-Control"] = "no-cache"
    return response
