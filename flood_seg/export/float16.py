"""Stores an ONNX model's weights as float16 and back: half the file, the same float32 arithmetic."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# A weight with fewer values is too small a share of the file to be worth a node.
MIN_VALUES = 256


def store_as_float16(model: onnx.ModelProto) -> None:
    """Replaces each large float32 initializer by its float16 rounding and a Cast back to float32, in place.

    Runtimes fold the Cast when they load the file. A weight beyond float16's range (65504) is left as it is.
    """
    graph = model.graph
    casts = []
    for index, tensor in enumerate(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < MIN_VALUES or np.abs(values).max() > 65504:
            continue
        name = tensor.name
        graph.initializer[index].CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
        casts.append(helper.make_node("Cast", [f"{name}.float16"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])


def restore_float32(model: onnx.ModelProto) -> None:
    """Reverts `store_as_float16` but for the rounding, in place: quantization tools expect weights, not Casts."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in weights]:
        values = numpy_helper.to_array(weights[node.input[0]]).astype(np.float32)
        weights[node.input[0]].CopyFrom(numpy_helper.from_array(values, node.output[0]))
        graph.node.remove(node)
