"""Images in requests: as the body, or as files of a form; on disk where they are large."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
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
    from collections.abc import AsyncIterator, Iterator

IN_MEMORY = 1 << 20  # bytes of an upload; a larger one is a temporary file without a name
FEW = 8  # files in a form for one image, of which it is told how many there are
NAME_LENGTH = 120
UNNAMED = "image"


@asynccontextmanager
async def one_image(request: Request) -> AsyncIterator[UploadFile]:
    """Yields the image of a request: its body, or the file of its form's field `image`.

    Its size is limited by `security.body`.

    Raises:
        Problem: 400, the form is damaged, or the connection is closed; 422, there is no image, or several.
    """
    if _is_form(request):
        async with _files(request, "image", FEW) as files:
            if len(files) > 1:
                raise _unusable(f"{len(files)} images; send one, or several to /predict/batch")
            yield files[0]
        return
    with SpooledTemporaryFile(IN_MEMORY) as file:
        upload = UploadFile(file, size=0, filename=UNNAMED)  # type: ignore[arg-type] # as Starlette itself does
        with _connected():
            async for chunk in request.stream():
                await upload.write(chunk)
        if not upload.size:
            raise _unusable("there is no image; send it as the body, or as the field image of a multipart form")
        yield upload


@asynccontextmanager
async def several_images(request: Request, most: int) -> AsyncIterator[list[UploadFile]]:
    """Yields the files of a form's field `images`; raises as `one_image`, and 413 where there are more than `most`."""
    if not _is_form(request):
        raise _unusable("there are no images; send them as the field images of a multipart form")
    async with _files(request, "images", most) as files:
        yield files


def name_of(upload: UploadFile) -> str:
    """Returns what messages call an upload: the last part of the name that the caller gave, as one line."""
    name = one_line((upload.filename or "").replace("\\", "/").rpartition("/")[2]).strip()
    return name[:NAME_LENGTH] or UNNAMED


@asynccontextmanager
async def _files(request: Request, field: str, most: int) -> AsyncIterator[list[UploadFile]]:
    try:
        with _connected():
            form = await request.form(max_files=most, max_fields=FEW)
    except HTTPException as error:
        if error.status_code != HTTPStatus.BAD_REQUEST:
            raise
        if error.detail.startswith("Too many files"):
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {most} files") from error
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


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "the connection was closed before the request had arrived") from None


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"


def _unusable(detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
