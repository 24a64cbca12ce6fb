import pytest
import torch

from flood_seg.errors import ModelError
from flood_seg.networks.checkpoint import load_network, read_checkpoint
from flood_seg.networks.network import build_network
from flood_seg.spec import METADATA_KEY
from flood_seg.training import checkpoint as module
from flood_seg.training.checkpoint import AtomicCheckpointIO
from tests.conftest import make_spec


def test_a_failure_while_saving_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)

    def half(content: object, place) -> None:
        place.write_bytes(b"half")
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(module.torch, "save", half)
    with pytest.raises(RuntimeError):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such checkpoint"), (b"broken", "not a complete"), ({"state_dict": {}}, "carries no ModelSpec"),
     ([1], "carries no ModelSpec")],
)  # fmt: skip
def test_what_is_no_checkpoint_is_named(tmp_path, content, message):
    path = tmp_path / "a.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ModelError, match=message) as error:
        read_checkpoint(path)
    assert "a.ckpt" in str(error.value) and "\n" not in str(error.value)


def test_a_network_comes_back_as_it_was_saved(tmp_path):
    network = build_network("Unet", "mobilenet_v2", 3, 1).eval()
    weights = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({METADATA_KEY: make_spec().to_json(), "state_dict": weights}, tmp_path / "a.ckpt")
    loaded, spec = load_network(tmp_path / "a.ckpt")
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(images), network(images))
    assert spec == make_spec() and not loaded.training


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({METADATA_KEY: make_spec().to_json(), "state_dict": {"network.x": torch.zeros(1)}}, tmp_path / "a.ckpt")
    with pytest.raises(ModelError, match="do not fit Unet with mobilenet_v2"):
        load_network(tmp_path / "a.ckpt")


@pytest.mark.parametrize("size", [(64, 96), (50, 33), (1, 1)])
def test_the_network_takes_any_size(size):
    network = build_network("unet", "mobilenet_v2", 3, 1).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, *size)).shape == (1, 1, *size)


def test_parameter_counts_are_the_documented_ones():
    for encoder, millions in (("resnet34", 24.4), ("mobilenet_v2", 6.6)):
        count = sum(p.numel() for p in build_network("Unet", encoder, 3, 1).parameters())
        assert round(count / 1e6, 1) == millions
