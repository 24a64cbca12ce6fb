"""`/models`: the records of the models that are served."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from flood_seg.service.models import ServedModel
from flood_seg.service.problems import documented
from flood_seg.service.security.auth import allowed
from flood_seg.service.state import ServiceOf
from flood_seg.spec import ModelSpec

router = APIRouter(
    prefix="/models", tags=["models"], dependencies=[Depends(allowed("read"))],
    responses=documented(HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS),
)  # fmt: skip


class ModelRecord(BaseModel):
    """A model that is served."""

    name: str
    engine: str
    spec: ModelSpec

    @classmethod
    def of(cls, model: ServedModel) -> ModelRecord:
        """Returns that of a loaded model."""
        return cls(name=model.name, engine=model.engine, spec=model.spec)


class ModelList(BaseModel):
    """All models, the one that is used where a request names none first."""

    models: list[ModelRecord]


@router.get("")
async def list_models(service: ServiceOf) -> ModelList:
    """Returns the models that are served; the first one is used where a request names none."""
    return ModelList(models=[ModelRecord.of(model) for model in service.models])


@router.get("/{name}", responses=documented(HTTPStatus.NOT_FOUND))
async def get_model(name: str, service: ServiceOf) -> ModelRecord:
    """Returns the ModelSpec of a model: classes, bands, size, normalization, provenance."""
    return ModelRecord.of(service.models.get(name))
