"""An archive of scenes: a STAC collection with a link to each item, and their properties as one table to search."""

from __future__ import annotations

import json
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.console import warn
from flood_seg.errors import DataError, OutputError
from flood_seg.files import atomic_path, write_text
from flood_seg.object_store import ObjectFolder
from flood_seg.products.stac_item import RECORD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLLECTION = "collection.json"
INDEX = "index.parquet"
_PARQUET = "application/vnd.apache.parquet"
_COLUMNS = ("datetime", "created", "proj:code")  # of the index, beside the numbers of flood_seg:


def membership(collection: str) -> dict[str, Any]:
    """Returns what an item says of the collection that it belongs to."""
    links = [{"rel": rel, "href": f"../{COLLECTION}", "type": "application/json"}
             for rel in ("root", "parent", "collection")]  # fmt: skip
    return {"collection": collection, "links": links}


def is_archive(place: Path | ObjectFolder) -> bool:
    """Whether a folder has the collection of an archive; raises StoreError where its bucket cannot be read."""
    return _read(place, COLLECTION) is not None


def archive_name(place: Path | ObjectFolder) -> str:
    """Returns the name of the collection in a folder."""
    return Path(place.url).name if isinstance(place, ObjectFolder) else place.absolute().name


def add_to_archive(place: Path | ObjectFolder, records: Mapping[str, dict[str, Any]]) -> None:
    """Adds scenes to the collection and the index of an archive, or replaces theirs.

    What is in the index is not read again from the items.

    Args:
        place: of the archive.
        records: STAC item of each scene by the name of its folder in the archive.

    Raises:
        DataError: the collection or the index of an earlier run is damaged.
        OutputError: they cannot be written.
        StoreError: they cannot be read from or written to their bucket.
    """
    try:
        found = _read(place, COLLECTION)
        collection = json.loads(found) if found else _new_collection(archive_name(place))
        known = [link["href"] for link in collection["links"] if link["rel"] == "item"]
        rows = _read_index(place, known)
        fresh = {name: row for name, record in records.items() if (row := _row(name, record))}
        changed = {name: row for name, row in fresh.items() if name not in rows or _created(rows[name]) < _created(row)}
        links = [f"./{name}/{RECORD}" for name in records if f"./{name}/{RECORD}" not in set(known)]
        if found and not changed and not links:
            return
        collection["links"] += [{"rel": "item", "href": href, "type": "application/geo+json"} for href in links]
        _extend(collection, records.values())
        rows |= changed
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place}/{COLLECTION}: is damaged ({error}); remove it and {INDEX}") from error
    if rows:
        _write_index(place, rows)
    _write(place, COLLECTION, json.dumps(collection, indent=2) + "\n")


def _new_collection(name: str) -> dict[str, Any]:
    return {
        "type": "Collection", "stac_version": "1.1.0", "id": name, "license": "other",
        "description": "Maps of scenes by flood-seg",
        "extent": {"spatial": {"bbox": []}, "temporal": {"interval": [[None, None]]}},
        "links": [{"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"}],
        "assets": {"index": {"href": f"./{INDEX}", "title": "Index of the items", "type": _PARQUET,
                             "roles": ["collection-mirror"]}},
    }  # fmt: skip


def _extend(collection: dict[str, Any], records: Iterable[dict[str, Any]]) -> None:
    """Extends the place and the time of a collection by those of items."""
    extent = collection["extent"]
    boxes = extent["spatial"]["bbox"] + [record["bbox"] for record in records if record.get("bbox")]
    if boxes:
        west, south, east, north = zip(*boxes, strict=True)
        extent["spatial"]["bbox"] = [[min(west), min(south), max(east), max(north)]]
    times = [time for time in extent["temporal"]["interval"][0] if time]
    times += [record["properties"]["datetime"] for record in records]
    extent["temporal"]["interval"] = [[min(times), max(times)]] if times else [[None, None]]


def _row(name: str, record: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the row of an item: what can be searched, of one type in all items; None: it has no place.

    Its links and assets are relative to the archive.
    """
    if not record.get("geometry"):
        return None
    found = record["properties"]
    kept = {key: found[key] for key in _COLUMNS if found.get(key)}
    kept |= {key: value for key, value in found.items() if key.startswith("flood_seg:") and _is_numeric(value)}
    kept["flood_seg:complete"] = not found.get("flood_seg:failed_blocks")
    assets = {
        key: {part: asset[part] for part in ("title", "type", "roles") if part in asset}
        | {"href": f"./{name}/{asset['href'][2:]}" if asset["href"].startswith("./") else asset["href"]}
        for key, asset in record["assets"].items()
    }
    link = {"rel": "self", "href": f"./{name}/{RECORD}", "type": "application/geo+json"}
    fields = {key: record[key] for key in ("type", "stac_version", "geometry", "bbox", "collection") if key in record}
    return fields | {"id": name, "properties": kept, "links": [link], "assets": assets}


def _created(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["properties"]["created"])


def _is_numeric(value: Any) -> bool:
    values = list(value.values()) if isinstance(value, dict) else [value]
    return bool(values) and all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)


def _read_index(place: Path | ObjectFolder, links: list[str]) -> dict[str, dict[str, Any]]:
    """Returns the rows of an index by their names; makes them anew from the items where there is no index."""
    import rustac

    content = _read(place, INDEX)
    if content is not None:
        with tempfile.TemporaryDirectory() as folder:
            (file := Path(folder) / INDEX).write_bytes(content)
            try:
                return {item["id"]: item for item in rustac.read_sync(str(file))["features"]}
            except rustac.RustacError as error:
                warn(f"{place}/{INDEX}: is damaged ({error}); it is made anew")
    rows = {}
    for href in links:
        name = href.removeprefix("./").removesuffix(f"/{RECORD}")
        if (record := _read(place, f"{name}/{RECORD}")) and (row := _row(name, json.loads(record))):
            rows[name] = row
    return rows


def _write_index(place: Path | ObjectFolder, rows: Mapping[str, dict[str, Any]]) -> None:
    import rustac

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / INDEX
        try:
            rustac.write_sync(str(file), list(rows.values()), format="geoparquet[zstd]")
        except rustac.RustacError as error:
            raise OutputError(f"{place}/{INDEX}: cannot be written ({error})") from error
        if isinstance(place, ObjectFolder):
            place.write(INDEX, file, _PARQUET)
        else:
            with atomic_path(place / INDEX) as temporary:
                temporary.write_bytes(file.read_bytes())


def _read(place: Path | ObjectFolder, name: str) -> bytes | None:
    if isinstance(place, ObjectFolder):
        return place.read(name)
    return (place / name).read_bytes() if (place / name).is_file() else None


def _write(place: Path | ObjectFolder, name: str, text: str) -> None:
    if isinstance(place, ObjectFolder):
        place.write(name, text.encode(), "application/json")
    else:
        write_text(place / name, text)
