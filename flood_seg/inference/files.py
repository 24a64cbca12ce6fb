"""Which images are meant, and where the mask of each one goes."""

from __future__ import annotations

import glob
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from flood_seg.errors import DataError, OutputError
from flood_seg.imaging.read import image_suffixes


@dataclass(frozen=True)
class Job:
    """An image, its mask and its overlay."""

    image: Path
    mask: Path

    @property
    def overlay(self) -> Path:
        """`<mask>_overlay.jpg` beside the mask."""
        return self.mask.with_name(f"{self.mask.stem.removesuffix('_mask')}_overlay.jpg")


def plan(image: str, out: Path | None) -> list[Job]:
    """Finds the images of a file, a folder or a glob, and plans the files of each.

    Args:
        image: an existing path, or a glob (`**` for all levels).
        out: of a file: the mask, a .png, or a folder; None: `<stem>_mask.png` beside it. Of several: a folder; None:
            `<folder>_masks` beside the folder.

    Raises:
        DataError: nothing is there.
        OutputError: `out` is the image itself, or of a lossy format.
    """
    path = Path(image)
    if path.is_dir():
        return _plan_many(_images_in(path), out or path.with_name(f"{path.resolve().name}_masks"))
    if path.exists():
        return [_plan_one(path, out)]
    if glob.has_magic(image):
        found = sorted(Path(name) for name in glob.glob(image, recursive=True))  # noqa: PTH207 - absolute patterns too
        images = [path for path in found if path.is_file() and path.suffix.lower() in image_suffixes()]
        if not images:
            raise DataError(f"{image}: no image matches; put the pattern in quotes and check it")
        return _plan_many(images, out or Path(f"{images[0].resolve().parent}_masks"))
    raise DataError(f"{image}: no such file or folder; give a photo, a folder or a pattern in quotes")


def _images_in(folder: Path) -> list[Path]:
    images = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in image_suffixes() and not path.name.startswith(".") and path.is_file()
    ]
    if not images:
        raise DataError(f"{folder}: no image in it; give a folder of photos")
    return images


def _plan_one(image: Path, out: Path | None) -> Job:
    name = f"{image.stem}_mask.png"
    if out is None:
        return Job(image, image.with_name(name))
    if out.is_dir() or not out.suffix:
        return Job(image, out / name)
    if out.resolve() == image.resolve():
        raise OutputError(f"{out}: is the photo itself; give another --out")
    if out.suffix.lower() != ".png":
        raise OutputError(f"{out}: '{out.suffix}' would not keep the mask exactly; give a .png")
    return Job(image, out)


def _plan_many(images: list[Path], folder: Path) -> list[Job]:
    """Names each mask by its image's stem, by its whole name where two share a stem, by a number where that clashes."""
    if folder.is_file():
        raise OutputError(f"{folder}: is a file; --out of several photos is a folder")
    stems = Counter(image.stem for image in images)
    taken: set[Path] = set()
    jobs = []
    for image in images:
        stem = image.stem if stems[image.stem] == 1 else image.name
        mask, number = folder / f"{stem}.png", 1
        while mask in taken or mask.resolve() == image.resolve():
            number += 1
            mask = folder / f"{stem}_{number}.png"
        taken.add(mask)
        jobs.append(Job(image, mask))
    return jobs
