"""Quantizes a model, and writes it only if it stays as accurate as the one it came from."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from flood_seg.console import say, show_table
from flood_seg.data.layout import choose_split, find_samples
from flood_seg.data.prepare import prepare_data
from flood_seg.data.reading import SampleReader
from flood_seg.data.split import Split, read_split
from flood_seg.errors import DataError, ModelError, OutputError
from flood_seg.evaluation.agreement import compare
from flood_seg.evaluation.eval_images import read_images
from flood_seg.export.accuracy import Result, measure, quantize_within, refuse
from flood_seg.export.float16 import restore_float32, store_as_float16
from flood_seg.export.int8 import RANKING_PHOTOS, OnnxQuantizer, OpenVinoQuantizer, layers
from flood_seg.export.update_spec import write_spec
from flood_seg.files import copy_file
from flood_seg.imaging.preprocess import preprocess
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.inference.backends.openvino import openvino_core

if TYPE_CHECKING:
    from flood_seg.config.schema import DataConfig, QuantizeOptions
    from flood_seg.data.pairing import Pair
    from flood_seg.evaluation.eval_images import EvalImage
    from flood_seg.spec import ModelSpec

ENGINES = {".onnx": "onnxruntime", ".xml": "openvino"}


def quantize(data: DataConfig, options: QuantizeOptions, source: Path, out: Path | None = None, seed: int = 42) -> Path:
    """Writes a quantized model if it loses at most `max_iou_drop` of IoU, else nothing.

    Args:
        data: images to calibrate on and to measure with.
        options: the form and the bounds.
        source: a float ONNX model.
        out: `.onnx` for ONNX Runtime, `.xml` for OpenVINO; None: `<stem>_<form>.onnx` in the current folder.
        seed: of the split, where none is saved.

    Returns:
        where it was written.

    Raises:
        ModelError: the model is missing or quantized already, or no choice of layers keeps within the bound.
        DataError: no photos to calibrate or to measure on.
        OutputError: the suffix is of no engine.
    """
    out = out or Path(f"{source.stem}_{options.form}.onnx")
    if out.suffix not in ENGINES or out.resolve() == source.resolve():
        raise OutputError(f"{out}: give --out another .onnx (for ONNX Runtime) or an .xml (for OpenVINO)")
    spec, model = _open(source)
    calibration, photos = _load_parts(data, options.calibration_images, seed, source, spec)
    with tempfile.TemporaryDirectory() as name:
        original, candidate = Path(name, "float.onnx"), Path(name, f"{options.form}{out.suffix}")
        onnx.save(model, original)
        before = measure(original, ENGINES[out.suffix], photos)
        if options.form == "int8":
            after, excluded = _to_int8(options, model, original, candidate, calibration, photos, before.iou)
        else:
            _to_float16(model, original, candidate)
            after, excluded = measure(candidate, ENGINES[out.suffix], photos), list[str]()
            refuse(before.iou - after.iou, options)
        record = {
            "form": options.form,
            "calibration_images": len(calibration) if options.form == "int8" else 0,
            "float_iou": before.iou,
            "iou": after.iou,
            "float_layers": excluded,
        }
        write_spec(candidate, replace(spec, provenance=spec.provenance | {"quantization": record}))
        for suffix in (".onnx",) if out.suffix == ".onnx" else (".bin", ".xml"):  # .xml last: it completes the model
            copy_file(candidate.with_suffix(suffix), out.with_suffix(suffix))
    _show(out, before, after, excluded, len(photos), spec.threshold)
    return out


def _open(path: Path) -> tuple[ModelSpec, onnx.ModelProto]:
    """Returns the spec and the model with float32 weights and a name on each node."""
    spec = OnnxRuntimeBackend.read_spec(path)
    model = onnx.load(path)
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        raise ModelError(f"{path}: is quantized already; give the float model")
    restore_float32(model)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return spec, model


def _load_parts(
    data: DataConfig, count: int, seed: int, source: Path, spec: ModelSpec
) -> tuple[list[np.ndarray], list[EvalImage]]:
    """Returns inputs to calibrate on, of the training part, and photos to measure on, of the validation part."""
    folder = data.folders[0]
    prepare_data(data)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; quantization requires images with masks: --data FOLDER")
    pairs = {pair.stem: pair for pair in find_samples(data)[0]}
    split = _split(data, seed, source, list(pairs.values()))
    chosen = split.train[:: max(1, len(split.train) // count)][:count]
    parts = [[pairs[stem] for stem in part] for part in (chosen, split.val)]
    reader = SampleReader.for_model(data, spec)
    calibration, photos = (read_images(part, reader, spec.height, spec.width) for part in parts)
    return [preprocess(photo.image, spec)[None] for photo in calibration], photos


def _split(data: DataConfig, seed: int, source: Path, pairs: list[Pair]) -> Split:
    """The given split, the one beside the model where it is of this data set, else the layout's or one by the seed."""
    beside = source.with_name("split.txt")
    if beside.is_file() and not data.split_file:
        try:
            return read_split(beside, [pair.stem for pair in pairs])
        except DataError as error:
            say(f"{error}: the split is drawn by seed={seed}")
    split = choose_split(data, pairs, seed)
    if not split.train:
        raise DataError(f"{data.place}: the training part is empty; quantizing is calibrated on it")
    return split


def _to_int8(
    options: QuantizeOptions,
    model: onnx.ModelProto,
    original: Path,
    candidate: Path,
    calibration: list[np.ndarray],
    photos: list[EvalImage],
    float_iou: float,
) -> tuple[Result, list[str]]:
    for_onnx = partial(OnnxQuantizer, model, calibration, candidate.parent)
    quantizer = for_onnx() if candidate.suffix == ".onnx" else OpenVinoQuantizer(original, calibration)

    def rank() -> list[str]:
        """By ONNX Runtime's tools for both: OpenVINO keeps the names of the layers."""
        ranking = quantizer if isinstance(quantizer, OnnxQuantizer) else for_onnx()
        return ranking.rank(calibration[:RANKING_PHOTOS])

    return quantize_within(options, quantizer, candidate, float_iou, photos, layers(model), rank)


def _to_float16(model: onnx.ModelProto, original: Path, candidate: Path) -> None:
    if candidate.suffix == ".onnx":
        store_as_float16(model)
        onnx.save(model, candidate)
    else:
        import openvino

        openvino.save_model(openvino_core().read_model(original), candidate, compress_to_fp16=True)


def _show(out: Path, before: Result, after: Result, excluded: list[str], photos: int, threshold: float) -> None:
    rows = [
        ("size", f"{before.size_mb:.1f} MB", f"{after.size_mb:.1f} MB"),
        (f"IoU on {photos} images", f"{before.iou:.4f}", f"{after.iou:.4f}"),
        ("per image", f"{before.milliseconds:.1f} ms", f"{after.milliseconds:.1f} ms"),
        ("mask IoU with the float model", "", f"{compare(before.logits, after.logits, threshold).mask_iou:.4f}"),
    ]
    show_table(str(out), ("", "before", "after"), rows)
    if excluded:
        say(f"Left float: {', '.join(excluded)}")
