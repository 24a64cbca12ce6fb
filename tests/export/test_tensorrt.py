"""TensorRT without a GPU: stand-ins for `trtexec` and `docker` on the PATH write down how they were called, print what
trtexec prints, and also fail, hang and write nothing. What TensorRT itself makes of a model is not tested here."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from flood_seg.errors import BackendError, ModelError, OutputError, UsageError
from flood_seg.export import tensorrt as module
from flood_seg.export.onnx import export_onnx
from flood_seg.export.tensorrt import convert_to_trt
from flood_seg.export.tensorrt_operators import SUPPORTED, check_operators
from flood_seg.export.trtexec import Shapes, _version, arguments
from flood_seg.inference.backends.tensorrt import read_sidecar
from flood_seg.inference.models import boxed_model
from flood_seg.schema import TensorRtConfig, TensorRtExport
from flood_seg.training.network import build_network
from tests.conftest import make_spec
from tests.inference.conftest import red_spec, write_model

STAND_IN = """#!{python}
import json, os, subprocess, sys, time
here, mode, banner = {here!r}, {mode!r}, {banner!r}
arguments = sys.argv[1:]
with open(here + "/calls", "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *arguments]) + "\\n")
if arguments[0] in ("info", "image", "kill"):
    sys.exit(0)
print("&&&& RUNNING TensorRT.trtexec [TensorRT " + banner + "] # trtexec")
if "--help" in arguments:
    sys.exit(0)
print("[11/21/2026-10:00:00] [I] Selected Device: NVIDIA H200")
print("[11/21/2026-10:00:00] [I] Compute Capability: 9.0")
if mode == "fails":
    print("[11/21/2026-10:00:01] [E] Error[2]: out of memory while building")
    sys.exit(1)
if mode == "hangs":
    open(here + "/pid", "w").write(str(os.getpid()))
    subprocess.run(["sleep", "60"])
plan = next(a for a in arguments if a.startswith("--saveEngine=")).partition("=")[2]
if plan.startswith("/plan/"):
    mount = next(a for a in arguments if a.endswith(":/plan"))
    plan = mount.removesuffix("/plan").rstrip(":") + "/" + plan.removeprefix("/plan/")
if mode != "writes nothing":
    open(plan, "wb").write(b"" if mode == "empty" else b"plan")
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_python_works", lambda: False)

    def install(*programs: str, mode: str = "works", banner: str = "v100900") -> Path:
        (tmp_path / "bin").mkdir(exist_ok=True)
        for program in programs:
            script = tmp_path / "bin" / program
            script.write_text(STAND_IN.format(python=sys.executable, here=str(tmp_path), mode=mode, banner=banner))
            script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
        monkeypatch.setattr("shutil.which", lambda name: str(tmp_path / "bin" / name) if name in programs else None)
        write_model(tmp_path / "m.onnx", red_spec())
        return tmp_path

    return install


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def build(folder: Path, **options: object) -> Path:
    return convert_to_trt(TensorRtConfig(TensorRtExport(**options)), folder / "m.onnx", folder / "m.plan")


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"bin", "calls", "pid", "m.onnx"}


def test_trtexec_is_called_with_shapes_and_float16(stand_in, capsys):
    folder = stand_in("trtexec")
    convert_to_trt(TensorRtConfig(), folder / "m.onnx", folder / "out" / "m.plan", height=96, width=128)
    asked, built = calls(folder)
    assert asked == ["trtexec", "--help"]
    temporary = next(a for a in built if a.startswith("--saveEngine=")).partition("=")[2]
    assert built == [
        "trtexec", f"--onnx={folder / 'm.onnx'}", f"--saveEngine={temporary}",
        "--minShapes=input:1x3x96x128", "--optShapes=input:4x3x96x128", "--maxShapes=input:16x3x96x128",
        "--fp16", "--memPoolSize=workspace:4096", "--skipInference",
    ]  # fmt: skip
    assert Path(temporary).parent == folder / "out" and Path(temporary).name != "m.plan"  # renamed when it is whole
    sidecar = read_sidecar(folder / "out" / "m.plan")
    assert sidecar.spec == replace(red_spec(), height=96, width=128)
    assert (sidecar.tensorrt_version, sidecar.gpu, sidecar.compute_capability) == ("10.9.0", "NVIDIA H200", "9.0")
    assert (sidecar.precision, sidecar.max_batch) == ("float16", 16)
    assert {path.name for path in (folder / "out").iterdir()} == {"m.plan", "m.plan.json"}
    assert "by trtexec" in capsys.readouterr().out


def test_the_container_sees_the_model_read_only_and_writes_as_the_user(stand_in):
    folder = stand_in("docker")
    build(folder, docker_version="25.01", precision="float32")
    run = calls(folder)[-1]
    assert run[:4] == ["docker", "run", "--rm", "--name"]
    assert run[5:] == [
        "--gpus", "all", "--network", "none", "--user", f"{os.getuid()}:{os.getgid()}",
        "--volume", f"{folder}:/model:ro", "--volume", f"{folder}:/plan", "nvcr.io/nvidia/tensorrt:25.01-py3",
        "trtexec", "--onnx=/model/m.onnx", run[-6],
        "--minShapes=input:1x3x64x64", "--optShapes=input:4x3x64x64", "--maxShapes=input:16x3x64x64",
        "--memPoolSize=workspace:4096", "--skipInference",
    ]  # fmt: skip
    assert run[-6].startswith("--saveEngine=/plan/.m.")
    assert (folder / "m.plan").read_bytes() == b"plan" and read_sidecar(folder / "m.plan").precision == "float32"


def test_auto_takes_the_first_that_is_there_and_none_names_all_three(stand_in, monkeypatch):
    stand_in("docker")
    assert module._choose_builder("auto") == "docker"
    stand_in("docker", "trtexec")
    assert module._choose_builder("auto") == "trtexec" and module._choose_builder("docker") == "docker"
    with pytest.raises(BackendError, match=r"export.trt_builder=python: not here; there is trtexec, docker"):
        module._choose_builder("python")
    monkeypatch.setattr(module, "_python_works", lambda: True)
    assert module._choose_builder("auto") == "python"
    monkeypatch.setattr(module, "_python_works", lambda: False)
    stand_in()
    with pytest.raises(BackendError) as caught:
        module._choose_builder("auto")
    for way in ("pip install flood-seg[tensorrt]", "apt install libnvinfer-bin", "apt install docker.io"):
        assert way in str(caught.value)


@pytest.mark.parametrize("program", ["trtexec", "docker"])
@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fails", r"failed with exit code 1 \(.*Error\[2\]: out of memory"),
        ("writes nothing", "ended well but wrote no plan"),
        ("empty", "ended well but wrote no plan"),
        ("hangs", "no plan within 1 s"),
    ],
)
def test_a_builder_that_fails_is_a_line_and_leaves_nothing(program, mode, message, stand_in):
    folder = stand_in(program, mode=mode)
    with pytest.raises(BackendError, match=message) as caught:
        build(folder, timeout=1)
    assert "\n" not in str(caught.value) and left(folder) == set()
    if mode == "hangs":
        assert not _runs(int((folder / "pid").read_text()))
        assert (["docker", "kill"] in [call[:2] for call in calls(folder)]) == (program == "docker")


def _runs(pid: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-g", str(pid)], capture_output=True, text=True, check=False).stdout
    return any(not line.strip().startswith("Z") for line in found.splitlines() if line.strip())


def test_ctrl_c_ends_the_builder_too(stand_in):
    folder = stand_in("trtexec", mode="hangs")
    code = (
        "from flood_seg.cli import main; from flood_seg.export import tensorrt; tensorrt._python_works = lambda: False;"
        "main(['convert-to-trt', '--onnx', 'm.onnx', '--trt', 'm.plan', 'export.trt_builder=trtexec'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.DEVNULL)
    for _ in range(200):
        if (folder / "pid").exists() and (folder / "pid").read_text():
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    assert not _runs(int((folder / "pid").read_text())) and left(folder) == set()


def test_from_tensorrt_11_on_the_precision_is_in_the_graph(stand_in, monkeypatch):
    """The flag is gone; the graph that is built from computes in float16 and takes and gives float32."""
    folder, graphs = stand_in("trtexec", banner="v110400"), []
    build_plan = module.trtexec.build

    def keep(command: list[str], *rest: object) -> object:
        graphs.append(onnx.load(next(a for a in command if a.startswith("--onnx=")).partition("=")[2]))
        return build_plan(command, *rest)

    monkeypatch.setattr(module.trtexec, "build", keep)
    build(folder)
    assert "--fp16" not in calls(folder)[-1] and read_sidecar(folder / "m.plan").tensorrt_version == "11.4.0"
    (graph,) = graphs
    assert {tensor.data_type for tensor in graph.graph.initializer} == {onnx.TensorProto.FLOAT16}
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    batch = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    (logits,) = session.run(None, {"input": batch})
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits[:, 0], 25.5 * batch[:, 0] - 12.75, atol=0.05)
    with pytest.raises(BackendError, match="TensorRT 11 takes float16 or float32"):
        build(folder, precision="bfloat16")


def test_arguments_by_hand():
    shapes = Shapes("x", (1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))
    options = TensorRtExport(precision="bfloat16", workspace_mb=100)
    assert arguments("a", "b", shapes, options, 10) == [
        "--onnx=a", "--saveEngine=b", "--minShapes=x:1x3x8x8", "--optShapes=x:2x3x8x8", "--maxShapes=x:4x3x8x8",
        "--bf16", "--memPoolSize=workspace:100", "--skipInference",
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "version"), [("v100900", "10.9.0"), ("v8601", "8.6.1"), ("v110402", "11.4.2")])
def test_the_banners_version(text, version):
    assert _version(f"&&&& RUNNING TensorRT.trtexec [TensorRT {text}] [b34] # trtexec --help") == version
    assert _version("no banner") == ""


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "resnet34"])
def test_tensorrt_takes_every_operator_of_the_models_that_are_trained(encoder, tmp_path):
    export_onnx(build_network("Unet", encoder, 3, 1).eval(), make_spec(), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    assert {node.op_type for node in model.graph.node} <= SUPPORTED
    check_operators(tmp_path / "m.onnx", model)


def test_tensorrt_takes_every_operator_of_the_model_in_the_box():
    check_operators(boxed_model(), onnx.load(boxed_model()))


def test_what_tensorrt_does_not_take_is_told_before_it_is_started(stand_in, tmp_path):
    folder = stand_in("trtexec")
    model = onnx.load(folder / "m.onnx")
    model.graph.node.append(helper.make_node("Det", ["output"], ["d"]))
    onnx.save(model, folder / "m.onnx")
    with pytest.raises(ModelError, match=r"TensorRT does not take Det .onnx-tensorrt's operator matrix"):
        build(folder)
    assert not (folder / "calls").exists()


def test_wrong_choices_are_a_line(stand_in):
    folder = stand_in("trtexec")
    with pytest.raises(OutputError, match=r"ends in .plan"):
        convert_to_trt(TensorRtConfig(), folder / "m.onnx", folder / "m.onnx")
    with pytest.raises(UsageError, match="--height 8"):
        convert_to_trt(TensorRtConfig(), folder / "m.onnx", height=8)
    with pytest.raises(ModelError, match="no such file"):
        convert_to_trt(TensorRtConfig(), folder / "no.onnx")
