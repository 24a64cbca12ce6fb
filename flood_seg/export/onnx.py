"""Exports a network as one ONNX file that carries its ModelSpec, and checks that it computes the same logits."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import flood_seg.torchvision_compat  # noqa: F401 - before smp

import numpy as np
import onnx
import torch

from flood_seg.errors import ModelError
from flood_seg.export.float16 import store_as_float16
from flood_seg.export.pooling import make_exportable
from flood_seg.files import atomic_path
from flood_seg.imaging.postprocess import check_logits
from flood_seg.inference.backends.onnxruntime import import_onnxruntime
from flood_seg.spec import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flood_seg.networks.network import PaddedNetwork
    from flood_seg.spec import ModelSpec

EXAMPLE_SIZE = 128  # pixels; PAN reduces an input of 64 to nothing
DYNAMIC_AXES = {0: "batch", 2: "height", 3: "width"}
USUAL_LOGIT = 16.0  # a probability of 1 - 1e-7; the logits of most networks lie within


def export_onnx(
    network: PaddedNetwork,
    spec: ModelSpec,
    path: Path,
    *,
    opset: int = 18,
    weights: str = "float32",
    tolerance: float = 1e-3,
    samples: Sequence[np.ndarray] = (),
) -> float:
    """Writes `path` if the exported model computes the network's logits, else nothing.

    The network pads its input to a multiple of 32 and crops its output, inside the graph, so that any height and
    width work; an architecture with a fixed size takes that of the spec alone.

    Args:
        network: in evaluation mode.
        spec: saved in the file's metadata; names the tensors.
        path: of the ONNX file.
        opset: ONNX operator set.
        weights: `float32`, or `float16` for a file of half the size; the arithmetic stays float32.
        tolerance: largest difference of a logit that is allowed, where logits lie within ±16, else in proportion to
            the largest; rounding to float16 counts too.
        samples: inputs to compare on, float32 [N, bands, height, width] each; where there are none, noise at three
            sizes, one of them no multiple of 32.

    Returns:
        the largest difference of a logit.

    Raises:
        ModelError: the difference is above the tolerance, or logits are not finite.
    """
    with atomic_path(path) as temporary:
        _trace(network, spec, temporary, opset)
        model = onnx.load(temporary)
        if weights == "float16":
            store_as_float16(model)
        onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, temporary)
        difference = _compare(network, spec, temporary, samples or _noise(spec, network.fixed_size), path)
        if not difference <= tolerance:
            raise ModelError(
                f"{path}: not written, its logits differ from PyTorch's by {difference:.2g} (tolerance {tolerance:g}); "
                "raise tolerance=... if that is acceptable"
            )
    return difference


def _trace(network: PaddedNetwork, spec: ModelSpec, path: Path, opset: int) -> None:
    size = (spec.height, spec.width) if network.fixed_size else (EXAMPLE_SIZE, EXAMPLE_SIZE)
    example, axes = torch.zeros(1, len(spec.bands), *size), {0: "batch"} if network.fixed_size else DYNAMIC_AXES
    with warnings.catch_warnings():
        # The tracing exporter is deprecated, but the only one that keeps the padding's dynamic sizes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            make_exportable(network),
            (example,),
            path,
            dynamo=False,
            opset_version=opset,
            input_names=[spec.input_name],
            output_names=[spec.output_name],
            dynamic_axes={spec.input_name: axes, spec.output_name: axes},
        )


def _noise(spec: ModelSpec, fixed_size: bool) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    sizes = ((spec.height, spec.width), (128, 160), (150, 133))[: 1 if fixed_size else 3]
    return [random.standard_normal((1, len(spec.bands), *size), np.float32) for size in sizes]


def _compare(network: PaddedNetwork, spec: ModelSpec, path: Path, samples: Sequence[np.ndarray], target: Path) -> float:
    onnxruntime = import_onnxruntime()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    largest = 0.0
    for sample in samples:
        (answer,) = session.run([spec.output_name], {spec.input_name: sample})
        with torch.inference_mode():
            expected = network(torch.from_numpy(sample)).numpy()
        for logits in (expected, answer):  # max() below would ignore NaN
            check_logits(logits, f"{target}: not written")
        # Rounding errors grow with the values: a confident network computes logits of a hundred.
        scale = max(1.0, float(np.abs(expected).max()) / USUAL_LOGIT)
        largest = max(largest, float(np.abs(answer - expected).max()) / scale)
    return largest
