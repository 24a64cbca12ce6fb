"""`/jobs`: scenes that are mapped, and how far they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from flood_seg.service.jobs.answers import JobAnswer, JobList, job_answer
from flood_seg.service.jobs.intake.accept import Intake, accept_job
from flood_seg.service.jobs.intake.receive import TEXTS
from flood_seg.service.jobs.records import INPUTS, Job, Status
from flood_seg.service.problems import Problem, documented
from flood_seg.service.security.access import Caller
from flood_seg.service.security.auth import allowed
from flood_seg.service.state import Service, ServiceOf

router = APIRouter(prefix="/jobs", tags=["jobs"])
Reader = Annotated[Caller, Depends(allowed("read"))]
Predicter = Annotated[Caller, Depends(allowed("predict"))]

POLL_SECONDS = 0.3  # of a job whose events are sent
_FILE = {"type": "string", "format": "binary"}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": dict.fromkeys(INPUTS, _FILE) | {key: {"type": "string"} for key in TEXTS},
                    "additionalProperties": False,
                }
            }
        },
    }
}

_REPEATED: dict[int | str, dict[str, Any]] = {
    200: {"model": JobAnswer, "description": "The job of an earlier request with the same Idempotency-Key"}
}
_GONE: dict[int | str, dict[str, Any]] = {204: {"description": "The job was finished and is removed"}}
_NONE = documented(HTTPStatus.NOT_FOUND)


@router.post(
    "", status_code=HTTPStatus.CREATED, openapi_extra=_FORM,
    responses=_REPEATED | documented(
        HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.INSUFFICIENT_STORAGE,
    ),
)  # fmt: skip
async def create_job(
    request: Request, response: Response, service: ServiceOf, caller: Predicter,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> JobAnswer:  # fmt: skip
    """Accepts a scene to be mapped.

    The form has the file `scene`, or its `path`: below the data folder of the service, or an allowed address. Each
    other input is a file, or NAME_path. `threshold` is in [0, 1], `options` a JSON object of keys of `map`.
    """
    if not service.ready:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the service is stopping")
    intake = Intake(service.jobs, service.models, service.config.serve)
    job, is_new = await accept_job(request, intake, caller.name, idempotency_key)
    root = request.scope.get("root_path", "")
    response.headers["Location"] = f"{root}/jobs/{job.id}"
    response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return job_answer(job, root)


@router.get("")
async def list_jobs(
    request: Request, service: ServiceOf, caller: Reader, status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50, offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> JobList:  # fmt: skip
    """Returns the jobs, the newest first."""

    def read() -> tuple[list[Job], int]:
        found = [job for job in service.jobs.store if status in (None, job.state.status)]
        return list(islice(found, offset, offset + limit)), len(found)

    jobs, total = await run_in_threadpool(read)
    root = request.scope.get("root_path", "")
    return JobList(jobs=[job_answer(job, root) for job in jobs], total=total, limit=limit, offset=offset)


@router.get("/{job_id}", responses=_NONE)
async def get_job(job_id: str, request: Request, service: ServiceOf, caller: Reader) -> JobAnswer:
    """Returns a job and how far it is."""
    return job_answer(await run_in_threadpool(service.jobs.store.get, job_id), request.scope.get("root_path", ""))


@router.delete(
    "/{job_id}",
    response_model=JobAnswer,
    responses=_GONE | documented(HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN),
)
async def delete_job(job_id: str, request: Request, service: ServiceOf, caller: Predicter) -> Any:
    """Dismisses a job that waits or runs, and returns it; removes a finished one with its files."""
    job = await run_in_threadpool(service.jobs.store.get, job_id)
    if job.request.caller != caller.name and not caller.may("admin"):
        raise Problem(HTTPStatus.FORBIDDEN, "the job is another caller's; the role admin may delete it")
    left = await run_in_threadpool(service.jobs.delete, job)
    return job_answer(left, request.scope.get("root_path", "")) if left else Response(status_code=HTTPStatus.NO_CONTENT)


async def _job_of(job_id: str, service: ServiceOf, caller: Reader) -> Job:
    """Finds a job before the stream begins, so that a missing one is 404."""
    return await run_in_threadpool(service.jobs.store.get, job_id)


@router.get("/{job_id}/events", response_class=EventSourceResponse, responses=_NONE)
async def job_events(
    job: Annotated[Job, Depends(_job_of)], request: Request, service: ServiceOf
) -> AsyncIterator[ServerSentEvent]:
    """Sends the job whenever it changes, as event `state`, until it is finished."""
    root, last = request.scope.get("root_path", ""), None
    async for answer in _changes(job, service, root):
        if answer != last:
            last = answer
            yield ServerSentEvent(data=answer.model_dump(), event="state")


async def _changes(job: Job, service: Service, root: str) -> AsyncIterator[JobAnswer]:
    current: Job | None = job
    while current:
        yield job_answer(current, root)
        if current.state.is_finished or not service.ready:
            return
        await asyncio.sleep(POLL_SECONDS)
        current = await run_in_threadpool(service.jobs.store.find, job.id)
