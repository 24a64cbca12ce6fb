"""The identifier of the request that is being answered, in its response, its log lines and its problems."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

HEADER = "X-Request-ID"
# What a caller may choose: no characters that could forge a log line or a header.
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def begin_request(given: str) -> str:
    """Returns the identifier of a request from here on: the caller's own where it is sane, else a new one."""
    identifier = given if _SANE.fullmatch(given) else uuid.uuid4().hex
    _current.set(identifier)
    return identifier


def request_id() -> str | None:
    """Returns the identifier of the request that is being answered here, also in its threads; None outside of one."""
    return _current.get()
