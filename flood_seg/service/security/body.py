"""Limits the size of a request's body, and how long it may take to arrive and its answer to leave."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from flood_seg.config.schema.service import LimitOptions

MB = 10**6
SMALL = 64 * 1024  # of requests that upload nothing, and of the frame around uploads
FIELDS = 4 * MB  # of the text fields of a job, beside its files


class BodyLimits:
    """Middleware that refuses a body that is too large, or arrives too slowly.

    Uploads of jobs may take as long as they go on; every other body has `limits.timeout` seconds altogether.
    """

    def __init__(self, app: ASGIApp, limits: LimitOptions) -> None:
        """Takes the limits of the service."""
        self._app, self._timeout = app, limits.timeout
        image = int(limits.body_mb * MB) + SMALL
        self._limits = {
            "/predict": image,
            "/predict/batch": image * limits.files,
            "/jobs": int(limits.upload_gb * 1000 * MB) + FIELDS,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].rstrip("/")
        limit = self._limits.get(path, SMALL)
        length = Headers(scope=scope).get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > limit:
            await Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(limit)).response()(scope, receive, send)
            return
        body = _Body(receive, limit, self._timeout, total=path != "/jobs")
        await self._app(scope, body.receive, _bounded(send, self._timeout))


class _Body:
    """Passes the body of a request on, as long as it keeps to the limits."""

    def __init__(self, receive: Receive, limit: int, timeout: float, *, total: bool) -> None:
        """Takes the limit in bytes, and the seconds for the whole body, or for each part of it."""
        self._receive, self._limit, self._timeout, self._total = receive, limit, timeout, total
        self._until = time.monotonic() + timeout
        self._bytes, self._complete = 0, False

    async def receive(self) -> Message:
        """Returns the next part; raises HTTPException 408 or 413, which FastAPI passes on while it reads a form."""
        if self._complete:  # what follows is the end of the connection
            return await self._receive()
        left = self._until - time.monotonic() if self._total else self._timeout
        try:
            async with asyncio.timeout(max(0.0, left)):
                message = await self._receive()
        except TimeoutError as error:
            detail = f"the body did not arrive within {self._timeout:g} s"
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail, {"Connection": "close"}) from error
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limit:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(self._limit), {"Connection": "close"})
        self._complete = not message.get("more_body", False)
        return message


def _bounded(send: Send, timeout: float) -> Send:
    """Returns `send`, which gives up where the receiver takes nothing for so many seconds."""

    async def bounded(message: Message) -> None:
        try:
            async with asyncio.timeout(timeout):
                await send(message)
        except TimeoutError as error:
            raise OSError("the receiver takes nothing") from error  # which Starlette takes for a closed connection

    return bounded


def too_large(limit: int) -> str:
    """Returns what a caller reads of a body that is larger than `limit` bytes."""
    size = f"{limit / 1e9:.3g} GB" if limit >= 1e9 else f"{limit / MB:.3g} MB"
    return f"the body of the request is larger than {size}, which is the most that this endpoint takes"
