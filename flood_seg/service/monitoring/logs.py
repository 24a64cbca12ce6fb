"""Log lines on stderr, as text for people or as JSON for machines, with the identifier of the request they belong to.

Headers and query strings are never logged: keys, sessions and signatures of addresses are in them.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import trace

from flood_seg.console import lines_to, one_line
from flood_seg.service.request_id import request_id

if TYPE_CHECKING:
    from collections.abc import Iterator

Format = Literal["text", "json"]

# Of the service itself; other libraries are heard from WARNING on.
LOGGER = logging.getLogger("flood_seg.service")


@contextmanager
def logging_as(form: Format) -> Iterator[None]:
    """Writes log lines to stderr in the meantime; with `json`, the lines of the console too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root, level = logging.getLogger(), LOGGER.level
    root.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        if form == "text":
            yield
            return
        logging.captureWarnings(True)
        with lines_to(lambda line, warning: LOGGER.log(logging.WARNING if warning else logging.INFO, "%s", line)):
            yield
    finally:
        logging.captureWarnings(False)
        LOGGER.setLevel(level)
        root.removeHandler(handler)


def log_request(fields: dict[str, Any], *, quiet: bool) -> None:
    """Writes the line of a request that was answered.

    Args:
        fields: method, path, route, status, seconds, bytes (of the body that was sent) and caller.
        quiet: whether it is one of those that come every few seconds, and is left out.
    """
    level = logging.DEBUG if quiet else logging.INFO
    caller = f", {fields['caller']}" if fields["caller"] else ""
    LOGGER.log(level, "%(method)s %(path)s %(status)s %(seconds).3f s, %(bytes)d bytes%(end)s",
               fields | {"end": caller}, extra={"fields": fields})  # fmt: skip


class TextFormatter(logging.Formatter):
    """One line per record, and the traceback of a bug below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        identifier = request_id()
        line = f"{time} {level}{one_line(record.getMessage())}{f' [{identifier}]' if identifier else ''}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per record.

    It has time (RFC 3339, UTC), level, logger and message, and where there are some the fields of a request,
    request_id, trace_id and exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Returns the object on one line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"), "level": record.levelname.lower(), "logger": record.name,
            "message": record.getMessage(), **getattr(record, "fields", {}),
        }  # fmt: skip
        if identifier := request_id():
            line["request_id"] = identifier
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = trace.format_trace_id(span.trace_id)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
