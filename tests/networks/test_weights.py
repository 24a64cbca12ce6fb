import socket
import threading
import time

import huggingface_hub
import pytest
import torch
from torch import nn

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import ModelConfig
from flood_seg.errors import WeightsError
from flood_seg.networks.network import build_network
from flood_seg.networks.weights import adapt_bands, load_encoder


def config(**options: object) -> ModelConfig:
    return defaults(ModelConfig, **({"encoder": "mobilenet_v2", "encoder_weights": None} | options))


@pytest.fixture(scope="module")
def network():
    return build_network("Unet", "mobilenet_v2", 3, 1)


def test_a_local_state_dict_is_loaded_to_the_bit(network, tmp_path):
    donor = build_network("Unet", "mobilenet_v2", 3, 1).network.encoder.state_dict()
    torch.save(donor, tmp_path / "e.pt")
    load_encoder(network, config(encoder_weights="imagenet", encoder_weights_path=str(tmp_path / "e.pt")))
    loaded = network.network.encoder.state_dict()
    assert donor.keys() == loaded.keys() and all(torch.equal(donor[k], loaded[k]) for k in donor)


def test_null_leaves_the_encoder_as_it_is(network):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    load_encoder(network, config())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_files_that_do_not_fit_are_named(network, tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "broken.pt").write_bytes(b"broken")
    wrong = {
        "other": "does not match",
        "list": "contains a list",
        "broken": "not a file of tensors",
        "missing": "no such file",
    }
    for name, message in wrong.items():
        with pytest.raises(WeightsError, match=message) as error:
            load_encoder(network, config(encoder_weights_path=str(tmp_path / f"{name}.pt")))
        assert f"{name}.pt" in str(error.value) and "\n" not in str(error.value)


def test_weights_that_an_encoder_has_not_are_listed(network):
    with pytest.raises(WeightsError, match="allowed are null, imagenet"):
        load_encoder(network, config(encoder_weights="imagenett"))


def closed_port() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def silent_server():
    """Accepts connections and never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                held.append(server.accept()[0])
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()
    for connection in held:
        connection.close()


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_without_a_network_it_fails_within_seconds_and_says_what_to_do(
    network, kind, silent_server, monkeypatch, tmp_path
):
    address = silent_server if kind == "silent" else closed_port()
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/{revision}/{filename}"
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    started = time.monotonic()
    with pytest.raises(WeightsError) as error:
        load_encoder(network, config(encoder_weights="imagenet"))
    assert time.monotonic() - started < 5
    for words in ("model.encoder_weights=null", "model.encoder_weights_path=FILE"):
        assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_other_bands_start_from_the_filters_of_red_green_and_blue(tmp_path):
    donor = build_network("Unet", "mobilenet_v2", 3, 1).network.encoder.state_dict()
    torch.save(donor, tmp_path / "e.pt")
    bands = ["nir", "blue", "green", "red"]
    network = build_network("Unet", "mobilenet_v2", 4, 1)
    load_encoder(network, config(encoder_weights_path=str(tmp_path / "e.pt")), bands)
    loaded = network.network.encoder.state_dict()
    changed = [key for key in donor if not torch.equal(donor[key], loaded[key])]
    assert len(changed) == 1, "the first layer alone"
    red, green, blue = donor[changed[0]].unbind(1)
    expected = torch.stack([(red + green + blue) / 3, blue, green, red], 1) * 3 / 4
    assert torch.allclose(loaded[changed[0]], expected)


def test_an_image_whose_bands_are_all_alike_is_answered_as_before():
    kernel, grey = torch.randn(5, 3, 3, 3), torch.randn(1, 1, 8, 8)
    before = nn.functional.conv2d(grey.expand(1, 3, 8, 8), kernel)
    for bands in (["red", "green", "blue", "nir", "swir"], ["grey"], ["blue", "red", "green"]):
        adapted = adapt_bands(kernel, bands)
        after = nn.functional.conv2d(grey.expand(1, len(bands), 8, 8), adapted)
        assert torch.allclose(after, before, atol=1e-5)


def test_weights_of_timms_encoders_are_asked_of_the_hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", closed_port())
    network = build_network("Unet", "tu-mobilenetv3_small_100", 3, 1)
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        load_encoder(network, config(encoder="tu-mobilenetv3_small_100", encoder_weights="imagenet"))
