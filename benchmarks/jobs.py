"""Time of a job of the service against `flood-seg map` on the command line, in turns; prints JSON.

    python benchmarks/jobs.py [--side 4000] [--rounds 3] [backend=openvino ...]

The scene is noise, so that its water has many shores. Seconds of a job are those from the answer to POST /jobs to the
end that a client sees; its upload is told by itself. Processor time is that of the command, and of the step's process.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import rasterio
from rasterio.transform import from_origin


def write_noise(path: Path, side: int) -> None:
    """Writes a georeferenced scene."""
    values = np.random.default_rng(0).integers(0, 256, (side // 50, side // 50, 3)).astype(np.uint8)
    image = cv2.resize(values, (side, side), interpolation=cv2.INTER_CUBIC)
    place = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 0.5, 0.5)}
    options = {"height": side, "width": side, "count": 3, "dtype": "uint8", "tiled": True}
    with rasterio.open(path, "w", driver="GTiff", **options, **place) as out:
        out.write(np.moveaxis(image, 2, 0))


def time_command(scene: Path, out: Path, overrides: list[str]) -> tuple[float, float]:
    """Returns the seconds of `flood-seg map`, by the clock and of the processors."""
    command = [sys.executable, "-m", "flood_seg", "map", "--image", str(scene), "--out", str(out), *overrides]
    before, begun = _children(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = time.perf_counter() - begun, _children() - before
    shutil.rmtree(out)
    return found


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def time_job(url: str, scene: Path, worker: psutil.Process) -> tuple[float, float, float]:
    """Returns the seconds of a job, by the clock and of the processors, and those of its upload."""
    uploaded = time.perf_counter()
    with scene.open("rb") as file:
        job = (
            httpx.post(f"{url}/jobs", files={"scene": ("scene.tif", file)}, timeout=600).raise_for_status().json()["id"]
        )
    before, begun = _used(worker), time.perf_counter()
    while (found := httpx.get(f"{url}/jobs/{job}", timeout=60).json())["status"] in ("accepted", "running"):
        time.sleep(0.1)
    assert found["status"] == "successful", found
    ended = time.perf_counter()
    for _ in range(2):
        httpx.delete(f"{url}/jobs/{job}", timeout=60)
    return ended - begun, _used(worker) - before, begun - uploaded


def _used(worker: psutil.Process) -> float:
    times = worker.cpu_times()
    return float(times.children_user + times.children_system)


def measure(side: int, rounds: int, overrides: list[str]) -> dict[str, object]:
    """Measures both in turns."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_noise(folder / "scene.tif", side)
        words = ["serve", "--port", "0", f"serve.work_dir={folder / 'work'}", "serve.limits.rate=0", *overrides]
        with (folder / "log").open("w") as log:
            service = subprocess.Popen([sys.executable, "-m", "flood_seg", *words], stdout=log, stderr=log)
        try:
            while not (ready := re.search(r"Ready at (\S+?);", (folder / "log").read_text("utf-8"))):
                time.sleep(0.1)
            while "is ready for jobs" not in (folder / "log").read_text("utf-8"):
                time.sleep(0.1)
            worker = psutil.Process(service.pid).children()[0]
            commands, jobs = [], []
            for _ in range(rounds):
                commands.append(time_command(folder / "scene.tif", folder / "out", overrides))
                jobs.append(time_job(ready[1], folder / "scene.tif", worker))
        finally:
            service.terminate()
            service.wait()
    clock = [job[0] / command[0] for job, command in zip(jobs, commands, strict=True)]
    used = [job[1] / command[1] for job, command in zip(jobs, commands, strict=True)]
    return {
        "side": side, "map_s": [round(one[0], 2) for one in commands], "job_s": [round(one[0], 2) for one in jobs],
        "upload_s": [round(one[2], 2) for one in jobs], "ratio": round(statistics.median(clock), 3),
        "map_cpu_s": [round(one[1], 2) for one in commands], "job_cpu_s": [round(one[1], 2) for one in jobs],
        "cpu_ratio": round(statistics.median(used), 3),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    given, rest = parser.parse_known_args()
    print(json.dumps(measure(given.side, given.rounds, rest)))
