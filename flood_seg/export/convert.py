"""Exports a checkpoint to an ONNX file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.console import say, warn
from flood_seg.errors import ModelError, UsageError
from flood_seg.export.onnx import export_onnx
from flood_seg.files import check_suffix, check_writable
from flood_seg.imaging.preprocess import preprocess
from flood_seg.inference.models import CHECKPOINT_FILE, newest_run_file, run_model
from flood_seg.networks.checkpoint import load_network
from flood_seg.networks.network import check_size
from flood_seg.training.run import Run

if TYPE_CHECKING:
    from flood_seg.spec import ModelSpec

STRIDE = 32


def convert_to_onnx(
    ckpt: Path,
    onnx: Path | None = None,
    *,
    opset: int,
    weights: str,
    tolerance: float,
    height: int | None = None,
    width: int | None = None,
) -> Path:
    """Exports a checkpoint and compares the file with PyTorch at three sizes.

    Args:
        ckpt: the checkpoint, or a run's folder.
        onnx: where to write; None: `model.onnx` beside the checkpoint.
        opset: ONNX operator set.
        weights: `float32` or `float16`, which the file stores and every engine computes with as float32.
        tolerance: largest difference of a logit from PyTorch's.
        height: that preprocessing will resize images to, in pixels; None: as trained.
        width: that preprocessing will resize images to, in pixels; None: as trained.

    Raises:
        ModelError: no checkpoint, a damaged one, or an answer that differs by more than the tolerance.
    """
    if onnx:
        check_suffix(onnx, (".onnx",), "an ONNX file")
        check_writable(onnx, folder=False)
    ckpt = run_model(ckpt, (CHECKPOINT_FILE,)) if ckpt.is_dir() else ckpt
    network, spec = load_network(ckpt)
    spec = _resized(spec, height, width)
    path = onnx or ckpt.parent / Run(ckpt.parent).onnx.name
    check_size(spec.provenance["architecture"], spec.height, spec.width)
    samples, kind = _samples(ckpt.parent, spec, network.fixed_size)
    difference = export_onnx(
        network, spec, path, opset=opset, weights=weights, tolerance=tolerance, samples=samples
    )  # fmt: skip
    sizes = ", ".join("×".join(map(str, sample.shape[-2:])) for sample in samples)
    dynamic = "batch" if network.fixed_size else "batch and size"
    say(f"{path}: {path.stat().st_size / 1e6:.1f} MB, input {spec.height}×{spec.width}, {dynamic} dynamic")
    say(f"Largest difference of a logit from PyTorch's on {kind} at {sizes}: {difference:.2g}")
    return path


def newest_best(output_dir: Path) -> Path:
    """Returns the best checkpoint of the newest run.

    Raises:
        ModelError: there is none.
    """
    found = newest_run_file(output_dir, CHECKPOINT_FILE)
    if found is None:
        raise ModelError(
            f"{output_dir}: no run with a {CHECKPOINT_FILE}; train one with 'flood-seg train' or give --ckpt"
        )
    return found


def _resized(spec: ModelSpec, height: int | None, width: int | None) -> ModelSpec:
    for flag, side in (("--height", height), ("--width", width)):
        if side is not None and side < STRIDE:
            raise UsageError(f"{flag} {side}: must be at least {STRIDE}")
        if side is not None and side % STRIDE:
            warn(f"{flag} {side} is no multiple of {STRIDE}: the model pads its input inside, and crops its answer")
    return replace(spec, height=height or spec.height, width=width or spec.width)


def _samples(run_dir: Path, spec: ModelSpec, fixed_size: bool) -> tuple[list[np.ndarray], str]:
    """One validation image of the run at three sizes, or at the only one; noise where its data is gone."""
    image = _validation_image(run_dir)
    kind = "a validation image"
    if image is None:
        noise = np.random.default_rng(0).random((spec.height, spec.width, len(spec.bands)), np.float32)
        image = noise * np.float32(spec.value_scale)  # 8 bits would be nearly black for a model of reflectance
        kind = "noise (no validation image of the run is found)"
    sizes = (
        (spec.height, spec.width),
        (spec.height // 2, spec.width),
        (spec.height // 2 + 5, spec.width // 2 + 9),
    )
    chosen = sizes[: 1 if fixed_size else 3]
    return [preprocess(image, replace(spec, height=h, width=w))[None] for h, w in chosen], kind


def _validation_image(run_dir: Path) -> np.ndarray | None:
    from flood_seg.config.saved import load_config
    from flood_seg.config.schema import TrainConfig
    from flood_seg.data.layout import find_samples
    from flood_seg.data.prepare import prepare_data
    from flood_seg.data.reading import SampleReader
    from flood_seg.data.split import read_split
    from flood_seg.errors import ConfigError, DataError

    run = Run(run_dir)
    try:
        config = load_config(run.hydra, TrainConfig)
        prepare_data(config.datamodule)
        pairs, _ = find_samples(config.datamodule)
        stems = set(read_split(run.split, [pair.stem for pair in pairs]).val)
        pair = next(pair for pair in pairs if pair.stem in stems)
        return SampleReader.of(config.datamodule, config.task).load_image(pair)
    except (OSError, ConfigError, DataError, StopIteration):
        return None
