"""Which images are segmented, and where the mask of each is written."""

from __future__ import annotations

import glob
from collections import Counter, deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import warn
from flood_seg.errors import DataError, ImageError, OutputError
from flood_seg.files import check_name, regular
from flood_seg.imaging.bands import BandSelection, band_files
from flood_seg.imaging.gdal import GEOTIFF, check_lossless, is_readable
from flood_seg.imaging.source import IMAGE_SUFFIXES, is_image_file, is_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Of the files that are written beside an image, by which later runs tell them from images.
RESULT_ENDINGS = ("_mask.png", "_mask.tif", "_overlay.jpg", "_probability.png", "_probability.tif")


@dataclass(frozen=True)
class Job:
    """The files of an image to be segmented.

    Attributes:
        image: that is read.
        mask: that is written.
        probability: the probabilities; None: they are not written.
    """

    image: Path
    mask: Path
    probability: Path | None = None

    @property
    def overlay(self) -> Path:
        """`<mask>_overlay.jpg` beside the mask."""
        return self.beside_mask("_overlay.jpg")

    def beside_mask(self, ending: str) -> Path:
        """Returns the path whose name is the mask's without `_mask`, with that ending."""
        return self.mask.with_name(f"{self.mask.stem.removesuffix('_mask')}{ending}")

    def results(self, overlay: bool) -> list[Path]:
        """Returns the files that are written, with or without the overlay."""
        return [self.mask, *([self.overlay] if overlay else []), *([self.probability] if self.probability else [])]


def with_probabilities(jobs: list[Job], *, multiclass: bool) -> list[Job]:
    """Returns the jobs with `<mask>_probability`, of the mask's format; of several classes always a GeoTIFF.

    Raises:
        OutputError: it would overwrite an image, or the mask of another.
    """
    jobs = [
        replace(job, probability=job.beside_mask(f"_probability{'.tif' if multiclass else job.mask.suffix}"))
        for job in jobs
    ]
    counts = Counter(_key(path) for job in jobs for path in job.results(overlay=False))
    for job in jobs:
        if job.probability and counts[_key(job.probability)] > 1:
            raise OutputError(f"{job.probability}: would be a mask and a probability; rename {job.image}")
    return _checked(jobs)


def not_done(jobs: list[Job], overlay: bool, bands: BandSelection, model: str) -> list[Job]:
    """Returns the jobs whose results are missing, incomplete, or older than the image's files or the model.

    Args:
        jobs: of all images.
        overlay: whether overlays are required too.
        bands: of the model, which determine the files of an image.
        model: a file, or an address, whose age is unknown.
    """
    return [job for job in jobs if not _is_done(job, overlay, bands, Path(model))]


def _is_done(job: Job, overlay: bool, bands: BandSelection, model: Path) -> bool:
    try:
        sources = [*band_files(job.image, bands), *([model] if model.is_file() else [])]
        changed = max(path.stat().st_mtime_ns for path in sources)
        return all(path.stat().st_mtime_ns >= changed and _is_whole(path) for path in job.results(overlay))
    except (OSError, ImageError):
        return False


def _is_whole(path: Path) -> bool:
    return is_readable(path) if path.suffix.lower() in GEOTIFF else is_whole(path.read_bytes())


def plan(image: str, out: Path | None, suffix: str = ".png") -> list[Job]:
    """Finds the images of a file, a folder or a glob, and plans the files of each.

    Args:
        image: an existing path, or a glob (`**` for all levels).
        out: for a file: the mask, a .png or .tif, or a folder; None: `<stem>_mask<suffix>` beside it. For several: a
            folder, in which the masks are arranged as the images are in theirs; None: `<folder>_masks` beside the
            folder.
        suffix: of masks that `out` does not name: .png or .tif.

    Raises:
        DataError: no image is found.
        OutputError: `out` is of a lossy format, or a mask or an overlay would overwrite an image.
    """
    path = Path(image)
    if path.is_dir():
        base, found, missing = path, sorted(path.iterdir()), "no image in it; give a folder of images"
    elif path.exists():
        try:
            regular(path)
        except OSError as error:
            raise DataError(f"{image}: {error.strerror}") from error
        return _checked([_plan_one(path, out, suffix)])
    elif glob.has_magic(image):
        base, pattern = _split(path)
        found, missing = _once(_match(base, pattern)), "no image matches; check the pattern"
    else:
        raise DataError(f"{image}: no such file or folder; give an image, a folder or a pattern in quotes")
    jobs = _plan_many(base, found, out, suffix)
    if not jobs:
        raise DataError(f"{image}: {missing}")
    return jobs


def _once(found: Iterable[Path]) -> list[Path]:
    """Returns each file once, by its shortest path, in order; links to files are files of their own."""
    ranked = sorted(set(found), key=lambda path: (len(path.parts), path), reverse=True)
    return sorted({(path.parent.resolve(), path.name): path for path in ranked}.values())


def _match(base: Path, pattern: tuple[str, ...]) -> Iterator[Path]:
    """Yields the paths below a folder that a pattern matches, part by part.

    As `glob`, but enters each folder once, whatever links lead to it: `glob` finds an image 41 times by a link to its
    own folder, and with two such links never ends.
    """
    if "**" not in pattern:
        next(base.iterdir(), None)  # raises where the folder cannot be listed, which glob ignores
        for name in glob.glob(str(Path(*pattern)), root_dir=base):  # noqa: PTH207 - skips hidden files
            yield base / name
        return
    place = pattern.index("**")
    starts = _match(base, pattern[:place]) if place else iter([base])
    for start in starts:
        for folder in _folders(start):
            yield from _match(folder, pattern[place + 1 :] or ("*",))


def _folders(top: Path) -> Iterator[Path]:
    """Yields a folder and all below it except hidden ones, each once, by its shortest path."""
    queue, seen = deque([top] if top.is_dir() else []), set[Path]()
    while queue:
        folder = queue.popleft()
        if (real := folder.resolve()) in seen:
            continue
        seen.add(real)
        try:
            below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        except OSError as error:
            if folder == top:
                raise
            warn(f"{folder}: cannot be listed ({error.strerror}); its images are left out")
            continue
        yield folder
        queue.extend(below)


def _is_image(path: Path) -> bool:
    """Whether a path is an image file, or a broken link named as one, which is reported as missing."""
    return is_image_file(path) or (
        path.is_symlink() and not path.exists() and path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."
    )


def _split(pattern: Path) -> tuple[Path, tuple[str, ...]]:
    """Returns the existing folder, whose name may hold brackets, and the pattern's parts below it."""
    parts = pattern.parts
    depth = max(n for n in range(len(parts)) if Path(*parts[:n]).is_dir())
    return Path(*parts[:depth]), parts[depth:]


def _plan_one(image: Path, out: Path | None, suffix: str) -> Job:
    name = f"{image.stem}_mask{suffix}"
    if out is None:
        return Job(image, image.with_name(name))
    if out.is_dir() or not out.suffix:
        return Job(image, out / name)
    if out.resolve() == image.resolve():
        raise OutputError(f"{out}: is the image itself; give another --out")
    check_lossless(out)
    return Job(image, out)


def _plan_many(base: Path, found: list[Path], out: Path | None, suffix: str) -> list[Job]:
    folder = _beside(base) if out is None else out
    if folder.is_file():
        raise OutputError(f"{folder}: is a file; --out of several images is a folder")
    images = _without_results([path for path in found if _is_image(path)], base, folder)
    stems = Counter(_key(path.with_suffix("")) for path in images)
    masks = [_mask_of(path, base, folder, suffix, whole=stems[_key(path.with_suffix(""))] > 1) for path in images]
    if len({_key(mask) for mask in masks}) < len(masks):  # a.jpg, a.png and a.jpg.tif
        masks = [_mask_of(path, base, folder, suffix, whole=True) for path in images]
    return _checked([Job(path, mask) for path, mask in zip(images, masks, strict=True)])


def _beside(base: Path) -> Path:
    home = base if base.name not in ("", "..") else base.resolve()
    return home.parent / f"{home.name}_masks"


def _without_results(images: list[Path], base: Path, folder: Path) -> list[Path]:
    """Leaves out the results of earlier runs: all in an output folder below `base`, and files named after an image."""
    sources = {_key(path.with_suffix("")) for path in images} | {_key(path) for path in images}
    below = folder.resolve() if base.resolve() in folder.resolve().parents else None
    return [
        path
        for path in images
        if below not in path.resolve().parents
        and not any(
            path.name.endswith(ending) and _key(path.with_name(path.name.removesuffix(ending))) in sources
            for ending in RESULT_ENDINGS
        )
    ]


def _mask_of(image: Path, base: Path, folder: Path, suffix: str, *, whole: bool) -> Path:
    """Returns `<stem>.png`, or `<name>.png` where stems clash, in the same subfolder; `<stem>_mask.png` beside it."""
    place = folder / image.relative_to(base).parent
    mark = "_mask" if place.resolve() == image.parent.resolve() else ""
    return place / f"{image.name if whole else image.stem}{mark}{suffix}"


def _key(path: Path) -> str:
    """Returns a key that is equal for paths that are one file on a case-insensitive file system."""
    return str(path).casefold()


def _checked(jobs: list[Job]) -> list[Job]:
    images = {job.image.resolve() for job in jobs}
    for job in jobs:
        for path in job.results(overlay=False):
            check_name(path)
        if wrong := images & {path.resolve() for path in job.results(overlay=True)}:
            raise OutputError(f"{wrong.pop()}: an image that would be overwritten; give another --out")
    return jobs
