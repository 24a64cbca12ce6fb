"""Observes each request: its identifier, its metrics, its log line, and the answer to a bug."""

from __future__ import annotations

import time
from contextlib import nullcontext
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from starlette.requests import ClientDisconnect

from flood_seg.service.monitoring.logs import LOGGER, log_request
from flood_seg.service.problems import Problem
from flood_seg.service.request_id import HEADER, begin_request

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from flood_seg.service.monitoring.metrics import Metrics

UNKNOWN = "unknown"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds by Prometheus and orchestrators.
POLLED = frozenset({"/health/live", "/health/ready", "/metrics"})
CLIENT_CLOSED = 499  # as nginx calls it: nobody was there to be answered
_HEADER = HEADER.lower().encode()


class ObservedRequests:
    """Middleware of plain ASGI, through which bodies and events stream unchanged."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        answer = _Answer(send, begin_request(given.decode("latin-1")))
        # Else each request for the metrics would find one in flight: itself.
        with nullcontext() if scope["path"] in POLLED else self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, answer.send)
            except ClientDisconnect:
                pass
            except Exception as error:
                if answer.status and isinstance(error, OSError):  # nobody there who takes it
                    LOGGER.warning("the answer could not be sent: %s", error)
                    return
                if answer.status:  # too late for another answer: the server logs it and cuts the connection
                    raise
                trace.get_current_span().record_exception(error)
                LOGGER.exception("a bug while answering %s %s", scope["method"], scope["path"])
                detail = "a fault of the service, which its log describes by request_id"
                await Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail).response()(scope, receive, answer.send)
            finally:
                self._observe(scope, answer)

    def _observe(self, scope: Scope, answer: _Answer) -> None:
        route, seconds = route_of(scope), answer.seconds
        method = scope["method"] if scope["method"] in METHODS else "other"
        status = answer.status or CLIENT_CLOSED
        self._metrics.requests.labels(route, method, str(status)).observe(seconds)
        fields = {
            "method": method, "path": scope["path"], "route": route, "status": status,
            "seconds": round(seconds, 6), "bytes": answer.size, "caller": scope.get("state", {}).get("caller"),
        }  # fmt: skip
        log_request(fields, quiet=route in POLLED and status < HTTPStatus.BAD_REQUEST)


class _Answer:
    """What is sent to the client: status, bytes of the body, and when the last of them left."""

    def __init__(self, send: Send, identifier: str) -> None:
        self._send, self._header = send, (_HEADER, identifier.encode())
        self.status, self.size = 0, 0
        self._started = time.perf_counter()
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        """How long it has taken, without what is done after the answer."""
        return (self._ended or time.perf_counter()) - self._started

    async def send(self, message: Message) -> None:
        """Passes a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), self._header]
        await self._send(message)
        if message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
            if not message.get("more_body", False):
                self._ended = time.perf_counter()


def route_of(scope: Scope) -> str:
    """Returns the template of the route that a request has matched, of which there are few: `/jobs/{id}`.

    Files below a mounted folder share one; UNKNOWN are paths that match none, and requests refused before the routes.
    """
    route: Any = scope.get("route")
    if route is not None:
        return str(route.path)
    if "endpoint" not in scope:
        return UNKNOWN
    mounted = scope.get("root_path", "").removeprefix(scope.get("app_root_path", ""))
    return f"{mounted}/{{path}}" if mounted else str(scope["path"])
