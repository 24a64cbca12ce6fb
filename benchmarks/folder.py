"""Times `infer` on a folder of 100 images against each of its three stages alone; prints JSON.

python benchmarks/folder.py IMAGES MODEL [key=value ...]
"""

import contextlib
import io
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from flood_seg.config.compose import compose
from flood_seg.config.schema import InferConfig
from flood_seg.imaging.source import IMAGE_SUFFIXES
from flood_seg.inference.engines import choose_engine, open_backend
from flood_seg.inference.files import Job, plan
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.segment import ImageState, Segmenter
from flood_seg.verbs.infer import segment_images as infer

COUNT, ROUNDS = 100, 3


def stages(config: InferConfig, model: str, jobs: list[Job]) -> dict[str, float]:
    """Returns the seconds of each stage on all images, run sequentially."""
    segmenter = Segmenter(Predictor(open_backend(config.backend, model, warmup=2)), config.output, overlay=False)
    times, batches = {}, [[ImageState(job)] for job in jobs]
    for name in ("read", "run", "finish"):
        started = time.perf_counter()
        batches = [getattr(segmenter, name)(batch) for batch in batches]
        times[name] = time.perf_counter() - started
    return times


def main() -> None:
    """Runs several rounds and prints the minimum of each, in seconds."""
    source, model, *overrides = sys.argv[1:]
    config = compose("infer", choose_engine(overrides, model)[0], InferConfig)
    with tempfile.TemporaryDirectory() as name:
        images = Path(name, "images")
        images.mkdir()
        found = sorted(path for path in Path(source).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        for number in range(COUNT):
            path = found[number % len(found)]
            shutil.copy(path, images / f"{number:03d}{path.suffix}")
        best: dict[str, float] = {}
        for _ in range(ROUNDS):
            times = stages(config, model, plan(str(images), Path(name, "masks")))
            started = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                infer(config, model, str(images), Path(name, "masks"))
            times["infer"] = time.perf_counter() - started
            best = {stage: min(seconds, best.get(stage, seconds)) for stage, seconds in times.items()}
    print(json.dumps(best))


if __name__ == "__main__":
    main()
