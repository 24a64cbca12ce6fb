"""Times `data check`, `data tile` and `evaluate` against baselines; prints JSON.

python benchmarks/workshop.py check DATA | tile | evaluate DATA MODEL
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PEAK = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
)
SIDE, IMAGES, ROUNDS = 10_000, 50, 3


def check(data: str) -> dict[str, float]:
    """Returns the seconds of a check of a data set with its report, and of only reading its files."""
    from concurrent.futures import ThreadPoolExecutor

    from flood_seg.config.compose import compose
    from flood_seg.config.schema.workshop import DataToolsConfig
    from flood_seg.data.layout import find_samples
    from flood_seg.data.reading import SampleReader
    from flood_seg.errors import FindingsError, ImageError
    from flood_seg.workshop.check.check import check as run

    config = compose("data", [f"datamodule.data_dir='{data}'"], DataToolsConfig)
    pairs, _ = find_samples(config.datamodule)
    reader = SampleReader.of(config.datamodule, config.task)

    def read(pair: object) -> None:
        with contextlib.suppress(ImageError):
            reader.load(pair)  # type: ignore[arg-type]

    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(read, pairs))
    reading = time.perf_counter() - started
    started = time.perf_counter()
    quiet = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as name, quiet, contextlib.suppress(FindingsError):
        run(config.datamodule, config.task, config.check, Path(name))
    return {"pairs": len(pairs), "reading": reading, "check": time.perf_counter() - started}


def tile() -> dict[str, float]:
    """Returns seconds and peak MB of tiling a scene of 10 000×10 000, and seconds of copying it with rasterio."""
    import rasterio
    from rasterio.transform import from_origin

    from flood_seg.synthetic.scene import draw_scene

    with tempfile.TemporaryDirectory() as name:
        scene, copy = Path(name, "scene.tif"), Path(name, "copy.tif")
        drawn = np.tile(draw_scene(3, 1250, 1250)[0], (8, 8, 1))
        noisy = np.clip(drawn.astype(np.int16) + np.random.default_rng(0).integers(-6, 7, drawn.shape), 0, 255)
        grid = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5e6, 0.2, 0.2)}
        profile = {"driver": "GTiff", "height": SIDE, "width": SIDE, "count": 3, "dtype": "uint8", **grid}
        options = {"compress": "deflate", "predictor": 2, "tiled": True, "blockxsize": 512, "blockysize": 512}
        with rasterio.open(scene, "w", **profile) as out:
            out.write(np.moveaxis(noisy.astype(np.uint8), 2, 0))
        best: dict[str, float] = {"rasterio": np.inf, "tile": np.inf, "mb": 0.0}
        for number in range(ROUNDS):
            started = time.perf_counter()
            with rasterio.open(scene) as source, rasterio.open(copy, "w", **profile, **options) as out:
                for _, window in out.block_windows(1):
                    out.write(source.read(window=window), window=window)
            best["rasterio"] = min(best["rasterio"], time.perf_counter() - started)
            command = [sys.executable, "-m", "flood_seg", "data", "tile", "--image", str(scene)]
            started = time.perf_counter()
            # Started from a small process, since ru_maxrss of a child starts with that of its parent.
            small = [sys.executable, "-S", "-c", PEAK, *command, "--out", f"{name}/{number}"]
            done = subprocess.run(small, capture_output=True, text=True, check=True)
            best["tile"] = min(best["tile"], time.perf_counter() - started)
            best["mb"] = max(best["mb"], float(done.stdout))
        return best


def evaluate(data: str, model: str) -> dict[str, float]:
    """Returns the seconds of an evaluation of 50 images with its report, and of inference alone on the same images."""
    from flood_seg.config.compose import compose
    from flood_seg.config.schema import EvaluateConfig
    from flood_seg.data.layout import choose_pairs
    from flood_seg.data.reading import SampleReader
    from flood_seg.data.split import Split, write_split
    from flood_seg.errors import ImageError
    from flood_seg.inference.engines import open_backend
    from flood_seg.inference.predictor import Predictor
    from flood_seg.verbs.evaluate import run_evaluation as run

    config = compose("evaluate", [f"datamodule.data_dir='{data}'"], EvaluateConfig)
    predictor = Predictor(open_backend(config.backend, model, warmup=2))
    reader = SampleReader.for_model(config.datamodule, predictor.spec)
    pairs = choose_pairs(config.datamodule)
    chosen, inputs = list[str](), list[np.ndarray]()
    for pair in pairs[:: max(1, len(pairs) // IMAGES)]:
        with contextlib.suppress(ImageError):
            if len(chosen) < IMAGES:
                inputs.append(predictor.prepare(reader.load(pair)[0]).tensor[None])
                chosen.append(pair.stem)
    best: dict[str, float] = {"model": np.inf, "evaluate": np.inf, "images": len(chosen)}
    with tempfile.TemporaryDirectory() as name:
        rest = [pair.stem for pair in pairs if pair.stem not in chosen][:1]
        write_split(Path(name, "split.txt"), Split(tuple(rest), tuple(chosen)))
        config.datamodule.split_file = f"{name}/split.txt"
        for number in range(ROUNDS + 1):
            started = time.perf_counter()
            for batch in inputs:
                predictor.backend.run(batch)
            alone = time.perf_counter() - started
            started = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                run(config, model, Path(name, str(number)))
            whole = time.perf_counter() - started
            if number:  # the first round includes imports
                best = {**best, "model": min(best["model"], alone), "evaluate": min(best["evaluate"], whole)}
    return best


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    kinds: dict[str, Callable[..., dict[str, float]]] = {"check": check, "tile": tile, "evaluate": evaluate}
    print(json.dumps(kinds[kind](*arguments)))
