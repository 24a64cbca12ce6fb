import contextlib
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import cycle
from pathlib import Path

import pytest
import torch

from flood_seg.config.compose import compose
from flood_seg.config.instantiate import instantiate
from flood_seg.config.overrides import as_override, run_folder, sweep
from flood_seg.config.repository import configs_dir
from flood_seg.config.saved import flatten, load_config, load_overrides, save_config
from flood_seg.config.schema import EvaluateConfig, ExportConfig, InferConfig, QuantizeConfig, TrainConfig
from flood_seg.config.schema.scenes import MapConfig
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.errors import ConfigError

CHOICES = [
    f"{'+' if path.parent.name in ('experiment', 'debug') else ''}{path.parent.name}={path.stem}"
    for path in sorted(configs_dir().glob("*/*.yaml"))
    if path.parent.name not in ("backend", "catalog", "executor")  # of other verbs
]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes(choice):
    compose("train", [choice], TrainConfig)


def test_the_other_verbs_compose():
    assert compose("infer", [], InferConfig).output.foreground_value == 255
    assert compose("evaluate", [], EvaluateConfig).threshold is None
    assert compose("export", [], ExportConfig).tolerance == 1e-3
    assert compose("export", ["weights=float16"], ExportConfig).tolerance == 0.1


def test_the_defaults_are_the_documented_ones():
    config = compose("train", [], TrainConfig)
    assert (config.model.architecture, config.model.encoder, config.model.encoder_weights) == (
        "Unet", "resnet34", "imagenet")  # fmt: skip
    assert (config.seed, config.trainer.max_epochs, config.datamodule.batch_size) == (42, 100, 16)
    assert (config.datamodule.height, config.datamodule.width, config.datamodule.val_split) == (512, 512, 0.2)
    assert config.loss["bce"]["pos_weight"] == 3.0 and config.optimizer["lr"] == 1e-3
    assert (config.scheduler["factor"], config.scheduler["patience"], config.scheduler["mode"]) == (0.5, 7, "max")
    assert config.callbacks["early_stopping"]["patience"] == 15


def test_overrides_as_a_hydra_user_expects():
    config = compose(
        "train",
        ["model=mobilenet_unet", "datamodule.height=256", "+optimizer.eps=1e-9", "~callbacks.early_stopping"],
        TrainConfig,
    )
    assert config.model.encoder == "mobilenet_v2"
    assert config.datamodule.width == 256  # follows height
    assert config.optimizer["eps"] == 1e-9 and "early_stopping" not in config.callbacks


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("trainer.max_epoch=3", ["trainer.max_epoch", "did you mean 'trainer.max_epochs'"]),
        ("batch_size=3", ["batch_size", "did you mean 'datamodule.batch_size'"]),
        ("optimizer.lrr=1", ["did you mean 'optimizer.lr'"]),
        ("model=resnet34unet", ["model=resnet34unet: allowed are deeplabv3, deeplabv3plus"]),
        ("+experiment=dmo", ["allowed are buildings, demo", "did you mean 'demo'"]),
        ("trainer.max_epochs=abc", ["trainer.max_epochs", "'abc'", "Integer"]),
        ("trainer.max_epochs=0", ["trainer.max_epochs=0: must be at least 1"]),
        ("trainer.devices=0", ["trainer.devices=0: give a number of devices, or auto"]),
        ("tuner.find_lr=true trainer.devices=2", ["tuner: finds on one device"]),
        ("trainer.strategy=ddpp", ["trainer.strategy=ddpp", "did you mean 'ddp'"]),
        ("trainer.gradient_clip_val=-1", ["trainer.gradient_clip_val=-1", "at least 0"]),
        ("trainer.limit_train_batches=0", ["trainer.limit_train_batches=0", "above 0"]),
        ("trainer.limit_val_batches=1.5", ["trainer.limit_val_batches=1.5", "whole number of batches"]),
        ("trainer.precision=bf17", ["allowed are auto, 32-true, bf16-mixed"]),
        ("datamodule.val_split=1.5", ["datamodule.val_split=1.5", "at most 0.95"]),
        ("datamodule.mean=[1,2]", ["3 bands, 2 values in mean"]),
        ("datamodule.std=[0,1,1]", ["std of red=0", "above 0"]),
        ("datamodule.cache=ramm", ["allowed are ram, disk, none", "did you mean 'ram'"]),
        ("datamodule.split_file=${nope}", ["datamodule.split_file", "nope"]),
        ("augmentation.crop_scale=[1,0.5]", ["augmentation.crop_scale"]),
        ("augmentation.color_probability=2", ["augmentation.color_probability=2", "at most 1"]),
        ("epochs=3", ["did you mean 'trainer.max_epochs'"]),
        ("model=null", ["model=null: allowed are deeplabv3, deeplabv3plus"]),
        ("model=[a]", ["model=[a]: allowed are deeplabv3, deeplabv3plus"]),
        ("model=mobilenet_unet,resnet34_unet", ["more than one value", "train -m"]),
        ("experiment=dmo", ["experiment=dmo: allowed are", "did you mean 'demo'"]),
        ("+trainer.max_epochs=3", ["trainer.max_epochs", "leave out the +"]),
        ("++trainer.max_epoch=3", ["no such key (did you mean 'trainer.max_epochs'?)"]),
        ("~callbacks.early_stoping", ["did you mean 'callbacks.early_stopping'"]),
        ("=3", ["no key before the value"]),
        ("datamodule.data_dir='a", ["must be quoted"]),
        ("+foo=1", ["foo: no such key"]),
        ("foo", ["foo", "not a Hydra override"]),
        ("a=[1", ["a=[1", "not a Hydra override"]),
        ("seed=sort(1,a)", ["seed=sort(1,a): not a Hydra override", "'str' and 'int'"]),
        ("~tuner.steps", ["tuner.steps: is required"]),
        ("~datamodule.height", ["datamodule.height: is required"]),
        ("~model scheduler=cosine", ["~model: there is no run without model"]),
        ("scheduler=cosine ~trainer", ["~trainer: there is no run without trainer; choose one of ddp, default"]),
        ("~seed=3", ["~seed=3: seed has another value"]),
        ("~scheduler=cosine", ["~scheduler=cosine: scheduler has another value; ~scheduler alone"]),
        ("+model=tiny_unet", ["model: there is such a key already; leave out the +"]),
        ("model@encoder=tiny_unet", ["model@encoder: no such key"]),
        ("+a=1 a.b=3", ["a.b: no such key"]),
        ("+optimizer.eps=1e-9 ~callbacks optimizer.epss=1", ["optimizer.epss: no such key"]),
        ("experiment=pets trainer.epochs=3", ["trainer.epochs: no such key", "did you mean 'trainer.max_epochs'"]),
    ],
)
def test_a_mistake_is_one_line_that_names_key_value_and_what_is_allowed(override, parts):
    with pytest.raises(ConfigError) as error:
        compose("train", override.split(), TrainConfig)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_sweeps_expand_as_hydras_own():
    assert sweep(["model=a,b", "x=[1,2]", "optimizer.lr=1,2"]) == [
        ["model=a", "x=[1,2]", "optimizer.lr=1"],
        ["model=a", "x=[1,2]", "optimizer.lr=2"],
        ["model=b", "x=[1,2]", "optimizer.lr=1"],
        ["model=b", "x=[1,2]", "optimizer.lr=2"],
    ]
    assert sweep([]) == [[]]
    assert sweep(["model=glob(m*_unet)"]) == [["model=mobilenet_unet"]]


@pytest.mark.parametrize("override", ["optimizer.lr=interval(0,1)", "model=glob(x*)", "model=[a"])
def test_a_sweep_that_cannot_be_run_is_one_line(override):
    with pytest.raises(ConfigError) as error:
        sweep([override])
    assert override in str(error.value) and "\n" not in str(error.value)


def test_a_path_beyond_ascii_needs_no_quotes():
    config = compose("train", ["datamodule.data_dir=/daten/Über flut"], TrainConfig)
    assert config.datamodule.data_dir == "/daten/Über flut"


def test_hydra_is_left_as_it_was_found():
    from hydra.core.global_hydra import GlobalHydra

    for override in ("model=mobilenet_unet", "model=nope", "a=[1"):
        with contextlib.suppress(ConfigError):
            compose("train", override.split(), TrainConfig)
        assert not GlobalHydra.instance().is_initialized()


def test_a_saved_configuration_gives_its_overrides_back(tmp_path: Path):
    overrides = ["model=mobilenet_unet", "datamodule.data_dir='a b/ü'"]
    config = compose("train", overrides, TrainConfig)
    save_config(config, overrides, tmp_path)
    assert load_overrides(tmp_path) == overrides
    assert "data_dir: a b/ü" in (tmp_path / "config.yaml").read_text("utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_overrides(tmp_path / "none")


def test_a_key_that_a_saved_configuration_lacks_has_its_default_value(tmp_path: Path):
    config = compose("train", ["trainer.max_epochs=3", "loss=dice"], TrainConfig)
    save_config(config, [], tmp_path)
    text = (tmp_path / "config.yaml").read_text("utf-8")
    (tmp_path / "config.yaml").write_text(text.replace("  keep_freed_memory: true\n", ""))
    assert "keep_freed_memory" in text and load_config(tmp_path, TrainConfig) == config


def test_flatten_gives_dotted_keys():
    flat = flatten(compose("train", [], TrainConfig))
    assert flat["optimizer.lr"] == 1e-3 and flat["datamodule.height"] == 512 and flat["seed"] == 42


def test_a_value_that_the_target_refuses_names_the_target_and_the_value():
    with pytest.raises(ConfigError, match=r"torch.optim.AdamW does not take lr=-1: Invalid learning rate"):
        instantiate({"_target_": "torch.optim.AdamW", "lr": -1}, [torch.nn.Parameter(torch.zeros(1))])


def test_a_leaf_is_built_with_its_arguments():
    assert instantiate({"_target_": "torch.nn.Linear", "out_features": 3}, 2).weight.shape == (3, 2)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": "os.system", "command": "true"}, "_target_=os.system: must start with one of"),
        ({}, "must start with one of"),
        ({"_target_": "torch.optim.AdamX"}, "torch.optim has no AdamX (did you mean 'Adam"),
        ({"_target_": "torch.nn.nowhere.X"}, "there is no module torch.nn.nowhere"),
        (
            {"_target_": "torch.nn.Linear", "in_featurs": 3, "out_features": 1},
            "no argument 'in_featurs' (did you mean 'in_features'",
        ),
    ],
)
def test_what_cannot_be_built_says_why(node, message):
    with pytest.raises(ConfigError) as error:
        instantiate(node)
    assert message in str(error.value)


def test_a_dictionary_of_the_users_keys_is_replaced_as_a_whole():
    compose_train = lambda *overrides: compose("train", overrides, TrainConfig).datamodule  # noqa: E731
    assert compose_train("+experiment=pets", "datamodule.labels={7:cat}").labels == {7: "cat"}
    assert compose_train("datamodule.bands=[red,green,blue,nir]", "datamodule.mean=auto", "datamodule.std=auto",
                         "datamodule.band_sources={nir:4}").band_sources == {"nir": "4"}  # fmt: skip
    assert compose_train("datamodule.colors={water:'#0000ff'}").colors == {"water": "#0000ff"}
    assert compose_train("+experiment=hogweed", "datamodule.band_sources=null").band_sources is None


@pytest.mark.parametrize("sign", ["", "+"])
def test_groups_without_a_default_want_no_plus(sign):
    assert compose("train", [f"{sign}debug=fast"], TrainConfig).trainer.limit_train_batches == 4
    assert compose("train", [f"{sign}experiment=pets"], TrainConfig).task == "multiclass"


@pytest.mark.parametrize(
    "text",
    ["tiles", "/a/b c", "it's", 'say "x"', "back\\slash", "end\\", 'a\\"b', "1", "null", "True", "äö", ".5", "a,b",
     "{x}", "a=b: [c]"],
)  # fmt: skip
def test_text_of_any_kind_survives_as_an_override(text):
    overrides = [as_override("datamodule.data_dir", text), as_override("datamodule.labels", {0: "dry", 255: text})]
    found = compose("data", overrides, DataToolsConfig).datamodule
    assert (found.data_dir, found.labels) == (text, {0: "dry", 255: text})


def number_keys(node: object, prefix: str = "") -> list[str]:
    """The dotted keys of all numbers of a configuration; of a list its first place."""
    if isinstance(node, dict):
        return [key for name, value in node.items() for key in number_keys(value, f"{prefix}{name}.")]
    if isinstance(node, list) and node and isinstance(node[0], float):
        return [prefix.rstrip(".")]
    return [prefix.rstrip(".")] if isinstance(node, float) else []


@pytest.mark.parametrize(
    ("name", "schema"), [("train", TrainConfig), ("infer", InferConfig), ("evaluate", EvaluateConfig),
                         ("export", ExportConfig), ("quantize", QuantizeConfig), ("data", DataToolsConfig)],
)  # fmt: skip
def test_no_number_is_nan_or_infinite(name, schema):
    config = compose(name, [], schema)
    keys = number_keys(asdict(config))
    assert keys or name == "infer"
    keys = [*keys, *(["threshold"] if hasattr(config, "threshold") else [])]
    for key, value in zip(keys, cycle(["nan", "inf", "-inf"])):  # one each: composing takes 0.05 s
        several = isinstance(flatten(config)[key], list)
        wrong = f"{key}=[{','.join([value] * len(flatten(config)[key]))}]" if several else f"{key}={value}"
        with pytest.raises(ConfigError, match="must be a finite number"):
            compose(name, [wrong], schema)


def test_what_is_told_of_a_chosen_group_are_its_own_keys():
    with pytest.raises(ConfigError, match=r"did you mean 'backend.precision'"):
        compose("infer", ["backend=openvino", "backend.precison=float32"], InferConfig)


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [(["hydra.run.dir='a b'"], "a b"), (['hydra.run.dir="c d"'], "c d"), (["seed=1", "hydra.run.dir=a/b"], "a/b")],
)
def test_a_runs_folder_may_have_spaces(overrides, folder):
    assert run_folder(overrides) == Path(folder)
    assert run_folder(["seed=1"]) is None


@pytest.mark.parametrize(
    "text",
    ["plain/path-1.txt", "with space", "it's", "a\\b", "end\\", "\\'", "${a}", "\\${a}", "[1,2]", "a=b", "$HOME",
     "`id`", '"q"', "!x", "ü ñ", "(a)", "#1", "*", "-x", "~"],
)  # fmt: skip
def test_an_override_in_a_hint_can_be_pasted_into_a_shell(text):
    hint = shlex.quote(as_override("output_dir", text))
    done = subprocess.run(["bash", "-c", f"printf %s {hint}"], capture_output=True, text=True, check=True)
    assert compose("infer", [done.stdout], InferConfig).output_dir == text


def test_threads_may_compose_at_the_same_time():
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda number: compose("map", [f"map.min_area={number}"], MapConfig), range(1, 17))
        assert [config.map.min_area for config in found] == list(range(1, 17))
