"""Static INT8: weights and activations, per channel, calibrated on photos; each layer of it can be left out."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from flood_seg.inference.backends.onnxruntime import import_onnxruntime
from flood_seg.inference.backends.openvino import openvino_core

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

# What holds weights; all else follows its inputs.
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
RANKING_PHOTOS = 4


def layers(model: onnx.ModelProto) -> list[str]:
    """Returns the names of the nodes that can be quantized, first to last."""
    return [node.name for node in model.graph.node if node.op_type in LAYERS]


class OnnxQuantizer:
    """For ONNX Runtime, by its own tools: an ONNX file with QuantizeLinear and DequantizeLinear around each layer.

    Attributes:
        engine: which runs what it writes, a name of configs/backend/.
    """

    engine = "onnxruntime"

    def __init__(self, model: onnx.ModelProto, batches: Sequence[np.ndarray], folder: Path) -> None:
        """Measures the range of each activation of a float32 model with a name on each node.

        The batches are float32 [1, bands, height, width]; `folder` is for what lies on disk in between.
        """
        from onnxruntime.quantization import CalibrationMethod, create_calibrator

        self._model = onnx.shape_inference.infer_shapes(model)  # which tensors are float, for the quantizer
        source = folder / "calibration.onnx"
        onnx.save(model, source)
        kinds = sorted({node.op_type for node in model.graph.node})
        calibrator = create_calibrator(
            source, kinds, str(folder / "calibrated.onnx"), calibrate_method=CalibrationMethod.MinMax
        )
        calibrator.set_execution_providers(["CPUExecutionProvider"])
        calibrator.collect_data(_Reader(model.graph.input[0].name, batches))
        self._ranges = calibrator.compute_data()

    def write(self, path: Path, excluded: Collection[str]) -> None:
        """Writes the model with all layers but the excluded ones quantized."""
        onnx.save(self.quantized(excluded), path)

    def quantized(self, excluded: Collection[str]) -> onnx.ModelProto:
        """Returns the model with all layers but the excluded ones quantized."""
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
        from onnxruntime.quantization.registry import QDQRegistry

        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=list(excluded),
            op_types_to_quantize=list(QDQRegistry),
            extra_options={},
        )
        quantizer.quantize_model()
        model: onnx.ModelProto = quantizer.model.model
        return model

    def rank(self, batches: Sequence[np.ndarray]) -> list[str]:
        """Returns the layers, the most harmful first: by the mean error of the logits where it alone is quantized."""
        reference, names = _run(self._model, batches), layers(self._model)
        errors = {}
        for name in names:
            answers = _run(self.quantized([node.name for node in self._model.graph.node if node.name != name]), batches)
            errors[name] = float(np.mean([np.abs(a - b).mean() for a, b in zip(reference, answers, strict=True)]))
        return sorted(names, key=lambda name: errors[name], reverse=True)


class OpenVinoQuantizer:
    """For OpenVINO, by NNCF: an .xml and a .bin.

    Attributes:
        engine: which runs what it writes, a name of configs/backend/.
    """

    engine = "openvino"

    def __init__(self, model: Path, batches: Sequence[np.ndarray]) -> None:
        """Takes an ONNX file with the names of `layers`, and batches, float32 [1, bands, height, width]."""
        os.environ.setdefault("NNCF_CI", "1")  # or else NNCF reports its use to a server
        for chatty in ("nncf", "torch.utils.cpp_extension"):  # the second, of a CUDA that is not here
            logging.getLogger(chatty).setLevel(logging.ERROR)
        import nncf
        import openvino

        self._nncf, self._openvino = nncf, openvino
        nncf.set_log_level(logging.ERROR)
        self._path, self._batches = model, batches

    def write(self, path: Path, excluded: Collection[str]) -> None:
        """Writes the model with all layers but the excluded ones quantized."""
        model = openvino_core().read_model(self._path)
        # OpenVINO makes of an ONNX node `a` with a bias the operations `a/WithoutBiases` and `a`.
        there = [operation.get_friendly_name() for operation in model.get_ops()]
        left_out = [name for name in there if name.partition("/WithoutBiases")[0] in set(excluded)]
        quantized = self._nncf.quantize(
            model,
            self._nncf.Dataset(list(self._batches)),
            subset_size=len(self._batches),
            preset=self._nncf.QuantizationPreset.MIXED,  # asymmetric activations
            ignored_scope=self._nncf.IgnoredScope(names=left_out),
        )
        self._openvino.save_model(quantized, path, compress_to_fp16=True)


class _Reader:
    """What ONNX Runtime's calibrators read from."""

    def __init__(self, name: str, batches: Sequence[np.ndarray]) -> None:
        self._feeds = iter([{name: batch} for batch in batches])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def _run(model: onnx.ModelProto, batches: Sequence[np.ndarray]) -> list[np.ndarray]:
    onnxruntime = import_onnxruntime()
    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [session.run(None, {session.get_inputs()[0].name: batch})[0] for batch in batches]
