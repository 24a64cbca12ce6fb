"""Mean and standard deviation of each band."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.config.overrides import as_override
from flood_seg.console import say, warn
from flood_seg.data.nodata import band_extremes, find_suspected_nodata
from flood_seg.data.parallel import read_pairs
from flood_seg.data.reading import SampleReader
from flood_seg.data.store import cache_folder, cache_key
from flood_seg.errors import DataError
from flood_seg.files import cached_json, write_text
from flood_seg.imaging.decode import open_with_pillow
from flood_seg.imaging.gdal import ground_sample_distance, has_rasterio, open_raster
from flood_seg.imaging.source import ImageSource, is_raster

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flood_seg.config.schema import DataConfig
    from flood_seg.data.nodata import Extremes, SuspectedNodata
    from flood_seg.data.pairing import Pair

SAMPLED_PLACES = 32  # images whose ground sample distance is looked up
SAMPLED_SIZES = 500  # images whose size is looked up
SCALE_PERCENTILES = (5, 50, 95)  # of `ModelSpec.image_scales`


@dataclass
class BandStats:
    """Exact count, mean and squared deviations of each band, accumulated image by image.

    Two sets are merged as by Chan, Golub and LeVeque 1979 (Stanford STAN-CS-79-773), which does not lose digits as a
    sum of squares does.
    """

    bands: int
    count: int = 0
    mean: np.ndarray = field(init=False)
    squares: np.ndarray = field(init=False)
    low: np.ndarray = field(init=False)
    high: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.squares = np.zeros((2, self.bands))
        self.low, self.high = np.full(self.bands, np.inf), np.full(self.bands, -np.inf)

    @classmethod
    def of(cls, image: np.ndarray, mask: np.ndarray) -> BandStats:
        """Measures an image, any dtype [H, W, bands], without ignored pixels of its mask, uint8 [H, W]."""
        counted, stats = mask != IGNORED, cls(image.shape[2])
        stats.add(image.reshape(-1, image.shape[2]) if counted.all() else image[counted])
        return stats

    def add(self, pixels: np.ndarray) -> None:
        """Adds the pixels of an image, any dtype [pixels, bands]."""
        if not len(pixels):
            return
        other = BandStats(self.bands)
        other.count = len(pixels)
        other.mean = pixels.mean(axis=0, dtype=np.float64)
        for band in range(self.bands):  # one band at a time: float64 takes eight times the memory of 8 bits
            other.squares[band] = np.square(pixels[:, band] - other.mean[band]).sum()
        other.low, other.high = pixels.min(axis=0).astype(float), pixels.max(axis=0).astype(float)
        self.merge(other)

    def merge(self, other: BandStats) -> None:
        """Adds another set of pixels."""
        if not other.count:
            return
        total = self.count + other.count
        apart = other.mean - self.mean
        self.mean = self.mean + apart * (other.count / total)
        self.squares = self.squares + other.squares + apart**2 * (self.count * other.count / total)
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        self.count = total

    @property
    def std(self) -> np.ndarray:
        """Of all pixels, float64 [bands]."""
        return np.sqrt(self.squares / max(self.count, 1))


def measure(pairs: Sequence[Pair], reader: SampleReader) -> tuple[BandStats, list[SuspectedNodata]]:
    """Reads each pair once, at its own size, and measures the raw values.

    Returns:
        mean and standard deviation, and values that are likely to mean no data.

    Raises:
        DataError: no pixel could be read, or a mask has a value that the labels do not list.
    """

    def measure_pair(pair: Pair) -> tuple[BandStats, Extremes]:
        raster, mask = reader.read(pair)
        return BandStats.of(raster.values, mask), band_extremes(raster)

    total = BandStats(len(reader.bands.names))
    ends: dict[str, Extremes] = {}
    for pair, (bands, its_ends) in read_pairs(pairs, measure_pair, "Measuring"):
        total.merge(bands)
        ends[pair.stem] = its_ends
    if not total.count:
        raise DataError("no pixel of the training part could be read; the lines above say why")
    return total, find_suspected_nodata(ends, reader.bands.names, reader.bands.value_scale)


def measure_bands(data: DataConfig, task: str, pairs: Sequence[Pair]) -> tuple[list[float], list[float]]:
    """Returns mean and standard deviation of each band on the scale of `value_scale`; measured once for a data set.

    Raises:
        DataError: as `measure`.
    """
    reader = SampleReader.of(data, task)

    def compute() -> list[list[Any]]:
        total, suspected = measure(pairs, reader)
        mean, std = (total.mean / data.value_scale).tolist(), (total.std / data.value_scale).tolist()
        return [mean, std, [str(one) for one in suspected]]

    file = cache_folder(data.cache_dir) / f"{cache_key(pairs, reader)}.bands.json"
    mean, std, suspected = cached_json(file, compute)
    each = [f"{name} {m:.4f} ± {s:.4f}" for name, m, s in zip(data.bands, mean, std, strict=True)]
    say(f"Mean and standard deviation of the training part: {', '.join(each)}")
    for text in suspected:
        warn(text)
    return mean, [value or 1.0 for value in std]  # a constant band carries no information, and must not divide by 0


def write_stats(path: Path, total: BandStats, data: DataConfig) -> None:
    """Writes what `datamodule.stats_file` reads: the bands, and mean and deviation on the scale of `value_scale`."""
    import yaml

    scale = data.value_scale
    record = {
        "bands": list(data.bands),
        "band_sources": dict(data.band_sources or {}),
        "value_scale": scale,
        "mean": [round(float(mean), 6) for mean in total.mean / scale],
        "std": [round(float(std), 6) for std in total.std / scale],
    }
    write_text(path, yaml.safe_dump(record, sort_keys=False))
    say(f"{path}: train with {shlex.quote(as_override('datamodule.stats_file', str(path)))}")


def measure_ground_sample_distance(pairs: Sequence[Pair], height: int, width: int) -> float | None:
    """Measures how large a pixel of the network's input is on the ground.

    Args:
        pairs: of the training part; some of them are opened.
        height: of the input, in pixels.
        width: of the input, in pixels.

    Returns:
        the median in metres; None: most images are not georeferenced.
    """
    if not has_rasterio():
        return None
    sampled = pairs[:: max(1, len(pairs) // SAMPLED_PLACES)]
    distances = [_distance(pair, height * width) for pair in sampled]
    known = [distance for distance in distances if distance]
    return float(np.median(known)) if 2 * len(known) > len(sampled) else None


def _distance(pair: Pair, pixels: int) -> float | None:
    if not is_raster(pair.image):
        return None
    with open_raster(pair.image) as dataset:
        distance = ground_sample_distance(dataset)
        covered = pair.window.size**2 if pair.window else dataset.height * dataset.width
    return distance and distance * math.sqrt(covered / pixels)


def measure_image_scales(pairs: Sequence[Pair], height: int, width: int) -> tuple[float, float, float] | None:
    """Measures how much the training images are reduced to the network's input; see `ModelSpec.image_scales`.

    Args:
        pairs: of the training part; the headers of some are read.
        height: of the input, in pixels.
        width: of the input, in pixels.

    Returns:
        the percentiles; None: there are no pairs.
    """
    if not pairs:
        return None
    sampled = pairs[:: max(1, len(pairs) // SAMPLED_SIZES)]
    scales = [math.sqrt(height * width / _pixels(pair)) for pair in sampled]
    low, median, high = (round(float(scale), 4) for scale in np.percentile(scales, SCALE_PERCENTILES))
    return low, median, high


def _pixels(pair: Pair) -> int:
    if pair.window:
        return pair.window.size**2
    source = ImageSource(pair.image)
    if has_rasterio() and is_raster(source):
        with open_raster(source) as dataset:
            return int(dataset.height * dataset.width)
    with open_with_pillow(source, source.read()) as opened:
        return opened.height * opened.width
