"""`/health` and `/metrics`: what orchestrators and Prometheus ask for."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from flood_seg.service.problems import Problem
from flood_seg.service.state import ServiceOf

router = APIRouter(tags=["monitoring"])


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Answers while the process responds."""
    return {"status": "live"}


@router.get("/health/ready")
async def ready(service: ServiceOf) -> dict[str, str]:
    """Answers with 200 once the models are loaded, and with 503 while the service stops."""
    if not service.ready:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the service is stopping")
    return {"status": "ready"}


@router.get("/metrics", response_class=Response)
async def metrics(service: ServiceOf) -> Response:
    """Returns the metrics in Prometheus' text format."""
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
