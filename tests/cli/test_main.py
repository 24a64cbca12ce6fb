import errno
import inspect
import os
import subprocess
import sys

import pytest
import yaml

from flood_seg.cli import main as cli
from flood_seg.cli.help import help_of_verb
from flood_seg.cli.table import VERBS
from flood_seg.version import __version__

# Names and flags that scripts rely on; whoever changes this table breaks them.
FROZEN = {
    "train": {"data": None, "multirun": False, "cfg": None, "image-size": None, "find-lr": False,
              "find-batch-size": False},
    "evaluate": {"model": None, "data": None, "out": None, "at-network-size": False, "goal": None, "calibrate": False,
                 "save": False, "tta": False, "compare": None, "groups": None},
    "convert-to-onnx": {"ckpt": None, "onnx": None, "height": None, "width": None},
    "convert-to-trt": {"onnx": None, "trt": None, "height": None, "width": None, "docker-version": None},
    "infer": {"onnx": None, "image": None, "out": None, "overlay": False, "json": None},
    "report": {"results": (), "area": None, "impact": None, "out": "sitrep"},
    "map": {"model": None, "image": None, "out": None, "before": None, "permanent": None, "cloud": None,
            "dry-run": False},
    "flood-series": {"results": (), "out": "flood_series"},
    "worker": {"model": None},
    "flood-area": {"results": (), "districts": None, "validation": None, "out": None},
    "impact": {"flood": None, "roads": None, "buildings": None, "population": None, "districts": None, "places": None,
               "depots": None, "out": None},
    "serve": {"model": None, "host": None, "port": None, "add-key": None, "role": None, "remove-key": None,
              "list-keys": False},
    "quantize": {"onnx": None, "out": None, "data": None},
    "verify": {"models": (), "data": None, "out": None},
    "benchmark": {"models": (), "data": None, "out": None},
    "triton-server": {
        "model-type": None, "model-path": None, "container-name": None, "host": None, "http-port": None,
        "use-gpus": False, "docker-version": None, "detach": False, "stop": False,
    },
    "triton-client": {
        "image": None, "out": None, "triton-url": "127.0.0.1", "model-name": None,
        "protocol": None, "overlay": False, "json": None,
    },
    "completion": {"shell": "bash", "line": None},
    "data preview": {"out": "preview.png", "count": 16},
    "data check": {"data": None, "out": "data_check", "fix": None},
    "data stats": {"data": None, "out": None, "write-config": None},
    "data overlay": {"data": None, "out": "overlays", "model": None},
    "data tile": {"data": None, "image": None, "labels": None, "out": "tiles", "mosaic": None},
    "data split": {"data": None, "out": "split.txt"},
    "data to-coco": {"data": None, "out": "coco"},
    "data from-coco": {"annotations": None, "images": None, "out": "data/raw", "part": None},
    "data to-cvat": {"data": None, "out": "cvat"},
    "data from-cvat": {"annotations": None, "images": None, "out": "data/raw"},
    "data to-mmseg": {"data": None, "out": "mmseg"},
    "data from-mmseg": {"data": None, "out": "data/raw"},
    "data download": {"out": "data/raw", "name": None},
    "data upload": {"data": None, "name": None},
    "data scene": {"bbox": None, "aoi": None, "date": None, "collection": None, "bands": None, "cloud": None,
                   "count": None, "out": "scenes", "dry-run": False},
    "data sample": {"out": "data/sample"},
}  # fmt: skip


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "flood_seg", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


def test_the_list_of_verbs_and_flags_is_frozen():
    assert {verb.name: {flag.name: flag.default for flag in verb.flags} for verb in VERBS} == FROZEN


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_verb_s_function_takes_what_the_table_says(verb):
    parameters = dict(inspect.signature(verb.load()).parameters)
    assert ("overrides" in parameters) == (verb.config is not None)
    parameters.pop("overrides", None)
    assert {name: one.default for name, one in parameters.items()} == {
        flag.parameter: flag.default for flag in verb.flags
    }
    kinds = {int: "int", bool: "bool", tuple: "Sequence[str]"}
    assert all(kinds.get(flag.kind, "") in str(parameters[flag.parameter].annotation) for flag in verb.flags)


def test_the_help_of_each_verb_describes_each_of_its_flags():
    for verb in VERBS:
        rows = [line.split() for line in help_of_verb(verb, verb.name).splitlines() if line.startswith("  --")]
        assert [row[0] for row in rows] == [f"--{flag.name}" for flag in verb.flags], verb.name
        assert all(len(row) > 1 and not row[1].startswith("(") for row in rows), verb.name  # the kind alone is no text


def test_a_mistyped_flag_answers_with_the_nearest_and_runs_nothing():
    done = command("infer", "--imge", "a.jpg")
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == (
        "flood-seg: error: --imge: flood-seg infer has no such flag (did you mean '--image'?); "
        "see flood-seg infer --help\n"
    )


def test_a_users_mistake_is_one_line_and_a_traceback_only_on_request(tmp_path):
    missing = str(tmp_path / "no.jpg")
    done = command("infer", "--image", missing)
    assert done.returncode == 2
    assert done.stderr.startswith("flood-seg: error: ") and done.stderr.count("\n") == 1 and missing in done.stderr
    assert "Traceback" in command("infer", "--image", missing, FLOOD_SEG_DEBUG="1").stderr


def test_help_imports_nothing_heavy():
    heavy = ("numpy", "cv2", "torch", "hydra", "omegaconf", "onnxruntime", "rich", "fire", "PIL", "mlflow")
    code = (
        "import sys; from flood_seg.cli.main import main; main(['--help']); print([m for m in %r if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version():
    assert command("--version").stdout.strip() == __version__


def test_cfg_prints_the_configuration_and_trains_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli.main(["train", "--cfg", "job", "loss=[bce,dice]", "loss.dice.weight=3", "trainer.max_epochs=7"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["loss"]["dice"]["weight"] == 3 and config["trainer"]["max_epochs"] == 7
    cli.main(["train", "-m", "--cfg", "job", "model=mobilenet_unet,resnet34_unet"])
    encoders = [job["model"]["encoder"] for job in yaml.safe_load_all(capsys.readouterr().out)]
    assert encoders == ["mobilenet_v2", "resnet34"]
    assert not list(tmp_path.iterdir())
    cli.main(["train", "--cfg", "all", "model=mobilenet_unet"])
    hydra, job = yaml.safe_load_all(capsys.readouterr().out)
    assert "launcher" in hydra["hydra"] and job["model"]["encoder"] == "mobilenet_v2"
    with pytest.raises(SystemExit):
        cli.main(["train", "--cfg", "jobs"])
    assert "--cfg=jobs: allowed are job, hydra, all (did you mean 'job'?)" in capsys.readouterr().err


def test_training_takes_its_data_as_all_verbs_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = "data/Überflutung, (2023)"
    cli.main(["train", "--cfg", "job", "--data", folder])
    assert yaml.safe_load(capsys.readouterr().out)["datamodule"]["data_dir"] == folder
    cli.main(["train", "-m", "--cfg", "job", "--data", folder, "seed=1,2"])
    jobs = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [(job["seed"], job["datamodule"]["data_dir"]) for job in jobs] == [(1, folder), (2, folder)]


def test_without_the_train_extra_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['pytorch_lightning'] = None\n"
        "from flood_seg.cli.main import main; main(['train', 'model.encoder_weights=null'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "flood-seg: error: train: requires pytorch_lightning, which is not installed; pip install 'flood-seg[train]'\n"
    )


def test_an_interrupt_is_a_line_not_a_traceback(monkeypatch, capsys):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupt)
    with pytest.raises(SystemExit) as stopped:
        cli.main([])
    assert stopped.value.code == 130 and capsys.readouterr().err == "flood-seg: interrupted\n"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_memory_that_ends_anywhere_is_a_line_not_a_traceback(error, monkeypatch, capsys):
    def end(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "_run", end)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train"])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("flood-seg: error: not enough memory (") and "set a smaller batch" in line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "photos"), "photos: Permission denied; check the path"),
        (OSError(36, "File name too long", b"x"), "x: File name too long; check the path"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; check the path"),
    ],
)
def test_what_the_system_refuses_anywhere_is_a_line_not_a_traceback(error, line, monkeypatch, capsys):
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "_run", refuse)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"flood-seg: error: {line}, its permissions and the disk\n"


def test_a_bug_is_still_a_traceback(monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("no file, no number")

    monkeypatch.setattr(cli, "_run", fail)
    with pytest.raises(OSError, match="no number"):
        cli.main(["train"])


def test_names_that_are_longer_than_any_file_system_takes_are_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for words in (
        ["infer", "--image", "x" * 300],
        ["infer", "--image", f"{'x' * 300}*"],
        ["data", "check", "--data", "x" * 300],
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(words)
        assert stopped.value.code == 2 and "File name too long" in capsys.readouterr().err


def test_a_working_directory_that_was_deleted_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    cli.main(["--version"])
    for arguments in (["infer", "--image", "a.jpg"], ["train"], ["data", "check"]):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        assert stopped.value.code == 2
        assert capsys.readouterr().err.startswith("flood-seg: error: the working directory does not exist")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "model=resnet34unet"], "(did you mean 'resnet34_unet'?)"),
        (["train", "trainer.max_epoch=3"], "(did you mean 'trainer.max_epochs'?)"),
        (["infer"], "--image is missing"),
        (["train", "resume=/nowhere"], "no run with last.ckpt"),
        (["train", "-m", "model=mobilenet_unet,nope"], "model=nope: allowed are"),
    ],
)
def test_wrong_choices_stop_before_anything_heavy(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_dotenv_sets_what_the_environment_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("FLOOD_TEST_ONE=file\nFLOOD_TEST_TWO=file\n")
    monkeypatch.setenv("FLOOD_TEST_TWO", "environment")
    monkeypatch.delenv("FLOOD_TEST_ONE", raising=False)
    cli.main(["completion", "--line", "flood-seg tr"])
    found = os.environ.pop("FLOOD_TEST_ONE"), os.environ["FLOOD_TEST_TWO"]
    assert found == ("file", "environment")
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["completion", "--line", "flood-seg tr"])
    assert stopped.value.code == 2
