"""`/jobs/{id}/files`: the results of a job, as they are on the disk."""

from __future__ import annotations

import mimetypes
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from flood_seg.products.stac_item import FILES, time_text
from flood_seg.service.jobs.records import Job
from flood_seg.service.jobs.walk import files_below
from flood_seg.service.problems import Problem, documented
from flood_seg.service.routes.jobs import Reader
from flood_seg.service.state import Service, ServiceOf

router = APIRouter(prefix="/jobs/{job_id}/files", tags=["jobs"])

# One range, since a pattern of several takes time that doubles with each; no file has more digits of bytes
_RANGE = re.compile(r"(?P<first>[0-9]{1,18})-(?P<last>[0-9]{1,18})?|-[0-9]{1,18}")
_PRIVATE = "private, no-cache"  # asks each time whether it is still the same file


class ResultFile(BaseModel):
    """A file of the results."""

    name: str = Field(description="with its folder, area/flood_area.json")
    size: int = Field(description="in bytes")
    type: str = Field(description="media type")
    modified: str
    href: str


class ResultFiles(BaseModel):
    """The files of the results."""

    files: list[ResultFile]


@router.get("", responses=documented(HTTPStatus.NOT_FOUND))
async def list_files(job_id: str, request: Request, service: ServiceOf, caller: Reader) -> ResultFiles:
    """Returns the results of a job; of one that is not finished there are none."""
    root = request.scope.get("root_path", "")

    def read() -> list[ResultFile]:
        folder = service.jobs.store.results(job_id)
        found = []
        for file in sorted(files_below(folder)):
            if file.is_file() and _is_shown(file, folder):
                with suppress(FileNotFoundError):  # the job is being removed
                    found.append(_described(file, file.relative_to(folder).as_posix(), f"{root}/jobs/{job_id}/files/"))
        return found

    return ResultFiles(files=await run_in_threadpool(read))


_BINARY: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "The parts of the header Range"},
    304: {"description": "The file has the ETag of the header If-None-Match"},
}


@router.head("/{name:path}", include_in_schema=False)
@router.get(
    "/{name:path}", response_class=FileResponse,
    responses=_BINARY | documented(HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE),
)  # fmt: skip
async def get_file(job_id: str, name: str, request: Request, service: ServiceOf, caller: Reader) -> Response:
    """Returns a file of the results, or the parts of it that the header Range asks for."""
    job, path, status = await run_in_threadpool(_find, service, job_id, name)
    shown = f"{Path(job.request.name).stem}-{path.name}"
    headers = {"Cache-Control": _PRIVATE}
    answer = FileResponse(path, headers=headers, media_type=media_type(path.name), filename=shown, stat_result=status)
    etag = answer.headers["etag"]
    if etag in (one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers | {"ETag": etag})
    _check_range(request, answer, status.st_size)
    return answer


def media_type(name: str) -> str:
    """Returns the media type of a result by its name."""
    if name in FILES:
        return FILES[name][0]
    if name.endswith(".gpkg"):
        return FILES["areas.gpkg"][0]
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _described(file: Path, name: str, place: str) -> ResultFile:
    status = file.stat()
    modified = time_text(datetime.fromtimestamp(status.st_mtime, UTC))
    return ResultFile(name=name, size=status.st_size, type=media_type(file.name), modified=modified, href=place + name)


def _is_shown(file: Path, folder: Path) -> bool:
    return not any(part.startswith(".") for part in file.relative_to(folder).parts)


def _find(service: Service, job_id: str, name: str) -> tuple[Job, Path, os.stat_result]:
    """Returns a job, a file of its results, and what the system knows of it.

    Raises:
        Problem: there is none below the folder of the results.
    """
    job = service.jobs.store.get(job_id)
    missing = Problem(HTTPStatus.NOT_FOUND, f"{name[:80]}: is no result of this job; its files are listed by /files")
    if "\0" in name or "\\" in name or any(part in ("", ".", "..") or part.startswith(".") for part in name.split("/")):
        raise missing
    path = job.results / name
    try:
        if path.is_file() and path.resolve().is_relative_to(job.results.resolve()):
            return job, path, path.stat()
    except OSError:  # a name that is too long, or a file that was removed meanwhile
        pass
    raise missing


def _check_range(request: Request, answer: Response, size: int) -> None:
    """Leaves of a header Range what can be answered, by RFC 9110.

    A malformed one, or one of another state of the file (If-Range), is left out; and so are ranges beyond the file.

    Raises:
        Problem: all lie beyond the file.
    """
    given = request.headers.get("range")
    if given is None:
        return
    state = request.headers.get("if-range")
    current = state is None or state in (answer.headers["etag"], answer.headers["last-modified"])
    found = _ranges(given) if current else []
    there = [text for text, first in found if (first < size if first is not None else size and int(text[1:]))]
    if found and not there:
        raise Problem(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"the file has {size} bytes",
            {"Content-Range": f"bytes */{size}"},
        )
    headers = [(key, value) for key, value in request.scope["headers"] if key != b"range"]
    request.scope["headers"] = headers + ([(b"range", f"bytes={','.join(there)}".encode())] if there else [])


def _ranges(header: str) -> list[tuple[str, int | None]]:
    """Returns each range of a header, and its first byte (None: it is the end of the file); [] if it is malformed."""
    unit, _, ranges = header.partition("=")
    parts = [part for one in ranges.split(",") if (part := one.strip())]
    matches = [_RANGE.fullmatch(part) for part in parts]
    if unit.strip().lower() != "bytes" or not all(matches):
        return []
    found = [(part, match["first"], match["last"]) for part, match in zip(parts, matches, strict=True) if match]
    if any(first and last and int(last) < int(first) for _, first, last in found):
        return []
    return [(part, int(first) if first else None) for part, first, _ in found]
