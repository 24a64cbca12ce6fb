"""Files from outside: which formats are opened of them, in a process that FLOOD_SEG_UNTRUSTED says reads such files.

Many formats name other files, or addresses, that GDAL then reads: a VRT, a WMS description, a JSON of tiles. Whoever
sends one reads whatever this machine can. So in such a process GDAL has only the drivers of formats that hold their
own content, looks for no files beside the one that is opened, and reaches no network.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from flood_seg.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "FLOOD_SEG_UNTRUSTED"

RASTER_DRIVERS = ("GTiff", "JP2OpenJPEG", "PNG", "JPEG")  # a COG is a GTiff
RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg")
VECTOR_DRIVERS = ("GPKG", "FlatGeobuf", "GeoJSON")
VECTOR_SUFFIXES = (".gpkg", ".fgb", ".geojson", ".parquet", ".geoparquet")
FORMATS = "GeoPackage, FlatGeobuf, GeoJSON or GeoParquet"
# With which this package writes and warps; the VRT is left out of what is opened, see RASTER_DRIVERS.
OWN_DRIVERS = ("COG", "MEM", "Memory", "VRT")

# A reference system by its address in a GeoJSON is the last thing that makes GDAL's drivers ask a server: they reach
# none by a proxy that is not there.
OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_HTTP_PROXY": "127.0.0.1:9",
    "GDAL_HTTPS_PROXY": "127.0.0.1:9",
    "GDAL_HTTP_MAX_RETRY": "0",
    "OGR_SQLITE_ALLOW_EXTERNAL_ACCESS": "NO",
    "PROJ_NETWORK": "OFF",
}

_GEOPACKAGE, _FLATGEOBUF = b"SQLite format 3\0", b"fgb\x03fgb"
_BOM = b"\xef\xbb\xbf"
# Tables of SQLite's that compute nothing: the spatial index of GeoPackages
_INDEX = "USING rtree"


def is_untrusted() -> bool:
    """Whether this process reads files from outside."""
    return os.environ.get(VARIABLE) == "true"


def restrict() -> None:
    """Says that this process, and those that it starts, read files from outside."""
    os.environ.update(OPTIONS | {VARIABLE: "true"})


def restricted(drivers: Iterable[str]) -> dict[str, str]:
    """Returns the environment variables of a process that reads files from outside.

    Args:
        drivers: all of GDAL's, of which it loses those that are not needed.
    """
    kept = {*RASTER_DRIVERS, *VECTOR_DRIVERS, *OWN_DRIVERS}
    return OPTIONS | {VARIABLE: "true", "GDAL_SKIP": ",".join(sorted(set(drivers) - kept))}


def check_vector(path: Path, *, untrusted: bool | None = None) -> None:
    """Refuses shapes from outside that GDAL would not read from their own file alone.

    Args:
        path: of the file.
        untrusted: whether it is from outside; None: by the variable.

    Raises:
        DataError: it is of another format than VECTOR_DRIVERS, or a GeoPackage with views or virtual tables.
    """
    if not (is_untrusted() if untrusted is None else untrusted):
        return
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if head.startswith(_GEOPACKAGE):
        _check_tables(path)
    elif not (head.startswith(_FLATGEOBUF) or head.removeprefix(_BOM).lstrip().startswith(b"{")):
        raise DataError(f"{path}: is no {FORMATS} file, and others are not read from outside; convert it with ogr2ogr")


def _check_tables(path: Path) -> None:
    """Raises DataError where reading a table of SQLite runs expressions that came with the file."""
    address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            database.execute("PRAGMA trusted_schema=OFF")
            # Views, triggers and virtual tables have no page; triggers run only when something is written
            query = "SELECT type, name, sql FROM sqlite_master WHERE type = 'view' OR (type = 'table' AND rootpage = 0)"
            found = [(kind, name) for kind, name, sql in database.execute(query) if _INDEX not in str(sql)]
    except sqlite3.Error as error:
        raise DataError(f"{path}: is damaged, or no GeoPackage ({error})") from error
    if found:
        kind, name = found[0]
        what = "view" if kind == "view" else "virtual table"
        raise DataError(f"{path}: has the {what} {name}, which is not read from outside; copy its layer with ogr2ogr")
