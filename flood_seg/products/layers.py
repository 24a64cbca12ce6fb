"""The raster layers of a scene: the mask and the probability, as Cloud Optimized GeoTIFFs."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.errors import OutputError
from flood_seg.files import atomic_path
from flood_seg.imaging.display import class_colors
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.imaging.postprocess import to_labels
from flood_seg.products.ground import Ground
from flood_seg.products.overviews import write_overviews

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from rasterio.io import DatasetReader, DatasetWriter

    from flood_seg.classes import Color
    from flood_seg.config.schema.scenes import ProbabilityType
    from flood_seg.scenes.cells import Cell
    from flood_seg.scenes.grid import Box
    from flood_seg.spec import ModelSpec

NODATA = 255  # of masks and of probabilities in 8 bits
PROBABILITY_STEP = 0.005  # of a probability in 8 bits: 200 steps
_LAYOUT = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer",
           "sparse_ok": True, "interleave": "band"}  # fmt: skip
_COG: dict[str, Any] = {
    "driver": "COG",
    "compress": "deflate",
    "bigtiff": "if_safer",
    "sparse_ok": True,
    "num_threads": "all_cpus",
    "overviews": "force_use_existing",  # `write_overviews`
}
# The lowest level with a predictor makes smaller files than the default without, in half the time.
_OF_CLASSES: dict[str, Any] = {}
_OF_PROBABILITIES: dict[str, Any] = {"level": 1, "predictor": "yes"}
_CLASS_TAG = "CLASS_"
_RESAMPLING = {"mask.tif": "mode", "probability.tif": "average"}


@dataclass
class LayerStatistics:
    """What is counted while the layers are written.

    Attributes:
        pixels: of each class, in the order of `ModelSpec.class_names`.
        unobserved: pixels without data.
        expected: the sum of the probabilities of each class, in pixels.
        square_metres: geodesic area of each class; None: the scene is not georeferenced.
        hidden: of the pixels without data, those that a cover hides; None: there is none.
    """

    pixels: list[int]
    unobserved: int = 0
    expected: list[float] = field(default_factory=list)
    square_metres: list[float] | None = None
    hidden: int | None = None


def mask_values(spec: ModelSpec) -> tuple[int, ...]:
    """Returns the value of each class in a mask: its label value, or its index where label values do not leave 255."""
    labels = spec.label_values
    return labels if all(0 <= value < NODATA for value in labels) else tuple(range(len(labels)))


def _is_class(tag: str) -> bool:
    return tag.startswith(_CLASS_TAG) and tag[len(_CLASS_TAG) :].isdecimal()


@dataclass(frozen=True)
class Legend:
    """The classes of a raster.

    Attributes:
        names: of the classes; the first one is the background, which has no polygons.
        values: in the raster, of each class; none is 255, which is no data.
        colors: RGB of each class; the background is not drawn.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    colors: tuple[Color, ...]

    @classmethod
    def of(cls, spec: ModelSpec) -> Legend:
        """Returns that of mask.tif."""
        return cls(spec.class_names, mask_values(spec), tuple(class_colors(spec)))

    @classmethod
    def read(cls, dataset: DatasetReader) -> Legend:
        """Returns the legend that `describe` has written into a raster, the class of the smallest value first."""
        names = {int(key[len(_CLASS_TAG) :]): name for key, name in dataset.tags(1).items() if _is_class(key)}
        colors, values = dataset.colormap(1), sorted(names)
        return cls(tuple(names[value] for value in values), tuple(values), tuple(colors[value][:3] for value in values))

    def describe(self, out: DatasetWriter) -> None:
        """Writes the legend into a raster that is open for writing: a colour table and tags."""
        colors = {value: (*color, 255) for value, color in zip(self.values, self.colors, strict=True)}
        out.write_colormap(1, colors | {NODATA: (0, 0, 0, 0)})
        out.set_band_description(1, "class")
        out.update_tags(
            1, **{f"{_CLASS_TAG}{value}": name for value, name in zip(self.values, self.names, strict=True)}
        )


@dataclass(frozen=True)
class DerivedLayer:
    """A raster of classes that was made of a finished mask and of something else, the water of an earlier map say.

    Attributes:
        title: for readers.
        file: its name.
        legend: of its classes.
        pixels: of each class.
        square_metres: geodesic area of each class; None: the scene is not georeferenced.
        figures: about it in the STAC item, by the name of the property.
        warnings: about it.
    """

    title: str
    file: str
    legend: Legend
    pixels: tuple[int, ...]
    square_metres: tuple[float, ...] | None
    figures: dict[str, Any]
    warnings: tuple[str, ...]


class LayerWriter:
    """Writes mask.tif and, unless `probability` is none, probability.tif, cell by cell.

    Both are plain GeoTIFFs in a working folder while cells are added, and then become Cloud Optimized GeoTIFFs. A
    context manager that removes the plain ones.

    Attributes:
        work: folder of the plain layers, which are complete after `finish`.
    """

    def __init__(
        self, work: Path, spec: ModelSpec, threshold: float, size: tuple[int, int], georeference: Mapping[str, Any],
        probability: ProbabilityType,
    ) -> None:  # fmt: skip
        """Opens the plain layers.

        Args:
            work: folder of the plain layers.
            spec: of the model.
            threshold: a pixel is foreground where its probability is above this (binary only).
            size: height and width of the scene.
            georeference: of the scene; see `read_georeference`.
            probability: number type of the probabilities.

        Raises:
            OutputError: a file cannot be written.
        """
        self.work, self._spec, self._threshold, self._type = work, spec, threshold, probability
        common = dict(georeference) | {"height": size[0], "width": size[1]}
        names = spec.class_names[1:] if spec.task == "binary" else spec.class_names
        classes = range(len(spec.class_names))
        self._ground = Ground.of(georeference)
        self._statistics = LayerStatistics([0 for _ in classes], 0, [0.0 for _ in classes])
        if self._ground:
            self._statistics.square_metres = [0.0 for _ in classes]
        profiles = {"mask.tif": common | {"count": 1, "dtype": "uint8", "nodata": NODATA}}
        if probability != "none":
            profiles["probability.tif"] = common | _number_type(probability) | {"count": len(names)}
        self._layers: dict[str, DatasetWriter] = {}
        for name, profile in profiles.items():
            with _writing(work / name):
                work.mkdir(parents=True, exist_ok=True)
                self._layers[name] = import_rasterio().open(work / name, "w", **_LAYOUT | profile)
                _describe(self._layers[name], spec, () if name == "mask.tif" else names, probability)

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for name, layer in self._layers.items():
            with suppress(import_rasterio().errors.RasterioError, OSError):
                layer.close()
            for file in self.work.glob(f"{name}*"):  # with its overviews
                file.unlink()

    def write(self, cells: Iterable[Cell], hidden: Callable[[Box], np.ndarray] | None = None) -> None:
        """Writes cells, each once, in any order; one thread at a time; raises OutputError.

        Args:
            cells: of the scene.
            hidden: returns where a rectangle is hidden, by a cloud say, bool [height, width]: it has no data then, and
                counts as such.
        """
        for cell in cells:
            if hidden and cell.probabilities is not None:
                cell = self._without(cell, hidden(cell.box))
            self._statistics.unobserved += cell.valid.size - int(np.count_nonzero(cell.valid))
            if cell.probabilities is None:
                continue
            classes = cell.classes(self._threshold)
            _count(self._statistics, cell, classes, self._ground.pixel_area(cell.box) if self._ground else None)
            labels = to_labels(classes, mask_values(self._spec))
            self._write("mask.tif", cell.box, _with_nodata(labels, cell.valid, np.uint8(NODATA))[None])
            if "probability.tif" in self._layers:
                self._write("probability.tif", cell.box, _encode(cell.probabilities, cell.valid, self._type))

    def _without(self, cell: Cell, hidden: np.ndarray) -> Cell:
        """Returns a cell without what is hidden."""
        assert cell.probabilities is not None
        covered = cell.valid & hidden
        count = int(np.count_nonzero(covered))
        self._statistics.hidden = (self._statistics.hidden or 0) + count
        if not count:
            return cell
        valid = cell.valid & ~hidden
        return replace(cell, valid=valid, probabilities=np.where(valid, cell.probabilities, 0) if valid.any() else None)

    def _write(self, name: str, box: Box, values: np.ndarray) -> None:
        window = ((box.row, box.row + box.height), (box.col, box.col + box.width))
        with _writing(self.work / name):
            self._layers[name].write(values, window=window)

    def finish(self) -> LayerStatistics:
        """Closes the plain layers and returns what was counted; raises OutputError."""
        for name, layer in self._layers.items():
            with _writing(self.work / name):
                layer.close()
        return self._statistics

    def publish(self, folder: Path) -> None:
        """Writes the Cloud Optimized GeoTIFFs, with overviews, into a folder; raises OutputError."""
        (folder / "probability.tif").unlink(missing_ok=True)  # of an earlier run
        for name in self._layers:
            options = _OF_CLASSES if name == "mask.tif" else _OF_PROBABILITIES
            if self._type == "float16" and name != "mask.tif":
                options = options | {"nbits": 16}
            with atomic_path(folder / name) as temporary, _writing(folder / name):
                _copy(self.work / name, temporary, options, _RESAMPLING[name])


@contextmanager
def write_classes(
    path: Path, size: tuple[int, int], georeference: Mapping[str, Any], legend: Legend | None, **profile: Any
) -> Iterator[DatasetWriter]:
    """Yields a raster of classes, or of counts, to be written window by window; it becomes a Cloud Optimized GeoTIFF.

    The file is there whole or not at all. What is not written has no data.

    Args:
        path: of the file.
        size: height and width.
        georeference: of the raster; see `read_georeference`.
        legend: of a raster of classes, uint8 with nodata 255; None: `profile` says what it is.
        profile: entries of rasterio's profile.

    Raises:
        OutputError: the file cannot be written.
    """
    chosen = {"count": 1, "dtype": "uint8", "nodata": NODATA} | profile
    with atomic_path(path) as temporary, _writing(path):
        plain = temporary.with_suffix(".plain.tif")
        try:
            place = dict(georeference) | {"height": size[0], "width": size[1]}
            with import_rasterio().open(plain, "w", **_LAYOUT | place | chosen) as out:
                if legend:
                    legend.describe(out)
                yield out
            _copy(plain, temporary, _OF_CLASSES, "mode")
        finally:
            for file in plain.parent.glob(f"{plain.name}*"):  # with its overviews
                file.unlink()


def _copy(plain: Path, path: Path, options: Mapping[str, Any], resampling: str) -> None:
    """Makes a Cloud Optimized GeoTIFF, with overviews, of a plain one."""
    from rasterio.shutil import copy

    # Where a process reads files from outside, GDAL looks for no others beside them; these are our own
    with import_rasterio().Env(GDAL_DISABLE_READDIR_ON_OPEN="FALSE"):
        write_overviews(plain, resampling, _LAYOUT)
        copy(plain, path, **_COG | dict(options))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns what GDAL raises of a file into an OutputError."""
    try:
        yield
    except (import_rasterio().errors.RasterioError, OSError) as error:
        raise OutputError(f"{path}: cannot be written ({error}); choose another place") from error


def _number_type(probability: ProbabilityType) -> dict[str, Any]:
    if probability == "uint8":
        return {"dtype": "uint8", "nodata": NODATA}
    return {"dtype": "float32", "nodata": float("nan")} | ({"nbits": 16} if probability == "float16" else {})


def _encode(probabilities: np.ndarray, valid: np.ndarray, probability: ProbabilityType) -> np.ndarray:
    if probability == "uint8":
        steps = np.rint(probabilities * np.float32(1 / PROBABILITY_STEP)).astype(np.uint8)
        return _with_nodata(steps, valid, np.uint8(NODATA))
    return _with_nodata(probabilities, valid, np.float32(np.nan))


def _with_nodata(values: np.ndarray, valid: np.ndarray, nodata: np.generic) -> np.ndarray:
    return values if valid.all() else np.asarray(np.where(valid, values, nodata))


def _count(statistics: LayerStatistics, cell: Cell, classes: np.ndarray, area: float | None) -> None:
    assert cell.probabilities is not None
    observed = np.count_nonzero(cell.valid)
    counts = [int(np.count_nonzero(classes == number)) for number in range(1, len(statistics.pixels))]  # 0 if not valid
    counts = [int(observed) - sum(counts), *counts]
    sums = cell.probabilities.sum(axis=(1, 2), dtype=np.float64)  # 0 where not valid
    sums = np.array([observed - sums[0], sums[0]]) if len(sums) == 1 else sums
    statistics.pixels = [one + other for one, other in zip(statistics.pixels, counts, strict=True)]
    if statistics.square_metres is not None and area is not None:
        found = zip(statistics.square_metres, counts, strict=True)
        statistics.square_metres = [one + other * area for one, other in found]
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
    Legend.of(spec).describe(out)
