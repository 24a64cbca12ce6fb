"""The public Python API: models that predict images, and the verbs `train` and `evaluate` as functions.

Import its names from `flood_seg`.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import cv2

from flood_seg.config.compose import compose
from flood_seg.config.overrides import as_override
from flood_seg.config.schema import InferConfig
from flood_seg.errors import ModelError
from flood_seg.extras import missing_extra
from flood_seg.imaging.preprocess import shrink
from flood_seg.inference.engines import Engine, open_backend, parse_engine
from flood_seg.inference.given import GivenImage, GivenStages
from flood_seg.inference.inputs import is_single
from flood_seg.inference.models import bundled_model
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.rendering import Renderer

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from PIL.Image import Image

    from flood_seg.config.schema import OutputConfig
    from flood_seg.spec import ModelSpec
    from flood_seg.training.summary import Summary

    ImageInput = str | os.PathLike[str] | bytes | Image | np.ndarray
    PathLike = str | os.PathLike[str]

PREVIEW_PIXELS = 1024  # of the longer side of what a notebook shows


class Result:
    """A model's prediction for an image.

    Attributes:
        name: the image's path, or what kind of image it was.
        image: the image, uint8, uint16 or float32 [H, W, bands] with raw values, 0 where it has no data.
        valid: bool [H, W], False where the image has no data; None: there is data everywhere.
        input_shift: how far the band means are from the training data's, in standard deviations; masks of images above
            2 deserve a check.
        missing: the share of the pixels with data, in (0, 1], that a band was missing in, by its name; which bands may
            be missing is in `ModelSpec.optional_bands`.
    """

    def __init__(self, item: _GivenImage, spec: ModelSpec, renderer: Renderer) -> None:
        """Made by `Model.predict`."""
        assert item.image is not None
        self.name, self.image, self.valid, self.input_shift = item.name, item.image, item.valid, item.shift
        self.missing = dict(item.missing)
        (self._prediction,), self._source = item.predictions, item.source
        self._spec, self._renderer = spec, renderer

    @property
    def mask(self) -> np.ndarray:
        """The class of each pixel, uint8 [H, W]: indices of `ModelSpec.class_names`; 0 where there is no data."""
        return self._prediction.mask

    @property
    def probability(self) -> np.ndarray:
        """float32 in [0, 1]: of the foreground, [H, W]; of a multiclass model, of each class, [H, W, classes]."""
        probabilities = self._prediction.probabilities
        return probabilities[:, :, 0] if self._spec.task == "binary" else probabilities

    @property
    def shares(self) -> dict[str, float]:
        """The share of all pixels of each class but the background, in [0, 1], by the class's name."""
        return self._prediction.shares(self._spec.class_names)

    @cached_property
    def overlay(self) -> np.ndarray:
        """The image with its classes tinted and outlined, uint8 [H, W, 3] RGB."""
        return self._renderer.overlay(self.image, self.mask)

    def save(self, path: PathLike, *, probability: bool = False) -> None:
        """Writes the mask, or the probability, as `flood-seg infer` does.

        Args:
            path: of the file. A .png holds a mask of 0 and 255, or of a multiclass model's label values; or the
                foreground's probability in 16 bits, times 65535. A .tif is a GeoTIFF, georeferenced as the image's
                file or bytes are; probabilities are float32, one band per class.
            probability: whether the probability is written, not the mask.

        Raises:
            OutputError: the file is neither .png nor .tif, or cannot be written; or is a .png of the probabilities of
                several classes.
            ImageError: the image's file, a raster, cannot be opened any more.
            MissingExtraError: a .tif requires rasterio, which is not installed.
        """
        write = self._renderer.write_probability if probability else self._renderer.write_mask
        with missing_extra("save"):
            write(Path(path), self._prediction, self._source)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the overlay with matplotlib.

        Args:
            ax: where to draw; None: in a new figure.

        Returns:
            the axes.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        with missing_extra("plot"):
            from flood_seg.plots.prediction import plot_overlay

            return plot_overlay(self.overlay, self._describe(), ax)

    def _describe(self) -> str:
        return ", ".join(f"{share:.1%} {name}" for name, share in self.shares.items())

    def __repr__(self) -> str:
        height, width = self.mask.shape
        return f"<flood_seg.Result of {self.name}: {width}×{height}, {self._describe()}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the overlay."""
        preview = cv2.cvtColor(shrink(self.overlay, PREVIEW_PIXELS), cv2.COLOR_RGB2BGR)
        return bytes(cv2.imencode(".png", preview)[1])


@dataclass
class _GivenImage(GivenImage):
    result: Result | None = None


class _ModelStages(GivenStages[_GivenImage]):
    def __init__(self, predictor: Predictor, output: OutputConfig) -> None:
        super().__init__(predictor)
        self._renderer = Renderer(predictor.spec, output)

    def decode(self, item: _GivenImage) -> np.ndarray:
        with missing_extra("predict"):
            return super().decode(item)

    def conclude(self, item: _GivenImage) -> None:
        item.result = Result(item, self.spec, self._renderer)
        item.result.mask  # noqa: B018 - computed here, which an iterator does in its own threads


class Model:
    """A loaded model; `load_model` returns it.

    Attributes:
        spec: what the model expects and returns: classes, bands, size, provenance.
        threshold: a pixel is foreground where its probability is above this (binary models).
        description: the engine, its device and its precision.
    """

    def __init__(self, engine: Engine, config: InferConfig) -> None:
        """Loads the model of `engine` as `config` says; use `load_model`."""
        backend = open_backend(config.backend, engine.model)
        predictor = Predictor(backend, config.threshold, config.value_scale)
        self.spec, self.threshold, self.description = predictor.spec, predictor.threshold, backend.description
        self._engine, self._config, self._stages = engine, config, _ModelStages(predictor, config.output)

    @overload
    def predict(self, image: ImageInput) -> Result: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, image: Iterable[ImageInput]) -> Iterator[Result]: ...

    def predict(self, image: ImageInput | Iterable[ImageInput]) -> Result | Iterator[Result]:
        """Predicts an image, or each of several.

        Args:
            image: a path; the bytes of an image file; a PIL image; or an array [H, W, bands] of uint8, uint16, int16,
                float32 or float64, with the model's bands in their order (RGB, not OpenCV's BGR) and raw values as in
                an image file, not scaled. EXIF orientation is honoured. Or an iterable of these.

        Returns:
            the result; of an iterable, an iterator of results in the same order, which reads the next images and
            computes the previous masks while the model runs, and takes no more of the iterable than that.

        Raises:
            ImageError: the image cannot be read, or does not fit the model; from the iterator, at that image's turn,
                which ends it.
            LogitsError: the model's output is NaN or infinite.
            OutOfMemoryError: there is not enough memory.
        """
        if is_single(image):
            return _result(self._stages.one(_GivenImage(image)))
        return (_result(item) for item in self._stages.each(map(_GivenImage, cast("Iterable[ImageInput]", image))))

    def __repr__(self) -> str:
        classes, bands = ", ".join(self.spec.class_names), ", ".join(self.spec.bands)
        return f"<flood_seg.Model {self._engine}: {self.description}; classes {classes}; bands {bands}>"


def _result(item: _GivenImage) -> Result:
    if item.error:
        raise item.error
    assert item.result is not None
    return item.result


def load_model(
    model: PathLike | None = None, *, threshold: float | None = None, value_scale: float | None = None, **options: Any
) -> Model:
    """Loads a model.

    Args:
        model: a file (.onnx, .ckpt, .xml, .plan), the folder of a training run, a model with its engine as in
            `openvino:model.xml` or `torch,device=cpu:best.ckpt`, or one on a Triton server as in
            `triton:localhost:8000/name` or `grpc://localhost:8001/name`; None: the bundled model, which finds water on
            RGB photos.
        threshold: a pixel is foreground where its probability is above this, in [0, 1]; None: the model's own.
        value_scale: what raw values are divided by, where an image's are on another scale than the model's training
            data; None: the model's own.
        options: of the engine, the keys of its file in configs/backend/; `threads=2`, for example.

    Raises:
        ModelError: the model is missing or damaged, or carries no ModelSpec.
        BackendError: the engine or its device is not available; a ServerError where it is a server.
        ConfigError: an unknown option, or an impossible value.
        UsageError: no engine runs such a file.
        MissingExtraError: the engine is not installed.
    """
    chosen = bundled_model() if model is None else model
    if chosen is None:
        raise ModelError("the bundled model is missing from this installation; give a model")
    engine = parse_engine(str(chosen))
    own = [f"backend={engine.name}", *(f"backend.{option}" for option in engine.options)]
    own += [as_override(f"backend.{key}", value) for key, value in options.items()]
    own += [as_override("threshold", threshold), as_override("value_scale", value_scale)]
    with _guest(f"load_model({str(engine)!r})"):
        return Model(engine, compose("infer", own, InferConfig))


def train(overrides: Sequence[str] = (), *, data: PathLike | None = None) -> Summary:
    """Trains a model as `flood-seg train` does; progress is shown on stderr.

    Args:
        overrides: any keys of configs/train.yaml and choices of its groups: `["model=mobilenet_unet", "loss=dice"]`.
        data: the folder of the data set; None: `datamodule.data_dir`.

    Returns:
        the run's folder (`run_dir`), checkpoint (`best_checkpoint`), exported model (`onnx`) and `metrics`.

    Raises:
        ConfigError: an unknown key, or an impossible value.
        DataError: the data set cannot be used.
        TrainingError: the loss is NaN or infinite.
        MissingExtraError: the extra `train` is not installed.
    """
    with _guest("train"), redirect_stdout(sys.stderr):
        from flood_seg.verbs.train import train as run

        return cast("Summary", run(overrides, data=None if data is None else str(data)))


def evaluate(
    model: Model | PathLike, data: PathLike, *, overrides: Sequence[str] = (), out: PathLike | None = None
) -> dict[str, Any]:
    """Evaluates a model on images with masks as `flood-seg evaluate` does.

    Args:
        model: of `load_model`, or what that takes.
        data: the folder of the data set.
        overrides: any keys of configs/evaluate.yaml.
        out: the folder of the report and its files; None: nothing is written.

    Returns:
        the content of the report's metrics.json: `iou`, `f1`, `intervals`, `classes`, ...

    Raises:
        DataError: the data set cannot be used.
        FloodSegError: as `load_model`.
    """
    own: list[str] = []
    if isinstance(model, Model):
        config = model._config
        own = [as_override(f"backend.{key}", value) for key, value in config.backend.items() if key != "_target_"]
        own += [as_override("threshold", config.threshold), as_override("value_scale", config.value_scale)]
        model = str(Engine(model._engine.name, (), model._engine.model))
    with _guest("evaluate"), redirect_stdout(sys.stderr):
        from flood_seg.verbs.evaluate import evaluate as run

        return run([*own, *overrides], model=str(model), data=str(data), out=None if out is None else str(out)).record


@contextmanager
def _guest(name: str) -> Iterator[None]:
    """Composes configurations inside a program that may use Hydra itself, and names the extra of a missing package."""
    from hydra.core.global_hydra import GlobalHydra

    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with missing_extra(name):
            yield
    finally:
        GlobalHydra.instance().hydra = outer  # of the instance that Hydra has put in place of the first
