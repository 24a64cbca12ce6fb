"""Decodes and checks every pair once, before anything is trained, and keeps the resized samples.

The network sees the same few megabytes in each epoch; the files hold hundreds of megapixels. So each pair is
decoded, checked and resized once, and held in memory or in a memory-mapped file, in the number type of the first one.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.data.pairing import Fault, Pair
from flood_seg.data.parallel import parallel_map
from flood_seg.data.reading import Sample, SampleReader
from flood_seg.data.windows import move
from flood_seg.errors import ImageError, OutputError
from flood_seg.files import atomic_path, write_json
from flood_seg.imaging.bands import band_files
from flood_seg.imaging.read import read_bands
from flood_seg.resources import enough_memory

if TYPE_CHECKING:
    from collections.abc import Sequence


LAYOUT = 3  # version of the cache files; increase it when samples are computed differently


class SampleStore(Protocol):
    """Gives the samples of the usable pairs at network size; `ignores`: whether a mask may hold ignored pixels."""

    pairs: list[Pair]
    faults: list[Fault]
    ignores: bool

    def __getitem__(self, index: int) -> Sample:
        """Returns image, any dtype [height, width, bands], and class indices uint8 [height, width]."""

    def draw(self, index: int, random: np.random.Generator) -> Sample:
        """Returns the same; a window of a raster that is read each time is moved at random within its block."""


@dataclass
class CachedStore:
    """All samples in two arrays, in memory or mapped from a file; never write to them."""

    pairs: list[Pair]
    faults: list[Fault]
    images: np.ndarray
    masks: np.ndarray
    rows: list[int]
    ignores: bool

    def __getitem__(self, index: int) -> Sample:
        """See SampleStore."""
        row = self.rows[index]
        return self.images[row], self.masks[row]

    def draw(self, index: int, random: np.random.Generator) -> Sample:
        """See SampleStore."""
        return self[index]


@dataclass
class DecodingStore:
    """Decodes a pair on each access."""

    pairs: list[Pair]
    faults: list[Fault]
    reader: SampleReader
    height: int
    width: int
    ignores: bool

    def __getitem__(self, index: int) -> Sample:
        """See SampleStore."""
        return self.reader.load_at(self.pairs[index], self.height, self.width)

    def draw(self, index: int, random: np.random.Generator) -> Sample:
        """See SampleStore."""
        pair = self.pairs[index]
        moved = replace(pair, window=move(pair.window, random)) if pair.window else pair
        return self.reader.load_at(moved, self.height, self.width)


def open_store(
    pairs: Sequence[Pair], reader: SampleReader, height: int, width: int, cache: str, cache_dir: Path | None = None
) -> SampleStore:
    """Decodes and checks all pairs, or finds that an earlier run did.

    Args:
        pairs: what `find_pairs` found.
        reader: decodes them.
        height: network height in pixels.
        width: network width in pixels.
        cache: `ram`; `disk`: memory-mapped files that the next run finds, for as long as no file changes; `none`.
        cache_dir: of the memory-mapped files; None: the user's cache folder.

    Raises:
        DataError: a mask has a value that the reader's classes do not list.
    """
    if cache == "none":
        looks = _decode(pairs, reader, height, width, None)
        usable = [pair for pair, look in zip(pairs, looks, strict=True) if not isinstance(look, Fault)]
        faults = [look for look in looks if isinstance(look, Fault)]
        moves = any(pair.window for pair in usable)  # over pixels that were not checked
        return DecodingStore(usable, faults, reader, height, width, moves or True in looks)
    if cache == "ram":
        shape = (len(pairs), height, width)
        with enough_memory(f"{len(pairs)} samples of {width}×{height}", "set datamodule.cache=disk or a smaller size"):
            arrays = (
                np.empty((*shape, len(reader.bands.names)), _number_type(pairs, reader)),
                np.empty(shape, np.uint8),
            )
        return _cached(pairs, _decode(pairs, reader, height, width, arrays), *arrays)
    return _open_on_disk(pairs, reader, height, width, cache_dir or cache_folder(None))


def _files(pair: Pair, reader: SampleReader) -> list[Path]:
    try:
        return band_files(pair.image, reader.bands)
    except ImageError:  # a band's file is missing, and will be named as a fault
        return [pair.image]


def _number_type(pairs: Sequence[Pair], reader: SampleReader) -> np.dtype[Any]:
    """Returns the number type of the first image that can be read."""
    if reader.bands.is_photo:
        return np.dtype(np.uint8)
    for pair in pairs:
        with suppress(ImageError):
            return read_bands(pair.image, reader.bands).values.dtype
    return np.dtype(np.uint8)


def cache_folder(configured: str | None) -> Path:
    """Returns `datamodule.cache_dir`; where it is not set, the user's cache folder by the XDG convention."""
    if configured:
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flood-seg"


def cache_key(pairs: Sequence[Pair], reader: SampleReader, *extra: object) -> str:
    """Returns 16 hexadecimal digits that change when a file's name, size or modification time does."""
    digest = sha256(repr((LAYOUT, reader, *extra)).encode())
    for pair in pairs:
        for path in (*_files(pair, reader), pair.mask):
            status = path.stat()
            line = f"{path.absolute()}|{status.st_size}|{status.st_mtime_ns}|{pair.window}\n"
            digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _decode(
    pairs: Sequence[Pair], reader: SampleReader, height: int, width: int, arrays: Sample | None
) -> list[Fault | bool]:
    """Decodes in threads into the arrays.

    Returns:
        for each pair its fault, or whether its mask has ignored pixels.
    """

    def decode(row: int) -> Fault | bool:
        pair = pairs[row]
        try:
            image, mask = reader.load_at(pair, height, width)
            if arrays is not None:
                if not np.can_cast(image.dtype, kept := arrays[0].dtype):  # values would be truncated silently
                    raise ImageError(
                        f"its values are {image.dtype}, those of the images before are {kept}; convert one to the other"
                    )
                arrays[0][row], arrays[1][row] = image, mask
        except ImageError as error:
            path = pair.mask if str(error).startswith(f"{pair.mask}: ") else pair.image
            return Fault(pair.stem, path, str(error).removeprefix(f"{path}: "))
        return bool((mask == IGNORED).any())

    return list(parallel_map(decode, range(len(pairs)), "Checking pairs", threads=8))


def _cached(pairs: Sequence[Pair], looks: Sequence[Fault | bool], images: np.ndarray, masks: np.ndarray) -> CachedStore:
    rows = [row for row, look in enumerate(looks) if not isinstance(look, Fault)]
    faults = [look for look in looks if isinstance(look, Fault)]
    return CachedStore([pairs[row] for row in rows], faults, images, masks, rows, True in looks)


def _open_on_disk(pairs: Sequence[Pair], reader: SampleReader, height: int, width: int, folder: Path) -> CachedStore:
    base = folder / cache_key(pairs, reader, height, width)
    files = base.with_suffix(".images.npy"), base.with_suffix(".masks.npy")
    record = base.with_suffix(".json")  # written last: where it is, the arrays are whole
    if not record.is_file():
        looks = _write_arrays(pairs, reader, height, width, *files)
        plain = [{**asdict(look), "path": str(look.path)} if isinstance(look, Fault) else look for look in looks]
        write_json(record, plain)
    known = json.loads(record.read_text(encoding="utf-8"))
    looks = [k if isinstance(k, bool) else Fault(k["stem"], Path(k["path"]), k["reason"]) for k in known]
    images, masks = (np.load(file, mmap_mode="r") for file in files)
    return _cached(pairs, looks, images, masks)


def _check_space(folder: Path, needed: int) -> None:
    """Raises OutputError where a disk has too little space: writing to a mapped file would end the process (SIGBUS)."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{folder}: the samples need {needed / 1e9:.3g} GB, {free / 1e9:.3g} GB are free; set "
            "datamodule.cache_dir=FOLDER on a larger disk, or datamodule.cache=none"
        )


def _write_arrays(
    pairs: Sequence[Pair], reader: SampleReader, height: int, width: int, images_file: Path, masks_file: Path
) -> list[Fault | bool]:
    with atomic_path(images_file) as images_part, atomic_path(masks_file) as masks_part:
        shape = (len(pairs), height, width)
        bands, dtype = len(reader.bands.names), _number_type(pairs, reader)
        _check_space(images_file.parent, math.prod(shape) * (bands * dtype.itemsize + 1))
        images = np.lib.format.open_memmap(images_part, "w+", dtype, (*shape, bands))
        masks = np.lib.format.open_memmap(masks_part, "w+", np.uint8, shape)
        looks = _decode(pairs, reader, height, width, (images, masks))
        images.flush()
        masks.flush()
    return looks
