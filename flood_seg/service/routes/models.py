"""`/models`: the records of the models that are served."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter

from flood_seg.service.models import ServedModel
from flood_seg.service.state import ServiceOf

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
async def list_models(service: ServiceOf) -> dict[str, list[dict[str, Any]]]:
    """Returns the models that are served; the first one is used where a request names none."""
    return {"models": [_record(model) for model in service.models]}


@router.get("/{name}")
async def get_model(name: str, service: ServiceOf) -> dict[str, Any]:
    """Returns the ModelSpec of a model: classes, bands, size, normalization, provenance."""
    return _record(service.models.get(name))


def _record(model: ServedModel) -> dict[str, Any]:
    return {"name": model.name, "engine": model.engine, "spec": json.loads(model.spec.to_json())}
