"""TensorRT without a GPU: stand-ins for `trtexec` and `docker` on the PATH write down how they were called, print what
trtexec prints, and also fail, hang and write nothing. What TensorRT itself makes of a model is not tested here."""

import enum
import json
import os
import signal
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import TensorRtExport
from flood_seg.errors import BackendError, ModelError, OutputError, UsageError
from flood_seg.export import tensorrt as module
from flood_seg.export import tensorrt_python, trtexec
from flood_seg.export.onnx import export_onnx
from flood_seg.export.tensorrt import build_plan, default_plan
from flood_seg.export.trtexec import Shapes, _version, arguments
from flood_seg.inference.backends.tensorrt import read_sidecar
from flood_seg.inference.models import bundled_model
from flood_seg.networks.network import build_network
from tests.conftest import make_spec
from tests.export.tensorrt_operators import unsupported_operators
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
    print("[11/21/2026-10:00:01] [E] Error[2]: [builder.cpp::build::417] out of memory while building")
    print("[11/21/2026-10:00:01] [E] Engine could not be created from network")
    print("[11/21/2026-10:00:01] [E] Engine set up failed")
    print("&&&& FAILED TensorRT.trtexec [TensorRT " + banner + "] # trtexec")
    sys.exit(1)
if mode == "unsupported":
    print("[11/21/2026-10:00:01] [E] [TRT] ModelImporter.cpp:963: While parsing node number 7 [Det -> 'd']:")
    print("[11/21/2026-10:00:01] [E] [TRT] ModelImporter.cpp:964: --- Begin node ---")
    print("[11/21/2026-10:00:01] [E] [TRT] ModelImporter.cpp:968: ERROR: onnxOpCheckers.cpp:819 In function "
          "checkFallbackPluginImporter:")
    print("[6] creator && 'Plugin not found, are the plugin name, version, and namespace correct?'")
    print("[11/21/2026-10:00:01] [E] Failed to parse onnx file")
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
    return build_plan(folder / "m.onnx", folder / "m.plan", defaults(TensorRtExport, **options))


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"bin", "calls", "pid", "m.onnx"}


def test_trtexec_is_called_with_shapes_and_float16(stand_in, capsys):
    folder = stand_in("trtexec")
    build_plan(folder / "m.onnx", folder / "out" / "m.plan", defaults(TensorRtExport), height=96, width=128)
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
    assert (sidecar.precision, sidecar.largest) == ("float16", (16, 3, 96, 128))
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
    with pytest.raises(BackendError, match=r"export.trt_builder=python: not available, but trtexec, docker; required"):
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
        ("fails", r"failed with exit code 1 \(Error\[2\]: .* out of memory while building\)"),
        ("writes nothing", "succeeded but wrote no plan"),
        ("empty", "succeeded but wrote no plan"),
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
        "from flood_seg.cli.main import main; from flood_seg.export import tensorrt; "
        "tensorrt._python_works = lambda: False;"
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
    with pytest.raises(BackendError, match="TensorRT 11 supports float16 and float32"):
        build(folder, precision="bfloat16")


def test_the_float16_graph_of_the_model_bundled_is_whole_and_answers_the_same(tmp_path):
    """TensorRT 11 is given this graph; each of its types is checked, and each node's inputs come before it."""
    model = onnx.load(bundled_model())
    path = module._typed(defaults(TensorRtExport), model, bundled_model(), tmp_path, 11)
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    convs = [[node.name for node in m.graph.node if node.op_type == "Conv"] for m in (graph, model)]
    assert convs[0] == convs[1]
    assert not unsupported_operators(graph)
    batch = np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
    half, whole = (
        onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"input": batch})[0]
        for file in (path, bundled_model())
    )
    np.testing.assert_allclose(half, whole, atol=0.1)


def test_nodes_that_depend_on_each_other_are_a_line(stand_in):
    folder = stand_in("trtexec")
    model = onnx.load(folder / "m.onnx")
    model.graph.node.extend(helper.make_node("Relu", [one], [other]) for one, other in ("ab", "ba"))
    onnx.save(model, folder / "m.onnx")
    with pytest.raises(ModelError, match="m.onnx: ") as caught:
        build(folder)
    assert "\n" not in str(caught.value) and not (folder / "calls").exists()


def quantized(path: Path, zero_point: int = 0, kind: int = onnx.TensorProto.INT8) -> None:
    """Gives the model at `path` a QuantizeLinear and a DequantizeLinear behind its input."""
    model = onnx.load(path)
    model.graph.initializer.append(helper.make_tensor("scale", onnx.TensorProto.FLOAT, [], [0.01]))
    model.graph.initializer.append(helper.make_tensor("zero", kind, [], [zero_point]))
    conv = model.graph.node.pop()
    conv.input[0] = "dequantized"
    model.graph.node.append(helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["quantized"]))
    model.graph.node.append(helper.make_node("DequantizeLinear", ["quantized", "scale", "zero"], ["dequantized"]))
    model.graph.node.append(conv)
    onnx.save(model, path)


def test_a_model_in_int8_gets_the_flag_of_tensorrt_10_and_none_of_11(stand_in):
    folder = stand_in("trtexec")
    quantized(folder / "m.onnx")
    build(folder)
    assert [a for a in calls(folder)[-1] if a in ("--fp16", "--int8")] == ["--fp16", "--int8"]
    stand_in("trtexec", banner="v110400")
    quantized(folder / "m.onnx")
    build(folder)
    assert not {"--fp16", "--int8"} & set(calls(folder)[-1])
    assert f"--onnx={folder / 'm.onnx'}" in calls(folder)[-1]  # its own nodes say what is INT8


@pytest.mark.parametrize(("zero_point", "kind"), [(3, onnx.TensorProto.INT8), (0, onnx.TensorProto.UINT8)])
def test_int8_in_a_form_for_cpus_is_told_before_anything_is_started(zero_point, kind, stand_in):
    folder = stand_in("trtexec")
    quantized(folder / "m.onnx", zero_point, kind)
    with pytest.raises(ModelError, match="is quantized for CPUs"):
        build(folder)
    assert not (folder / "calls").exists()


def test_the_program_of_nvidias_package_is_found_beside_the_path(stand_in, monkeypatch):
    folder = stand_in("trtexec")
    packaged = str(folder / "bin" / "trtexec")
    monkeypatch.setattr(trtexec, "PACKAGED", packaged)
    assert trtexec.program() == "trtexec"
    monkeypatch.setattr("shutil.which", lambda name: name if name == packaged else None)
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    build(folder, trt_builder="trtexec")
    assert (folder / "m.plan").read_bytes() == b"plan"


def test_a_container_that_does_not_say_its_version_is_ended(stand_in, monkeypatch):
    """Its name must be free for the one that builds."""
    folder = stand_in("docker")
    script = folder / "bin" / "docker"
    script.write_text(
        script.read_text().replace('if "--help" in arguments:', 'if "--help" in arguments:\n    time.sleep(30)')
    )
    monkeypatch.setattr(trtexec, "VERSION_TIMEOUT_SECONDS", 0.5)
    build(folder)
    asked = next(call for call in calls(folder) if call[-1] == "--help")
    assert ["docker", "kill", asked[asked.index("--name") + 1]] in calls(folder)


@pytest.fixture
def package(monkeypatch):
    """A stand-in for the `tensorrt` package, of version 10; returns what was asked of it."""
    seen = types.SimpleNamespace(
        flags=[], profile=None, errors=[], operators=[], steps=1, each=lambda: None, plan=b"plan"
    )

    class Monitor:
        pass

    class Builder:
        def __init__(self, logger):
            pass

        def create_network(self, flags):
            assert flags == 0
            return "network"

        def create_builder_config(self):
            return types.SimpleNamespace(
                set_memory_pool_limit=lambda kind, size: setattr(seen, "memory", (kind, size)),
                set_flag=seen.flags.append, add_optimization_profile=lambda profile: None,
            )  # fmt: skip

        def create_optimization_profile(self):
            return types.SimpleNamespace(set_shape=lambda *shape: setattr(seen, "profile", shape))

        def build_serialized_network(self, network, settings):
            for step in range(seen.steps):
                try:
                    seen.each()
                except KeyboardInterrupt:
                    pytest.fail("an exception in what TensorRT calls ends the process")
                if not settings.progress_monitor.step_complete("tactics", step):
                    return None
            return seen.plan

    class Parser:
        def __init__(self, network, logger):
            assert network == "network"
            self.num_errors = len(seen.errors)

        def parse(self, content):
            seen.graph = onnx.load_from_string(content)
            return not seen.errors

        def get_error(self, number):
            operator = seen.operators[number] if seen.operators else ""
            return types.SimpleNamespace(desc=lambda: seen.errors[number], node_operator=lambda: operator)

    stand_in = types.ModuleType("tensorrt")
    stand_in.__version__, stand_in.Builder, stand_in.OnnxParser = "10.9.0.34", Builder, Parser
    stand_in.IProgressMonitor, stand_in.MemoryPoolType = Monitor, types.SimpleNamespace(WORKSPACE="workspace")
    stand_in.Logger = type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None})
    stand_in.BuilderFlag = enum.IntEnum("BuilderFlag", [("FP16", 0), ("INT8", 1), ("BF16", 17)])
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in)
    monkeypatch.setattr(tensorrt_python, "gpu", lambda device: ("NVIDIA H200", "9.0"))
    seen.module = stand_in
    return seen


def by_python(folder: Path, **options: object) -> Path:
    write_model(folder / "m.onnx", red_spec())
    return build(folder, trt_builder="python", **options)


@pytest.mark.parametrize(("precision", "flags"), [("float16", ["FP16"]), ("bfloat16", ["BF16"]), ("float32", [])])
def test_the_package_is_given_precision_shapes_and_memory(precision, flags, package, tmp_path):
    plan = by_python(tmp_path, precision=precision)
    assert [flag.name for flag in package.flags] == flags
    assert package.profile == ("input", (1, 3, 64, 64), (4, 3, 64, 64), (16, 3, 64, 64))
    assert package.memory == ("workspace", 4096 << 20)
    assert plan.read_bytes() == b"plan" and left(tmp_path) == {"m.plan", "m.plan.json"}
    sidecar = read_sidecar(plan)
    assert (sidecar.tensorrt_version, sidecar.gpu, sidecar.compute_capability) == ("10.9.0.34", "NVIDIA H200", "9.0")


def test_the_package_of_tensorrt_11_has_no_flags_and_gets_a_float16_graph(package, tmp_path):
    package.module.__version__, package.module.BuilderFlag = "11.4.0.106", types.SimpleNamespace()
    by_python(tmp_path)
    assert package.flags == []
    assert {tensor.data_type for tensor in package.graph.graph.initializer} == {onnx.TensorProto.FLOAT16}


def test_a_model_in_int8_gets_the_flag_of_the_package_too(package, tmp_path):
    write_model(tmp_path / "m.onnx", red_spec())
    quantized(tmp_path / "m.onnx")
    build(tmp_path, trt_builder="python")
    assert [flag.name for flag in package.flags] == ["FP16", "INT8"]


def test_what_the_package_cannot_read_or_build_is_a_line_and_leaves_nothing(package, tmp_path):
    package.plan = None
    with pytest.raises(BackendError, match="built no plan"):
        by_python(tmp_path)
    package.errors = ["In node 3:\nunsupported padding", "In node 9: worse"]
    with pytest.raises(
        ModelError, match="m.onnx: TensorRT cannot parse it .In node 3: unsupported padding; In node 9: worse."
    ) as caught:
        by_python(tmp_path)
    assert "\n" not in str(caught.value) and left(tmp_path) == set()
    package.operators = ["Pad", "Det"]
    with pytest.raises(ModelError, match="m.onnx: TensorRT does not support Det, Pad .In node 3: unsupported padding;"):
        by_python(tmp_path)


def test_the_package_is_stopped_after_the_seconds_and_by_ctrl_c(package, tmp_path):
    package.steps = 100
    package.each = lambda: time.sleep(0.05)
    with pytest.raises(BackendError, match="no plan within 1 s"):
        by_python(tmp_path, timeout=1)
    before, calls = signal.signal(signal.SIGINT, signal.default_int_handler), []
    try:
        package.each = lambda: (calls.append(1), os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            by_python(tmp_path)
        assert len(calls) == 1 and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert left(tmp_path) == set()


def test_a_package_without_its_libraries_or_without_a_gpu_does_not_count(package, monkeypatch, tmp_path):
    assert tensorrt_python.is_available()
    monkeypatch.setattr(tensorrt_python, "gpu", lambda device: None)
    assert not tensorrt_python.is_available()
    monkeypatch.setattr(tensorrt_python, "gpu", lambda device: ("NVIDIA H200", "9.0"))
    monkeypatch.delitem(sys.modules, "tensorrt")
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    assert not tensorrt_python.is_available()


def test_arguments_by_hand():
    shapes = Shapes("x", (1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))
    options = defaults(TensorRtExport, precision="bfloat16", workspace_mb=100)
    assert arguments("a", "b", shapes, options, 10) == [
        "--onnx=a", "--saveEngine=b", "--minShapes=x:1x3x8x8", "--optShapes=x:2x3x8x8", "--maxShapes=x:4x3x8x8",
        "--bf16", "--memPoolSize=workspace:100", "--skipInference",
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "version"), [("v100900", "10.9.0"), ("v8601", "8.6.1"), ("v110402", "11.4.2")])
def test_the_banners_version(text, version):
    assert _version(f"&&&& RUNNING TensorRT.trtexec [TensorRT {text}] [b34] # trtexec --help") == version
    assert _version("no banner") == ""


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "resnet34"])
def test_tensorrt_supports_every_operator_of_the_models_that_are_trained(encoder, tmp_path):
    export_onnx(build_network("Unet", encoder, 3, 1).eval(), make_spec(), tmp_path / "m.onnx")
    assert not unsupported_operators(onnx.load(tmp_path / "m.onnx"))


def test_tensorrt_supports_every_operator_of_the_bundled_model():
    assert not unsupported_operators(onnx.load(bundled_model()))


@pytest.mark.parametrize("program", ["trtexec", "docker"])
def test_an_operator_that_trtexec_does_not_support_is_named(program, stand_in):
    folder = stand_in(program, mode="unsupported")
    with pytest.raises(ModelError, match=r"m.onnx: TensorRT does not support Det .*node number 7.* another") as caught:
        build(folder)
    assert "\n" not in str(caught.value) and left(folder) == set()


def test_wrong_choices_are_a_line(stand_in):
    folder = stand_in("trtexec")
    with pytest.raises(OutputError, match=r"ends in .plan"):
        build_plan(folder / "m.onnx", folder / "m.onnx", defaults(TensorRtExport))
    (folder / "folder.plan").mkdir()
    with pytest.raises(OutputError, match=r"folder.plan: give --trt"):
        build_plan(folder / "m.onnx", folder / "folder.plan", defaults(TensorRtExport))
    with pytest.raises(UsageError, match="--height 8"):
        build_plan(folder / "m.onnx", default_plan(folder / "m.onnx"), defaults(TensorRtExport), height=8)
    with pytest.raises(ModelError, match="no such file"):
        build_plan(folder / "no.onnx", folder / "no.plan", defaults(TensorRtExport))
