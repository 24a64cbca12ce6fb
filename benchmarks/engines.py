"""Compares speed and accuracy of engines with ONNX Runtime (float32, default options), 512², batch 8.

python benchmarks/engines.py MODEL.onnx [DATA]

The INT8 model is made by `flood-seg quantize`: with DATA (a folder with images/ and masks/) within its IoU bound, else
on synthetic scenes, for its speed only. Prints JSON: seconds per batch, IoU, mask IoU against float32.
"""

import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, QuantizeConfig
from flood_seg.data.layout import choose_pairs
from flood_seg.data.reading import SampleReader
from flood_seg.evaluation.agreement import compare
from flood_seg.evaluation.eval_images import read_images
from flood_seg.export.accuracy import measure
from flood_seg.export.quantize import quantize
from flood_seg.inference.backends.openvino import OpenVinoBackend

ROUNDS = 5


def main() -> None:
    """Runs the engines in alternating rounds and prints medians."""
    model, data = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(name)
        int8 = quantize_for(model, folder / "int8.xml", data, folder)
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        batch = np.random.default_rng(0).standard_normal((8, 3, 512, 512), np.float32)
        runs: dict[str, Callable[[], object]] = {
            "onnxruntime": lambda: session.run(None, {"input": batch}),
            **{f"openvino {p}": engine(model, p, batch) for p in ("float32", "bfloat16")},
            "openvino int8": engine(int8, "auto", batch),
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in runs}
        for number in range(ROUNDS + 1):
            for kind, run in runs.items():
                started = time.perf_counter()
                run()
                if number:
                    seconds[kind].append(time.perf_counter() - started)
        result = {"seconds": {kind: statistics.median(values) for kind, values in seconds.items()}}
        if data:
            result |= accuracy(model, int8, data)
    print(json.dumps(result))


def engine(path: Path, precision: str, batch: np.ndarray) -> Callable[[], object]:
    """Returns a function that runs the batch."""
    backend = OpenVinoBackend(path, precision=precision)
    return lambda: backend.run(batch)


def quantize_for(model: Path, out: Path, data: str | None, folder: Path) -> Path:
    """Quantizes to INT8 within the IoU bound on real data, else on synthetic scenes without a bound."""
    bound = []
    if data is None:
        from flood_seg.config.schema import SampleConfig
        from flood_seg.synthetic.sample_set import write_sample

        data, bound = str(folder / "scenes"), ["quantize.max_iou_drop=1"]
        write_sample(
            Path(data), SampleConfig(valley=False, count=20, height=256, width=256, seed=0, ground_sample_distance=None)
        )
    os.environ["NNCF_CI"] = "1"
    config = compose("quantize", [f"datamodule.data_dir={data}", *bound], QuantizeConfig)
    return quantize(config.datamodule, config.quantize, model, out, config.seed)


def accuracy(model: Path, int8: Path, data: str) -> dict[str, dict[str, float]]:
    """Returns the IoU on the validation images, and the mask IoU against float32, of each engine."""
    split = model.with_name("split.txt")
    config = defaults(DataConfig, data_dir=data, split_file=str(split) if split.is_file() else None)
    pairs, spec = choose_pairs(config), OpenVinoBackend(model).spec
    images = read_images(pairs, SampleReader.for_model(config, spec), spec.height, spec.width)
    results = {
        "onnxruntime": measure(model, "onnxruntime", images),
        "openvino bfloat16": measure(model, "openvino", images),
    }
    results["openvino int8"] = measure(int8, "openvino", images)
    first = results["onnxruntime"].logits
    return {
        "iou": {kind: result.iou for kind, result in results.items()},
        "mask_iou": {kind: compare(first, r.logits, spec.threshold).mask_iou for kind, r in results.items()},
    }


if __name__ == "__main__":
    main()
