"""The ONNX operators that TensorRT's parser takes, to say before a long build which one it would stumble over.

From onnx-tensorrt's operator support matrix for TensorRT 10.15: docs/operators.md of github.com/onnx/onnx-tensorrt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flood_seg.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx

SOURCE = "onnx-tensorrt's operator matrix for TensorRT 10.15"
QUANTIZING = ("QuantizeLinear", "DequantizeLinear")
SUPPORTED = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BlackmanWindow
    Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DeformConv
    DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization GRU HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If ImageScaler
    InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LRN LSTM
    LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression
    NonZero Not OneHot Or Pad ParametricSoftplus Pow PRelu QuantizeLinear RandomNormal RandomNormalLike RandomUniform
    RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RMSNormalization RNN RoiAlign
    RotaryEmbedding Round STFT ScaledTanh Scan Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin
    Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh TensorScatter
    ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905 - a list would take a page
)


def check_operators(path: Path, model: onnx.ModelProto) -> None:
    """Raises ModelError where the model has an operator that TensorRT does not take, or INT8 in a form of the CPU's."""
    from onnx import numpy_helper

    unknown = sorted({node.op_type for node in _nodes(model.graph) if not _takes(node)})
    if unknown:
        raise ModelError(f"{path}: TensorRT does not take {', '.join(unknown)} ({SOURCE}); export another architecture")
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    points = {n.input[2] for n in model.graph.node if n.op_type in QUANTIZING and len(n.input) > 2}
    arrays = [numpy_helper.to_array(values[name]) for name in points & values.keys()]
    if any(array.dtype == np.uint8 or np.any(array) for array in arrays):
        raise ModelError(f"{path}: is quantized for CPUs (uint8, or zero points that are not 0); give the float model")


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether the model has QuantizeLinear or DequantizeLinear nodes."""
    return any(node.op_type in QUANTIZING for node in model.graph.node)


def _takes(node: onnx.NodeProto) -> bool:
    return node.domain in ("", "ai.onnx") and node.op_type in SUPPORTED


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, those in the branches of an If and the body of a Loop too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)
