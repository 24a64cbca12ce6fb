"""Decodes and checks every pair once, before anything is trained, and keeps the resized samples.

The network sees the same few megabytes in each epoch; the files hold hundreds of megapixels. So each pair is
decoded, checked and resized once, and held in memory or in a memory-mapped file.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from flood_seg.console import track
from flood_seg.data.pairing import Fault, Pair
from flood_seg.errors import ImageError
from flood_seg.imaging.preprocess import resize_image
from flood_seg.imaging.read import read_image, read_mask
from flood_seg.imaging.write import atomic_path, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

Sample = tuple[np.ndarray, np.ndarray]
ASPECT_TOLERANCE = 0.01


class SampleStore(Protocol):
    """Gives the samples of the usable pairs at network size."""

    pairs: list[Pair]
    faults: list[Fault]

    def __getitem__(self, index: int) -> Sample:
        """Returns image uint8 [height, width, bands] and class indices uint8 [height, width]."""


@dataclass
class CachedStore:
    """All samples in two arrays, in memory or mapped from a file; never write to them."""

    pairs: list[Pair]
    faults: list[Fault]
    images: np.ndarray
    masks: np.ndarray
    rows: list[int]

    def __getitem__(self, index: int) -> Sample:
        """See SampleStore."""
        row = self.rows[index]
        return self.images[row], self.masks[row]


@dataclass
class DecodingStore:
    """Decodes a pair each time that it is asked for."""

    pairs: list[Pair]
    faults: list[Fault]
    height: int
    width: int

    def __getitem__(self, index: int) -> Sample:
        """See SampleStore."""
        return load_sample(self.pairs[index], self.height, self.width)


def load_pair(pair: Pair) -> Sample:
    """Decodes a pair at the image's own size.

    Returns:
        image uint8 [H, W, 3] RGB and class indices uint8 [H, W]; a mask of another size but of the same aspect ratio
        within 1 % is resized (nearest).

    Raises:
        ImageError: a file cannot be read, or the two do not fit each other.
    """
    image, mask = read_image(pair.image), read_mask(pair.mask)
    check_aspect(image.shape[:2], mask.shape)
    return image, resize_mask(mask, *image.shape[:2])


def load_sample(pair: Pair, height: int, width: int) -> Sample:
    """Decodes a pair and resizes it to the network's size.

    Raises:
        ImageError: as `load_pair`.
    """
    image, mask = load_pair(pair)
    return resize_image(image, height, width), resize_mask(mask, height, width)


def check_aspect(image_shape: tuple[int, ...], mask_shape: tuple[int, ...]) -> None:
    """Raises ImageError where the aspect ratios of (height, width) and (height, width) differ by over 1 %."""
    (image_height, image_width), (mask_height, mask_width) = image_shape, mask_shape
    ratio = (image_width / image_height) / (mask_width / mask_height)
    if max(ratio, 1 / ratio) > 1 + ASPECT_TOLERANCE:
        raise ImageError(f"mask of another shape: image {image_width}×{image_height}, mask {mask_width}×{mask_height}")


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes class indices, uint8 [H, W], to [height, width] by the nearest pixel's centre."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))


def open_store(
    pairs: Sequence[Pair], height: int, width: int, cache: str, cache_dir: Path | None = None
) -> SampleStore:
    """Decodes and checks all pairs, or finds that an earlier run did.

    Args:
        pairs: what `find_pairs` found.
        height: network height in pixels.
        width: network width in pixels.
        cache: `ram`; `disk`: memory-mapped files that the next run finds, for as long as no file changes; `none`.
        cache_dir: of the memory-mapped files; None: the user's cache folder.
    """
    if cache == "none":
        samples = _decode(pairs, height, width, None, None)
        return DecodingStore([p for p, f in zip(pairs, samples, strict=True) if f is None],
                             [f for f in samples if f], height, width)  # fmt: skip
    if cache == "ram":
        images, masks = _empty(len(pairs), height, width)
        return _cached(pairs, _decode(pairs, height, width, images, masks), images, masks)
    return _open_on_disk(pairs, height, width, cache_dir or default_cache_dir())


def default_cache_dir() -> Path:
    """Returns the user's cache folder for samples, by the XDG convention."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flood-seg"


def fingerprint(pairs: Sequence[Pair], *extra: object) -> str:
    """Returns 16 hexadecimal digits that change when a file's name, size or modification time does."""
    digest = sha256(repr(extra).encode())
    for pair in pairs:
        for path in (pair.image, pair.mask):
            status = path.stat()
            digest.update(f"{path.absolute()}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _empty(count: int, height: int, width: int) -> Sample:
    return np.empty((count, height, width, 3), np.uint8), np.empty((count, height, width), np.uint8)


def _decode(
    pairs: Sequence[Pair], height: int, width: int, images: np.ndarray | None, masks: np.ndarray | None
) -> list[Fault | None]:
    """Decodes in threads (OpenCV and Pillow release the lock) into the arrays; returns a fault or None a pair."""

    def decode(row: int) -> Fault | None:
        try:
            image, mask = load_sample(pairs[row], height, width)
        except ImageError as error:
            path = pairs[row].mask if str(error).startswith(f"{pairs[row].mask}: ") else pairs[row].image
            return Fault(pairs[row].stem, path, str(error).removeprefix(f"{path}: "))
        if images is not None and masks is not None:
            images[row], masks[row] = image, mask
        return None

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(track(pool.map(decode, range(len(pairs))), "Checking pairs", len(pairs)))


def _cached(
    pairs: Sequence[Pair], faults: Sequence[Fault | None], images: np.ndarray, masks: np.ndarray
) -> CachedStore:
    rows = [row for row, fault in enumerate(faults) if fault is None]
    return CachedStore([pairs[row] for row in rows], [f for f in faults if f], images, masks, rows)


def _open_on_disk(pairs: Sequence[Pair], height: int, width: int, folder: Path) -> CachedStore:
    base = folder / fingerprint(pairs, height, width)
    files = base.with_suffix(".images.npy"), base.with_suffix(".masks.npy")
    record = base.with_suffix(".json")  # written last: where it is, the arrays are whole
    if not record.is_file():
        faults = _write_arrays(pairs, height, width, *files)
        write_json(record, [f and {**asdict(f), "path": str(f.path)} for f in faults])
    known = json.loads(record.read_text(encoding="utf-8"))
    faults = [f and Fault(f["stem"], Path(f["path"]), f["reason"]) for f in known]
    images, masks = (np.load(file, mmap_mode="r") for file in files)
    return _cached(pairs, faults, images, masks)


def _write_arrays(
    pairs: Sequence[Pair], height: int, width: int, images_file: Path, masks_file: Path
) -> list[Fault | None]:
    with atomic_path(images_file) as images_part, atomic_path(masks_file) as masks_part:
        shape = (len(pairs), height, width)
        images = np.lib.format.open_memmap(images_part, "w+", np.uint8, (*shape, 3))
        masks = np.lib.format.open_memmap(masks_part, "w+", np.uint8, shape)
        faults = _decode(pairs, height, width, images, masks)
        images.flush()
        masks.flush()
    return faults
