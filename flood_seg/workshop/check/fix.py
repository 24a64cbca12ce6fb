"""Writes a corrected copy of a data set; the data set itself is never touched.

Files without findings are copied byte by byte. `fixes.json` lists what is changed and what is left out. Masks are
exchanged only on request, and a label that does not cover its image is not extended.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flood_seg.classes import IGNORED, Classes
from flood_seg.config.overrides import as_override
from flood_seg.config.schema import DataConfig
from flood_seg.console import counted, say, track
from flood_seg.data.pairing import VECTORS
from flood_seg.data.reading import SampleReader
from flood_seg.data.split import Split, write_split
from flood_seg.errors import DataError, OutputError, UsageError, did_you_mean
from flood_seg.files import copy_file, write_json
from flood_seg.imaging.bands import plain_source, sibling_files
from flood_seg.imaging.binary_mask import read_binary_mask
from flood_seg.imaging.gdal import open_raster, write_geotiff
from flood_seg.imaging.label_values import read_labels
from flood_seg.imaging.postprocess import to_labels
from flood_seg.imaging.source import SUFFIXES, is_raster
from flood_seg.imaging.write import write_image
from flood_seg.workshop.check.examine import ExaminedPair
from flood_seg.workshop.check.result import CheckResult
from flood_seg.workshop.output_layout import IMAGES, MASKS, OutputLocation, check_empty, output_locations, write_upright

# Findings that cannot be fixed; the sample is left out.
UNFIXABLE = frozenset({"unreadable", "labels"})
REWRITTEN_MASKS = frozenset({"size", "lossy", "soft"})  # masks
PART_PRIORITY = ("test", "val", "train", None)  # of a leak
MIN_COVERAGE = 0.995  # share of the image that a label must cover to be warped; half a pixel may be missing at an edge


def check_fixable(data: DataConfig, fix: Path, out: Path) -> None:
    """Raises an error where a copy cannot be written, before anything is read.

    Raises:
        UsageError: the data set is rasters, which are read by windows.
        OutputError: the folder is not empty, or is the data set's.
    """
    if data.windows is not None:
        raise UsageError("--fix copies whole files; check rasters without datamodule=rasters, or cut them by data tile")
    folders = [folder.resolve() for folder in data.folders]
    if any(fix.resolve() == folder or folder in fix.resolve().parents for folder in folders):
        raise OutputError(f"{fix}: lies in the data set itself; choose a folder outside of it")
    if fix.resolve() == out.resolve():
        raise OutputError(f"{fix}: is the report's folder too; choose another one for --fix")
    check_empty(fix)


def choose_swaps(result: CheckResult, wanted: bool | list[str]) -> list[tuple[str, str]]:
    """Returns the pairs of stems whose masks the copy exchanges.

    Args:
        result: the data set.
        wanted: `check.fix_swaps`: whether to exchange those that are errors, or stems.

    Raises:
        DataError: a stem is listed that belongs to no swap.
    """
    if isinstance(wanted, bool):
        sure = {finding.stems for finding in result.findings if finding.kind == "swapped"}
        return [swap for swap in result.swaps if wanted and swap in sure]
    known = {stem for swap in result.swaps for stem in swap}
    if unknown := [stem for stem in wanted if stem not in known]:
        raise DataError(
            f"check.fix_swaps: {unknown[0]} is in no pair of swapped masks; pairs found: {_names(result.swaps)}"
            f"{did_you_mean(unknown[0], known)}; no copy is written"
        )
    return [swap for swap in result.swaps if set(swap) & set(wanted)]


def write_fixed(result: CheckResult, reader: SampleReader, root: Path, swaps: Sequence[tuple[str, str]]) -> None:
    """Writes images, masks, `fixes.json`, and `split.txt` where a split file rather than folders names the parts.

    Args:
        result: the data set.
        reader: of the data set.
        root: folder of the copy.
        swaps: of `choose_swaps`.
    """
    partners = {a: b for one, other in swaps for a, b in ((one, other), (other, one))}
    dropped = _dropped(result, partners)
    changes: dict[str, list[str]] = {stem: [f"left out: {why}"] for stem, why in dropped.items()}
    changes |= {f.stems[0]: [f"left out: {f.file}: {f.text}"] for f in result.findings if f.kind == "unpaired"}
    by_folder = any(seen.pair.part for seen in result.samples.values())
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    kept = [seen for stem, seen in result.samples.items() if stem not in dropped]
    places = output_locations(root, [(seen.pair, seen.pair.part) for seen in kept])
    for seen, place in track(list(zip(kept, places, strict=True)), "Copying", len(kept)):
        stem = seen.pair.stem
        mask = result.samples[partners[stem]] if stem in partners else seen
        done = [f"mask of {partners[stem]}"] if stem in partners else []
        done += _copy_image(seen, place, reader)
        done += _copy_mask(seen, mask, place, reader)
        if done:
            changes[stem] = done
        if part := result.parts.get(stem):
            parts[part].append(place.name)
    if not by_folder and any(parts.values()):
        write_split(root / "split.txt", Split(*(tuple(sorted(parts[part])) for part in ("train", "val", "test"))))
    unchanged = [swap for swap in result.swaps if swap not in swaps]
    write_json(root / "fixes.json", {"copied": len(kept), "changes": changes, "swaps_left": unchanged})
    mended = sum(seen.pair.stem in changes for seen in kept)
    left = len(changes) - mended
    say(f"{root}: {counted(len(kept), 'pair')} copied, {mended} of them fixed, {left} left out; {root / 'fixes.json'}")
    if unchanged:
        say(f"not exchanged: the masks of {counted(len(unchanged), 'pair')} that fit better when exchanged "
            f"({_names(unchanged)}); check them, then exchange those that are swapped by "
            f"check.fix_swaps=[{','.join(unchanged[0])}]")  # fmt: skip
    sources = {name: plain_source(str(source)) for name, source in reader.bands.sources.items()}
    if sources != dict(reader.bands.sources):  # all files of a sample have one stem in the copy
        say(f"read the copy with {shlex.quote(as_override('datamodule.band_sources', sources))}")


def _names(swaps: Sequence[tuple[str, str]]) -> str:
    return (", ".join(" and ".join(swap) for swap in swaps[:3]) or "none") + (", ..." if len(swaps) > 3 else "")


def _dropped(result: CheckResult, partners: dict[str, str]) -> dict[str, str]:
    """Returns the reason for each sample that is left out."""
    dropped = _leaking(result)
    for stem, seen in result.samples.items():
        # The mask of an unusable sample may still belong to another one.
        source = result.samples[partners.get(stem, stem)]
        warped = "place" in _kinds_of(source, source.pair.mask) and not _is_vector(source.pair.mask)
        for finding in seen.findings:
            # A mask of another aspect ratio is kept where it is exchanged, or warped to its image's grid.
            if finding.kind in UNFIXABLE or (finding.kind == "shape" and stem not in partners and not warped):
                dropped[stem] = finding.text
        if warped and (reach := _coverage(source.pair.mask, seen.pair.image)) < MIN_COVERAGE:
            dropped[stem] = f"its label covers {reach:.1%} of the image; the rest would have no label"
    return dropped


def _leaking(result: CheckResult) -> dict[str, str]:
    """Returns near-duplicates of a kept sample of another part; their own near-duplicates stay."""
    rank = {part: place for place, part in enumerate(PART_PRIORITY)}
    dropped = {}
    for pair in result.duplicate_pairs:
        kept, other = sorted(pair, key=lambda stem: rank[result.parts[stem]])
        part = result.parts[kept]
        if part and result.parts[other] and part != result.parts[other]:
            dropped[other] = f"near-duplicate of {kept}, of the {part} part"
    return dropped


def _kinds_of(seen: ExaminedPair, file: Path) -> set[str]:
    return {finding.kind for finding in seen.findings if finding.file == file.name}


def _copy_image(seen: ExaminedPair, place: OutputLocation, reader: SampleReader) -> list[str]:
    file = seen.pair.image
    for folder, sibling in sibling_files(file, reader.bands).items():
        _copy(sibling, place.file(folder, sibling.suffix))
    if "exif" in _kinds_of(seen, file):
        write_upright(file, place)
        return ["image turned upright"]
    suffix = _right_suffix(file, seen)
    _copy(file, place.file(IMAGES, suffix))
    return [f"image renamed to {suffix}"] if suffix != file.suffix else []


def _right_suffix(file: Path, seen: ExaminedPair) -> str:
    header = seen.image_header if file == seen.pair.image else seen.mask_header
    return file.suffix if header is None or header.suffix_fits(file) else SUFFIXES[header.format][0]


def _copy(file: Path, target: Path, mates: Iterable[str] = ()) -> None:
    """Copies a file byte by byte, with the sidecar files of a shapefile."""
    copy_file(file, target)
    for suffix in mates:
        if (mate := file.with_suffix(suffix)).is_file():
            _copy(mate, target.with_suffix(suffix))


def _copy_mask(seen: ExaminedPair, source: ExaminedPair, place: OutputLocation, reader: SampleReader) -> list[str]:
    """Copies the mask of `source` as that of `seen`; returns what was changed."""
    file, kinds = source.pair.mask, _kinds_of(source, source.pair.mask)
    if _is_vector(file):
        _copy(file, place.file(MASKS, file.suffix), (".shx", ".dbf", ".prj", ".cpg") if file.suffix == ".shp" else ())
        return []
    if "place" in kinds:
        _warp(file, seen.pair.image, place.file(MASKS, ".tif"), reader.classes)
        return ["mask warped to the image's grid"]
    assert seen.size is not None
    same_size = source.mask_size is None or source.mask_size == seen.size
    if same_size and not kinds & {*REWRITTEN_MASKS, "exif"}:
        suffix = _right_suffix(file, source)
        _copy(file, place.file(MASKS, suffix))
        return [f"mask renamed to {suffix}"] if suffix != file.suffix else []
    values, nodata = _values(file, reader.classes)
    if values.shape[:2] != seen.size:
        values = cv2.resize(values, seen.size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    if is_raster(file):
        write_geotiff(place.file(MASKS, ".tif"), np.atleast_3d(values), _grid(seen.pair.image), nodata, ())
    else:
        write_image(place.file(MASKS, ".png"), values)
    return [f"mask rewritten ({', '.join(sorted(kinds & {*REWRITTEN_MASKS, 'exif'})) or 'size'})"]


def _is_vector(file: Path) -> bool:
    return file.suffix.lower() in VECTORS


def _coverage(mask: Path, image: Path) -> float:
    """Returns the share of an image's extent that its label covers, in [0, 1]."""
    from rasterio.vrt import WarpedVRT

    # Without its nodata value, which is often that of the background.
    options = {"add_alpha": True, "src_nodata": None, "nodata": None}
    with open_raster(mask) as source, WarpedVRT(source, **options, **_grid(image)) as warped:
        return float((warped.read(warped.count) > 0).mean())


def _values(file: Path, classes: Classes) -> tuple[np.ndarray, int | None]:
    """Returns a mask's values, and the one among them that means no data; None: there is none."""
    if not classes.values:
        mask, unknown = read_binary_mask(file), classes.unused_value()
        values = to_labels(mask, [*classes.label_values, *[unknown] * 254])
        return values, unknown if (mask == IGNORED).any() else None
    labels = read_labels(file, by_color=classes.by_color)
    values = labels.values
    if not is_raster(file):  # a PNG of 16 bits, or of one
        return (values if values.dtype in (np.uint8, np.uint16) else values.astype(np.uint16)), None
    nodata = None if labels.declared is None else int(values[labels.declared].flat[0])
    if labels.masked is not None:
        values = np.where(np.isnan(values), 0, values) if values.dtype.kind == "f" else values.copy()
        nodata = _unused(classes, values.dtype) if nodata is None else nodata
        values[labels.masked] = nodata
    return values, nodata


def _unused(classes: Classes, dtype: np.dtype[Any]) -> int:
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.iinfo(np.int16)
    return classes.unused_value(int(limits.min), int(limits.max))


def _grid(image: Path) -> dict[str, Any]:
    with open_raster(image) as source:
        return {"height": source.height, "width": source.width, "crs": source.crs, "transform": source.transform}


def _warp(mask: Path, image: Path, target: Path, classes: Classes) -> None:
    """Warps a label to the grid of its image (nearest neighbour); where it does not reach there is no data."""
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    grid = _grid(image)
    with open_raster(mask) as source:
        outside = source.nodata if source.nodata is not None else _unused(classes, np.dtype(source.dtypes[0]))
        options = grid | {"src_nodata": source.nodata, "nodata": outside}
        with WarpedVRT(source, resampling=Resampling.nearest, **options) as warped:
            values = warped.read()
        covered = source.nodata is None and not (values == outside).any()
    write_geotiff(target, np.moveaxis(values, 0, 2), grid, None if covered else outside, ())
