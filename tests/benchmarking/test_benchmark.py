import csv
import json
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from flood_seg.benchmarking import load as load_module
from flood_seg.benchmarking.benchmark import benchmark
from flood_seg.benchmarking.engine_process import EngineProcess, _work
from flood_seg.benchmarking.machine import describe_machine
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import BenchmarkOptions, DataConfig
from flood_seg.errors import OutOfMemoryError
from flood_seg.inference.engines import parse_engine
from tests.conftest import make_spec, write_ponds
from tests.inference.conftest import red_spec, write_model

pytest.importorskip("openvino")


def test_a_run_measures_each_engine_and_writes_table_and_chart(tmp_path, capsys):
    write_ponds(tmp_path / "data", 4)
    model = str(write_model(tmp_path / "red.onnx", red_spec()))
    options = defaults(BenchmarkOptions, batch_sizes=[1, 2], rounds=2, repeats=3)
    data = defaults(DataConfig, data_dir=str(tmp_path / "data"))
    first, second = benchmark(data, options, [model, f"openvino,precision=float32:{model}"], tmp_path / "out")
    for figures in (first, second):
        assert len(figures.latencies) == 2 * 3 and {n: len(s) for n, s in figures.batch_seconds.items()} == {1: 6, 2: 2}
        assert figures.load_seconds > 0.01 and 20 < figures.memory_mb < 2000
        assert figures.percentile(50) <= figures.percentile(95)
    assert first.iou == pytest.approx(second.iou, abs=0.01)
    rows = list(csv.DictReader((tmp_path / "out" / "benchmark.csv").open()))
    assert [row["engine"] for row in rows] == ["onnxruntime cpu", "openvino cpu float32"]
    assert rows[0]["speed-up"] == "1.0×"
    record = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert record["machine"] == describe_machine() and "Python" in record["machine"]
    chart = cv2.imread(str(tmp_path / "out" / "benchmark.png"))
    assert chart.shape[1] > 1000 and len(np.unique(chart.reshape(-1, 3), axis=0)) > 10
    assert "speed-up" in capsys.readouterr().out


def test_the_throughput_is_that_of_the_best_batch():
    from flood_seg.benchmarking.results import EngineResult

    figures = EngineResult("m", "e", 0.1, batch_seconds={1: [0.1, 0.1, 9.0], 4: [0.2, 0.2, 0.2], 8: [0.8]})
    assert figures.throughput == (pytest.approx(20), 4)


def test_closed_loop_clients_and_the_knee(monkeypatch):
    """A server that works on two requests at once, 10 ms each: two clients get all that there is."""
    workers = ThreadPoolExecutor(2)

    class Server:
        spec = make_spec()

        def run(self, batch: np.ndarray) -> np.ndarray:
            workers.submit(time.sleep, 0.01).result()
            return batch

    monkeypatch.setattr(load_module, "open_backend", lambda *_: Server())
    loads = load_module.measure_load(parse_engine("triton:host/m"), (8, 8), [1, 2, 8], 0.6)
    assert [load.clients for load in loads] == [1, 2, 8]
    assert [load.knee for load in loads].count(True) == 1 and not loads[0].knee
    assert loads[1].throughput > 1.5 * loads[0].throughput
    assert loads[2].p50 > 2.5 * loads[1].p50  # the others wait


def test_an_engine_process_ends_with_its_block_and_says_when_it_is_killed(tmp_path):
    from flood_seg.errors import BackendError

    engine = parse_engine(str(write_model(tmp_path / "red.onnx", red_spec())))
    with EngineProcess(engine) as process:
        timed = process.run(np.ones((1, 3, 64, 64), np.float32), times=3)
        assert len(timed.seconds) == 3 and np.allclose(timed.logits, 12.75)
        process._process.kill()
        with pytest.raises(BackendError, match=r"its process ended .exit code -9."):
            process.run(np.ones((1, 3, 64, 64), np.float32))
    assert not process._process.is_alive()


def test_an_engines_process_whose_memory_ends_says_so_in_a_line(tmp_path):
    sent: list[object] = []

    class Pipe:
        def send(self, answer: object) -> None:
            sent.append(answer)

        def recv(self) -> object:
            raise MemoryError

    _work(Pipe(), parse_engine(str(write_model(tmp_path / "red.onnx", red_spec()))))
    assert isinstance(sent[-1], OutOfMemoryError) and "red.onnx; set smaller batches" in str(sent[-1])
