"""Runs one job: its steps one after the other, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from flood_seg.config.overrides import as_override
from flood_seg.console import counted, one_line, say, shorten_words, warn
from flood_seg.errors import OutputError
from flood_seg.files import write_json
from flood_seg.products.stac_item import RECORD, time_text
from flood_seg.service.jobs import attempt_folder
from flood_seg.service.jobs.owner import this_process
from flood_seg.service.jobs.steps import PROGRESS, figures_of, progress_of, step_command
from flood_seg.service.problems import Problem, without_paths
from flood_seg.service.security.inputs import restricted_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flood_seg.config.schema.service import ServeOptions
    from flood_seg.service.jobs.model_words import ModelWords
    from flood_seg.service.jobs.records import Job, JobState
    from flood_seg.service.jobs.store import JobStore

WAIT_SECONDS = 0.05  # for the end of a step
BEAT_SECONDS = 0.5  # between signs of life, and looks at what the step has done
SEGMENTED = 0.85  # of the time of a map, about, when the last window is done
GRACE_SECONDS = 5.0  # that a step has to end after SIGTERM
_ERROR = re.compile(r"^flood-seg: error: (.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^flood-seg: block (.* failed: .*)$", re.MULTILINE)
Ended = Literal["done", "failed", "killed", "stopped", "lost"]


@dataclass(frozen=True)
class RunOptions:
    """What a worker needs to run jobs.

    Attributes:
        models: that are served, by name.
        executor: overrides of `flood-seg map` that choose it.
        attempts: how often a job is begun at most.
        lease: seconds without a sign of life after which others take a job.
        sources: `serve.security.sources`.
        most_bytes: of an input that is fetched from its address.
    """

    models: Mapping[str, ModelWords]
    executor: tuple[str, ...]
    attempts: int
    lease: float
    sources: tuple[str, ...] = ()
    most_bytes: int = 0

    @classmethod
    def of(cls, options: ServeOptions, models: Mapping[str, ModelWords]) -> RunOptions:
        """Takes them from `serve`."""
        jobs, most = options.jobs, int(options.limits.upload_gb * 1e9)
        sources = tuple(options.security.sources)
        executor = [f"executor={jobs.executor}"]
        executor += [as_override("executor.address", jobs.ray_address)] if jobs.executor == "ray" else []
        return cls(models, tuple(executor), jobs.attempts, jobs.lease, sources, most)


def run_job(store: JobStore, job: Job, options: RunOptions, is_stopping: Callable[[], bool]) -> None:
    """Runs a job that waits, unless another worker is faster.

    Args:
        store: of the jobs.
        job: that waits.
        options: of the worker.
        is_stopping: whether the worker shall end; the job is handed back then.
    """
    state = replace(
        job.state, status="running", started=job.state.started or now(), attempts=job.state.attempts + 1,
        owner=this_process(), message="", step=None, seconds_left=None, warnings=[], results={},
    )  # fmt: skip
    if job.request.model not in options.models:
        detail = f"model {job.request.model} is not served any more; served are {', '.join(options.models)}"
        store.change(job, ended(job.state, "failed", problem_of(HTTPStatus.NOT_FOUND, detail)))
        return
    claimed = store.change(job, state)
    if claimed:
        say(f"job {job.id}: attempt {state.attempts}")
        _Attempt(store, claimed, options, is_stopping).run()


def now() -> str:
    """Returns the time as text."""
    return time_text(datetime.now(UTC))


def end_attempt(store: JobStore, job: Job, attempts: int, reason: str) -> Job | None:
    """Makes a job wait again whose attempt has ended before it was done, or fail where it has had its attempts.

    Returns:
        the job; None where another process was faster.
    """
    if job.state.attempts < attempts:
        return store.change(job, waiting(job.state, reason))
    detail = f"given up after {job.state.attempts} attempts; the last one: {reason}"
    return store.change(job, ended(job.state, "failed", problem_of(HTTPStatus.INTERNAL_SERVER_ERROR, detail)))


def waiting(state: JobState, message: str, attempts: int | None = None) -> JobState:
    """Returns the state of a job that waits again."""
    count = state.attempts if attempts is None else attempts
    return replace(state, status="accepted", message=message, owner=None, step=None, seconds_left=None, attempts=count)


def ended(state: JobState, status: Literal["successful", "failed", "dismissed"],
          problem: Mapping[str, Any] | None = None) -> JobState:  # fmt: skip
    """Returns the state of a job that has ended."""
    progress = 1.0 if status == "successful" else state.progress
    return replace(
        state, status=status, finished=now(), progress=progress, problem=dict(problem) if problem else None, owner=None,
        step=None, message="", seconds_left=None,
    )  # fmt: skip


def problem_of(status: HTTPStatus, detail: str) -> dict[str, Any]:
    """Returns a problem as JSON."""
    content: dict[str, Any] = json.loads(bytes(Problem(status, detail).response().body))
    return content


class _Attempt:
    """One attempt of a job that this process has claimed."""

    def __init__(self, store: JobStore, job: Job, options: RunOptions, is_stopping: Callable[[], bool]) -> None:
        self._store, self._job, self._options, self._is_stopping = store, job, options, is_stopping
        self._alive = time.monotonic()  # the last sign of life that others can see
        self._log = 0  # where what the step has printed begins

    def run(self) -> None:
        """Runs the steps, and says how it has ended."""
        try:
            attempt_folder.enter(self._job)
            if warning := self._other_model():
                self._tell(warnings=[warning])
            for step in self._job.request.steps:
                end = self._step(step)
                if end != "done":
                    self._not_done(step, end)
                    return
            if self._store.owns(self._job):
                attempt_folder.publish(self._job)
                self._finish(ended(self._job.state, "successful"))
        except (OutputError, OSError) as error:  # a full disk for example: of this attempt, not of the job
            warn(f"job {self._job.id}: {error}")
            end_attempt(self._store, self._job, self._options.attempts, without_paths(one_line(str(error))))

    def _step(self, step: str) -> Ended:
        """Runs a step, unless an earlier attempt has done so."""
        done = self._job.work / attempt_folder.STEPS / f"{step}.json"
        if not done.is_file():
            self._tell(step=step, progress=progress_of(self._job, step, 0), message="", seconds_left=None)
            end = self._process(step)
            if end != "done":
                return end
            figures, warnings = figures_of(step, self._job.work / "results")
            write_json(done, {"figures": figures, "warnings": [without_paths(one) for one in warnings]})
        found = json.loads(done.read_bytes())
        results = self._job.state.results | ({step: found["figures"]} if found["figures"] else {})
        self._tell(results=results, warnings=[*self._job.state.warnings, *found["warnings"]])
        return "done"

    def _process(self, step: str) -> Ended:
        model = self._options.models[self._job.request.model].words
        words = step_command(step, self._job, model, self._options.executor)
        words += [json.dumps([self._options.sources, self._options.most_bytes])] if step == "fetch" else []
        command = [sys.executable, "-m", "flood_seg.service.jobs.child", str(os.getpid()), *words]
        environment = os.environ | restricted_environment()
        environment.pop("FLOOD_SEG_DEBUG", None)  # errors in one line
        with self._job.log.open("ab") as log:
            self._log = log.tell()
            process = subprocess.Popen(
                command, cwd=self._job.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C reaches the service alone, which ends it
            )  # fmt: skip
        try:
            return self._watch(step, process)
        finally:
            _end_process(process)

    def _watch(self, step: str, process: subprocess.Popen[bytes]) -> Ended:
        """Waits for the end of a step's process, tells its progress meanwhile, and ends it where it has to end."""
        beat = 0.0
        while True:
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(WAIT_SECONDS)
                return "killed" if code < 0 else "failed" if code else "done"
            if self._is_stopping():
                return "stopped"
            if time.monotonic() - beat > BEAT_SECONDS:
                beat = time.monotonic()
                if not self._is_owner():
                    return "lost"
                self._tell_progress(step)

    def _is_owner(self) -> bool:
        """Gives a sign of life; returns False where the job is another's, or may be since nobody can have seen any."""
        try:
            if not self._store.owns(self._job):
                return False
            self._store.beat(self._job)
            self._alive = time.monotonic()
        except OSError:  # shared storage that does not respond
            return time.monotonic() - self._alive < self._options.lease / 2
        return True

    def _tell_progress(self, step: str) -> None:
        try:
            found = json.loads((self._job.work / PROGRESS).read_bytes()) if step == "map" else None
        except (OSError, ValueError):
            return
        if found:
            self._tell(progress=progress_of(self._job, step, SEGMENTED * found["share"]), message=found["phase"],
                       seconds_left=found["seconds_left"])  # fmt: skip

    def _tell(self, **changed: Any) -> None:
        state = replace(self._job.state, **changed)
        if state != self._job.state:
            with suppress(OutputError):  # only told later
                self._job = self._store.update(self._job, state)

    def _not_done(self, step: str, end: Ended) -> None:
        job, attempts = self._job, self._options.attempts
        if end == "lost":
            say(f"job {job.id}: was taken or dismissed")
            current = self._store.find(job.id)
            if current and not current.state.is_finished:
                shutil.rmtree(job.work, ignore_errors=True)  # the other attempt has a folder of its own
            else:
                attempt_folder.leave(job)
        elif end == "stopped":
            say(f"job {job.id}: handed back")
            self._store.change(job, waiting(job.state, "handed back", job.state.attempts - 1))
        elif end == "killed":
            end_attempt(self._store, job, attempts, f"step {step} was killed, maybe since memory was short")
        else:
            status, reason = self._reason(step)
            if self._store.owns(job):
                if (job.work / "results" / RECORD).is_file():  # the map is of use without the rest
                    attempt_folder.publish(job)
                self._finish(ended(job.state, "failed", problem_of(status, reason)))

    def _reason(self, step: str) -> tuple[HTTPStatus, str]:
        """Returns why a step has failed, from what it has printed."""
        with self._job.log.open("rb") as log:
            log.seek(self._log)
            text = log.read().decode("utf-8", "replace")
        if blocks := _BLOCK.findall(text):
            lines = [f"{counted(len(blocks), 'block')} failed and have no data in the results, the first: {blocks[0]}"]
        elif not (lines := _ERROR.findall(text)):
            detail = f"step {step} ended by a fault of flood-seg, which log.txt in the folder of the job describes"
            return HTTPStatus.INTERNAL_SERVER_ERROR, detail
        full = shutil.disk_usage(self._job.folder).free < 1 << 20 or "No space left" in lines[-1]
        status = HTTPStatus.INSUFFICIENT_STORAGE if full else HTTPStatus.UNPROCESSABLE_ENTITY
        return status, without_paths(shorten_words(lines[-1]))

    def _finish(self, state: JobState) -> None:
        if self._store.change(self._job, state):
            say(f"job {self._job.id}: {state.status}" + (f": {state.problem['detail']}" if state.problem else ""))
            attempt_folder.leave(self._job)

    def _other_model(self) -> str | None:
        known = self._options.models[self._job.request.model]
        if known.digest == self._job.request.model_digest:
            return None
        return f"model {self._job.request.model} is another one than at the time of the request"


def _end_process(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and those that it has started, which have its session: by SIGTERM, by SIGKILL in the end."""
    if process.poll() is not None:
        return
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
