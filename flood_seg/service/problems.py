"""Errors as problem details for HTTP APIs, RFC 9457, from one table of statuses."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse

from flood_seg.console import shorten_words
from flood_seg.errors import (
    BackendError,
    ConfigError,
    DataError,
    FloodSegError,
    FormatError,
    ImageError,
    LogitsError,
    MissingExtraError,
    OutOfMemoryError,
    OutputError,
    ServerError,
    StoreError,
    UsageError,
)
from flood_seg.service.request_id import request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
SCHEMA = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    },
}

# The nearest class of an error in its `__mro__` counts.
STATUSES: dict[type[FloodSegError], HTTPStatus] = {
    FormatError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    DataError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UsageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    LogitsError: HTTPStatus.UNPROCESSABLE_ENTITY,
    OutOfMemoryError: HTTPStatus.SERVICE_UNAVAILABLE,
    ServerError: HTTPStatus.SERVICE_UNAVAILABLE,
    BackendError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    OutputError: HTTPStatus.INSUFFICIENT_STORAGE,
    MissingExtraError: HTTPStatus.NOT_IMPLEMENTED,
    FloodSegError: HTTPStatus.UNPROCESSABLE_ENTITY,
}


class Problem(Exception):
    """An answer that is an error.

    Attributes:
        status: of the response.
        detail: one line: what is wrong and what to do, without a path of this machine.
        headers: of the response.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))

    @classmethod
    def of(cls, error: FloodSegError) -> Problem:
        """Returns the problem that an error of a user is."""
        status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
        return cls(status, without_paths(shorten_words(str(error))))

    def response(self, extra: Mapping[str, Any] | None = None) -> JSONResponse:
        """Returns the response; `extra` are further members of its object."""
        content = {"type": "about:blank", "title": self.status.phrase, "status": self.status.value,
                   "detail": self.detail, **(extra or {})}  # fmt: skip
        if identifier := request_id():
            content["request_id"] = identifier
        return JSONResponse(content, self.status, self.headers, media_type=MEDIA_TYPE)


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Returns `responses=` of a route, or of a router: the errors that it answers with, for the OpenAPI schema."""
    content = {MEDIA_TYPE: {"schema": SCHEMA}}
    return {status.value: {"description": status.phrase, "content": content} for status in statuses}


def without_paths(text: str) -> str:
    """Returns a message with only the last part of each absolute path, so that no folder of this machine is told."""
    return re.sub(r"(?<![\w:/.])/(?:[^\s/:;,'\"()]+/)+([^\s/:;,'\"()]*)", r"\1", text)
