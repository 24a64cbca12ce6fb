"""Finished blocks as files, from which an interrupted run goes on and the whole scene is put together."""

from __future__ import annotations

import json
import shutil
import zipfile
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.files import atomic_path, write_json
from flood_seg.inference.values import BandStatistics
from flood_seg.scenes.stream import BlockResult

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.object_store import ObjectFolder
    from flood_seg.scenes.grid import Block, Grid


SIGNATURE = "signature.json"  # of what the blocks depend on


class BlockStore:
    """A folder with a file for each finished block, and maybe a copy in S3 from which another machine goes on."""

    def __init__(self, folder: Path, grid: Grid, copy: ObjectFolder | None = None) -> None:
        """Takes the folder, which need not exist, the blocks, and the place of the copy."""
        self._folder, self._grid, self._copy = folder, grid, copy

    @cached_property
    def _copied(self) -> set[str]:
        return set(self._copy.files()) if self._copy else set()

    def signature(self) -> Any:
        """Returns what the blocks of an earlier run depend on; None where there is none, or it is damaged."""
        file = self._folder / SIGNATURE
        content = file.read_bytes() if file.is_file() else self._copy.read(SIGNATURE) if self._copy else None
        try:
            return json.loads(content or b"null")
        except ValueError:
            return None

    def begin(self, signature: Any) -> None:
        """Removes what is there, and notes what the blocks depend on; raises OutputError."""
        self.clear()
        write_json(self._folder / SIGNATURE, signature)
        if self._copy:
            self._copy.write(SIGNATURE, self._folder / SIGNATURE)

    def clear(self) -> None:
        """Removes all files; raises OutputError."""
        if self._folder.is_dir():
            shutil.rmtree(self._folder)
        for name in sorted(self._copied):
            assert self._copy
            self._copy.delete(name)
        self._copied.clear()

    def _file(self, block: Block) -> Path:
        return self._folder / f"{block}.npz"

    def __contains__(self, block: Block) -> bool:
        """Whether the file of a block exists and is not damaged; fetches the one of the copy."""
        path = self._file(block)
        if self._copy and not path.is_file() and path.name in self._copied:
            with atomic_path(path) as temporary:
                temporary.write_bytes(self._copy.read(path.name) or b"")
        try:
            with np.load(path, allow_pickle=False) as file:
                return bool(file["pixels"] >= 0)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return False

    def save(self, block: Block, result: BlockResult) -> None:
        """Writes the file of a block, whole or not at all.

        Raises:
            OutputError: it cannot be written.
            StoreError: nor can its copy.
        """
        arrays: dict[str, Any] = {"pixels": np.array(0)}
        if result.sums is not None and result.statistics is not None:
            found = result.statistics
            arrays |= {"pixels": np.array(found.pixels), "bands": np.stack([found.mean, found.low, found.high])}
            if found.missing is not None:
                arrays["bands"] = np.vstack([arrays["bands"], found.missing])
            arrays["sums"] = result.sums
        if result.valid is not None:
            arrays["valid"] = np.packbits(result.valid)
        with atomic_path(self._file(block)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
        if self._copy:
            self._copy.write(self._file(block).name, self._file(block))
            self._copied.add(self._file(block).name)

    def load(self, block: Block) -> BlockResult | None:
        """Reads the file of a block, `valid` False everywhere where no pixel has data; None where it is missing."""
        if not self._file(block).is_file():
            return None
        extent, result = self._grid.extent(block), BlockResult()
        with np.load(self._file(block), allow_pickle=False) as file:
            if "sums" in file:
                result.sums = file["sums"]
                result.statistics = BandStatistics(int(file["pixels"]), *file["bands"])
            else:
                result.valid = np.zeros((extent.height, extent.width), bool)
            if "valid" in file:
                bits = np.unpackbits(file["valid"], count=extent.height * extent.width)
                result.valid = bits.reshape(extent.height, extent.width).astype(bool)
        return result

    def statistics(self) -> BandStatistics | None:
        """Returns those of all blocks; None where none has data."""
        parts = []
        for block in self._grid.blocks():
            if not self._file(block).is_file():
                continue
            with np.load(self._file(block), allow_pickle=False) as file:  # reads the named arrays alone
                if int(file["pixels"]):
                    parts.append(BandStatistics(int(file["pixels"]), *file["bands"]))
        return BandStatistics.merged(parts) if parts else None
