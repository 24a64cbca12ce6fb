"""Makes a job of a request: receives its form, checks its inputs, and accepts it once."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from flood_seg.errors import ImageError
from flood_seg.files import write_text
from flood_seg.imaging.bands import BandSelection
from flood_seg.scenes.scene import Scene
from flood_seg.service.jobs.intake.read import Asked, read_form
from flood_seg.service.jobs.intake.receive import Form, receive_form
from flood_seg.service.jobs.jobs import GB
from flood_seg.service.jobs.model_words import model_digest
from flood_seg.service.jobs.records import SCENE, Job, JobRequest, new_id
from flood_seg.service.jobs.run import now
from flood_seg.service.jobs.steps import plan_steps
from flood_seg.service.jobs.store import KEYS
from flood_seg.service.problems import Problem
from flood_seg.service.security.inputs import check_file

if TYPE_CHECKING:
    from fastapi import Request

    from flood_seg.config.schema.service import ServeOptions
    from flood_seg.service.jobs.jobs import Jobs
    from flood_seg.service.models import Models, ServedModel


@dataclass(frozen=True)
class Intake:
    """Where jobs go, and what they may ask for.

    Attributes:
        jobs: of the service.
        models: that are served.
        options: `serve`.
    """

    jobs: Jobs
    models: Models
    options: ServeOptions


async def accept_job(request: Request, intake: Intake, caller: str, key: str | None) -> tuple[Job, bool]:
    """Accepts the job that a request asks for.

    Args:
        request: whose body has not been read.
        intake: of the service that is asked.
        caller: its name.
        key: an Idempotency-Key: a repeated request is the same job.

    Returns:
        the job, and whether it is new.

    Raises:
        Problem: the form or an input is wrong or too large, the disk or the quota is full, or the key is of another
            request.
        FloodSegError: an input or an option cannot be used.
    """
    jobs = intake.jobs
    room, too_much = await run_in_threadpool(_room, intake, request.headers.get("content-length"))
    identifier = new_id()
    folder = await run_in_threadpool(jobs.store.prepare, identifier)
    try:
        stream, kind = request.stream(), request.headers.get("content-type")
        form = await receive_form(kind, stream, folder, room, too_much, digests=key is not None)
        return await run_in_threadpool(_accept, intake, caller, key, form, identifier, folder)
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "the connection was closed before all had arrived") from None
    finally:  # of a job that was accepted there is no such folder any more
        await run_in_threadpool(partial(shutil.rmtree, folder, ignore_errors=True))


def _room(intake: Intake, length: str | None) -> tuple[int, Problem]:
    """Returns the bytes that the files of a request may have, and what is answered if they have more."""
    limit, left = int(intake.options.limits.upload_gb * GB), intake.jobs.room()
    if left < limit:
        full = Problem(
            HTTPStatus.INSUFFICIENT_STORAGE, "the quota of the jobs is used up; delete jobs that are not needed"
        )
        if left <= 0 or int(length or 0) > left + limit // 100:
            raise full
        return left, full
    detail = f"the files are larger than {limit / GB:g} GB together, the limit of uploads"
    return limit, Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def _accept(
    intake: Intake, caller: str, key: str | None, form: Form, identifier: str, folder: Path
) -> tuple[Job, bool]:
    """Checks what was received, and accepts it; blocks."""
    asked = read_form(form, intake.options.security)
    model = intake.models.get(asked.model)
    digest = _digest(form)
    store = intake.jobs.store
    entry = store.folder / KEYS / f"{sha256(f'{caller} {key}'.encode()).hexdigest()}.json"
    if key is not None and (known := _known(intake.jobs, entry, digest)):
        return known, False
    _check_inputs(asked, model, folder)
    job = JobRequest(
        identifier, now(), caller, asked.name, model.name, asked.inputs, asked.options, plan_steps(asked.inputs),
        digest, model_digest(model.file),
    )  # fmt: skip
    with intake.jobs.accepting:  # the same request may have come twice at the same time
        if key is not None and (known := _known(intake.jobs, entry, digest)):
            return known, False
        if key is not None:  # first: a key without its job does no harm
            write_text(entry, json.dumps({"job": job.id, "digest": digest}))
        accepted = store.accept(job)
    intake.jobs.accepted(accepted)
    return accepted, True


def _known(jobs: Jobs, entry: Path, digest: str) -> Job | None:
    """Returns the job of an Idempotency-Key; None where there is none any more."""
    try:
        found = json.loads(entry.read_bytes())
    except (OSError, ValueError):
        return None
    job = jobs.store.find(found["job"])
    if job and found["digest"] != digest:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "this Idempotency-Key is of another request; choose a new one")
    return job


def _digest(form: Form) -> str:
    files: dict[str, Any] = {kind: asdict(file) for kind, file in form.files.items()}
    return sha256(json.dumps([form.texts, files], sort_keys=True).encode()).hexdigest()


def _check_inputs(asked: Asked, model: ServedModel, folder: Path) -> None:
    """Checks the inputs that are here already; those that are addresses are checked when they are fetched."""
    for text in asked.inputs.values():
        if "://" not in text:
            check_file(folder / text)  # an absolute path stays as it is
    scene = folder / asked.inputs[SCENE]
    if "://" not in asked.inputs[SCENE]:
        try:
            with Scene.open(scene, BandSelection.of(model.spec)):
                pass
        except ImageError as error:
            raise ImageError(str(error).replace(str(scene), asked.name)) from error
