"""Prints a table of benchmarks, each against a baseline measured in the same run.

python benchmarks/run.py [--data FOLDER] [--only NAME]

Compare ratios rather than seconds, which vary with the load of the machine. FOLDER contains images/ and masks/
(default: data/raw, or synthetic scenes if it is missing).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from flood_seg.console import show_table

HERE = Path(__file__).parent
Row = tuple[str, str, str, str, str]


def measure(command: list[str], cwd: Path | None = None) -> tuple[float, float]:
    """Runs a command; returns seconds and peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=cwd)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status != 0:
        sys.exit(f"{' '.join(command)}: {process.stderr.read().decode() if process.stderr else ''}")
    return seconds, usage.ru_maxrss / 1024


def median_of(command: list[str], times: int = 7, cwd: Path | None = None) -> tuple[float, float]:
    """Returns the median seconds and the maximum peak memory in MB of several runs after a warm-up."""
    runs = [measure(command, cwd) for _ in range(times + 1)][1:]
    return statistics.median(seconds for seconds, _ in runs), max(memory for _, memory in runs)


def flood_seg(*arguments: str) -> list[str]:
    """Returns the command line of a verb."""
    return [str(Path(sys.executable).with_name("flood-seg")), *arguments]


def bench_help(_data: str) -> list[Row]:
    """`flood-seg --help` against an empty Python script."""
    seconds, _ = median_of(flood_seg("--help"))
    bare, _ = median_of([sys.executable, "-c", "pass"])
    return [("flood-seg --help", "python -c pass", f"{bare:.3f} s", f"{seconds:.3f} s", "≤ 0.35 s")]


def bench_infer(_data: str) -> list[Row]:
    """`infer` on one image, including startup and writing, against a minimal script."""
    import cv2

    from flood_seg.inference.models import bundled_model
    from flood_seg.synthetic.scene import draw_scene

    model = bundled_model()
    if model is None:
        return [("infer, 1000 px image", "-", "-", "no bundled model", "≤ 1.0 s, ≤ 350 MB")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cv2.imwrite(str(folder / "photo.jpg"), draw_scene(0, 667, 1000)[0][:, :, ::-1])
        ours = median_of(flood_seg("infer", "--onnx", str(model.resolve()), "--image", "photo.jpg"), cwd=folder)
        bare = median_of([sys.executable, str((HERE / "bare_infer.py").resolve()), str(model.resolve())], cwd=folder)
    return [
        (
            "infer, 1000 px image, cold",
            "bare onnxruntime + OpenCV",
            f"{bare[0]:.2f} s",
            f"{ours[0]:.2f} s",
            "≤ 1.0 s",
        ),
        ("infer, peak memory", "the same", f"{bare[1]:.0f} MB", f"{ours[1]:.0f} MB", "≤ 350 MB"),
    ]


def in_process(script: str, *arguments: str) -> dict[str, Any]:
    """Runs a script of this folder in a separate process, since memory settings are per process; returns its JSON."""
    command = [sys.executable, "-W", "ignore", str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def bench_step(_data: str) -> list[Row]:
    """A training step with a batch of 16 images of 256×256, against plain float32 PyTorch."""
    rows = []
    for model, goal in (("mobilenet_v2", "≥ 4×"), ("resnet34", "-")):
        plain = in_process("step.py", model, "plain")["seconds"]
        ours = in_process("step.py", model, "ours")["seconds"]
        rows.append(
            (f"training step, {model}, 16×256²", "plain float32 PyTorch", f"{plain:.2f} s", _ratio(plain, ours), goal)
        )
    return rows


def bench_epoch(data: str) -> list[Row]:
    """An epoch at 256 px, training and validation, against the same module with all optimizations off."""
    rows = []
    for model, goal in (("mobilenet_unet", "≥ 3.5×"), ("resnet34_unet", "≥ 5×")):
        plain = in_process("epoch.py", data, model, "plain")["seconds"]
        ours = in_process("epoch.py", data, model, "ours")["seconds"]
        rows.append((f"epoch, {model}, 256²", "all optimizations off", f"{plain:.1f} s", _ratio(plain, ours), goal))
    return rows


def bench_loading(data: str) -> list[Row]:
    """Loading of an augmented sample at 512 px from the second epoch on, against decoding each time."""
    times = in_process("loading.py", data)
    decoding, cached = times["decoding"], times["cached"]
    baseline = f"{decoding * 1e3:.1f} ms"
    return [
        ("loading a sample, 512², from epoch 1", "decoding each time", baseline, _ratio(decoding, cached, "ms"), "≥ 5×")
    ]


def bench_engines(data: str) -> list[Row]:
    """INT8 and bfloat16 with OpenVINO against default ONNX Runtime, 512², batch 8: speed and loss of accuracy."""
    from flood_seg.inference.models import bundled_model

    rows = []
    with tempfile.TemporaryDirectory() as name:
        untrained = Path(name, "resnet34.onnx")
        models = [("mobilenet_unet", bundled_model(), data, "≥ 4×")]
        resnet = os.environ.get("RESNET")  # ONNX file of a trained model, for its IoU
        models.append(
            ("resnet34_unet", Path(resnet) if resnet else export_untrained(untrained), data if resnet else "", "≥ 8×")
        )
        for title, model, images, goal in models:
            found = in_process("engines.py", str(model), *([images] if Path(images or "-").is_dir() else []))
            seconds, base = found["seconds"], found["seconds"]["onnxruntime"]
            for kind in ("openvino bfloat16", "openvino int8"):
                shown = _ratio(base, seconds[kind])
                if "iou" in found:
                    lost = found["iou"]["onnxruntime"] - found["iou"][kind]
                    shown += f", {lost:+.4f} IoU lost, mask IoU {found['mask_iou'][kind]:.4f}"
                rows.append(
                    (
                        f"{title}, {kind}, 8×512²",
                        "ONNX Runtime, default options",
                        f"{base:.2f} s",
                        shown,
                        goal if "int8" in kind else "mask IoU ≥ 0.995",
                    )
                )
    return rows


def export_untrained(path: Path) -> Path:
    """Exports an untrained ResNet34 U-Net, which is as fast as a trained one."""
    import torch

    from flood_seg.export.onnx import export_onnx
    from flood_seg.networks.network import build_network
    from flood_seg.spec import ModelSpec

    torch.manual_seed(0)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    spec = ModelSpec("binary", ("land", "water"), (0, 255), ("red", "green", "blue"), 256, 256, 255.0, mean, std)
    export_onnx(build_network("Unet", "resnet34", 3, 1).eval(), spec, path)
    return path


def bench_folder(data: str) -> list[Row]:
    """`infer` on 100 images against its slowest stage alone."""
    from flood_seg.config.schema import SampleConfig
    from flood_seg.inference.models import bundled_model
    from flood_seg.synthetic.sample_set import write_sample

    with tempfile.TemporaryDirectory() as name:
        images = Path(data, "images")
        if not images.is_dir():
            write_sample(
                Path(name),
                SampleConfig(valley=False, count=20, height=700, width=1000, seed=0, ground_sample_distance=None),
            )
            images = Path(name, "images")
        times = in_process("folder.py", str(images), str(bundled_model()))
    slowest = max("read", "run", "write", key=times.__getitem__)
    shown = f"{times['infer']:.2f} s ({times['infer'] / times[slowest]:.2f}×)"
    return [
        (
            "infer, a folder of 100 images",
            f"slowest stage alone ({slowest})",
            f"{times[slowest]:.2f} s",
            shown,
            "≤ 1.25×",
        )
    ]


def bench_triton(_data: str) -> list[Row]:
    """The embedded Triton server with 8 clients against the same engine in a loop."""
    from flood_seg.inference.models import bundled_model

    rates = in_process("served.py", str(bundled_model()))
    return [
        (
            f"embedded Triton, 8 clients, {protocol}, 512²",
            "the same engine in a loop",
            f"{rates['loop']:.1f} images/s",
            f"{rates[protocol]:.1f} images/s ({rates[protocol] / rates['loop']:.2f}×)",
            "≥ 0.85×",
        )
        for protocol in ("http", "grpc")
    ]


def bench_client(_data: str) -> list[Row]:
    """`triton-client` on one image, including startup and writing, against `infer`."""
    import cv2

    from flood_seg.inference.models import bundled_model
    from flood_seg.synthetic.scene import draw_scene

    with tempfile.TemporaryDirectory() as name:
        bundled = bundled_model()
        assert bundled is not None
        folder, model = Path(name), str(bundled.resolve())
        cv2.imwrite(str(folder / "photo.jpg"), draw_scene(0, 667, 1000)[0][:, :, ::-1])
        server = flood_seg("triton-server", "--model-path", model, "triton.runtime=embedded")
        measure([*server, "--detach"], cwd=folder)
        try:
            local = median_of(flood_seg("infer", "--onnx", model, "--image", "photo.jpg"), cwd=folder)
            client = median_of(flood_seg("triton-client", "--image", "photo.jpg"), cwd=folder)
        finally:
            measure([*server, "--stop"], cwd=folder)
    return [("triton-client, 1000 px image, cold", "infer", f"{local[0]:.2f} s", f"{client[0]:.2f} s", "≤ 1.0 s")]


def bench_service(_data: str) -> list[Row]:
    """`serve`: predictions for one, eight and 64 clients against those in this process, and its start."""
    from flood_seg.inference.models import bundled_model

    found = in_process("service.py", str(bundled_model()))
    here, there, eight, many = found["predict"], found["served"], found["eight"], found["many"]
    p95 = eight["p95"] / (8 / eight["loop"])
    bad = [status for status in many["statuses"] if status != 503] or many["without_retry_after"]
    return [
        ("serve, /predict of 1000 px, 1 client, p50", "Model.predict of the same bytes", f"{here * 1e3:.1f} ms",
         f"{there * 1e3:.1f} ms ({there / here:.2f}×)", "≤ 1.25×"),
        ("serve, 8 clients", "Model.predict in a loop", f"{eight['loop']:.1f} images/s",
         f"{eight['rate']:.1f} images/s ({eight['rate'] / eight['loop']:.2f}×)", "≥ 0.85×"),
        ("serve, 8 clients", "the engine alone in a loop", f"{eight['engine']:.1f} images/s",
         f"{eight['rate']:.1f} images/s ({eight['rate'] / eight['engine']:.2f}×)", "-"),
        ("serve, 8 clients, p95", "8 times Model.predict", f"{8e3 / eight['loop']:.0f} ms",
         f"{eight['p95'] * 1e3:.0f} ms ({p95:.2f}×)", "≤ 2.5×"),
        (f"serve, 64 clients, {many['minutes']:.0f} minutes", "-", "-",
         f"{many['accepted']} masks, {many['refused']} refused with 503{' and others' if bad else ''}, "
         f"p99 {many['p99']:.1f} s, memory ±{many['memory_change']:.1%}", "no other status, memory ±5 %"),
        ("serve, from start to ready", "-", "-", f"{found['cold_start']:.2f} s", "≤ 3 s"),
    ]  # fmt: skip


def bench_workshop(data: str) -> list[Row]:
    """`data check`, `data tile` and `evaluate`, each against its necessary minimum."""
    from flood_seg.config.schema import SampleConfig
    from flood_seg.inference.models import bundled_model
    from flood_seg.synthetic.sample_set import write_sample

    with tempfile.TemporaryDirectory() as name:
        if not Path(data, "images").is_dir():
            write_sample(
                Path(name),
                SampleConfig(valley=False, count=60, height=700, width=1000, seed=0, ground_sample_distance=None),
            )
            data = name
        checked = in_process("workshop.py", "check", data)
        tiled = in_process("workshop.py", "tile")
        evaluated = in_process("workshop.py", "evaluate", data, str(bundled_model()))
    return [
        (f"data check, {checked['pairs']} images", "reading the files", f"{checked['reading']:.1f} s",
         f"{checked['check']:.1f} s ({checked['check'] / checked['reading']:.2f}×)", "≤ 20 s for 250"),
        ("data tile, 10 000×10 000 RGB GeoTIFF", "copy with rasterio", f"{tiled['rasterio']:.2f} s",
         f"{tiled['tile']:.2f} s ({tiled['tile'] / tiled['rasterio']:.2f}×), {tiled['mb']:.0f} MB", "≤ 1.5×, ≤ 500 MB"),
        (f"evaluate with report, {evaluated['images']} images", "inference alone", f"{evaluated['model']:.2f} s",
         f"{evaluated['evaluate']:.2f} s ({evaluated['evaluate'] / evaluated['model']:.2f}×)", "≤ 1.5×"),
    ]  # fmt: skip


def bench_map(data: str) -> list[Row]:
    """`map` of 10 000×10 000 pixels against its model alone, against a loop over windows, and resumed after a kill."""
    from flood_seg.inference.models import bundled_model

    images = Path(data, "images")
    found = in_process("maps.py", str(bundled_model()), *(["--images", str(images)] if images.is_dir() else []),
                       "backend=openvino")  # fmt: skip
    whole = found["map"]
    shown = f"{whole:.1f} s ({whole / found['model']:.2f}×), {found['memory_mb']:.0f} MB"
    return [
        ("map, 10 000×10 000 RGB, all files", f"the model alone, {found['engine']}", f"{found['model']:.1f} s", shown,
         "≤ 1.25×, ≤ 1 GB"),
        ("map, the same", "loop: rasterio, ONNX Runtime float32", f"{found['loop']:.1f} s",
         f"{whole:.1f} s ({found['loop'] / whole:.1f}×)", "≥ 2.5×"),
        ("map, resumed after a kill at 50 %", "the whole", f"{whole:.1f} s",
         f"{found['resumed']:.1f} s ({found['resumed'] / whole:.2f}×)", "≤ 0.6×"),
    ]  # fmt: skip


def bench_impact(_data: str) -> list[Row]:
    """`impact` of a country with 2 million road segments against reading them, with roads alone and with all layers."""
    found = in_process("impact.py")
    rows = []
    for title, inputs in (("roads", "roads.fgb"), ("all layers", max(found["runs"], key=len))):
        run = found["runs"][inputs]
        shown = f"{run['seconds']:.0f} s, {run['gigabytes']:.1f} GB"
        rows.append((f"impact, {found['segments'] / 1e6:.0f} M segments, {title}", "pyogrio reads the roads",
                     f"{found['reading']:.1f} s", shown, "minutes, ≤ 2 GB"))  # fmt: skip
    return rows


def bench_tiles(_data: str) -> list[Row]:
    """Map tiles of a scene of 10,000 × 10,000 pixels over HTTP against rio-tiler that opens the file for each."""
    found = in_process("service_tiles.py")
    alone = f"{found['rio_tiler']['p50']:.0f} ms"
    return [
        (f"map tile of 10 000×10 000, {name}, p50", "rio-tiler alone" if name == "probability" else "-",
         alone if name == "probability" else "-", f"{found[name]['p50']:.0f} ms", "≤ 60 ms")
        for name in ("scene", "probability", "threshold", "mask")
    ]  # fmt: skip


def bench_jobs(_data: str) -> list[Row]:
    """A scene of 4000×4000 pixels as a job of the service against `map` on the command line."""
    found = in_process("jobs.py")
    seconds = {name: statistics.median(found[f"{name}_s"]) for name in ("map", "job")}
    return [("serve, job of 4000×4000 without upload", "flood-seg map", f"{seconds['map']:.1f} s",
             f"{seconds['job']:.1f} s ({found['ratio']:.2f}×)", "≤ 1.05×")]  # fmt: skip


def _ratio(before: float, after: float, unit: str = "s") -> str:
    shown = f"{after * 1e3:.1f} ms" if unit == "ms" else f"{after:.2f} s"
    return f"{shown} ({before / after:.1f}×)"


BENCHES = {
    "help": bench_help,
    "infer": bench_infer,
    "folder": bench_folder,
    "engines": bench_engines,
    "triton": bench_triton,
    "client": bench_client,
    "service": bench_service,
    "workshop": bench_workshop,
    "map": bench_map,
    "impact": bench_impact,
    "tiles": bench_tiles,
    "jobs": bench_jobs,
    "loading": bench_loading,
    "step": bench_step,
    "epoch": bench_epoch,
}


def main() -> None:
    """Runs the benchmarks and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/raw")
    parser.add_argument("--only", choices=BENCHES)
    options = parser.parse_args()
    rows: list[Row] = []
    for name, bench in BENCHES.items():
        if options.only in (None, name):
            rows += bench(options.data)
    show_table("Benchmarks", ("benchmark", "baseline", "baseline result", "flood-seg", "target"), rows)


if __name__ == "__main__":
    main()
