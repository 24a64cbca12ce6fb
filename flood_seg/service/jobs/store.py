"""The folders of the jobs, which are the truth about them.

Each change of the status or the owner of a job is a new file `state/NUMBER.json`, which only one process can create;
the one with the highest number counts. Its owner may replace it to tell its progress. So two workers never run
a job, and what a worker writes that has lost its job in the meantime counts no more, on shared storage too.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import one_line, warn
from flood_seg.errors import OutputError
from flood_seg.files import write_json
from flood_seg.service.jobs.owner import has_ended, this_process
from flood_seg.service.jobs.records import Job, JobRequest, JobState, as_record, is_id, read_record
from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

REQUEST = "job.json"
STATES = "state"
KEYS = ".keys"  # folder of a file per Idempotency-Key, with the job and the digest of its request
OWNER = "upload.json"  # the process that receives the inputs
NEW, REMOVED = ".new-", ".removed-"  # jobs that are not accepted yet, or being removed
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class JobStore:
    """The jobs below the folder of a service."""

    def __init__(self, work_dir: str | Path) -> None:
        """Takes the folder of the service, `serve.work_dir`, which need not exist yet."""
        self.folder = Path(work_dir).absolute() / "jobs"
        self._finished: dict[str, Job] = {}  # those never change
        self._damaged = set[str]()

    def get(self, job: str) -> Job:
        """Returns a job by its identifier.

        Raises:
            Problem: there is none.
        """
        found = self.find(job)
        if found is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"job {job[:40]}: there is none; GET /jobs lists them")
        return found

    def find(self, job: str) -> Job | None:
        """Returns a job by its identifier; None where there is none."""
        if not is_id(job):
            return None
        folder = self.folder / job
        if known := self._finished.get(job):
            if folder.is_dir():
                return known
            self._finished.pop(job, None)  # by another thread too
            return None
        found = self._read(folder)
        if found and found.state.is_finished:
            self._finished[job] = found
        return found

    def results(self, job: str) -> Path:
        """Returns the folder of a job's results, which is missing until it has some.

        Raises:
            Problem: there is no such job.
        """
        return self.get(job).results

    def __iter__(self) -> Iterator[Job]:
        """Yields all jobs, the newest first."""
        names = sorted((name for name in _names(self.folder) if is_id(name)), reverse=True)
        yield from (job for job in map(self.find, names) if job)

    def prepare(self, job: str) -> Path:
        """Makes the hidden folder of a job whose inputs are on their way.

        Raises:
            OutputError: it cannot be made.
        """
        folder = self.folder / f"{NEW}{job}"
        try:
            (folder / "inputs").mkdir(parents=True)
            (folder / OWNER).write_text(json.dumps(this_process()), encoding="utf-8")
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise OutputError(f"{folder}: cannot be written ({error.strerror}); see serve.work_dir") from error
        return folder

    def accept(self, request: JobRequest) -> Job:
        """Makes a job of its prepared folder.

        Raises:
            OutputError: it cannot be written.
        """
        folder, accepted = self.folder / f"{NEW}{request.id}", self.folder / request.id
        write_json(folder / REQUEST, as_record(request))
        write_json(folder / STATES / "0.json", as_record(JobState()))
        try:
            folder.rename(accepted)
        except OSError as error:
            raise OutputError(f"{accepted}: cannot be written ({error.strerror}); see serve.work_dir") from error
        (accepted / OWNER).unlink(missing_ok=True)  # last, since without it `clear` would not know whose the folder is
        return self.get(request.id)

    def change(self, job: Job, state: JobState) -> Job | None:
        """Gives a job its next state, unless another process has done so, or the job is finished or removed.

        Returns:
            the job with that state; None where another process was faster.

        Raises:
            OutputError: the state cannot be written.
        """
        if job.state.is_finished:
            return None
        changed = Job(job.folder, job.request, state, job.number + 1)
        return changed if create_file(_state_file(changed), json.dumps(as_record(state))) else None

    def update(self, job: Job, state: JobState) -> Job:
        """Replaces the state of a job that this process owns, to tell its progress; the status stays.

        Raises:
            OutputError: it cannot be written.
        """
        assert state.status == job.state.status
        _replace(_state_file(job), json.dumps(as_record(state)))
        return Job(job.folder, job.request, state, job.number)

    def owns(self, job: Job) -> bool:
        """Whether a job's state is still the latest one, so that nobody has taken or ended the job."""
        return _state_file(job).is_file() and not _state_file(job, 1).exists()

    def beat(self, job: Job) -> None:
        """Shows others that the owner of a job is alive; raises OSError."""
        os.utime(_state_file(job))

    def last_beat(self, job: Job) -> int:
        """Returns a number that differs after each sign of life of a job's owner."""
        try:
            return _state_file(job).stat().st_mtime_ns
        except OSError:
            return 0

    def remove(self, job: Job) -> None:
        """Removes a job with all its files; what cannot be removed now stays hidden, for `clear`."""
        hidden = self.folder / f"{REMOVED}{job.id}"
        with suppress(FileNotFoundError):
            job.folder.rename(hidden)
        self._finished.pop(job.id, None)
        shutil.rmtree(hidden, ignore_errors=True)

    def clear(self, age: timedelta) -> None:
        """Removes what is left of removed jobs, and of uploads whose process has ended, or that are of that age."""
        for name in _names(self.folder):
            folder = self.folder / name
            if name.startswith(REMOVED) or (name.startswith(NEW) and _is_left(folder, age)):
                shutil.rmtree(folder, ignore_errors=True)

    def _read(self, folder: Path) -> Job | None:
        """Reads a job; None where it is missing, removed meanwhile, or damaged, which is said once."""
        try:
            request = read_record(JobRequest, (folder / REQUEST).read_bytes())
            numbers = [int(name.removesuffix(".json")) for name in _names(folder / STATES) if name[0] != "."]
            number = max(numbers, default=0)
            state = read_record(JobState, (folder / STATES / f"{number}.json").read_bytes())
        except OSError:
            return None
        except ValueError as error:
            if folder.name not in self._damaged:
                self._damaged.add(folder.name)
                warn(f"job {folder.name}: is left out, {REQUEST} or {STATES}/ is damaged ({one_line(str(error))})")
            return None
        return Job(folder, request, state, number)

    def clear_keys(self) -> None:
        """Removes the entries of Idempotency-Keys whose jobs are removed."""
        for file in (self.folder / KEYS).glob("*.json"):
            with suppress(OSError, ValueError, KeyError):
                if not self.find(json.loads(file.read_bytes())["job"]):
                    file.unlink()


def _is_left(folder: Path, age: timedelta) -> bool:
    with suppress(OSError, ValueError):  # is being made, accepted or removed
        if has_ended(json.loads((folder / OWNER).read_bytes())):
            return True
    try:
        return time.time() - folder.stat().st_mtime > age.total_seconds()
    except FileNotFoundError:
        return False


def _names(folder: Path) -> list[str]:
    try:
        return [one.name for one in folder.iterdir()]
    except FileNotFoundError:
        return []


def _state_file(job: Job, later: int = 0) -> Path:
    return job.folder / STATES / f"{job.number + later}.json"


def _replace(path: Path, text: str) -> None:
    """Replaces a file, whole or not at all; where its folder was removed, that is not made anew."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except FileNotFoundError:
        return
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OutputError(f"{path}: cannot be written ({error.strerror}); see serve.work_dir") from error


def create_file(path: Path, text: str) -> bool:
    """Writes a file that does not exist, whole or not at all; returns False where it exists or its folder does not.

    Of several processes, on several machines too, one alone succeeds.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with path.open("x", encoding="utf-8") as file:  # exclusive too, but not whole at once
                file.write(text)
    except (FileExistsError, FileNotFoundError):
        return False
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); see serve.work_dir") from error
    finally:
        temporary.unlink(missing_ok=True)
    return True
