"""From an ONNX file to a TensorRT plan for this machine's GPU."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from flood_seg import containers
from flood_seg.console import say
from flood_seg.errors import BackendError, ModelError, OutputError, UsageError
from flood_seg.export import tensorrt_python, trtexec
from flood_seg.export.float16 import restore_float32
from flood_seg.export.trtexec import Built, Shapes
from flood_seg.files import atomic_path, write_json
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.inference.backends.tensorrt import sidecar_of
from flood_seg.inference.models import bundled_model
from flood_seg.version import __version__

if TYPE_CHECKING:
    from flood_seg.config.schema import TensorRtExport
    from flood_seg.spec import ModelSpec

QUANTIZING = ("QuantizeLinear", "DequantizeLinear")


def build_plan(
    source: Path, plan: Path, options: TensorRtExport, height: int | None = None, width: int | None = None
) -> Path:
    """Builds a plan and writes, beside it, `<plan>.json` with what it was built from and for.

    Args:
        source: an ONNX file with float weights.
        plan: where to write.
        options: the builder, precision, batch sizes.
        height: of the input, in pixels; None: the model's own.
        width: of the input, in pixels; None: the model's own.

    Returns:
        the plan.

    Raises:
        ModelError: the model cannot be used, or has an operator that TensorRT does not support.
        BackendError: no builder is available, or it failed; nothing is written.
    """
    if plan.resolve() == source.resolve() or plan.suffix in (".onnx", ".json") or plan.is_dir():
        raise OutputError(f"{plan}: give --trt a name that ends in .plan")
    spec = _resized(OnnxRuntimeBackend.read_spec(source), height, width)
    model = onnx.load(source)
    _check_zero_points(source, model)
    builder = _choose_builder(options.trt_builder)
    sizes = (options.min_batch, options.opt_batch, options.max_batch)
    shapes = Shapes(spec.input_name, *((size, len(spec.bands), spec.height, spec.width) for size in sizes))
    say(f"Building {plan} by {builder}: {options.precision}, batch {shapes.min[0]} to {shapes.max[0]}; "
        "this takes minutes")  # fmt: skip
    with atomic_path(sidecar_of(plan)) as record, atomic_path(plan) as temporary:
        built = _BUILDERS[builder](options, model, source, temporary, shapes)
        write_json(record, _record(spec, built, shapes, options, source, builder))
    say(f"{plan}: {plan.stat().st_size / 1e6:.1f} MB for {built.gpu or 'this GPU'}, TensorRT {built.tensorrt_version}")
    return plan


def default_plan(source: Path) -> Path:
    """Returns where a model's plan is written by default: beside it, or in the current folder for the bundled one."""
    bundled = bundled_model()
    if bundled and source.resolve() == bundled.resolve():
        return Path(f"{source.parent.name}.plan")
    return source.with_suffix(".plan")


def _resized(spec: ModelSpec, height: int | None, width: int | None) -> ModelSpec:
    for flag, side in (("--height", height), ("--width", width)):
        if side is not None and side < 32:
            raise UsageError(f"{flag} {side}: must be at least 32")
    return replace(spec, height=height or spec.height, width=width or spec.width)


def _check_zero_points(source: Path, model: onnx.ModelProto) -> None:
    """Raises ModelError where INT8 is in a form for CPUs: TensorRT supports int8 with zero points of 0."""
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    names = {node.input[2] for node in model.graph.node if node.op_type in QUANTIZING and len(node.input) > 2}
    arrays = [onnx.numpy_helper.to_array(values[name]) for name in names & values.keys()]
    if any(array.dtype == np.uint8 or np.any(array) for array in arrays):
        raise ModelError(
            f"{source}: is quantized for CPUs (uint8, or zero points that are not 0); give the float model"
        )


def _is_quantized(model: onnx.ModelProto) -> bool:
    return any(node.op_type in QUANTIZING for node in model.graph.node)


def _choose_builder(builder: str) -> str:
    """Returns `python`, `trtexec` or `docker`; `auto` is the first that is available."""
    ways = {"python": _python_works, "trtexec": trtexec.program, "docker": containers.is_available}
    if builder != "auto" and ways[builder]():
        return builder
    found = [name for name, works in ways.items() if works()]
    if builder == "auto" and found:
        return found[0]
    what = "no TensorRT builder is available" if builder == "auto" else f"export.trt_builder={builder}: not available"
    also = f", but {', '.join(found)}" if found else ""
    raise BackendError(
        f"{what}{also}; required are a GPU and one of these: python ('pip install flood-seg[tensorrt]'), trtexec "
        "('apt install libnvinfer-bin' from NVIDIA's repository), docker ('apt install docker.io' and "
        "NVIDIA's container toolkit)"
    )


def _python_works() -> bool:
    return tensorrt_python.is_available()


def _by_python(options: TensorRtExport, model: onnx.ModelProto, source: Path, plan: Path, shapes: Shapes) -> Built:
    import tensorrt

    with tempfile.TemporaryDirectory() as folder:
        graph = _typed(options, model, source, Path(folder), _major(tensorrt.__version__))
        return tensorrt_python.build(graph, source, plan, shapes, options, _is_quantized(model))


def _by_trtexec(options: TensorRtExport, model: onnx.ModelProto, source: Path, plan: Path, shapes: Shapes) -> Built:
    program = trtexec.program() or "trtexec"
    version = trtexec.version_of([program])
    major = _major(version)
    with tempfile.TemporaryDirectory() as folder:
        graph = _typed(options, model, source, Path(folder), major)
        command = [program, *trtexec.arguments(graph, plan, shapes, options, major, _is_quantized(model))]
        built = trtexec.build(command, source, plan, options.timeout)
    return replace(built, tensorrt_version=built.tensorrt_version or version)


def _by_docker(options: TensorRtExport, model: onnx.ModelProto, source: Path, plan: Path, shapes: Shapes) -> Built:
    containers.ensure_image(f"{trtexec.IMAGE}:{options.docker_version}-py3")
    name = f"flood_seg_trt_{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        ask = trtexec.container(Path(folder), plan.parent, options.docker_version, name)
        version = trtexec.version_of([*ask, "trtexec"], name)
        major = _major(version)
        graph = _typed(options, model, source, Path(folder), major)
        prefix = trtexec.container(graph.parent, plan.parent, options.docker_version, name)
        files = (f"/model/{graph.name}", f"/plan/{plan.name}")
        inside = trtexec.arguments(*files, shapes, options, major, _is_quantized(model))
        built = trtexec.build([*prefix, "trtexec", *inside], source, plan, options.timeout, name)
    return replace(built, tensorrt_version=built.tensorrt_version or version)


_BUILDERS = {"python": _by_python, "trtexec": _by_trtexec, "docker": _by_docker}


def _major(version: str) -> int:
    """Returns the major version; 10, the last with flags for the precision, where the version is unknown."""
    return int(version.partition(".")[0] or 10)


def _typed(options: TensorRtExport, model: onnx.ModelProto, source: Path, folder: Path, major: int) -> Path:
    """Returns the graph to build from: the source, or one in float16 for TensorRT 11, which has no precision flags."""
    if major < 11 or options.precision == "float32" or _is_quantized(model):
        return source
    if options.precision != "float16":
        raise BackendError(f"export.precision={options.precision}: TensorRT {major} supports float16 and float32 here")
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    restore_float32(copy)
    path = folder / "float16.onnx"
    half = convert_float_to_float16(copy, keep_io_types=True)
    OnnxModel.graph_topological_sort(half.graph)  # the converter appends the Cast of the input
    onnx.checker.check_model(half, full_check=True)
    onnx.save(half, path)
    return path


def _record(
    spec: ModelSpec, built: Built, shapes: Shapes, options: TensorRtExport, source: Path, builder: str
) -> dict[str, Any]:
    return {
        "spec": asdict(spec),
        "tensorrt_version": built.tensorrt_version,
        "gpu": {"name": built.gpu, "compute_capability": built.compute_capability},
        "shapes": asdict(shapes),
        "precision": options.precision,
        "builder": builder,
        "onnx": source.name,
        "flood_seg_version": __version__,
    }
