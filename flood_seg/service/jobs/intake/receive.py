"""Receives a multipart form; its files go straight to their place on the disk, whatever their size."""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from flood_seg.service.jobs.records import INPUTS
from flood_seg.service.problems import Problem
from flood_seg.service.security.inputs import check_suffix

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK = 1 << 20  # bytes that are written at once
TEXT_BYTES = 1 << 16  # of a text field
TEXTS = ("name", "model", "threshold", "options", "path", *(f"{one}_path" for one in INPUTS[1:]))
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
_GEOPACKAGE = "upload a GeoPackage: ogr2ogr roads.gpkg roads.shp"
_UNWANTED = {
    ".zip": f"is an archive, which is not opened; upload the file itself, and instead of a shapefile {_GEOPACKAGE}",
    **dict.fromkeys(
        (".shp", ".dbf", ".shx", ".prj"), f"is a part of a shapefile, whose others are missing; {_GEOPACKAGE}"
    ),
}


@dataclass
class ReceivedFile:
    """A file of a form.

    Attributes:
        name: that the caller gave; it is shown, and never used as a name.
        path: of the file, relative to the folder of the job.
        size: in bytes.
        digest: SHA-256; None: not computed.
    """

    name: str
    path: str
    size: int = 0
    digest: str | None = None


@dataclass
class Form:
    """A received form: its text fields, and its files by their field."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, ReceivedFile] = field(default_factory=dict)


async def receive_form(
    content_type: str | None, stream: AsyncIterator[bytes], folder: Path, room: int, too_much: Problem, *, digests: bool
) -> Form:
    """Writes the files of a form below a folder.

    Args:
        content_type: of the request.
        stream: of its body.
        folder: of the new job.
        room: bytes that the files may have together.
        too_much: the answer where they have more.
        digests: whether the files' digests are computed.

    Raises:
        Problem: the form is malformed, has a field that is not known, or is too large; or the disk is full.
    """
    kind, options = parse_options_header(content_type or "")
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send multipart/form-data with the field scene, or path")
    parts = _Parts(folder, room, too_much, digests=digests)
    try:
        parser = MultipartParser(options[b"boundary"], parts.callbacks())
        waiting = bytearray()
        async for data in stream:
            waiting += data
            if len(waiting) >= CHUNK:
                await run_in_threadpool(parser.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(parser.write, bytes(waiting))
        parser.finalize()
        if not parts.is_complete:
            raise Problem(HTTPStatus.BAD_REQUEST, "the form ends in the middle")
    except FormParserError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the form is malformed ({error})") from error
    except OSError as error:
        if error.errno in _FULL:
            raise Problem(HTTPStatus.INSUFFICIENT_STORAGE, "the disk of the service is full") from error
        raise
    finally:
        parts.close()
    return parts.form


class _Parts:
    """Takes what the parser finds."""

    def __init__(self, folder: Path, room: int, too_much: Problem, *, digests: bool) -> None:
        self.form, self.is_complete = Form(), False
        self._folder, self._room, self._too_much, self._digests = folder, room, too_much, digests
        self._header, self._value, self._disposition = b"", b"", b""
        self._field, self._text = "", bytearray()
        self._file: BinaryIO | None = None
        self._hash: Any = None

    def callbacks(self) -> Any:
        """Returns what the parser calls."""
        return {
            "on_part_begin": self._begin, "on_header_field": self._header_name, "on_header_value": self._header_value,
            "on_header_end": self._header_end, "on_headers_finished": self._headers, "on_part_data": self._data,
            "on_part_end": self._end, "on_end": self._all,
        }  # fmt: skip

    def close(self) -> None:
        """Closes a file whose end has not come."""
        if self._file:
            with suppress(OSError):  # of a full disk, which closing meets again
                self._file.close()

    def _begin(self) -> None:
        self._header = self._value = self._disposition = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers(self) -> None:
        options = parse_options_header(self._disposition)[1]
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if self._field in self.form.texts or self._field in self.form.files:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"field {self._field}: is there twice")
        if self._field in INPUTS:
            name = re.split(r"[/\\]", options.get(b"filename", b"").decode("utf-8", "replace"))[-1][:200]
            self._open(name)
        elif self._field in TEXTS:
            self._text = bytearray()
        else:
            known = ", ".join((*INPUTS, *TEXTS))
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"field {self._field[:40]!r}: is not known; known are {known}"
            )

    def _open(self, name: str) -> None:
        suffix = Path(name).suffix.lower()
        if suffix in _UNWANTED:
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{self._field}: {name}: {_UNWANTED[suffix]}")
        if name:
            check_suffix(name)
        found = ReceivedFile(name, f"inputs/{self._field}{suffix}")
        self.form.files[self._field] = found
        self._file = (self._folder / found.path).open("xb")
        self._hash = sha256() if self._digests else None

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            self._text += data[start:end]
            if len(self._text) > TEXT_BYTES:
                raise Problem(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"field {self._field}: is longer than {TEXT_BYTES} bytes"
                )
            return
        self._room -= end - start
        if self._room < 0:
            raise self._too_much
        part = memoryview(data)[start:end]
        self._file.write(part)
        self.form.files[self._field].size += end - start
        if self._hash:
            self._hash.update(part)

    def _end(self) -> None:
        if self._file is None:
            text = self._text.decode("utf-8", "replace").strip()
            if text:
                self.form.texts[self._field] = text
            return
        self._file.close()
        self._file = None
        found = self.form.files[self._field]
        found.digest = self._hash.hexdigest() if self._hash else None
        if not (found.size or found.name):  # what browsers send where no file is chosen
            del self.form.files[self._field]
            (self._folder / found.path).unlink()

    def _all(self) -> None:
        self.is_complete = True
