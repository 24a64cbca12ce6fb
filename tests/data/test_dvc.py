"""DVC for real: a folder and an S3 server on loopback as remotes, and a training that pulls."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flood_seg.cli.main import main
from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.data.layout import find_samples
from flood_seg.data.prepare import prepare_data
from flood_seg.errors import DataError
from tests.conftest import write_ponds
from tests.inference.conftest import red_spec, write_model

ROOT = Path(__file__).parent.parent.parent
KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "something", "AWS_DEFAULT_REGION": "us-east-1"}
TRAIN = ["train", "model=tiny_unet", "datamodule.height=64", "datamodule.batch_size=4", "trainer.max_epochs=1",
         "trainer.precision=32-true", "augmentation=none", "logger=none"]  # fmt: skip


def dvc(folder: Path, *words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


FloodSeg = Callable[..., tuple[int, str, str]]


@pytest.fixture
def flood_seg(project, monkeypatch, capfd) -> FloodSeg:
    """Runs the command in the project; returns exit code and what it wrote to each stream."""

    def run(*words: str, **environment: str) -> tuple[int, str, str]:
        code = 0
        with monkeypatch.context() as patch:
            patch.chdir(project)
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                main(words)
            except SystemExit as stopped:
                code = stopped.code
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def whole_project(tmp_path_factory) -> Path:
    """A project as ours: git, DVC, its default remote a folder beside it, and data/raw added."""
    project = tmp_path_factory.mktemp("dvc") / "project"
    project.mkdir()
    subprocess.run(["git", "init", "-q", "."], cwd=project, check=True)
    shutil.copytree(ROOT / ".dvc", project / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    write_ponds(project / "data" / "raw", 8)
    dvc(project, "add", "data/raw")
    return project


@pytest.fixture
def project(whole_project, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(whole_project, tmp_path / "project", symlinks=True)


def lose(project: Path) -> None:
    """As a fresh clone is: the pointer, and neither data nor cache."""
    shutil.rmtree(project / "data" / "raw")
    shutil.rmtree(project / ".dvc" / "cache")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server of moto's, in a process of its own; each test has a bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | KEYS,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.2)
        import boto3

        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id="someone",
                              aws_secret_access_key="something", region_name="us-east-1")  # fmt: skip
        client.create_bucket(Bucket="floods")
        client.create_bucket(Bucket="flood-seg")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.usefixtures("no_curves")
def test_training_pulls_from_the_default_remote_a_folder(project, flood_seg):
    dvc(project, "push")
    assert sum(path.is_file() for path in (project.parent / "flood-seg-data").rglob("*")) >= 16
    lose(project)
    code, _, errors = flood_seg(*TRAIN, "datamodule.dvc_pull=false")
    assert code == 2 and errors.count("\n") == 1
    assert "data/raw.dvc says what it was; run dvc pull data/raw.dvc, or set datamodule.dvc_pull=true" in errors
    code, out, errors = flood_seg(*TRAIN)
    assert code == 0, errors
    assert "data/raw: is not here; dvc pull data/raw.dvc" in out and "pulled, 16 files" in out
    assert len(list((project / "data" / "raw" / "images").iterdir())) == 8


def test_add_push_and_pull_against_s3_with_keys_from_the_environment_alone(project, s3, flood_seg):
    dvc(project, "remote", "add", "-d", "floods", "s3://floods/data")
    dvc(project, "remote", "modify", "floods", "endpointurl", s3)
    dvc(project, "push", **KEYS)
    before = {path.name: path.read_bytes() for path in (project / "data" / "raw" / "images").iterdir()}
    lose(project)
    without = {key: "" for key in KEYS} | {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(project)}
    code, _, errors = flood_seg("data", "stats", **without)
    assert code == 2 and errors.count("\n") == 1, errors
    assert "dvc pull data/raw.dvc failed" in errors and "credentials" in errors
    code, _, errors = flood_seg("data", "stats", **KEYS)
    assert code == 0, errors
    assert {path.name: path.read_bytes() for path in (project / "data" / "raw" / "images").iterdir()} == before
    kept = (
        "".join(path.read_text() for path in (project / ".dvc").glob("config*"))
        + (project / "data/raw.dvc").read_text()
    )
    assert not any(value in kept for name, value in KEYS.items() if "KEY" in name)


def test_the_commands_of_the_docs_for_minio(project, s3):
    page = (ROOT / "docs" / "data.md").read_text("utf-8")
    commands = re.findall(r"^ {4}dvc (.*\bminio\b.*)$", page, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["remote"] * 4 + ["push"]
    for command in commands:
        dvc(project, *shlex.split(command.replace("http://127.0.0.1:9000", s3)), AWS_DEFAULT_REGION="us-east-1")
    lose(project)
    dvc(project, "pull", AWS_DEFAULT_REGION="us-east-1")
    assert len(list((project / "data" / "raw" / "images").iterdir())) == 8
    shared = (project / ".dvc" / "config").read_text()
    assert "http://127.0.0.1" in shared and "minioadmin" not in shared


def test_the_commands_of_the_docs_for_a_model(project, s3, tmp_path):
    page = (ROOT / "docs" / "data.md").read_text("utf-8").partition("### Share a model\n")[2]
    shared, restored = re.findall(r"(?:^ {4}.+\n)+", page, re.MULTILINE)
    shutil.copy(ROOT / ".gitignore", project)
    write_model(project / "outputs" / "latest" / "model.onnx", red_spec())
    (project / "outputs" / "latest" / "split.txt").touch()
    identity = {f"GIT_{who}_{what}": "someone" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = os.environ | KEYS | identity | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(folder: Path, commands: str) -> None:
        script = commands.replace("http://127.0.0.1:9000", s3)
        subprocess.run(["sh", "-ec", script], cwd=folder, env=environment, timeout=110, check=True)

    run(project, shared)
    clone = tmp_path / "clone"
    run(tmp_path, f"git clone -q {project} {clone}")
    assert [path.name for path in (clone / "models").iterdir()] == ["flood_2026.dvc"]
    Image.fromarray(np.zeros((64, 64, 3), np.uint8) + np.arange(64, dtype=np.uint8)[:, None]).save(clone / "photo.jpg")
    run(clone, restored)
    assert (clone / "photo_mask.png").is_file()


def test_a_folder_above_may_be_tracked_and_one_that_is_here_is_left_alone(tmp_path):
    (tmp_path / "data.dvc").write_text("outs: []")
    config = compose("train", [f"datamodule.data_dir='{tmp_path}/data/raw'", "datamodule.dvc_pull=false"], TrainConfig)
    with pytest.raises(DataError, match=r"data\.dvc says what it was"):
        prepare_data(config.datamodule)
    write_ponds(tmp_path / "data" / "raw", 2)
    prepare_data(config.datamodule)
    assert len(find_samples(config.datamodule)[0]) == 2


def test_git_holds_no_credentials_of_ours():
    config = (ROOT / ".dvc" / "config").read_text()
    assert "remote = local" in config and not any(word in config for word in ("access_key", "secret", "password"))
    assert "/config.local" in (ROOT / ".dvc" / ".gitignore").read_text().splitlines()
