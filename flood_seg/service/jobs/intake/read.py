"""Reads the fields of a form: what is asked for, with which inputs and options."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flood_seg.config.compose import compose
from flood_seg.config.overrides import as_override
from flood_seg.config.schema.scenes import MapConfig
from flood_seg.console import one_line
from flood_seg.service.jobs.records import INPUTS, SCENE
from flood_seg.service.problems import Problem
from flood_seg.service.security.inputs import resolve_input

if TYPE_CHECKING:
    from flood_seg.config.schema.service import SecurityOptions
    from flood_seg.service.jobs.intake.receive import Form

OPTIONS = ("scale", "overlap", "min_area", "min_hole", "simplify", "smooth", "vectors")  # of map
NAME_LENGTH = 120


@dataclass(frozen=True)
class Asked:
    """What a form asks for.

    Attributes:
        name: of the job.
        model: of those that are served; None: the default one.
        inputs: by kind, as in `JobRequest`.
        options: overrides of `flood-seg map` with their values.
    """

    name: str
    model: str | None
    inputs: dict[str, str]
    options: dict[str, Any]


def read_form(form: Form, security: SecurityOptions) -> Asked:
    """Reads a form.

    Raises:
        Problem: there is no scene, an input is given twice or not allowed, or an option is not known.
        ConfigError: an option has an impossible value.
    """
    inputs, first = dict[str, str](), ""
    for kind in INPUTS:
        key = "path" if kind == SCENE else f"{kind}_path"
        file, text = form.files.get(kind), form.texts.get(key)
        if file and text:
            raise _wrong(f"{kind}: is given as a file and as {key}; give one of them")
        if file:
            if not file.size:
                raise _wrong(f"{kind}: the file is empty")
            inputs[kind] = file.path
        elif text:
            inputs[kind] = resolve_input(text, security)
        first = first or (file.name if file else text or "").rpartition("/")[2].partition("?")[0]
    if SCENE not in inputs:
        raise _wrong("there is no scene; upload it as the file scene, or give path")
    if "depots" in inputs and not {"roads", "places"} <= set(inputs):
        raise _wrong("depots: which places reach a depot takes roads and places, too")
    name = one_line(form.texts.get("name") or first)[:NAME_LENGTH] or SCENE
    return Asked(name, form.texts.get("model"), inputs, _options(form))


def _options(form: Form) -> dict[str, Any]:
    try:
        given = json.loads(form.texts.get("options", "{}"))
    except (ValueError, RecursionError) as error:  # the latter of thousands of brackets
        raise _wrong(f"options: is no JSON ({error})") from error
    if not isinstance(given, dict):
        raise _wrong('options: give a JSON object, {"scale": "native"}')
    for key, value in given.items():
        if key not in OPTIONS:
            raise _wrong(f"options: {key[:40]!r} is not known; known are {', '.join(OPTIONS)}")
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int | float) for one in parts):
            raise _wrong(f"options: {key}: give a number, a text or a list of texts")
    chosen = {f"map.{key}": value for key, value in given.items()}
    if text := form.texts.get("threshold"):
        try:
            chosen["threshold"] = float(text)
        except ValueError as error:
            raise _wrong(f"threshold={text[:40]}: give a number in [0, 1]") from error
    if chosen:
        compose("map", [as_override(key, value) for key, value in chosen.items()], MapConfig)
    return chosen


def _wrong(detail: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
