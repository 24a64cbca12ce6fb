"""Requests that schemathesis makes from the OpenAPI schema: no answer is a fault, and each fits the schema."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flood_seg.service.security.keys import KeyFile
from tests.service.running import running_service

# Of what fits the schema of a form much is refused for a reason that a schema cannot say, such as a form without a
# scene or an image that is blank. Events of a job end with the job, and here nobody runs any.
ARGUMENTS = ("--checks", "all", "--exclude-checks", "positive_data_acceptance", "--exclude-path-regex", "/events$",
             "--seed", "7", "--no-color", "--generation-database", "none")  # fmt: skip


def check_schema(folder: Path, *words: str, timeout: float) -> int:
    """Sends requests to a service that requires keys; returns how many, all of which were answered as they should."""
    key = KeyFile(folder / "work" / "keys.json").add("tester", "admin")
    options = ("serve.jobs.workers=0", "serve.security.require_keys='true'")
    with running_service(folder, *options) as service:
        command = [Path(sys.executable).with_name("schemathesis"), "run", f"{service.url}/openapi.json"]
        done = subprocess.run(
            [*command, "-H", f"Authorization: Bearer {key}", *ARGUMENTS, *words], cwd=folder, capture_output=True,
            text=True, timeout=timeout, check=False,
        )  # fmt: skip
        answers = re.findall(r"^\d\d:\d\d:\d\d [A-Z]+ \S+ (\d{3}) ", service.output, re.MULTILINE)
        faults = [status for status in answers if status >= "500"]
    assert done.returncode == 0, f"{done.stdout[-6000:]}{done.stderr[-2000:]}"
    assert faults == []
    return len(answers)


def test_answers_fit_the_schema(tmp_path: Path) -> None:
    sent = check_schema(tmp_path, "--phases", "coverage", "--workers", "2", timeout=180)
    assert sent > 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_answers_fit_the_schema(tmp_path: Path) -> None:
    # Of wrong requests schemathesis 4.32 fails by itself to make some, of forms with files; the test above has others
    phases = ("--phases", "coverage,fuzzing,stateful", "--max-examples", "400", "--mode", "positive", "--workers", "2")
    assert check_schema(tmp_path, *phases, timeout=3500) > 10_000
