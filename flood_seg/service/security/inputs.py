"""Inputs that a caller names, as a path or an address: which of them the service reads."""

from __future__ import annotations

import re
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from flood_seg.console import one_line, shorten_words
from flood_seg.errors import DataError, ImageError
from flood_seg.imaging.gdal import import_rasterio, open_file
from flood_seg.service.problems import Problem, without_paths
from flood_seg.untrusted import FORMATS, RASTER_SUFFIXES, VECTOR_SUFFIXES, check_vector, restricted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rasterio.io import DatasetReader

    from flood_seg.config.schema.service import SecurityOptions

SUFFIXES = (*RASTER_SUFFIXES, *VECTOR_SUFFIXES)
PORTS = {"https": 443, "s3": None}
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PREFIX = re.compile(r"[A-Za-z][\w+.-]*:")  # of GDAL's names, NETCDF:file.nc:water, and of drives
_ENCODED = re.compile(r"%(?:2f|5c|00|25)", re.IGNORECASE)  # slashes, NUL, and what is encoded twice


def resolve_input(text: str, options: SecurityOptions) -> str:
    """Returns the file or the address that a caller means, if the service reads it.

    Args:
        text: a path relative to `serve.security.data_dir`, or an address that begins with one of `sources`.
        options: of the service.

    Returns:
        the absolute path of a file in the folder, or the address in its normal form, https:// or s3://.

    Raises:
        Problem: it is neither, or not allowed.
    """
    return resolve_address(text, options.sources) if "://" in text else str(resolve_path(text, options.data_dir))


def resolve_path(text: str, data_dir: str | None) -> Path:
    """Returns a file below the data folder.

    Raises:
        Problem: it is none, or not below the folder, which the answer does not tell apart.
    """
    shown = shorten_words(one_line(text))
    if data_dir is None:
        raise Problem(HTTPStatus.FORBIDDEN, f"{shown}: paths are refused, since serve.security.data_dir is not set")
    path = PurePosixPath(text)
    if (
        _CONTROL.sub("", text) != text.replace(" ", "") or "\\" in text or _PREFIX.match(text) or "|" in text
        or path.is_absolute() or not path.parts or any(part.startswith(".") for part in text.split("/"))
    ):  # fmt: skip
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{shown}: give a path in the data folder, such as scenes/scene.tif"
        )
    check_suffix(path.name)
    folder = Path(data_dir)
    try:
        found = (folder / path).resolve(strict=True)
        inside = found.is_file() and found.is_relative_to(folder.resolve(strict=True))
    except (OSError, RuntimeError):  # missing, a loop of links, a name that is too long
        inside = False
    if not inside:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{shown}: is no file in the data folder")
    return found


def resolve_address(text: str, sources: list[str]) -> str:
    """Returns an address in its normal form, if it begins with one of the sources and ends like an input.

    Raises:
        Problem: it does not, or is no address.
    """
    address = allowed_address(text, sources)
    check_suffix(unquote(urlsplit(address).path))
    return address


def allowed_address(text: str, sources: list[str]) -> str:
    """Returns an address in its normal form, if it begins with one of the sources; raises as `resolve_address`."""
    address = normal_address(text)
    if not any(_begins(address, normal_address(source)) for source in sources):
        known = f"addresses begin with {' or '.join(sources)}" if sources else "addresses are refused here"
        raise Problem(HTTPStatus.FORBIDDEN, f"{shorten_words(one_line(text))}: is not allowed; {known}")
    return address


def normal_address(text: str) -> str:
    """Returns an address whose scheme and host are in small letters, without the usual port and encoded dots.

    Raises:
        Problem: it could mean different things to different programs, or is no https:// or s3:// address.
    """
    shown = shorten_words(one_line(text))
    fault = Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"{shown}: is no address that is read here; give https:// or s3://"
    )
    if _CONTROL.search(text) or "\\" in text or "#" in text:
        raise fault
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise fault from error
    scheme = parts.scheme.lower()
    if scheme not in PORTS or not host or "@" in parts.netloc or not host.isascii() or "%" in host:
        raise fault
    path = parts.path or "/"
    if _ENCODED.search(path) or any(unquote(step) in (".", "..") for step in path.split("/")):
        raise fault
    if scheme == "s3" and (port is not None or parts.query):
        raise fault
    shown_host = f"[{host}]" if ":" in host else host
    place = shown_host if port in (None, PORTS[scheme]) else f"{shown_host}:{port}"
    return f"{scheme}://{place}{path}{f'?{parts.query}' if parts.query else ''}"


def _begins(address: str, source: str) -> bool:
    """Whether an address is a source, or below it: `/folder` does not begin `/folder2`."""
    plain = address.partition("?")[0]
    return plain == source or plain.startswith(source if source.endswith("/") else f"{source}/")


def check_suffix(name: str) -> None:
    """Checks by the name of an input that it can be of a format that is read from outside.

    Raises:
        Problem: it cannot.
    """
    if PurePosixPath(name).suffix.lower() not in SUFFIXES:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"{shorten_words(one_line(PurePosixPath(name).name))}: is of no format that is read here; give a GeoTIFF, "
            f"JPEG 2000, PNG or JPEG, and shapes as {FORMATS}",
        )


def check_file(path: Path) -> None:
    """Checks by its content that a file from outside can be read, before anything else opens it.

    Raises:
        Problem: it is of another format than its name says, or damaged.
    """
    try:
        if path.suffix.lower() in RASTER_SUFFIXES:
            with open_untrusted(path):
                return
        if path.suffix.lower() in VECTOR_SUFFIXES[:3]:
            check_vector(path, untrusted=True)
    except (ImageError, DataError) as error:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, without_paths(str(error))) from error


@contextmanager
def open_untrusted(path: Path) -> Iterator[DatasetReader]:
    """Yields a raster from outside, opened with the drivers of `flood_seg.untrusted` alone; raises as `open_raster`."""
    with open_file(path, untrusted=True) as dataset:
        yield dataset


def restricted_environment() -> dict[str, str]:
    """Returns the environment variables of a process that reads inputs of callers, beside those of this one."""
    import pyogrio

    with import_rasterio().Env() as environment:
        return restricted({*environment.drivers(), *pyogrio.list_drivers()})
