import pytest
import torch

from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.errors import ConfigError
from flood_seg.networks.checkpoint import read_checkpoint
from flood_seg.networks.network import build_network, check_batch
from flood_seg.training.history import read_history
from flood_seg.training.optimization import parameter_groups
from flood_seg.training.run import Run
from flood_seg.verbs.train_parts import check_components
from flood_seg.verbs.train_run import run_training as train
from tests.training.conftest import run_training

OPTIONS = ["logger=none", "callbacks.early_stopping=null", "augmentation=none", "model=tiny_unet"]


def weights(path, part: str) -> dict[str, torch.Tensor]:
    state = read_checkpoint(path)[0]["state_dict"]
    return {
        key: value
        for key, value in state.items()
        if (".encoder." in key) == (part == "encoder") and "num_batches" not in key
    }


def test_the_encoders_parameters_are_a_group_with_its_own_learning_rate():
    network = build_network("Unet", "mobilenet_v2", 3, 1)
    rest, encoder = parameter_groups(network, 1e-2, 0.1)
    assert {id(p) for p in encoder["params"]} == {id(p) for p in network.network.encoder.parameters()}
    assert len(rest["params"]) + len(encoder["params"]) == len(list(network.parameters()))
    assert encoder["lr"] == pytest.approx(1e-3) and "lr" not in rest
    assert len(parameter_groups(network, 1e-2, 1.0)) == 1


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "lion"])
@pytest.mark.parametrize("scheduler", ["one_cycle", "cosine", "plateau"])
def test_every_optimizer_and_schedule_takes_two_groups(optimizer, scheduler):
    overrides = [f"optimizer={optimizer}", f"scheduler={scheduler}", "model.encoder_lr_factor=0.1"]
    check_components(compose("train", overrides, TrainConfig))


def test_any_optimizer_of_torch_by_name():
    check_components(compose("train", ["optimizer._target_=torch.optim.RAdam"], TrainConfig))
    with pytest.raises(ConfigError, match="torch.optim has no RAdm.*did you mean 'RAdam'"):
        check_components(compose("train", ["optimizer._target_=torch.optim.RAdm"], TrainConfig))


def test_a_frozen_encoder_stays_to_the_bit_and_is_freed_after(shared_ponds, tmp_path):
    options = [*OPTIONS, "model.freeze_encoder_epochs=2"]
    frozen = run_training(tmp_path / "a", shared_ponds, *options, "trainer.max_epochs=2")
    first, last = (weights(frozen.run_dir / name, "encoder") for name in ("best.ckpt", "last.ckpt"))
    assert all(torch.equal(first[key], last[key]) for key in first), "BatchNorm's averages too"
    freed = run_training(tmp_path / "b", shared_ponds, *options, "trainer.max_epochs=3")
    after = weights(freed.run_dir / "last.ckpt", "encoder")
    assert sum(not torch.equal(after[key], last[key]) for key in after) > 0.9 * len(after)
    decoder = weights(frozen.run_dir / "last.ckpt", "rest")
    assert any(not torch.equal(decoder[k], v) for k, v in weights(freed.run_dir / "last.ckpt", "rest").items())


def test_one_cycle_rises_and_falls_within_the_run(shared_ponds, tmp_path):
    """10 samples in batches of 4: 3 steps an epoch, 12 in all."""
    options = [
        *OPTIONS,
        "scheduler=one_cycle",
        "trainer.max_epochs=4",
        "optimizer.lr=1e-2",
        "model.encoder_lr_factor=0.1",
    ]
    summary = run_training(tmp_path, shared_ponds, *options)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1e-2)
    expected = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, 12)
    rates = []
    for step in range(12):
        if step % 3 == 0:
            rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        expected.step() if step < 11 else None
    assert [row["lr"] for row in read_history(summary.run_dir / "history.csv")] == pytest.approx(rates)


def test_the_average_of_the_weights_is_kept_and_exported(shared_ponds, tmp_path):
    """With a decay of 0.5 the average after n steps is known from the weights after each."""
    seen = []

    class Spy(torch.optim.SGD):
        def step(self, *args, **kwargs):
            result = super().step(*args, **kwargs)
            seen.append(self.param_groups[0]["params"][0].detach().clone())
            return result

    torch.optim.Spied = Spy
    try:
        options = [
            *OPTIONS,
            "callbacks=ema",
            "callbacks.early_stopping=null",
            "callbacks.ema.decay=0.5",
            "trainer.max_epochs=1",
        ]
        summary = run_training(
            tmp_path, shared_ponds, *options, "optimizer=sgd", "optimizer._target_=torch.optim.Spied"
        )
    finally:
        del torch.optim.Spied
    average = seen[0]  # torch begins with the first weights that it is given
    for weight in seen[1:]:
        average = 0.5 * average + 0.5 * weight
    kept = next(iter(weights(summary.run_dir / "last.ckpt", "encoder").values()))
    assert torch.allclose(kept, average, atol=1e-6) and not torch.allclose(kept, seen[-1], atol=1e-6)


def test_gradients_of_several_batches_are_one_step(shared_ponds, tmp_path):
    steps = []

    class Counted(torch.optim.SGD):
        def step(self, *args, **kwargs):
            steps.append(1)
            return super().step(*args, **kwargs)

    torch.optim.Counted = Counted
    try:
        options = [*OPTIONS, "optimizer=sgd", "optimizer._target_=torch.optim.Counted", "trainer.max_epochs=1"]
        run_training(tmp_path, shared_ponds, *options, "datamodule.batch_size=2", "trainer.accumulate_grad_batches=3")
    finally:
        del torch.optim.Counted
    assert len(steps) == 2, "five batches: three, then two"


def test_clipping_bounds_the_gradient_and_bfloat16_trains_on_the_cpu(shared_ponds, tmp_path):
    norms = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            result = super().step(closure)
            gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
            norms.append(float(torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))))
            return result

    torch.optim.Watched = Watched
    try:
        options = [*OPTIONS, "optimizer=sgd", "optimizer._target_=torch.optim.Watched", "trainer.max_epochs=1"]
        run_training(tmp_path, shared_ponds, *options, "trainer.gradient_clip_val=0.01", "trainer.precision=bf16-mixed")
    finally:
        del torch.optim.Watched
    assert norms and max(norms) <= 0.01 * 1.01


def test_a_batch_of_one_with_batchnorm_is_refused_before_anything_is_read(tmp_path):
    network = build_network("Unet", "mobilenet_v2", 3, 1)
    with pytest.raises(ConfigError, match="batch_size=1: the network has BatchNorm"):
        check_batch(network, 1)
    check_batch(torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1)), 1)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_limit_that_leaves_no_batch_is_one_line(part, shared_ponds, tmp_path):
    with pytest.raises(ConfigError, match=f"trainer.limit_{part}_batches=0.01: leaves no batch of"):
        run_training(tmp_path, shared_ponds, *OPTIONS, f"trainer.limit_{part}_batches=0.01")


def test_a_resumed_run_ends_with_the_weights_of_an_undisturbed_one(shared_ponds, tmp_path):
    """With all that has a state at once: an average, so short that a single step shows in it, an encoder that thaws
    after the break, and its own learning rate.
    """
    average = ["callbacks=ema", "callbacks.ema.decay=0.5"]
    encoder = ["model.freeze_encoder_epochs=3", "model.encoder_lr_factor=0.1"]
    options = [*average, *encoder, *OPTIONS, "scheduler=none"]
    whole = run_training(tmp_path / "whole", shared_ponds, *options, "trainer.max_epochs=4")
    first = run_training(tmp_path / "broken", shared_ponds, *options, "trainer.max_epochs=2")
    job = [f"resume={first.run_dir}", "trainer.max_epochs=4"]
    again = train(compose("train", job, TrainConfig), job, resumed=Run(first.run_dir))
    assert again.run_dir.resolve() == first.run_dir.resolve() and again.epochs == 4
    for part in ("encoder", "rest"):
        expected, found = (weights(summary.run_dir / "last.ckpt", part) for summary in (whole, again))
        for key in expected:
            assert torch.allclose(expected[key], found[key], atol=1e-6), key
    other = [*job, "model=mobilenet_unet"]
    with pytest.raises(ConfigError, match="its weights do not match Unet with mobilenet_v2 on 3 bands"):
        train(compose("train", other, TrainConfig), other, resumed=Run(first.run_dir))
