"""The place of results: a folder per scene, here or in S3, and the archive that several scenes are."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.errors import StoreError
from flood_seg.files import check_writable
from flood_seg.object_store import SCHEME, ObjectFolder
from flood_seg.products.archive import add_to_archive, archive_name, is_archive
from flood_seg.products.scene_record import parse
from flood_seg.products.stac_item import FILES, RECORD

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class SceneResults:
    """Where the results of a scene are: made in a local folder, and uploaded when they are done if they go to S3.

    Attributes:
        folder: that they are made in.
        remote: where they go; None: they stay.
        archive: name of the collection in the folder above that the scene belongs to; None: none.
    """

    folder: Path
    remote: ObjectFolder | None = None
    archive: str | None = None

    def __str__(self) -> str:
        return str(self.remote or self.folder)

    def local_record(self) -> dict[str, Any] | None:
        """Returns the STAC item in the folder; None where there is none, or it is damaged."""
        file = self.folder / RECORD
        return parse(file.read_bytes()) if file.is_file() else None

    def published_record(self) -> dict[str, Any] | None:
        """Returns the STAC item in S3 as `local_record` does; raises StoreError."""
        return parse(self.remote.read(RECORD)) if self.remote else None

    def remove_record(self) -> None:
        """Removes the STAC item of an earlier result, which must not stand beside other layers."""
        (self.folder / RECORD).unlink(missing_ok=True)

    def publish(self, published: dict[str, Any] | None, *, keep: bool) -> None:
        """Uploads the files, the STAC item last, in place of those of an earlier result, and removes the local ones.

        Args:
            published: see `published_record`.
            keep: whether the local files stay.

        Raises:
            StoreError: a file cannot be uploaded; the local ones are still there.
        """
        if not self.remote:
            return
        names = [file.relative_to(self.folder) for file in sorted(self.folder.rglob("*")) if file.is_file()]
        names = [name for name in names if name.name != RECORD and not any(part.startswith(".") for part in name.parts)]
        try:
            if published:
                self.remote.delete(RECORD)
            for name in names:
                media_type = FILES.get(name.name, ("application/octet-stream",))[0]
                self.remote.write(name.as_posix(), self.folder / name, media_type)
            with suppress(StoreError):  # of no use, but no harm
                for stale in set(self.remote.files()) & set(FILES) - {name.as_posix() for name in names}:
                    self.remote.delete(stale)
            self.remote.write(RECORD, self.folder / RECORD, "application/geo+json")
        except StoreError as error:
            raise StoreError(f"{error}; the results are in {self.folder}, the same command uploads them") from error
        if not keep:
            shutil.rmtree(self.folder)


class Results:
    """Where the results of a run are.

    As a context manager it adds the scenes to their archive in the end, also of a run that is interrupted.

    Attributes:
        folder: local, of a single scene or with a folder per scene; None: a folder beside each scene.
        is_archive: whether it is that of several scenes, by what is there.
    """

    def __init__(self, out: str | Path | None, work_dir: Path) -> None:
        """Takes a folder, an address in s3://, or None, and the folder where results for S3 are made.

        Raises:
            StoreError: the bucket cannot be read.
        """
        self._remote = ObjectFolder(str(out)) if str(out).startswith(SCHEME) else None
        self.folder = None if out is None or self._remote else Path(out)
        if self._remote:  # the same folder for the same address
            self.folder = work_dir / self._remote.url.rstrip("/").replace("://", "/")
        self._root = self._remote or self.folder
        self.is_archive = is_archive(self._root) if self._root else False
        self._records = dict[str, dict[str, Any]]()

    @property
    def is_remote(self) -> bool:
        """Whether results go to S3."""
        return self._remote is not None

    def of(self, folder: Path) -> SceneResults:
        """Returns the place of a scene, by its local folder."""
        if folder == self.folder or not self._root:
            return SceneResults(folder, self._remote)
        return SceneResults(folder, self._remote and self._remote / folder.name, archive_name(self._root))

    def check_writable(self, folders: Iterable[Path]) -> None:
        """Raises OutputError where the local folders of scenes cannot be made."""
        for parent in {folder.parent for folder in folders}:
            check_writable(parent)

    def add(self, place: SceneResults, record: dict[str, Any]) -> None:
        """Takes the STAC item of a finished scene."""
        if place.archive:
            self._records[place.folder.name] = record

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Adds the scenes to their archive, unless S3 has failed: the next run does it then."""
        if self._root and self._records and not (kind and issubclass(kind, StoreError)):
            add_to_archive(self._root, self._records)
