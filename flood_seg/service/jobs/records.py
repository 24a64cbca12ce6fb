"""What is known of a job: the request, which never changes, and its state."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from pathlib import Path

# The words of OGC API - Processes.
Status = Literal["accepted", "running", "successful", "failed", "dismissed"]
FINISHED: frozenset[Status] = frozenset({"successful", "failed", "dismissed"})
SCENE = "scene"
RASTERS = (SCENE, "before", "permanent", "cloud", "population")
VECTORS = ("roads", "buildings", "districts", "places", "depots")
INPUTS = (*RASTERS, "truth", *VECTORS)  # truth: either kind
ID_LENGTH = 26
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's, without letters that look like digits

T = TypeVar("T")


@dataclass(frozen=True)
class JobRequest:
    """What a caller has asked for.

    Attributes:
        id: of the job.
        created: time of the request.
        caller: name of who made it.
        name: chosen by the caller, or that of the scene's file.
        model: name of the served model.
        inputs: for each kind, a file relative to the folder of the job, or a path or an address elsewhere.
        options: keys of `map.*` with their values, and `threshold`.
        steps: names of the steps, in their order.
        digest: SHA-256 of the request, by which a repeated one is recognized.
        model_digest: SHA-256 of the model at the time of the request.
    """

    id: str
    created: str
    caller: str
    name: str
    model: str
    inputs: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    steps: list[str] = field(default_factory=lambda: ["map"])
    digest: str = ""
    model_digest: str = ""


@dataclass(frozen=True)
class JobState:
    """How far a job is.

    Attributes:
        status: of the job.
        started: time of its first attempt.
        finished: time of its end.
        progress: share that is done, in [0, 1].
        step: that is running.
        message: what it does.
        seconds_left: estimate; None: unknown.
        attempts: how often it was begun, without those that were handed back.
        warnings: on its inputs and results.
        problem: why it failed, as a problem of RFC 9457.
        results: main figures of each finished step.
        owner: the process that runs it.
    """

    status: Status = "accepted"
    started: str | None = None
    finished: str | None = None
    progress: float = 0.0
    step: str | None = None
    message: str = ""
    seconds_left: float | None = None
    attempts: int = 0
    warnings: list[str] = field(default_factory=list)
    problem: dict[str, Any] | None = None
    results: dict[str, Any] = field(default_factory=dict)
    owner: dict[str, Any] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it never changes again."""
        return self.status in FINISHED


@dataclass(frozen=True)
class Job:
    """A job at one moment.

    Attributes:
        folder: of the job.
        request: what was asked for.
        state: how far it is.
        number: of that state; each change of owner or status has the next one.
    """

    folder: Path
    request: JobRequest
    state: JobState
    number: int

    @property
    def id(self) -> str:
        """Its identifier."""
        return self.request.id

    @property
    def results(self) -> Path:
        """The folder of its results, which exists once it has some."""
        return self.folder / "results"

    @property
    def work(self) -> Path:
        """The folder that the current attempt works in."""
        return self.folder / "work" / str(self.number)

    @property
    def log(self) -> Path:
        """What its steps have printed."""
        return self.folder / "log.txt"


_READERS: dict[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in (JobRequest, JobState)}


def new_id() -> str:
    """Returns 26 characters that sort by time (a ULID): 48 bits of milliseconds, 80 random ones."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[value >> 5 * place & 31] for place in reversed(range(ID_LENGTH)))


def is_id(text: str) -> bool:
    """Whether a text can be the identifier of a job; all others are no names of folders."""
    return len(text) == ID_LENGTH and set(text) <= set(_ALPHABET)


def as_record(record: JobRequest | JobState) -> dict[str, Any]:
    """Returns a record as JSON."""
    return asdict(record)


def read_record(kind: type[T], content: bytes) -> T:
    """Returns a record from its JSON; keys of other versions are left out.

    Raises:
        ValueError: it is damaged.
    """
    found: T = _READERS[kind].validate_json(content)
    return found
