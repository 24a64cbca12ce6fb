"""What a backend is, and what every backend checks of a model: its ModelSpec, and that its tensors match the spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from flood_seg.errors import ModelError
from flood_seg.inference.models import MODEL_FILE
from flood_seg.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np


class Backend(Protocol):
    """Runs a model.

    A new backend is a class derived from this one, in a file of its own, and a yaml in configs/backend/ whose
    `_target_` names it; the yaml's other keys are the constructor's keyword arguments, after the model. The class
    attributes are read before a model is loaded, so the module imports its engine only inside functions.

    Attributes:
        suffixes: of the model files that run with this backend unless another one is named.
        schemes: URL schemes of the models that run with it; empty: a model is a local file, passed as a Path.
        run_file: the file in a training run's folder that it runs.
        training_options: keyword arguments that make it compute as the training did; empty: it cannot.
        triton_platform: the backend of NVIDIA's Triton container that runs the same file; None: there is none.
        gpu_only: whether it cannot run on a CPU.
        gpu_options: keyword arguments that require a GPU, where they are left at `auto`.
        spec: the loaded model's record.
        description: the engine, its device and its precision, to be shown.
        concurrency: how many threads may call `run` at once.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    schemes: ClassVar[tuple[str, ...]] = ()
    run_file: ClassVar[str] = MODEL_FILE
    training_options: ClassVar[Mapping[str, Any]] = {}
    triton_platform: ClassVar[str | None] = None
    gpu_only: ClassVar[bool] = False
    gpu_options: ClassVar[Mapping[str, Any]] = {}

    spec: ModelSpec
    description: str
    concurrency: int

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""

    @classmethod
    def read_spec(cls, model: Path) -> ModelSpec:
        """Reads a model file's record without the device that the model runs on; for each `triton_platform`.

        Raises:
            ModelError: the file is missing, damaged, or carries no ModelSpec; or the backend has no such platform.
        """
        raise ModelError(f"{model}: {cls.__name__} reads its ModelSpec only where it runs")


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a model.

    Attributes:
        name: of the tensor.
        dtype: `float32` where it matches.
        shape: sizes; anything but a positive int (a name, -1, None) is dynamic.
    """

    name: str
    dtype: str
    shape: tuple[object, ...]


def parse_spec(where: str, text: str | None, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> ModelSpec:
    """Parses the ModelSpec that an artefact carries.

    Raises:
        ModelError: there is none, it cannot be read, or the model has not its one input and one output, float32 in
            NCHW.
    """
    if text is None:
        raise ModelError(
            f"{where}: carries no ModelSpec, so its mean, std and classes are unknown; "
            "export it with 'flood-seg convert-to-onnx --ckpt ...'"
        )
    spec = ModelSpec.from_json(text, where)
    for verb, tensors, name, channels in (
        ("takes", inputs, spec.input_name, len(spec.bands)),
        ("answers", outputs, spec.output_name, spec.logit_channels),
    ):
        shape = (None, channels, spec.height, spec.width)
        matches = [
            (tensor.name, tensor.dtype, len(tensor.shape)) == (name, "float32", len(shape))
            and all(_matches(size, required) for size, required in zip(tensor.shape, shape, strict=True))
            for tensor in tensors
        ]
        if matches != [True]:
            found = ", ".join(f"{tensor.name}: {tensor.dtype} {list(tensor.shape)}" for tensor in tensors)
            raise ModelError(
                f"{where}: {verb} {found}; its ModelSpec says {name}: float32 "
                f"['batch', {channels}, {spec.height}, {spec.width}]; export it again with 'flood-seg convert-to-onnx'"
            )
    return spec


def _matches(size: object, required: object) -> bool:
    dynamic = not isinstance(size, int) or size < 0
    return dynamic or required in (None, size)


def first_line(error: Exception | str) -> str:
    """Returns the first line of an engine's exception or message, short enough to be quoted in an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else error.__class__.__name__
