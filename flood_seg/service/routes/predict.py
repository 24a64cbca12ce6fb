"""`/predict`: masks of images, while the caller waits."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64encode
from http import HTTPStatus
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile

from flood_seg.errors import FloodSegError
from flood_seg.imaging.optional import OptionalBands
from flood_seg.imaging.source import ImageSource
from flood_seg.service.models import ServedModel
from flood_seg.service.predict import GEOJSON, JSON, PNG, PredictStages, ServedImage, Wish, observe
from flood_seg.service.problems import Problem, documented
from flood_seg.service.security.access import Caller
from flood_seg.service.security.auth import allowed
from flood_seg.service.state import Service, ServiceOf
from flood_seg.service.upload import name_of, one_image, several_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from flood_seg.service.predict import Form

T = TypeVar("T")
router = APIRouter(prefix="/predict", tags=["predictions"])


class Timings(BaseModel):
    """Durations in milliseconds.

    `wait` is that until the model was free; `total` begins when the image has arrived, and has all waiting in it.
    """

    decode: float
    wait: float
    model: float
    postprocess: float
    encode: float
    total: float


class Prediction(BaseModel):
    """What a model finds on an image."""

    model: str = Field(description="Name of the model")
    engine: str = Field(description="Engine, device and precision")
    name: str = Field(description="File name of the image, as it was sent")
    width: int
    height: int
    classes: list[str] = Field(description="All classes, the background first")
    shares: dict[str, float] = Field(description="Share of the pixels of each class but the background, in [0, 1]")
    nodata_share: float = Field(description="Share of the pixels without data, in [0, 1]")
    threshold: float | None = Field(
        description="A pixel is foreground where its probability is above this; null: the model has several classes"
    )
    input_shift: float = Field(
        description="How far the values are from the training data's, in standard deviations; see the warnings"
    )
    warnings: list[str]
    missing: dict[str, float] = Field(
        description="Share of the pixels, in (0, 1], that a band is missing in which the model may miss"
    )
    mask: str = Field(
        description="PNG in base64: 0 and 255, or a multiclass model's label values",
        json_schema_extra={"contentEncoding": "base64", "contentMediaType": PNG},
    )
    probability: str | None = Field(None, description="PNG of 16 bits in base64: probability times 65535; if asked for")
    overlay: str | None = Field(None, description="PNG in base64: the image with its classes tinted; if asked for")
    timings_ms: Timings


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 defines it."""

    type: str
    title: str
    status: int
    detail: str


class Failure(BaseModel):
    """An image of several that could not be segmented."""

    name: str
    problem: ProblemDetails


class Predictions(BaseModel):
    """Results in the order of the images."""

    results: list[Prediction | Failure]


_BINARY = {"type": "string", "format": "binary"}
_FILE = {"type": "object", "properties": {"image": _BINARY}, "required": ["image"]}
_FILES = {"type": "object", "properties": {"images": {"type": "array", "items": _BINARY}}, "required": ["images"]}
_ONE = {"multipart/form-data": {"schema": _FILE}} | {
    kind: {"schema": _BINARY} for kind in ("application/octet-stream", "image/jpeg", "image/png", "image/tiff")
}
_ERRORS = documented(
    HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND,
    HTTPStatus.NOT_ACCEPTABLE, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)  # fmt: skip
_FORMS: dict[str, Any] = {PNG: {"schema": _BINARY}, GEOJSON: {"schema": {"type": "object"}}}

Threshold = Annotated[
    float | None, Query(ge=0, le=1, allow_inf_nan=False, description="Replaces the model's threshold")
]
ModelName = Annotated[str | None, Query(description="Name of a model of /models; by default the first one")]
Wanted = Annotated[bool, Query(description="Whether it is part of the answer")]
MayPredict = Annotated[Caller, Depends(allowed("predict"))]


@router.post(
    "", response_model=Prediction,
    responses={200: {"content": _FORMS}, **_ERRORS},
    openapi_extra={"requestBody": {"required": True, "content": _ONE}},
)  # fmt: skip
async def predict(
    request: Request, service: ServiceOf, caller: MayPredict, model: ModelName = None, threshold: Threshold = None,
    probability: Wanted = False, overlay: Wanted = False, accept: Annotated[str, Header()] = "*/*",
) -> Response:  # fmt: skip
    """Segments an image, which is the body or the field `image` of a multipart form.

    `Accept` chooses the answer: JSON with the mask; `image/png`, the mask, or the probability or the overlay where
    that is asked for; `application/geo+json`, polygons of a georeferenced image.
    """
    wish = Wish(choose_form(accept), threshold, probability, overlay)
    served = service.models.get(model)
    work = _Work(service, served, wish)
    async with one_image(request) as upload:
        service.metrics.batch.observe(1)
        return await service.lane.run(work.of(upload, work.respond), request.is_disconnected)


@router.post(
    "/batch", response_model=Predictions, responses=_ERRORS,
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FILES}}}},
)  # fmt: skip
async def predict_batch(
    request: Request, service: ServiceOf, caller: MayPredict, model: ModelName = None, threshold: Threshold = None,
    probability: Wanted = False,
) -> Response:  # fmt: skip
    """Segments several images, the field `images` of a multipart form; each has a result or a problem."""
    work = _Work(service, service.models.get(model), Wish(JSON, threshold, probability))
    limits = service.config.serve.limits
    async with several_images(request, limits.files) as uploads:
        service.metrics.batch.observe(len(uploads))
        service.lane.admit()
        turns = asyncio.Semaphore(service.lane.width)  # so that others come in between

        async def one(upload: UploadFile) -> str:
            async with turns:
                try:
                    if (upload.size or 0) > limits.body_mb * 1e6:
                        detail = f"{name_of(upload)}: is larger than {limits.body_mb:g} MB"
                        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
                    return await service.lane.run(work.of(upload, work.as_json), request.is_disconnected, admitted=True)
                except Problem as error:
                    return _failure(upload, error)
                except FloodSegError as error:
                    return _failure(upload, Problem.of(error))

        results = await asyncio.gather(*(one(upload) for upload in uploads))
    return Response(f'{{"results":[{",".join(results)}]}}', media_type=JSON)


def choose_form(accept: str) -> Form:
    """Returns the media type of the answer that an `Accept` header prefers; raises Problem 406 where it has none."""
    best: tuple[float, int] = (0.0, 2)  # nothing of quality 0
    found: Form | None = None
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        quality = next((word.removeprefix("q=") for word in parameters if word.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            continue
        for form in (JSON, PNG, GEOJSON):
            if kind in (form, f"{form.partition('/')[0]}/*", "*/*"):
                rank = (weight, 2 - kind.count("*"))
                if rank > best:
                    best, found = rank, form
                break
    if found is None:
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, f"Accept: give {JSON}, {PNG} or {GEOJSON}")
    return found


class _Work:
    """What is done in a thread for each upload of a request."""

    def __init__(self, service: Service, model: ServedModel, wish: Wish) -> None:
        self._service, self._model, self._wish = service, model, wish
        self._stages = PredictStages(model, wish, service.config, service.lane.turn)

    def of(self, upload: UploadFile, answer: Callable[[ServedImage, float], T]) -> Callable[[], T]:
        """Returns the work on an upload that has arrived just now."""
        arrived = time.perf_counter()

        def work() -> T:
            started = time.perf_counter()
            upload.file.seek(0)
            source = ImageSource(upload.file.read(), name_of(upload))
            item = ServedImage(given=source, name=source.name, wait_seconds=started - arrived)
            self._stages.answer(item)
            observe(item, self._model, self._service.metrics, self._service.config.max_input_shift)
            return answer(item, time.perf_counter() - arrived)

        return work

    def as_json(self, item: ServedImage, total: float) -> str:
        """Returns the answer in JSON."""
        pictures = {name: b64encode(picture).decode() for name, picture in item.pictures.items()}
        optional = OptionalBands.of(self._stages.spec) if item.missing else None
        found = Prediction(
            model=self._model.name, engine=self._model.engine, name=item.name, width=item.size[1], height=item.size[0],
            classes=list(self._stages.spec.class_names), shares=item.shares, nodata_share=item.nodata_share,
            threshold=self._stages.threshold, input_shift=round(item.shift, 3), warnings=item.warnings,
            missing=optional.record(item.missing)["missing"] if optional else {},
            timings_ms=Timings(**_timings(item, total)), **pictures,
        )  # fmt: skip
        return found.model_dump_json()

    def respond(self, item: ServedImage, total: float) -> Response:
        """Returns the response of a single image."""
        timing = ", ".join(f"{name};dur={value}" for name, value in _timings(item, total).items())
        headers = {"Server-Timing": timing, "Vary": "Accept"}
        if self._wish.form == JSON:
            return Response(self.as_json(item, total), headers=headers, media_type=JSON)
        if item.polygons is not None:
            about = {"model": self._model.name, "threshold": self._stages.threshold, "warnings": item.warnings,
                     "input_shift": round(item.shift, 3)}  # fmt: skip
            return Response(json.dumps(item.polygons | about, ensure_ascii=False), headers=headers, media_type=GEOJSON)
        ((kind, picture),) = item.pictures.items()
        file = quote(f"{PurePath(item.name).stem}_{kind}.png")
        headers["Content-Disposition"] = f"inline; filename*=utf-8''{file}"
        headers["Flood-Seg-Input-Shift"] = str(round(item.shift, 3))
        headers["Flood-Seg-Warnings"] = json.dumps(item.warnings)  # in ASCII
        return Response(picture, headers=headers, media_type=PNG)


def _timings(item: ServedImage, total: float) -> dict[str, float]:
    finish = item.finish_seconds or 0.0
    seconds = {
        "decode": item.read_seconds, "wait": item.wait_seconds, "model": sum(item.run_seconds),
        "postprocess": finish - item.encode_seconds, "encode": item.encode_seconds, "total": total,
    }  # fmt: skip
    return {name: round(value * 1e3, 2) for name, value in seconds.items()}


def _failure(upload: UploadFile, problem: Problem) -> str:
    details = json.loads(bytes(problem.response().body))
    return Failure(name=name_of(upload), problem=ProblemDetails(**details)).model_dump_json()
