"""Scenes that are segmented on real Ray clusters, also with nodes that are killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
from ray._private.node import Node
from ray.cluster_utils import Cluster

from flood_seg.errors import BackendError, ConfigError, ServerError
from flood_seg.imaging.bands import BandSelection
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.inference.predictor import Predictor
from flood_seg.scenes import ray_cluster
from flood_seg.scenes.executor import ModelSource, digest_of
from flood_seg.scenes.grid import Block, Grid
from flood_seg.scenes.ray_executor import RayExecutor
from flood_seg.scenes.scene import Scene
from flood_seg.scenes.stream import BlockResult, BlockSegmenter
from tests.scenes.conftest import write_scene
from tests.scenes.test_map import run

BACKEND = {"_target_": "flood_seg.inference.backends.onnxruntime.OnnxRuntimeBackend", "provider": "cpu", "threads": 0,
           "streams": 0}  # fmt: skip
OPTIONS = {"address": None, "actors": 2, "cpus": 1, "gpus": 0, "blocks_in_flight": 2, "retries": 2,
           "start_timeout": 120}  # fmt: skip


def source(model: Path, **changes: object) -> ModelSource:
    predictor = Predictor(OnnxRuntimeBackend(model))
    values = {"name": str(model), "digest": digest_of(str(model), predictor), "backend": BACKEND,
              "description": predictor.backend.description, "value_scale": None, "max_megapixels": 100}  # fmt: skip
    return ModelSource(**values | changes)


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(3).integers(1, 256, (side, side, 3), np.uint8)


def sums(results: dict[Block, BlockResult]) -> dict[str, bytes]:
    return {str(block): result.sums.tobytes() for block, result in results.items()}


def running(name: str) -> list[int]:
    """Processes of this user whose command line has the name."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if name in entry.read_text("utf-8", "replace"):
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def kill_node(node: Node) -> None:
    """Kills the raylet and its workers, as a node that loses power."""
    raylet = node.all_processes["raylet"][0].process.pid
    children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
    for pid in (raylet, *map(int, children)):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes with a core each, besides the head, which only coordinates."""
    head = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield head
    ray.shutdown()
    head.shutdown()


def test_the_result_is_that_of_this_process(
    smoothing_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(600))
    assert run(smoothing_model, scene, tmp_path / "local") == 0
    before = set(running("raylet"))
    capfd.readouterr()
    command = ["map", "--model", str(smoothing_model), "--image", str(scene), "--out", str(tmp_path / "ray")]
    done = subprocess.run(
        [sys.executable, "-m", "flood_seg", *command, "map.block_size=128", "executor=ray"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2
    for name in ("mask.tif", "probability.tif"):
        assert (tmp_path / "local" / name).read_bytes() == (tmp_path / "ray" / name).read_bytes()
    assert set(running("raylet")) <= before


@pytest.mark.slow
def test_a_node_is_killed(smoothing_model: Path, tmp_path: Path, cluster: Cluster) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    backend = OnnxRuntimeBackend(smoothing_model)
    predictor = Predictor(backend)
    path = write_scene(tmp_path / "scene.tif", noise(1500))
    with Scene.open(path, BandSelection.of(predictor.spec)) as scene:
        grid = Grid.of((1500, 1500), (64, 64), 0.25, 300)
        blocks = list(grid.blocks())
        expected = dict(BlockSegmenter(scene, predictor, grid).segment(blocks))
        with RayExecutor(source(smoothing_model), **OPTIONS | {"address": cluster.address}) as executor:
            found: dict[Block, BlockResult] = {}
            failed: list[Block] = []
            for block, result in executor.segment(scene, predictor, grid, blocks, 1):
                if isinstance(result, BackendError):
                    failed.append(block)
                    continue
                found[block] = result
                if len(found) == 6:
                    kill_node(nodes[0])
            assert 0 < len(failed) <= 2  # those that it had
            found |= dict(executor.segment(scene, predictor, grid, failed, 1))
    assert sums(found) == sums(expected)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Two nodes of `ray start` that require a token; yields the environment of a user who has it, with RAY_ADDRESS."""
    with socket.create_server(("127.0.0.2", 0)) as free:
        address = f"127.0.0.2:{free.getsockname()[1]}"
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64, "HOME": str(tmp_path)}
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", "--num-cpus=1"]
    head = ["--head", "--node-ip-address=127.0.0.2", f"--port={address.rpartition(':')[2]}", "--num-gpus=1"]
    nodes = []
    try:
        for options in (head, [f"--address={address}", "--node-ip-address=127.0.0.3"]):
            nodes.append(subprocess.Popen([*start, *options], env=environment, stdout=subprocess.PIPE, text=True,
                                          stderr=subprocess.DEVNULL, start_new_session=True))  # fmt: skip
            assert any("--block" in line for line in nodes[-1].stdout)  # that it blocks now
        yield environment | {"RAY_ADDRESS": address}
    finally:
        for node in nodes:
            os.killpg(node.pid, signal.SIGKILL)
            node.communicate()


@pytest.mark.slow
def test_a_cluster_of_ray_start(smoothing_model: Path, tmp_path: Path, started: dict[str, str]) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(600))
    assert run(smoothing_model, scene, tmp_path / "local") == 0
    address = started["RAY_ADDRESS"]
    command = [sys.executable, "-m", "flood_seg", "map", "--model", str(smoothing_model), "map.block_size=128",
               "executor=ray"]  # fmt: skip

    def map_scene(
        out: str, *overrides: str, without: tuple[str, ...] = (), **changes: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in (started | changes).items() if key not in without}
        return subprocess.run([*command, "--image", str(scene), "--out", str(tmp_path / out), *overrides],
                              capture_output=True, text=True, check=False, env=environment)  # fmt: skip

    for out, where, without in (
        ("ray", f"executor.address={address}", ("RAY_ADDRESS", "RAY_AUTH_MODE")),  # the mode follows from the cluster
        ("auto", "executor.address=auto", ()),
    ):
        done = map_scene(out, where, "executor.gpus=0.5", without=without)
        assert (done.returncode, done.stderr) == (0, "")
        for name in ("mask.tif", "probability.tif"):
            assert (tmp_path / "local" / name).read_bytes() == (tmp_path / out / name).read_bytes()

    done = map_scene("wrong", f"executor.address={address}", RAY_AUTH_TOKEN="6" * 64)
    assert done.returncode == 2
    assert done.stderr == (
        f"flood-seg: error: executor.address={address}: the cluster requires another token; set RAY_AUTH_MODE=token, "
        "and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, as on its nodes\n"
    )
    done = map_scene("many", "executor.address=auto", "executor.gpus=2", "executor.start_timeout=1")
    assert done.returncode == 2
    assert "each requires 1 CPUS, 2 GPUS, the cluster has 2 CPUS, 1 GPUS, too little on each node" in done.stderr

    big = write_scene(tmp_path / "big.tif", noise(3000))
    process = subprocess.Popen([*command, "--image", str(big), "--out", str(tmp_path / "big"), "executor.address=auto"],
                               stderr=subprocess.PIPE, text=True, env=started)  # fmt: skip
    while process.poll() is None and not list((tmp_path / "big").glob(".blocks/*.npz")):
        time.sleep(0.1)
    (raylet,) = [pid for pid in running("raylet/raylet") if "--node_ip_address=127.0.0.2" in words(pid)]
    os.kill(raylet, signal.SIGKILL)  # of the node of the command
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert error.splitlines()[-1].startswith("flood-seg: error: executor=ray: the Ray node of this machine has ended")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_running(number: signal.Signals, smoothing_model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(3000))
    before = {*running("raylet"), *running("SegmentWorker")}
    process = subprocess.Popen(
        [sys.executable, "-m", "flood_seg", "map", "--model", str(smoothing_model), "--image", str(scene), "--out",
         str(tmp_path / "map"), "map.block_size=128", "executor=ray"], stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not list((tmp_path / "map").glob(".blocks/*.npz")):
        time.sleep(0.1)
    process.send_signal(number)
    assert process.communicate(timeout=60)[1] == "flood-seg: interrupted\n"
    assert process.returncode == 130
    assert {*running("raylet"), *running("SegmentWorker")} <= before  # those of others may have ended


@pytest.mark.slow
def test_a_node_with_another_model_is_left_out(smoothing_model: Path, tmp_path: Path) -> None:
    path = write_scene(tmp_path / "scene.tif", noise(200))
    predictor, grid = Predictor(OnnxRuntimeBackend(smoothing_model)), Grid.of((200, 200), (64, 64), 0.25, 100)
    with (
        Scene.open(path, BandSelection.of(predictor.spec)) as scene,
        RayExecutor(source(smoothing_model, digest="other"), **OPTIONS | {"actors": 1}) as executor,
        pytest.raises(BackendError, match="is another model than where the command runs; all nodes must see"),
    ):
        list(executor.segment(scene, predictor, grid, list(grid.blocks()), 1))


def test_addresses_that_do_not_answer(smoothing_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(ray_cluster, "ANSWER_SECONDS", 1)
        started = time.monotonic()
        with pytest.raises(ServerError, match="is not the head of a Ray cluster"):
            RayExecutor(source(smoothing_model), **OPTIONS | {"address": f"127.0.0.1:{port}"}).__enter__()
        assert time.monotonic() - started < 30
    with pytest.raises(ServerError, match=f"executor.address=127.0.0.1:{port}: cannot be reached"):
        RayExecutor(source(smoothing_model), **OPTIONS | {"address": f"127.0.0.1:{port}"}).__enter__()
    with pytest.raises(ServerError, match="executor.address=auto: this machine is not a node"):
        RayExecutor(source(smoothing_model), **OPTIONS | {"address": "auto"}).__enter__()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"address": "ray://host:10001"}, "give HOST:PORT of the cluster's head, auto or local"),
        ({"address": "host"}, "give HOST:PORT"),
        ({"actors": 0}, "executor.actors"),
        ({"cpus": 10_000}, "executor.cpus=10000: this machine has"),
        ({"gpus": -1}, "executor.gpus"),
        ({"gpus": 1.5}, "executor.gpus=1.5: give a whole number, or a fraction of one"),
        ({"blocks_in_flight": 0}, "executor.blocks_in_flight"),
        ({"retries": -1}, "executor.retries"),
        ({"start_timeout": 0}, "executor.start_timeout"),
    ],
)
def test_wrong_options(change: dict[str, object], message: str, smoothing_model: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        RayExecutor(source(smoothing_model), **OPTIONS | change)


def test_ray_is_not_installed(
    smoothing_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(100))
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(smoothing_model, scene, tmp_path / "map", "executor=ray", "executor.address=auto") == 2
    assert "map: requires ray, which is not installed; pip install 'flood-seg[ray]'" in capsys.readouterr().err
    assert run(smoothing_model, scene, tmp_path / "map", "executor=rays") == 2
    assert "executor=rays: allowed are local, ray" in capsys.readouterr().err
