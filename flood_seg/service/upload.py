"""Images in requests: as the body, or as files of a form; on disk where they are large."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from flood_seg.console import one_line
from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Message, Receive

    from flood_seg.config.schema.service import LimitOptions

IN_MEMORY = 1 << 20  # bytes of an upload; a larger one is a temporary file without a name
FEW = 8  # files in a form for one image, of which it is told how many there are
NAME_LENGTH = 120
UNNAMED = "image"


@asynccontextmanager
async def one_image(request: Request, limits: LimitOptions) -> AsyncIterator[UploadFile]:
    """Yields the image of a request: its body, or the file of its form's field `image`.

    Raises:
        Problem: 413, it is too large; 400, the form is damaged; 408, it does not arrive; 422, there is none or several.
    """
    limit = int(limits.body_mb * 1e6)
    if _is_form(request):
        async with _files(request, limits, "image", limit, FEW) as files:
            if len(files) > 1:
                raise _unusable(f"{len(files)} images; send one, or several to /predict/batch")
            yield files[0]
        return
    limited = Request(request.scope, _counted(request.receive, limit, limits))
    with SpooledTemporaryFile(IN_MEMORY) as file:
        upload = UploadFile(file, size=0, filename=UNNAMED)  # type: ignore[arg-type] # as Starlette itself does
        async with _receiving(limits):
            async for chunk in limited.stream():
                await upload.write(chunk)
        if not upload.size:
            raise _unusable("there is no image; send it as the body, or as the field image of a multipart form")
        yield upload


@asynccontextmanager
async def several_images(request: Request, limits: LimitOptions) -> AsyncIterator[list[UploadFile]]:
    """Yields the files of a form's field `images`; raises as `one_image`, and 413 where there are too many."""
    if not _is_form(request):
        raise _unusable("there are no images; send them as the field images of a multipart form")
    limit = int(limits.body_mb * 1e6) * limits.files
    async with _files(request, limits, "images", limit, limits.files) as files:
        yield files


def name_of(upload: UploadFile) -> str:
    """Returns what messages call an upload: the last part of the name that the caller gave, as one line."""
    name = one_line((upload.filename or "").replace("\\", "/").rpartition("/")[2]).strip()
    return name[:NAME_LENGTH] or UNNAMED


@asynccontextmanager
async def _files(
    request: Request, limits: LimitOptions, field: str, limit: int, count: int
) -> AsyncIterator[list[UploadFile]]:
    limited = Request(request.scope, _counted(request.receive, limit, limits))
    try:
        async with _receiving(limits):
            form = await limited.form(max_files=count, max_fields=FEW)
    except HTTPException as error:
        if error.detail.startswith("Too many files"):
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {count} files") from error
        raise Problem(HTTPStatus.BAD_REQUEST, f"the form cannot be read: {error.detail.rstrip('.')}") from error
    try:
        files = [one for one in form.getlist(field) if not isinstance(one, str)]
        others = {name for name, _ in form.multi_items()} - {field}
        if not files:
            found = f"; it has {', '.join(sorted(map(one_line, others)))}" if others else ""
            raise _unusable(f"the form has no file in the field {field}{found}")
        yield files
    finally:
        await form.close()


@asynccontextmanager
async def _receiving(limits: LimitOptions) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limits.timeout):
            yield
    except TimeoutError:
        detail = f"the request did not arrive within {limits.timeout:g} seconds"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail) from None
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "the connection was closed before the request had arrived") from None


def _counted(receive: Receive, limit: int, limits: LimitOptions) -> Receive:
    """Returns a `receive` that ends with Problem 413 as soon as more bytes have come than may, said so or not."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise too_large(limits)
        return message

    return counted


def too_large(limits: LimitOptions) -> Problem:
    """Returns the problem of an image of too many bytes."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"more than {limits.body_mb:g} MB; send a scene to /jobs, or a smaller file",
    )


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"


def _unusable(detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
