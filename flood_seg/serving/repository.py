"""Writes a Triton model repository from a model file, its config.pbtxt included."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.errors import OutputError
from flood_seg.files import write_text
from flood_seg.spec import METADATA_KEY

if TYPE_CHECKING:
    from flood_seg.spec import ModelSpec

VERSION = "1"
ENGINE_KEY = "flood_seg.backend"
# The file names that Triton's own backends expect.
FILES = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}


@dataclass(frozen=True)
class Serving:
    """How a model is served.

    Attributes:
        backend: of Triton: `onnxruntime`, `tensorrt`, or `python`: model.py with any of this package's backends.
        max_batch_size: the largest batch that the server forms of waiting requests.
        queue_delay_us: microseconds that a request may wait for others.
        instances: of the model, on each GPU or on the CPU.
        use_gpus: whether they run on GPUs.
        engine: for `python`: the `backend` group that model.py builds.
        beside: further files in the model's folder, by their relative paths.
    """

    backend: str
    max_batch_size: int = 8
    queue_delay_us: int = 2000
    instances: int = 1
    use_gpus: bool = False
    engine: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Path] = field(default_factory=dict)


def write_repository(root: Path, name: str, model: Path, spec: ModelSpec, serving: Serving) -> Path:
    """Writes `root/name`: config.pbtxt, the model file (linked where the file system can, else copied), model.py.

    The model is an ONNX file, a TensorRT plan, or an OpenVINO .xml with its .bin beside it.

    Returns:
        the model's folder.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder, fresh = root / name, root / f".{name}.part"
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for source, target in _files(model, serving):
            _link(source, fresh / target)
        # Only now, since the source may be the model that is being served.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        fresh.rename(folder / VERSION)
        for place, source in serving.beside.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            _link(source, folder / place)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose triton.repository=...") from error
    write_text(folder / "config.pbtxt", config_text(name, spec, serving))
    return folder


def _files(model: Path, serving: Serving) -> list[tuple[Path, str]]:
    if serving.backend != "python":
        return [(model, FILES[serving.backend])]
    files = [(model, f"model{model.suffix}"), (Path(__file__).with_name("triton_model.py"), "model.py")]
    weights = model.with_suffix(".bin")
    return [*files, (weights, "model.bin")] if model.suffix == ".xml" else files


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source.resolve())  # a symbolic one would lead out of a container's mount
    except OSError:
        shutil.copy(source, target)


def config_text(name: str, spec: ModelSpec, serving: Serving) -> str:
    """Returns the config.pbtxt of a model: Triton's ModelConfig in protobuf's text format.

    https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    config = model_config_pb2.ModelConfig(name=name, backend=serving.backend, max_batch_size=serving.max_batch_size)
    sides = [spec.height, spec.width] if serving.backend == "tensorrt" else [-1, -1]  # a plan is built for one size
    for side, tensor, channels in (
        (config.input, spec.input_name, len(spec.bands)),
        (config.output, spec.output_name, spec.logit_channels),
    ):
        side.add(name=tensor, data_type=model_config_pb2.TYPE_FP32, dims=[channels, *sides])
    config.dynamic_batching.max_queue_delay_microseconds = serving.queue_delay_us
    kind = model_config_pb2.ModelInstanceGroup
    config.instance_group.add(count=serving.instances, kind=kind.KIND_GPU if serving.use_gpus else kind.KIND_CPU)
    config.parameters[METADATA_KEY].string_value = spec.to_json()
    if serving.engine:
        config.parameters[ENGINE_KEY].string_value = json.dumps(serving.engine)
    text: str = text_format.MessageToString(config)
    return text
