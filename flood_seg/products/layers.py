"""The raster layers of a scene: the mask and the probability, as Cloud Optimized GeoTIFFs."""

from __future__ import annotations

import glob
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.files import atomic_path
from flood_seg.imaging.display import class_colors
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.imaging.postprocess import to_labels
from flood_seg.products.ground import Ground
from flood_seg.products.overviews import write_overviews

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rasterio.io import DatasetWriter

    from flood_seg.config.schema.scenes import ProbabilityType
    from flood_seg.scenes.cells import Cell
    from flood_seg.scenes.grid import Box
    from flood_seg.spec import ModelSpec

NODATA = 255  # of masks and of probabilities in 8 bits
PROBABILITY_STEP = 0.005  # of a probability in 8 bits: 200 steps
_LAYOUT = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer",
           "sparse_ok": True, "interleave": "band"}  # fmt: skip
_COG = {"driver": "COG", "compress": "deflate", "bigtiff": "if_safer", "sparse_ok": True, "num_threads": "all_cpus"}


@dataclass
class LayerStatistics:
    """What is counted while the layers are written.

    Attributes:
        pixels: of each class, in the order of `ModelSpec.class_names`.
        unobserved: pixels without data.
        expected: the sum of the probabilities of each class, in pixels.
        square_metres: geodesic area of each class; None: the scene is not georeferenced.
    """

    pixels: list[int]
    unobserved: int = 0
    expected: list[float] = field(default_factory=list)
    square_metres: list[float] | None = None


def mask_values(spec: ModelSpec) -> tuple[int, ...]:
    """Returns the value of each class in a mask: its label value, or its index where label values do not leave 255."""
    labels = spec.label_values
    return labels if all(0 <= value < NODATA for value in labels) else tuple(range(len(labels)))


def write_layers(
    cells: Iterable[Cell],
    spec: ModelSpec,
    threshold: float,
    folder: Path,
    size: tuple[int, int],
    georeference: Mapping[str, Any],
    probability: ProbabilityType,
) -> LayerStatistics:
    """Writes mask.tif and, unless `probability` is none, probability.tif.

    Args:
        cells: of the scene, each once, in any order.
        spec: of the model.
        threshold: a pixel is foreground where its probability is above this (binary only).
        folder: of the files.
        size: height and width of the scene.
        georeference: of the scene; see `read_georeference`.
        probability: number type of the probabilities.

    Raises:
        OutputError: a file cannot be written.
    """
    common = dict(georeference) | {"height": size[0], "width": size[1]}
    names = spec.class_names[1:] if spec.task == "binary" else spec.class_names
    statistics = LayerStatistics([0] * len(spec.class_names), 0, [0.0] * len(spec.class_names))
    if ground := Ground.of(georeference):
        statistics.square_metres = [0.0] * len(spec.class_names)
    (folder / "probability.tif").unlink(missing_ok=True)  # of an earlier run
    with ExitStack() as stack:
        mask = _Layer(stack, folder / "mask.tif", common | {"count": 1, "dtype": "uint8", "nodata": NODATA}, "mode")
        layers = [mask]
        if probability != "none":
            profile = common | _number_type(probability) | {"count": len(names)}
            layers.append(_Layer(stack, folder / "probability.tif", profile, "average"))
        for cell in cells:
            probabilities, valid = cell.probabilities, cell.valid
            statistics.unobserved += valid.size - int(np.count_nonzero(valid))
            if probabilities is None:
                continue
            classes = cell.classes(threshold)
            _count(statistics, classes, probabilities, valid, ground.pixel_area(cell.box) if ground else None)
            mask.write(cell.box, np.where(valid, to_labels(classes, mask_values(spec)), np.uint8(NODATA))[None])
            if len(layers) > 1:
                layers[1].write(cell.box, _encode(probabilities, valid, probability))
        for layer in layers:
            _describe(layer.out, spec, names if layer is not mask else (), probability)
            layer.finish()
    return statistics


class _Layer:
    """A raster that is written in parts: to a plain GeoTIFF first, which then becomes a COG with overviews."""

    def __init__(self, stack: ExitStack, path: Path, profile: dict[str, Any], resampling: str) -> None:
        self._resampling, self._path = resampling, path
        self._file = stack.enter_context(atomic_path(path))
        self._parts = self._file.with_name(f"{self._file.name}.tif")
        stack.callback(self._remove_files)
        self._nbits = {"nbits": profile["nbits"]} if "nbits" in profile else {}
        self.out: DatasetWriter = stack.enter_context(import_rasterio().open(self._parts, "w", **_LAYOUT | profile))

    def write(self, box: Box, values: np.ndarray) -> None:
        self.out.write(values, window=((box.row, box.row + box.height), (box.col, box.col + box.width)))

    def finish(self) -> None:
        from rasterio.shutil import copy

        self.out.close()
        predictor = "yes" if "float" in self.out.dtypes[0] else "no"
        write_overviews(self._parts, self._resampling, _LAYOUT)
        copy(self._parts, self._file, **_COG | self._nbits, predictor=predictor, overviews="force_use_existing")

    def _remove_files(self) -> None:
        for file in self._parts.parent.glob(f"{glob.escape(self._parts.name)}*"):  # with its overviews
            file.unlink()


def _number_type(probability: ProbabilityType) -> dict[str, Any]:
    if probability == "uint8":
        return {"dtype": "uint8", "nodata": NODATA}
    return {"dtype": "float32", "nodata": float("nan")} | ({"nbits": 16} if probability == "float16" else {})


def _encode(probabilities: np.ndarray, valid: np.ndarray, probability: ProbabilityType) -> np.ndarray:
    if probability == "uint8":
        steps = np.rint(probabilities * np.float32(1 / PROBABILITY_STEP)).astype(np.uint8)
        return np.where(valid, steps, np.uint8(NODATA))
    return np.where(valid, probabilities, np.float32(np.nan))


def _count(
    statistics: LayerStatistics, classes: np.ndarray, probabilities: np.ndarray, valid: np.ndarray, area: float | None
) -> None:
    counts = np.bincount(classes[valid], minlength=len(statistics.pixels))
    sums = probabilities.sum(axis=(1, 2), dtype=np.float64)  # 0 where not valid
    sums = np.array([np.count_nonzero(valid) - sums[0], sums[0]]) if len(sums) == 1 else sums
    statistics.pixels = [one + int(other) for one, other in zip(statistics.pixels, counts, strict=True)]
    if statistics.square_metres is not None and area is not None:
        found = zip(statistics.square_metres, counts, strict=True)
        statistics.square_metres = [one + float(other) * area for one, other in found]
    statistics.expected = [one + float(other) for one, other in zip(statistics.expected, sums, strict=True)]


def _describe(out: DatasetWriter, spec: ModelSpec, names: Iterable[str], probability: ProbabilityType) -> None:
    """Names the bands; or of a mask, the classes: a colour table and tags."""
    for number, name in enumerate(names, 1):
        out.set_band_description(number, name)
    if names:
        if probability == "uint8":
            out.scales, out.offsets = [PROBABILITY_STEP] * out.count, [0.0] * out.count
            out.units = ["probability"] * out.count
        return
    values = mask_values(spec)
    colors = dict(zip(values, class_colors(spec), strict=True))
    out.write_colormap(1, {value: (*color, 255) for value, color in colors.items()} | {NODATA: (0, 0, 0, 0)})
    out.set_band_description(1, "class")
    out.update_tags(1, **{f"CLASS_{value}": name for value, name in zip(values, spec.class_names, strict=True)})
