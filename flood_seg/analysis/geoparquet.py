"""GeoParquet, which builds of GDAL without Arrow do not read: copied to a file that they do."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from flood_seg.errors import DataError
from flood_seg.extras import missing_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = (".parquet", ".geoparquet")
ROWS = 65_536  # that are copied at once


@contextmanager
def readable_by_gdal(path: Path) -> Iterator[Path]:
    """Yields a file that GDAL reads: the given one, or a temporary copy of a GeoParquet file as FlatGeobuf.

    Columns of lists and structures, such as bounding boxes, are not copied.

    Raises:
        DataError: the file is damaged, or no GeoParquet whose shapes are WKB.
        MissingExtraError: pyarrow is not installed.
    """
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        yield path
        return
    with missing_extra(f"{path}: reading GeoParquet"), TemporaryDirectory(prefix="flood-seg-") as folder:
        copy = Path(folder) / f"{path.stem}.fgb"
        _copy(path, copy)
        yield copy


def _copy(path: Path, copy: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyogrio.errors import DataSourceError, FeatureError, FieldError, GeometryError
    from pyogrio.raw import write_arrow

    try:
        file = pq.ParquetFile(path)
        metadata = json.loads((file.schema_arrow.metadata or {}).get(b"geo", b"{}"))
        name = metadata.get("primary_column")
        column = metadata.get("columns", {}).get(name)
        if column is None:
            raise DataError(f"{path}: is no GeoParquet, since it does not say which column holds the shapes")
        if column.get("encoding") != "WKB":
            raise DataError(f"{path}: its shapes are encoded as {column.get('encoding')}; write them as WKB")
        plain = [one.name for one in file.schema_arrow if not pa.types.is_nested(one.type) or one.name == name]
        schema = pa.schema([_plain(file.schema_arrow.field(one)) for one in plain])
        batches = (
            pa.record_batch([one.cast(field.type) for one, field in zip(batch.columns, schema, strict=True)], schema)
            for batch in file.iter_batches(ROWS, columns=plain)
        )
        write_arrow(
            pa.RecordBatchReader.from_batches(schema, batches), copy, driver="FlatGeobuf", geometry_name=name,
            geometry_type="Unknown", crs=_crs(column), SPATIAL_INDEX="NO",
        )  # fmt: skip
    except (pa.ArrowException, DataSourceError, FeatureError, FieldError, GeometryError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as GeoParquet ({' '.join(str(error).split())})") from error


def _plain(field: Any) -> Any:
    """Returns a field as GDAL takes it: of types that Parquet files of geopandas and DuckDB have beside its own."""
    import pyarrow as pa

    kind = field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        kind = pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        kind = pa.binary()
    return pa.field(field.name, kind)


def _crs(column: dict[str, Any]) -> str | None:
    """Returns the coordinate reference system; without an entry it is WGS 84, null is an unknown one."""
    from pyproj import CRS

    if "crs" not in column:
        return "OGC:CRS84"
    return CRS.from_json_dict(column["crs"]).to_wkt() if column["crs"] else None
