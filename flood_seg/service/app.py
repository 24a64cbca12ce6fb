"""The application: its endpoints, and how its errors are answered."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Match

from flood_seg.errors import FloodSegError
from flood_seg.service.monitoring.requests import ObservedRequests
from flood_seg.service.monitoring.traces import telemetry
from flood_seg.service.problems import Problem, documented
from flood_seg.service.routes import features, files, health, jobs, models, page, predict, session, tiles
from flood_seg.service.security.body import BodyLimits
from flood_seg.service.security.headers import SecurityHeaders
from flood_seg.service.security.origin import SameOrigin
from flood_seg.service.security.rate import RateLimit
from flood_seg.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flood_seg.service.state import Service

ROUTERS = (
    page.router, session.router, predict.router, models.router, jobs.router, files.router, tiles.router,
    features.router, health.router,
)  # fmt: skip

# What every endpoint may answer: wrong HTTP, host, key, origin or request, a body too large or slow, too many requests
OF_ALL = (HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT,
          HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY,
          HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_REQUEST)  # fmt: skip


def create_app(service: Service) -> FastAPI:
    """Returns the ASGI application of a service."""
    app: FastAPI = FastAPIOffline(
        title="flood-seg",
        version=__version__,
        summary="Segmentation of water on images.",
        lifespan=_running_jobs,
        telemetry=telemetry(),
        responses=documented(*OF_ALL),
    )
    app.state.service = service
    for router in ROUTERS:
        app.include_router(router)
    _answer_errors(app)
    options = service.config.serve
    # The last one is the outermost
    app.add_middleware(BodyLimits, limits=options.limits)
    app.add_middleware(RateLimit, access=service.access, per_minute=options.limits.rate)
    app.add_middleware(SameOrigin, options=options, required=service.access.required)
    app.add_middleware(ObservedRequests, metrics=service.metrics)  # answers bugs, and sees what the ones above refuse
    app.add_middleware(SecurityHeaders, base_map=options.base_map)
    return app


@asynccontextmanager
async def _running_jobs(app: FastAPI) -> AsyncIterator[None]:
    """Runs jobs while requests are answered."""
    service: Service = app.state.service
    await run_in_threadpool(service.jobs.start)
    yield
    service.desk.close()
    await run_in_threadpool(service.jobs.stop)


def _answer_errors(app: FastAPI) -> None:
    """Makes every error an answer of problem+json."""

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(FloodSegError)
    async def user(_: Request, error: FloodSegError) -> JSONResponse:
        return Problem.of(error).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()]
        detail = "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults)
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail).response({"errors": faults})

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            error.headers = {"Allow": ", ".join(_methods(request))}  # Starlette names those of one route
        return Problem(HTTPStatus(error.status_code), str(error.detail), error.headers).response()


def _methods(request: Request) -> list[str]:
    """Returns the methods that the path of a request has."""
    tried = {method: {**request.scope, "method": method} for method in ("DELETE", "GET", "PATCH", "POST", "PUT")}
    routes = request.app.routes
    return [name for name, scope in tried.items() if any(one.matches(scope)[0] is Match.FULL for one in routes)]
