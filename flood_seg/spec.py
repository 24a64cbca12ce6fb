"""ModelSpec: what a model expects and returns, carried inside every artefact."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import Any, Literal, get_args

from flood_seg.errors import ModelError

Task = Literal["binary", "multiclass"]
METADATA_KEY = "flood_seg.spec"
SPEC_VERSION = 1


@dataclass(frozen=True)
class ModelSpec:
    """What a model expects and returns.

    Attributes:
        task: `binary` (one logit per pixel, sigmoid) or `multiclass` (one logit per class, softmax).
        class_names: names of all classes, background first.
        label_values: the integer that encodes each class in a mask, in the order of `class_names`.
        bands: names of the input bands, in the order of the channels.
        height: network input height in pixels.
        width: network input width in pixels.
        value_scale: what a raw pixel value is divided by before normalisation (255 for 8 bits); never guessed.
        mean: per-band mean on the [0, 1] scale, subtracted.
        std: per-band standard deviation on the [0, 1] scale, divided by.
        band_sources: where a band is found that the image's own file does not name; see `imaging.bands.BandSelection`.
        nodata: raw value of pixels without data, for files that declare none; None: there is no such value.
        class_colors: `#rrggbb` per class for drawing; empty: the default ones.
        resize: how an image is brought to height x width; `area`: stretched, by area averaging where it
            shrinks and bilinearly where it grows.
        threshold: a pixel is foreground where its probability is above this (binary only).
        temperature: logits are divided by this before sigmoid or softmax, so that a probability is the share of such
            pixels that are right; `flood-seg evaluate --calibrate` finds it.
        input_name: name of the input tensor, float32 [batch, bands, height, width].
        output_name: name of the output tensor, float32 logits [batch, classes or 1, height, width].
        provenance: where the model comes from: architecture, encoder, data fingerprint, git commit, metrics,
            library versions. Plain JSON values.
        optional_bands: groups of bands that may be missing, by name; see `imaging.optional.OptionalBands`. Empty: none.
        one_of: bands of which one at least must be there; empty: any.
        ground_sample_distance: size of a pixel of the network's input in metres, on the ground; None: unknown, as with
            photos.
        image_scales: pixels of the network per pixel of a training image, the root of the ratio of their areas, of the
            training images: 5th, 50th and 95th percentile; None: unknown.
        version: of this record's layout.
    """

    task: Task
    class_names: tuple[str, ...]
    label_values: tuple[int, ...]
    bands: tuple[str, ...]
    height: int
    width: int
    value_scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    band_sources: dict[str, str] = field(default_factory=dict)
    class_colors: tuple[str, ...] = ()
    resize: Literal["area"] = "area"
    threshold: float = 0.5
    temperature: float = 1.0
    input_name: str = "input"
    output_name: str = "output"
    provenance: dict[str, Any] = field(default_factory=dict)
    nodata: float | None = None
    ground_sample_distance: float | None = None
    image_scales: tuple[float, float, float] | None = None
    optional_bands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    one_of: tuple[str, ...] = ()
    version: int = SPEC_VERSION

    def __post_init__(self) -> None:
        """Raises ModelError where fields contradict each other."""
        if self.task not in get_args(Task):
            raise ModelError(f"ModelSpec: task is {self.task!r}; allowed: {', '.join(get_args(Task))}")
        if not len(self.bands) == len(self.mean) == len(self.std):
            raise ModelError(
                f"ModelSpec: {len(self.bands)} bands, {len(self.mean)} means and {len(self.std)} stds; "
                "give one mean and one std per band"
            )
        if len(self.class_names) != len(self.label_values):
            raise ModelError(
                f"ModelSpec: {len(self.class_names)} class names and {len(self.label_values)} label values; "
                "give one label value per class"
            )
        self._check_types()
        if not (self.temperature > 0 and 0 <= self.threshold <= 1):
            raise ModelError(
                f"ModelSpec: threshold is {self.threshold} and temperature {self.temperature}; the first must lie in "
                "[0, 1], the second above 0"
            )
        if self.nodata is not None and not (isinstance(self.nodata, int | float) and isfinite(self.nodata)):
            raise ModelError(f"ModelSpec: nodata is {self.nodata!r}; give a number or null")
        distance = self.ground_sample_distance
        if distance is not None and not (isinstance(distance, int | float) and isfinite(distance) and distance > 0):
            raise ModelError(f"ModelSpec: ground_sample_distance is {distance!r}; give metres above 0, or null")
        scales = self.image_scales
        if scales is not None and not (
            len(scales) == 3
            and all(isinstance(scale, int | float) and isfinite(scale) for scale in scales)
            and 0 < scales[0] <= scales[1] <= scales[2]
        ):
            raise ModelError(
                f"ModelSpec: image_scales is {scales!r}; give three numbers above 0 that do not fall, or null"
            )
        if self.task == "binary" and len(self.class_names) != 2:
            raise ModelError(f"ModelSpec: task is binary but there are {len(self.class_names)} classes, not 2")

    def _check_types(self) -> None:
        """Raises ModelError where a JSON record holds values that no model can have."""
        if not all(isinstance(side, int) and side > 0 for side in (self.height, self.width)):
            raise ModelError(f"ModelSpec: its size is {self.height!r} × {self.width!r}; give two whole numbers above 0")
        numbers = (self.value_scale, *self.mean, *self.std, self.threshold, self.temperature)
        if not all(isinstance(number, int | float) and isfinite(number) for number in numbers):
            raise ModelError("ModelSpec: value_scale, mean, std, threshold or temperature is not a finite number")
        if not all(number > 0 for number in (self.value_scale, *self.std)):
            raise ModelError("ModelSpec: value_scale or a value of std is not above 0")
        if not all(isinstance(name, str) for name in (*self.class_names, *self.bands, *self.class_colors)):
            raise ModelError("ModelSpec: a name of a class or of a band, or a color, is not text")
        named = [*self.one_of, *(band for group in self.optional_bands.values() for band in group)]
        if unknown := [band for band in named if band not in self.bands]:
            raise ModelError(f"ModelSpec: {unknown[0]!r} of optional_bands or one_of is none of its bands")
        if not isinstance(self.provenance, dict) or not isinstance(self.band_sources, dict):
            raise ModelError("ModelSpec: provenance or band_sources is not a JSON object")

    @property
    def logit_channels(self) -> int:
        """Channels of the output tensor: 1 for binary, otherwise one per class."""
        return 1 if self.task == "binary" else len(self.class_names)

    def to_json(self) -> str:
        """Returns the record as a JSON object on one line."""
        record = asdict(self)
        # Unknown to earlier releases, which read the record without.
        for name in ("nodata", "ground_sample_distance", "image_scales"):
            if record[name] is None:
                del record[name]
        for name in ("optional_bands", "one_of"):
            if not record[name]:
                del record[name]
        return json.dumps(record, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, where: str = "ModelSpec") -> ModelSpec:
        """Reads what `to_json` wrote.

        Args:
            text: a JSON object.
            where: what to call the record's place in an error, for example a file's path.

        Raises:
            ModelError: not JSON, an unknown layout version, an unknown or a missing key.
        """
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelError(f"{where}: the ModelSpec is not JSON ({error}); export the model again") from error
        version = record.get("version") if isinstance(record, dict) else None
        if version != SPEC_VERSION:
            raise ModelError(
                f"{where}: ModelSpec version {version} is not {SPEC_VERSION}; "
                "use the flood-seg release that wrote it, or export the model again"
            )
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(record) - known):
            raise ModelError(f"{where}: the ModelSpec has unknown keys {unknown}; export the model again")
        try:
            for name in ("class_names", "label_values", "bands", "mean", "std", "class_colors", "one_of"):
                record[name] = tuple(record.get(name, ()))
            groups = record.get("optional_bands", {})
            if not isinstance(groups, dict):
                raise ModelError("ModelSpec: optional_bands is not a JSON object")
            record["optional_bands"] = {name: tuple(group) for name, group in groups.items()}
            if record.get("image_scales") is not None:
                record["image_scales"] = tuple(record["image_scales"])
            return cls(**record)
        except ModelError as error:
            raise ModelError(f"{where}: {error}; export the model again") from error
        except TypeError as error:
            raise ModelError(
                f"{where}: the ModelSpec is incomplete or of wrong types ({error}); export the model again"
            ) from error
