import copy

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from flood_seg.errors import ModelError, UsageError
from flood_seg.export.onnx import export_onnx
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.networks.network import build_network
from flood_seg.spec import METADATA_KEY
from flood_seg.verbs.export import convert_to_onnx
from tests.conftest import make_spec


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("Unet", "mobilenet_v2", 3, 1).eval()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    difference = export_onnx(network, make_spec(), path)
    assert 0 < difference < 1e-4
    return path


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 96, 32), (2, 65, 100), (1, 31, 7)])
def test_batch_height_and_width_are_dynamic_and_need_not_divide_by_32(network, exported, shape):
    batch, height, width = shape
    images = torch.randn(batch, 3, height, width)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    (answer,) = session.run(["output"], {"input": images.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(answer, network(images).numpy(), atol=1e-4)
    assert answer.shape == (batch, 1, height, width) and answer.dtype == np.float32


def test_the_file_says_by_itself_what_it_expects(exported):
    assert OnnxRuntimeBackend(exported).spec == make_spec()


def test_above_the_tolerance_nothing_is_written_and_an_older_file_is_kept(network, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"older")
    with pytest.raises(ModelError, match="not written, its logits differ"):
        export_onnx(network, make_spec(), path, tolerance=1e-12)
    assert path.read_bytes() == b"older" and len(list(tmp_path.iterdir())) == 1


def test_a_network_that_answers_nan_is_not_exported(network, tmp_path):
    broken = copy.deepcopy(network)
    with torch.no_grad():
        next(broken.parameters())[0] = torch.nan
    with pytest.raises(ModelError, match="model.onnx: not written: the model returns NaN"):
        export_onnx(broken, make_spec(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_float16_weights_halve_the_file_and_little_else(exported, network, tmp_path):
    path = tmp_path / "half.onnx"
    assert export_onnx(network, make_spec(), path, weights="float16", tolerance=0.1) < 0.1
    assert path.stat().st_size < 0.55 * exported.stat().st_size
    kinds = {tensor.data_type for tensor in onnx.load(path).graph.initializer if np.prod(tensor.dims) >= 256}
    assert kinds == {onnx.TensorProto.FLOAT16}
    batch = np.random.default_rng(0).standard_normal((1, 3, 64, 64), np.float32)
    np.testing.assert_allclose(OnnxRuntimeBackend(path).run(batch), OnnxRuntimeBackend(exported).run(batch), atol=0.05)


@pytest.fixture(scope="module")
def run_folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs") / "2026-01-01" / "10-00-00"
    folder.mkdir(parents=True)
    weights = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({METADATA_KEY: make_spec().to_json(), "state_dict": weights}, folder / "best.ckpt")
    return folder


def test_by_default_the_newest_runs_best_is_exported_beside_it(run_folder, capsys):
    path = convert_to_onnx([f"output_dir={run_folder.parent.parent}"])
    assert path == run_folder / "model.onnx" and OnnxRuntimeBackend(path).spec == make_spec()
    out = capsys.readouterr().out
    assert "Largest difference of a logit from PyTorch's on noise" in out and "64×64, 32×64, 37×41" in out


def test_height_and_width_go_into_the_spec_and_odd_ones_are_explained(run_folder, tmp_path, capsys):
    path = convert_to_onnx(ckpt=run_folder / "best.ckpt", onnx=tmp_path / "m.onnx", height=100, width=128)
    spec = OnnxRuntimeBackend(path).spec
    assert (spec.height, spec.width) == (100, 128)
    err = capsys.readouterr().err
    assert "--height 100 is no multiple of 32" in err and "--width" not in err


def test_wrong_inputs_are_named(run_folder, tmp_path):
    with pytest.raises(UsageError, match="--height 8: must be at least 32"):
        convert_to_onnx(ckpt=run_folder / "best.ckpt", onnx=tmp_path / "m.onnx", height=8)
    with pytest.raises(ModelError, match="no run with a best.ckpt"):
        convert_to_onnx([f"output_dir={tmp_path}"])
    with pytest.raises(ModelError, match="no such checkpoint"):
        convert_to_onnx(ckpt=tmp_path / "no.ckpt")
