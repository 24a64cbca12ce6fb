"""Finished blocks as files, from which an interrupted run goes on and the whole scene is put together."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.files import atomic_path
from flood_seg.inference.values import BandStatistics
from flood_seg.scenes.stream import BlockResult

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.scenes.grid import Block, Grid


class BlockStore:
    """A folder with a file for each finished block."""

    def __init__(self, folder: Path, grid: Grid) -> None:
        """Takes the folder, which need not exist, and the blocks."""
        self._folder, self._grid = folder, grid

    def _file(self, block: Block) -> Path:
        return self._folder / f"{block}.npz"

    def __contains__(self, block: Block) -> bool:
        """Whether the file of a block exists and is not damaged."""
        try:
            with np.load(self._file(block), allow_pickle=False) as file:
                return bool(file["pixels"] >= 0)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return False

    def save(self, block: Block, result: BlockResult) -> None:
        """Writes the file of a block, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        arrays: dict[str, Any] = {"pixels": np.array(0)}
        if result.sums is not None and result.statistics is not None:
            found = result.statistics
            arrays |= {"pixels": np.array(found.pixels), "bands": np.stack([found.mean, found.low, found.high])}
            arrays["sums"] = result.sums
        if result.valid is not None:
            arrays["valid"] = np.packbits(result.valid)
        with atomic_path(self._file(block)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

    def load(self, block: Block) -> BlockResult | None:
        """Reads the file of a block; None where it is missing."""
        if not self._file(block).is_file():
            return None
        extent, result = self._grid.extent(block), BlockResult()
        with np.load(self._file(block), allow_pickle=False) as file:
            if "sums" in file:
                result.sums = file["sums"]
                result.statistics = BandStatistics(int(file["pixels"]), *file["bands"])
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
