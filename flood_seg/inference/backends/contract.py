"""What every engine checks of a model before it runs it: its ModelSpec, and that its tensors are what the spec says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flood_seg.errors import ModelError
from flood_seg.resources import enough_memory
from flood_seg.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    import numpy as np

LESS_MEMORY = "close other programs, or set backend.streams=1 backend.threads=1"


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a model.

    Attributes:
        name: of the tensor.
        dtype: `float32` where it fits.
        shape: sizes; whatever is no positive int (a name, -1, None) is dynamic.
    """

    name: str
    dtype: str
    shape: tuple[object, ...]


def parse_spec(where: str, text: str | None) -> ModelSpec:
    """Reads the ModelSpec that an artefact carries.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    if text is None:
        raise ModelError(
            f"{where}: carries no ModelSpec, so its mean, std and classes are unknown; "
            "export it with 'flood-seg convert-to-onnx --ckpt ...'"
        )
    return ModelSpec.from_json(text, where)


def check_tensors(where: str, spec: ModelSpec, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Raises ModelError unless the model has the spec's one input and one output, float32 in NCHW."""
    _check_only(where, "takes", inputs, Tensor(spec.input_name, "float32", (None, len(spec.bands))), spec)
    _check_only(where, "answers", outputs, Tensor(spec.output_name, "float32", (None, spec.logit_channels)), spec)


def _check_only(where: str, verb: str, tensors: Sequence[Tensor], wanted: Tensor, spec: ModelSpec) -> None:
    shape = (*wanted.shape, spec.height, spec.width)
    fits = [
        (tensor.name, tensor.dtype, len(tensor.shape)) == (wanted.name, wanted.dtype, len(shape))
        and all(_fits(size, want) for size, want in zip(tensor.shape, shape, strict=True))
        for tensor in tensors
    ]
    if fits != [True]:
        there = ", ".join(f"{tensor.name}: {tensor.dtype} {list(tensor.shape)}" for tensor in tensors)
        raise ModelError(
            f"{where}: {verb} {there}; its ModelSpec says {wanted.name}: float32 ['batch', {shape[1]}, {spec.height}, "
            f"{spec.width}]; export it again with 'flood-seg convert-to-onnx'"
        )


def _fits(size: object, want: object) -> bool:
    dynamic = not isinstance(size, int) or size < 0
    return dynamic or want in (None, size)


def enough_for(batch: np.ndarray) -> AbstractContextManager[None]:
    """Returns a context in which an engine that lacks the memory for a batch raises OutOfMemoryError."""
    count, _, height, width = batch.shape
    what = f"a batch of {count} at the network's {width}×{height}"
    return enough_memory(what, f"set a smaller batch_size, {LESS_MEMORY}")


def first_line(error: Exception | str) -> str:
    """Returns what an engine's exception or message says, short enough for a message of ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else error.__class__.__name__
