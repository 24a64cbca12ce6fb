"""Every architecture of segmentation-models-pytorch with a small encoder: built, trained a step, exported, compared."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.errors import ConfigError
from flood_seg.export.onnx import export_onnx
from flood_seg.export.pooling import AdaptivePool
from flood_seg.networks.network import ARCHITECTURES, FIXED_SIZE, build_network
from flood_seg.training.losses import build_loss
from flood_seg.verbs.train_parts import build_network_for, check_components
from tests.conftest import make_spec
from tests.export.tensorrt_operators import unsupported_operators

TRANSFORMER = "tu-vit_tiny_patch16_224"


@pytest.mark.parametrize("name", ARCHITECTURES.values())
def test_it_trains_a_step_and_its_file_answers_the_same(name, tmp_path):
    torch.manual_seed(0)
    side = FIXED_SIZE.get(name, 128)
    encoder = TRANSFORMER if name in FIXED_SIZE else "mobilenet_v2"
    choices = [f"model.architecture={name}", f"model.encoder={encoder}", "model.encoder_weights=null", "loss=bce_dice"]
    config = compose("train", [*choices, f"datamodule.height={side}"], TrainConfig)
    check_components(config)
    network, loss = (
        build_network_for(config, resumes=False).train(),
        build_loss(config.loss, config.datamodule.classes("binary"), "binary"),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    images, masks = torch.randn(2, 3, side, side), (torch.rand(2, side, side) > 0.5).to(torch.uint8)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    loss(network(images), masks).backward()
    optimizer.step()
    changed = [key for key, value in network.state_dict().items() if not torch.equal(value, before[key])]
    assert len(changed) > len(before) // 2
    path = tmp_path / "m.onnx"
    assert export_onnx(network.eval(), make_spec(side, side), path) < 1e-3
    assert not unsupported_operators(onnx.load(path)), "TensorRT"
    sizes = [(side, side)] if name in FIXED_SIZE else [(160, 128), (150, 197)]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in sizes:
        images = torch.randn(2, 3, *size)
        with torch.inference_mode():
            expected = network(images).numpy()
        np.testing.assert_allclose(session.run(None, {"input": images.numpy()})[0], expected, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (6, 6), (7, 5)])
@pytest.mark.parametrize("shape", [(6, 6), (13, 8), (5, 31)])
def test_adaptive_pooling_by_matrices_is_torchs(size, shape):
    features = torch.randn(2, 4, *shape)
    torch.testing.assert_close(AdaptivePool(*size)(features), nn.AdaptiveAvgPool2d(size)(features))


def test_an_architecture_of_one_size_says_so_before_training():
    config = compose("train", ["model.architecture=DPT", f"model.encoder={TRANSFORMER}"], TrainConfig)
    with pytest.raises(ConfigError, match=r"DPT: requires an input of 224×224, .* set datamodule.height=224"):
        check_components(config)


def test_an_encoder_that_does_not_go_with_an_architecture_is_a_line():
    with pytest.raises(ConfigError, match="model.encoder=tu-no_such_encoder: Unet cannot be built with this encoder"):
        build_network("Unet", "tu-no_such_encoder", 3, 1)
