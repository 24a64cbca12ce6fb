"""Results in S3: made in a local folder, and uploaded when a scene is done."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.errors import StoreError
from flood_seg.products.stac_item import FILES, RECORD

if TYPE_CHECKING:
    from flood_seg.object_store import ObjectFolder


def local_folder(remote: ObjectFolder, work_dir: Path) -> Path:
    """Returns the folder that the results of a remote one are made in: the same for the same address."""
    return work_dir / remote.url.rstrip("/").replace("://", "/")


def upload_results(folder: Path, remote: ObjectFolder, record: dict[str, Any], earlier: dict[str, Any] | None) -> None:
    """Uploads the files of a scene, the STAC item last, and removes those of an earlier result that it has not.

    Raises:
        StoreError: a file cannot be uploaded; the local ones are still there.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != RECORD]
    names = [file.relative_to(folder) for file in files]
    try:
        for name in names:
            if not any(part.startswith(".") for part in name.parts):
                remote.write(name.as_posix(), folder / name, FILES.get(name.name, ("application/octet-stream",))[0])
        remote.write(RECORD, folder / RECORD, "application/geo+json")
    except StoreError as error:
        raise StoreError(f"{error}; the results are in {folder}, the same command uploads them") from error
    for stale in _files_of(earlier) - _files_of(record):
        with suppress(StoreError):  # of no use, but no harm
            remote.delete(stale)


def _files_of(record: dict[str, Any] | None) -> set[str]:
    """Returns the names of the files that belong to a STAC item."""
    hrefs = [str(asset.get("href", "")) for asset in (record or {}).get("assets", {}).values()]
    return {href.removeprefix("./") for href in hrefs if href.startswith("./")}
