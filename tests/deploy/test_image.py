"""The steps of deploy/Dockerfile, as the image's build would run them, in a fresh environment of this machine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.deploy.test_files import DEPLOY
from tests.service.running import START_SECONDS

ROOT = DEPLOY.parent
PREFIX, SOURCE = "/opt/flood-seg", "/src"


@dataclass(frozen=True)
class Step:
    """An instruction of a Dockerfile: `RUN`, and what follows it."""

    word: str
    rest: str


def stages() -> list[list[Step]]:
    """The instructions of each stage; the first list has those before the first stage."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text("utf-8"))
    found: list[list[Step]] = [[]]
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append(Step(word, rest.strip()))
    return found


def only(stage: list[Step], word: str) -> str:
    (step,) = [step for step in stage if step.word == word]
    return step.rest


def test_the_image_runs_as_a_user_without_rights_and_is_asked_for_its_health() -> None:
    _, build, final = stages()
    user, _, group = only(final, "USER").partition(":")
    assert int(user) > 0 and int(group) > 0 and f"--uid {user} " in " ".join(step.rest for step in final)
    assert only(final, "VOLUME") == only(final, "WORKDIR") == "/data"  # the one folder that is written, beside /tmp
    assert only(final, "EXPOSE") == "8000"
    assert "http://127.0.0.1:8000/health/ready" in only(final, "HEALTHCHECK")
    assert json.loads(only(final, "ENTRYPOINT")) == ["flood-seg"]
    assert only(final, "COPY") == f"--from=build {PREFIX} {PREFIX}"
    assert f"{PREFIX}/bin:" in only(final, "ENV")
    copied = {name for step in build if step.word == "COPY" for name in shlex.split(step.rest)[:-1]}
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines() if line[0] == "!"}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def copy_tracked(names: list[str], target: Path) -> None:
    """Copies what git tracks of some files and folders."""
    listed = subprocess.run(["git", "ls-files", "-z", *names], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_steps_of_the_build_make_a_service_that_answers(tmp_path: Path) -> None:
    _, build, final = stages()
    prefix, source, base = tmp_path / "flood-seg", tmp_path / "src", tmp_path / "base"
    source.mkdir()
    # The image's own Python, into which the first step installs uv.
    subprocess.run([sys.executable, "-m", "venv", str(base)], check=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "VIRTUAL_ENV"))}
    environment = clean | {"PATH": f"{base}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    folder = tmp_path
    for step in build:
        rest = step.rest.replace(PREFIX, str(prefix))
        if step.word == "ARG":
            name, _, value = rest.partition("=")
            environment[name] = value
        elif step.word == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif step.word == "WORKDIR":
            assert rest == SOURCE
            folder = source
        elif step.word == "COPY":
            *names, target = shlex.split(rest)
            assert target == "./" or names == [target]
            copy_tracked(names, source)
        elif step.word == "RUN":
            done = subprocess.run(["sh", "-c", rest], cwd=folder, env=environment, capture_output=True, text=True)
            if "Could not find a version" in done.stderr or "error sending request" in done.stderr:
                pytest.skip(f"the package index does not answer: {done.stderr[-200:]}")
            assert done.returncode == 0, f"{rest}: {done.stderr[-2000:]}"
        else:
            assert step.word == "FROM"
    shutil.rmtree(source)  # the final stage has the environment alone

    installed_files = files_below(prefix)
    data = tmp_path / "data"
    data.mkdir()
    lean = clean | {"PATH": f"{prefix}/bin:/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    version = subprocess.run(["flood-seg", "--version"], env=lean, cwd=data, capture_output=True, text=True, check=True)
    assert version.stdout.strip()
    installed = {line.split("==")[0] for line in freeze(prefix, base)}
    assert {"fastapi", "rio-tiler", "openvino", "weasyprint"} <= installed
    assert not installed & {"torch", "pytorch-lightning", "mlflow", "pytest"}
    locked = set(
        re.findall(r"^(\S+==\S+?)(?: ;.*)? \\$", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    )
    strange = [line for line in freeze(prefix, base) if line not in locked and not line.startswith("flood-seg")]
    assert not strange

    command = [word.replace("/data", str(data)) for word in json.loads(only(final, "CMD"))]
    key = subprocess.run(["flood-seg", "serve", "--add-key", "probe", f"serve.work_dir={data}"], env=lean, cwd=data,
                         capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    log = tmp_path / "log"
    with log.open("wb") as file:
        service = subprocess.Popen(["flood-seg", *command, "--port", "0"], env=lean, cwd=data, stdout=file, stderr=file)
    try:
        end = time.monotonic() + START_SECONDS
        while not (ready := re.search(r"Ready at http://0\.0\.0\.0:(\d+);", log.read_text())):
            assert service.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        url = f"http://127.0.0.1:{ready[1]}"
        words = json.loads(only(final, "HEALTHCHECK").partition("CMD ")[2])
        probe = [word.replace(":8000", f":{ready[1]}") for word in words]
        subprocess.run(probe, env=lean, check=True)
        photo = next((ROOT / "docs/images").glob("*.jpg")).read_bytes()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "image/jpeg"}
        answer = httpx.post(f"{url}/predict", content=photo, headers=headers, timeout=60)
        assert answer.status_code == 200
        assert 0 < answer.json()["shares"]["water"] < 1
        # The profile dev: the source of the checkout counts, without a build.
        where = "import flood_seg; print(flood_seg.__file__)"
        done = subprocess.run(["python", "-c", where], env=lean | {"PYTHONPATH": str(ROOT)}, cwd=data,
                              capture_output=True, text=True, check=True)  # fmt: skip
        assert Path(done.stdout.strip()) == ROOT / "flood_seg/__init__.py"
    finally:
        service.terminate()
        assert service.wait(60) == 0
    assert files_below(prefix) == installed_files  # the root may be read-only


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def freeze(prefix: Path, base: Path) -> list[str]:
    command = [str(base / "bin/uv"), "pip", "freeze", "--python", str(prefix)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
