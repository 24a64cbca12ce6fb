"""Writes requirements.lock; with --check only reports one that does not belong to pyproject.toml, without network."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

LOCK = Path("requirements.lock")
HEADER = """\
# The tested versions of the development environment, for every platform. Written by `make lock`; do not edit.
# `make setup` applies them as constraints and verifies the hashes. torch and torchvision have none, because a folder
# in PIP_FIND_LINKS or UV_FIND_LINKS may hold another build of the same version, for example for the CPU alone. For the
# same reason this is not a list to install as a whole: a CPU build does not need the nvidia-* packages.
# Dependencies in pyproject.toml: sha256:{digest}
"""
HASHES_OF_TORCH = re.compile(r"^((?:torch|torchvision)==.*?) \\\n(?: +--hash=.*\n)+", re.MULTILINE)


def digest(pyproject: dict[str, Any]) -> str:
    """Returns the SHA-256 of what the resolution depends on."""
    keys = ("requires-python", "dependencies", "optional-dependencies")
    inputs = [[pyproject["project"][key] for key in keys], pyproject["dependency-groups"], pyproject["tool"]["uv"]]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def resolve(pyproject: dict[str, Any]) -> str:
    """Returns all packages of the group dev with versions, platform markers and hashes, but no address."""
    oldest = pyproject["project"]["requires-python"].removeprefix(">=")
    options = ["--quiet", "--universal", "--python-version", oldest, "--group", "dev", "--no-emit-package", "flood-seg"]
    plain = ["--generate-hashes", "--no-header", "--no-annotate"]
    command = [os.environ.get("UV", "uv"), "pip", "compile", "-", *options, *plain]
    # From the package index alone: wheels of this machine must not decide for others.
    environment = {**os.environ, "UV_FIND_LINKS": ""}
    # The project itself is an input because its group refers to its extras.
    done = subprocess.run(command, input="-e .", env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)  # uv has said why
    return HASHES_OF_TORCH.sub(r"\1\n", done.stdout)


def main() -> None:
    """Checks the lock, or writes it."""
    pyproject = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
    header = HEADER.format(digest=digest(pyproject))
    if "--check" not in sys.argv:
        LOCK.write_text(header + resolve(pyproject), "utf-8")
    elif not (text := LOCK.read_text("utf-8")).startswith(header):
        sys.exit(f"{LOCK} does not belong to the dependencies in pyproject.toml: run `make lock`")
    elif "://" in text or " @ " in text:
        sys.exit(f"{LOCK} names an address: run `make lock`")


if __name__ == "__main__":
    main()
