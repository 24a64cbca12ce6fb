"""Errors as problem details for HTTP APIs, RFC 9457, from one table of statuses."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from fastapi.responses import JSONResponse

from flood_seg.console import one_line, shorten_words
from flood_seg.errors import (
    BackendError,
    ConfigError,
    DataError,
    DisagreementError,
    FindingsError,
    FloodSegError,
    FormatError,
    ImageError,
    LogitsError,
    MissingExtraError,
    ModelError,
    OutOfMemoryError,
    OutputError,
    PartialFailureError,
    ServerError,
    StoreError,
    TrackingError,
    TrainingError,
    UsageError,
    WeightsError,
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

# Every class is here, so that none gets its status by accident. What is wrong with a request is 4xx.
STATUSES: dict[type[FloodSegError], HTTPStatus] = {
    FloodSegError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UsageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
    DataError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    FormatError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    FindingsError: HTTPStatus.UNPROCESSABLE_ENTITY,
    PartialFailureError: HTTPStatus.UNPROCESSABLE_ENTITY,
    StoreError: HTTPStatus.UNPROCESSABLE_ENTITY,  # the bucket of an input
    LogitsError: HTTPStatus.UNPROCESSABLE_ENTITY,  # of this image
    ModelError: HTTPStatus.SERVICE_UNAVAILABLE,
    WeightsError: HTTPStatus.SERVICE_UNAVAILABLE,
    BackendError: HTTPStatus.SERVICE_UNAVAILABLE,
    ServerError: HTTPStatus.SERVICE_UNAVAILABLE,
    OutOfMemoryError: HTTPStatus.SERVICE_UNAVAILABLE,
    OutputError: HTTPStatus.INSUFFICIENT_STORAGE,
    MissingExtraError: HTTPStatus.NOT_IMPLEMENTED,
    TrainingError: HTTPStatus.INTERNAL_SERVER_ERROR,
    TrackingError: HTTPStatus.INTERNAL_SERVER_ERROR,
    DisagreementError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_WORD = r"""[^\s/\\:;,'"()<>|]+"""
_PLAIN = r"""[^\s/\\:;,'"()<>|.]+"""  # the first word of a folder's name with spaces, so not `scene.tif`
_MEDIA = r"(?:application|audio|font|image|message|model|multipart|text|video)/"
_FOLDER = rf"(?:{_PLAIN}(?: (?!\d+/\d|{_MEDIA}){_WORD}){{1,4}}|{_WORD})"
_ROOT = (
    r"""(?:(?<![\w:/.\\])(?:file:(?://[^/\s]*)?(?=/)|\\\\|[A-Za-z]:(?=[/\\])|~(?=/)|\.{1,2}(?=/)|(?=/))"""
    r"""|(?<=\w:)(?=/(?!/)))"""  # libtiff names its function, a colon, and the file
)
# A message may quote what a caller sent, so each part is bounded, or ends where the next one begins: none is searched
# for anew from each of its characters
_PLACES = re.compile(
    rf"""(?P<address>\b(?!file:)[A-Za-z][A-Za-z0-9+.-]{{0,31}}://[^\s'"]+)"""
    rf"""|(?<=(?P<quote>['"]))(?:/|file:/|~/|\\\\|[A-Za-z]:[/\\])(?=[^'"]*[/\\])(?P<quoted>[^'"]*)(?=(?P=quote))"""
    rf"""|{_ROOT}[/\\]*(?:{_FOLDER}[/\\]+)+(?P<name>{_WORD})[/\\]?"""
)


class Problem(Exception):
    """An answer that is an error.

    Attributes:
        status: of the response.
        detail: one line: what is wrong and what to do, without a path of this machine.
        headers: of the response.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, one_line(detail), dict(headers or {})
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))

    @classmethod
    def of(cls, error: FloodSegError) -> Problem:
        """Returns the problem that an error of a user is."""
        return cls(STATUSES[type(error)], shorten_words(without_paths(str(error))))

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
    """Returns a message with only the last part of each absolute path, so that no folder of this machine is told.

    Addresses, fractions and media types stay as they are. Where words after a space may still belong to a
    folder's name, they are taken for it.
    """
    return _PLACES.sub(lambda found: found["address"] or unquote(found["name"] or _last(found["quoted"] or "")), text)


def _last(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]
