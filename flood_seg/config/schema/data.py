"""The `datamodule` group."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from flood_seg.classes import Classes, parse_classes
from flood_seg.config.repository import shipped_values
from flood_seg.config.schema.checks import (
    check_choice,
    check_choices,
    check_range,
    check_seed,
    check_workers,
    closed_choices,
)
from flood_seg.config.schema.extra_val import read_extra_sets
from flood_seg.errors import ConfigError
from flood_seg.files import regular

AUTO = "auto"  # mean and std that are measured
BANDS, VALUE_SCALE = ("red", "green", "blue"), 255.0  # if neither the configuration nor stats_file sets them
Part = Literal["auto", "train", "val", "test", "all"]
Cache = Literal["ram", "disk", "none"]
SMALLEST_VALLEY = 500.0  # metres of a side, below which its villages and its river would overlap


@dataclass
class SampleConfig:
    """The synthetic flood scenes of `datamodule=sample`, or the valley of `datamodule=valley`."""

    valley: bool
    count: int
    height: int
    width: int
    seed: int
    ground_sample_distance: float | None

    def __post_init__(self) -> None:
        check_range("datamodule.sample.count", self.count, 2)
        check_range("datamodule.sample.ground_sample_distance", self.ground_sample_distance or 1, 0, open_low=True)
        check_range("datamodule.sample.height", self.height, 64)
        check_range("datamodule.sample.width", self.width, 64)
        check_seed("datamodule.sample.seed", self.seed)
        if self.valley:
            self._check_valley()

    def _check_valley(self) -> None:
        if self.count != 2:
            raise ConfigError(f"datamodule.sample.count={self.count}: a valley is two pictures; leave it out")
        if not self.ground_sample_distance:
            raise ConfigError("datamodule.sample.ground_sample_distance: a valley needs one in metres, for example 1")
        side = min(self.height, self.width) * self.ground_sample_distance
        if side < SMALLEST_VALLEY:
            raise ConfigError(
                f"datamodule.sample.height, width: {side:.10g} m are too small for a valley, whose sides are at least "
                f"{SMALLEST_VALLEY:.0f} m"
            )


@dataclass
class WindowsConfig:
    """How large rasters are read."""

    size: int
    block: float
    min_data: float
    seed: int

    def __post_init__(self) -> None:
        check_range("datamodule.windows.size", self.size, 32)
        check_range("datamodule.windows.block", self.block, 1)
        check_range("datamodule.windows.min_data", self.min_data, 0, 1)
        check_seed("datamodule.windows.seed", self.seed)


@dataclass
class BandDropoutConfig:
    """The groups of bands that are dropped in training; see `flood_seg.imaging.optional.OptionalBands`."""

    groups: dict[str, list[str]] | None
    one_of: list[str]
    probability: float
    partial: float

    def __post_init__(self) -> None:
        check_range("datamodule.band_dropout.probability", self.probability, 0, 1)
        check_range("datamodule.band_dropout.partial", self.partial, 0, 1)

    def check_bands(self, bands: list[str]) -> None:
        """Raises ConfigError where a group has none of the bands, unknown ones, or leaves nothing."""
        for name, group in (self.groups or {}).items():
            key = f"datamodule.band_dropout.groups.{name}"
            if not group:
                raise ConfigError(f"{key}: is empty; name bands")
            for band in group:
                check_choice(key, band, tuple(bands))
            if not set(self.one_of or bands) - set(group):
                raise ConfigError(f"{key}: leaves none of {', '.join(self.one_of or bands)}; name fewer bands")
        for band in self.one_of:
            check_choice("datamodule.band_dropout.one_of", band, tuple(bands))


@closed_choices
@dataclass
class DataConfig:
    """Where samples come from and how they reach the network."""

    data_dir: Any  # a folder or a list of them
    images_dir: str
    masks_dir: str
    mask_suffix: str
    pair_pattern: str | None
    pairs_file: str | None
    dvc_pull: bool
    windows: WindowsConfig | None
    label_field: str | None
    sample: SampleConfig | None
    height: int
    width: int
    bands: list[str]  # empty in configs/; BANDS unless stats_file names others
    band_sources: dict[str, str] | None
    band_dropout: BandDropoutConfig
    value_scale: float  # 0 in configs/; VALUE_SCALE unless stats_file gives another
    ground_sample_distance: float | None
    nodata: float | None
    mean: Any  # numbers, or AUTO until they are measured
    std: Any
    stats_file: str | None
    class_names: list[str]
    labels: dict[Any, str] | None
    max_label: int | None
    ignore_index: int | None
    unlisted: Literal["fail", "ignore"]
    colors: dict[str, str] | None
    val_split: float
    split_file: str | None
    extra_val: Any  # see `read_extra_sets`; a dictionary of sets once it is checked
    extra_val_every: int
    extra_val_only: bool
    on_bad_sample: Literal["skip", "fail"]
    max_megapixels: float
    batch_size: int
    num_workers: int | None
    cache: Cache
    cache_dir: str | None

    def __post_init__(self) -> None:
        folders = self.data_dir if isinstance(self.data_dir, list) else [self.data_dir]
        if not all(folder and isinstance(folder, str) for folder in folders or [None]):
            raise ConfigError(f"datamodule.data_dir={self.data_dir}: give a folder, or a list of folders")
        self._check_pair_pattern()
        if self.stats_file:
            self._read_stats(Path(self.stats_file))
        self.bands = list(self.bands) or list(BANDS)
        self.value_scale = self.value_scale or VALUE_SCALE
        check_range("datamodule.height", self.height, 32)
        check_range("datamodule.width", self.width, 32)
        check_range("datamodule.val_split", self.val_split, 0, 0.95, open_low=True)
        check_range("datamodule.batch_size", self.batch_size, 1)
        check_workers("datamodule.num_workers", self.num_workers or 0)
        check_range("datamodule.value_scale", self.value_scale, 0, open_low=True)
        check_range("datamodule.max_megapixels", self.max_megapixels, 0, open_low=True)
        check_range("datamodule.ground_sample_distance", self.ground_sample_distance or 1, 0, open_low=True)
        check_choices("datamodule", self)
        if self.nodata is not None and not math.isfinite(self.nodata):
            raise ConfigError(f"datamodule.nodata={self.nodata}: NaN and infinity are no data anyway; leave it out")
        self._check_mean_and_std()
        self._check_labels()
        self._check_extra_val()

    def _check_pair_pattern(self) -> None:
        """Checks the pattern; a band source with a placeholder takes over how images are named: `IMAGE=SOURCE`."""
        image, _, mask = (self.pair_pattern or "").partition(":")
        if self.pair_pattern is not None:
            key = f"datamodule.pair_pattern={self.pair_pattern}"
            if image.count("{}") != 1 or mask.count("{}") != 1:
                raise ConfigError(f"{key}: give IMAGE:MASK with one {{}} each, as in image_{{}}.png:mask_{{}}.png")
            if "/" in self.pair_pattern:
                raise ConfigError(f"{key}: is of file names; datamodule.images_dir and masks_dir are the folders")
            if self.mask_suffix:
                raise ConfigError(f"{key}: and mask_suffix={self.mask_suffix}; leave one out")
        for name, source in (self.band_sources or {}).items():
            if "{}" not in str(source):
                continue
            given, equals, where = str(source).rpartition("=")
            if not equals and not image:
                key = f"datamodule.band_sources.{name}={source}"
                raise ConfigError(f"{key}: {{}} requires datamodule.pair_pattern, or IMAGE_{{}}={source}")
            self.band_sources = {**(self.band_sources or {}), name: f"{given or image}={where}"}

    def _check_mean_and_std(self) -> None:
        if self.mean == self.std == AUTO:
            return
        for name, values in (("mean", self.mean), ("std", self.std)):
            if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
                raise ConfigError(
                    f"datamodule.{name}={values}: give one number per band, or {AUTO} for mean and std both"
                )
        if not len(self.bands) == len(self.mean) == len(self.std):
            raise ConfigError(
                f"datamodule: {len(self.bands)} bands, {len(self.mean)} values in mean and {len(self.std)} in std; "
                f"give one mean and one std per band, or datamodule.mean={AUTO} datamodule.std={AUTO}"
            )
        for band, std in zip(self.bands, self.std, strict=True):
            check_range(f"datamodule.std of {band}", std, 0, open_low=True)

    def _check_extra_val(self) -> None:
        check_range("datamodule.extra_val_every", self.extra_val_every, 1)
        self.extra_val = read_extra_sets(self.extra_val) if self.extra_val else None
        if self.extra_val_only and not self.extra_val:
            raise ConfigError("datamodule.extra_val_only=true: give these sets, datamodule.extra_val=[FOLDER]")
        if self.extra_val_only and self.extra_val_every > 1:
            raise ConfigError(
                "datamodule.extra_val_only=true: its sets are measured in each epoch; leave out extra_val_every"
            )

    def extra(self, name: str) -> DataConfig:
        """Returns the configuration of a further validation set: this one with the keys that `extra_val` replaces."""
        own: dict[str, Any] = dict.fromkeys(("sample", "split_file", "pairs_file", "extra_val", "stats_file"))
        return replace(self, **(own | {"extra_val_only": False} | self.extra_val[name]))

    def _check_labels(self) -> None:
        check_range("datamodule.max_label", 1 if self.max_label is None else self.max_label, 1)
        if unknown := sorted(set(self.band_sources or ()) - set(self.bands)):
            raise ConfigError(f"datamodule.band_sources.{unknown[0]}: is none of the bands, {', '.join(self.bands)}")
        if len(set(self.bands)) < len(self.bands):
            raise ConfigError(f"datamodule.bands: a band occurs twice in {', '.join(self.bands)}")
        self.band_dropout.check_bands(self.bands)

    def _read_stats(self, path: Path) -> None:
        """Takes bands, scale, mean and std from a file of `data stats --write-config`; no key may contradict it."""
        import yaml

        key = f"datamodule.stats_file={path}"
        try:
            record = yaml.safe_load(regular(path).read_text(encoding="utf-8"))
            found = {name: record[name] for name in ("bands", "value_scale", "mean", "std")}
            if "band_sources" in record:
                found["band_sources"] = {name: str(place) for name, place in record["band_sources"].items()}
        except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise ConfigError(
                f"{key}: cannot be read ({reason}); write one with flood-seg data stats --write-config FILE"
            ) from error
        shipped = shipped_values("datamodule/flood")
        for name, value in found.items():
            given = getattr(self, name)
            if given != value and given not in (AUTO, shipped[name]):
                raise ConfigError(f"{key}: its {name} is {value}, not {given}; leave one out, or measure them again")
            setattr(self, name, value or given)

    @property
    def folders(self) -> list[Path]:
        """The folders of the data sets."""
        return [Path(folder) for folder in (self.data_dir if isinstance(self.data_dir, list) else [self.data_dir])]

    @property
    def place(self) -> str:
        """The folders as text, for messages."""
        return ", ".join(str(folder) for folder in self.folders)

    def classes(self, task: str) -> Classes:
        """Returns the classes that the labels name; raises as `parse_classes`."""
        return parse_classes(
            task, self.class_names, self.labels, self.max_label, self.ignore_index, self.colors, self.unlisted
        )
