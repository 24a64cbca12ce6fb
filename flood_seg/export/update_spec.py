"""Replaces the ModelSpec of an existing model file; its weights stay unchanged."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.errors import ModelError
from flood_seg.files import atomic_path, copy_file, write_json
from flood_seg.inference.backends.openvino import openvino_core
from flood_seg.inference.engines import backends, engine_of, model_suffixes
from flood_seg.spec import METADATA_KEY

if TYPE_CHECKING:
    from flood_seg.spec import ModelSpec


def check_writable(model: str) -> None:
    """Raises ModelError where a model's spec cannot be changed: it is on a server, or of no format that we write."""
    engine = engine_of(model)
    if engine is None or backends()[engine].schemes or not Path(model).is_file():
        raise ModelError(
            f"{model}: its spec cannot be changed here; give the file ({', '.join(model_suffixes())}) "
            "and serve it again"
        )


def write_spec(model: Path, spec: ModelSpec) -> None:
    """Replaces the spec of a model file atomically.

    Raises:
        ModelError: as `check_writable`; or the file is damaged.
        OutputError: the file cannot be written.
    """
    check_writable(str(model))
    writer = {"onnxruntime": _onnx, "torch": _checkpoint, "openvino": _openvino, "tensorrt": _plan}
    writer[str(engine_of(str(model)))](model, spec)


def _onnx(model: Path, spec: ModelSpec) -> None:
    import onnx

    network = onnx.load(model)
    onnx.helper.set_model_props(network, {METADATA_KEY: spec.to_json()})
    with atomic_path(model.resolve()) as temporary:
        onnx.save(network, temporary)


def _checkpoint(model: Path, spec: ModelSpec) -> None:
    import torch

    from flood_seg.networks.checkpoint import read_checkpoint

    checkpoint, _ = read_checkpoint(model)
    checkpoint[METADATA_KEY] = spec.to_json()
    with atomic_path(model.resolve()) as temporary:  # best.ckpt is a link
        torch.save(checkpoint, temporary)


def _openvino(model: Path, spec: ModelSpec) -> None:
    """Rewrites the .xml; the weights do not change."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        network = openvino_core().read_model(model)
        network.set_rt_info(spec.to_json(), ["framework", METADATA_KEY])
        openvino.save_model(network, Path(folder, "model.xml"), compress_to_fp16=False)
        for suffix in (".bin", ".xml"):  # the .xml last: it makes the model complete
            copy_file(Path(folder, f"model{suffix}"), model.with_suffix(suffix))


def _plan(model: Path, spec: ModelSpec) -> None:
    from flood_seg.inference.backends.tensorrt import sidecar_of

    record = json.loads(sidecar_of(model).read_text(encoding="utf-8"))
    write_json(sidecar_of(model), record | {"spec": json.loads(spec.to_json())})
