import numpy as np
import pytest
import torch

from flood_seg.errors import BackendError, ConfigError, ModelError
from flood_seg.networks.network import build_network
from flood_seg.networks.torch_backend import TorchBackend
from flood_seg.spec import METADATA_KEY
from tests.conftest import make_spec


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    network = build_network("Unet", "mobilenet_v2", 3, 1).eval()
    path = tmp_path_factory.mktemp("torch") / "best.ckpt"
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({METADATA_KEY: make_spec().to_json(), "state_dict": weights}, path)
    return path, network


def test_it_answers_as_the_network_does(checkpoint):
    path, network = checkpoint
    backend = TorchBackend(path, device="cpu")
    assert backend.spec == make_spec() and backend.description == "torch cpu float32"
    batch = np.random.default_rng(0).standard_normal((2, 3, 50, 70), np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch)).numpy()
    logits = backend.run(batch)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    half = TorchBackend(path, device="cpu", precision="bfloat16").run(batch)
    assert half.dtype == np.float32 and 0 < np.abs(half - expected).max() < 0.1


def test_what_is_not_there_is_refused(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendError, match=r"backend.device=cuda: not available; PyTorch finds .*cpu"):
        TorchBackend(checkpoint[0], device="cuda")
    with pytest.raises(ConfigError, match="backend.precision=half"):
        TorchBackend(checkpoint[0], precision="half")
    with pytest.raises(ModelError, match="no such checkpoint"):
        TorchBackend(tmp_path / "no.ckpt")
