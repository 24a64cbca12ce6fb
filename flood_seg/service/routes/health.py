"""`/health` and `/metrics`: what orchestrators and Prometheus ask for."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from flood_seg.service.problems import Problem, documented
from flood_seg.service.security.access import Caller
from flood_seg.service.security.auth import allowed
from flood_seg.service.state import ServiceOf

router = APIRouter(tags=["monitoring"])


@dataclass
class Live:
    """The process responds."""

    status: Literal["live"] = "live"


@dataclass
class Ready:
    """Requests are accepted."""

    status: Literal["ready"] = "ready"


class Exposition(Response):
    """Metrics in Prometheus' text format."""

    media_type = CONTENT_TYPE_LATEST


@router.get("/health/live")
async def live() -> Live:
    """Answers while the process responds."""
    return Live()


@router.get("/health/ready", responses=documented(HTTPStatus.SERVICE_UNAVAILABLE))
async def ready(service: ServiceOf) -> Ready:
    """Answers with 200 once the models are loaded, and with 503 while the service stops."""
    if not service.ready:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the service is stopping")
    return Ready()


@router.get(
    "/metrics",
    response_class=Exposition,
    responses=documented(HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    | {200: {"description": "Metrics", "content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}},
)
def metrics(service: ServiceOf, _: Annotated[Caller, Depends(allowed("read"))]) -> Exposition:
    """Returns the metrics in Prometheus' text format."""
    return Exposition(service.scrape())
