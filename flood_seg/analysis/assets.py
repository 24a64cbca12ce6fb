"""Files of an analysis in the STAC item of the result that they belong to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flood_seg.files import write_json
from flood_seg.products.stac_item import RECORD, checksum

if TYPE_CHECKING:
    from pathlib import Path

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".gpkg": "application/geopackage+sqlite3",
    ".json": "application/json",
}
FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"


def add_assets(folder: Path, titles: dict[str, str]) -> None:
    """Adds files to the STAC item of the result in whose folder they are, in place of earlier ones of the same names.

    Args:
        folder: of the result.
        titles: by the names of the files; one that is missing is removed from the item.

    Raises:
        OutputError: the item cannot be written.
    """
    item = json.loads((folder / RECORD).read_text("utf-8"))
    for name, title in titles.items():
        file, key = folder / name, name.replace(".", "_")
        item["assets"].pop(key, None)
        if file.is_file():
            item["assets"][key] = {
                "href": f"./{name}", "type": MEDIA_TYPES[file.suffix], "title": title, "roles": ["data"],
                "file:checksum": checksum(file), "file:size": file.stat().st_size,
            }  # fmt: skip
    if FILE_EXTENSION not in item["stac_extensions"]:
        item["stac_extensions"].append(FILE_EXTENSION)
    write_json(folder / RECORD, item)
