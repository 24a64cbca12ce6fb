"""A job as the service tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from flood_seg.service.jobs.records import Status
from flood_seg.service.problems import without_paths

if TYPE_CHECKING:
    from flood_seg.service.jobs.records import Job


class Link(BaseModel):
    """A link to something that belongs to a job."""

    rel: str
    href: str
    type: str


class JobAnswer(BaseModel):
    """A job and how far it is."""

    id: str = Field(description="26 characters, which sort by the time of the request")
    name: str
    status: Status
    caller: str
    created: str = Field(description="time in UTC, as are the others")
    started: str | None
    finished: str | None
    progress: float = Field(ge=0, le=1)
    step: str | None = Field(description="that runs: fetch, map, flood-area, impact, truth or report")
    message: str
    seconds_left: float | None = Field(description="of the step; null: unknown")
    attempts: int
    model: str
    inputs: dict[str, str]
    options: dict[str, Any]
    warnings: list[str]
    problem: dict[str, Any] | None = Field(description="of a failed job, why: an object of RFC 9457")
    results: dict[str, Any] = Field(description="main figures of each finished step")
    links: list[Link]


class JobList(BaseModel):
    """A page of the list of jobs, the newest first."""

    jobs: list[JobAnswer]
    total: int = Field(description="number of jobs on all pages")
    limit: int
    offset: int


def job_answer(job: Job, root: str = "") -> JobAnswer:
    """Returns a job for an answer.

    Args:
        job: at this moment.
        root: path that the service is served below, behind a proxy.
    """
    request, state = job.request, job.state
    here = f"{root}/jobs/{job.id}"
    links = [Link(rel="self", href=here, type="application/json")]
    if not state.is_finished:
        links.append(Link(rel="monitor", href=f"{here}/events", type="text/event-stream"))
    if state.status in ("successful", "failed"):
        links.append(Link(rel="results", href=f"{here}/files", type="application/json"))
    return JobAnswer(
        id=job.id, name=request.name, status=state.status, caller=request.caller, created=request.created,
        started=state.started, finished=state.finished, progress=state.progress, step=state.step, message=state.message,
        seconds_left=state.seconds_left, attempts=state.attempts, model=request.model,
        inputs={kind: _shown(text) for kind, text in request.inputs.items()}, options=request.options,
        warnings=state.warnings, problem=state.problem, results=state.results, links=links,
    )  # fmt: skip


def _shown(text: str) -> str:
    """Returns an input without a folder of this machine, and without what signs an address."""
    return text.partition("?")[0] if "://" in text else without_paths(text)
