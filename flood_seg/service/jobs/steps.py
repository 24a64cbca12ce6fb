"""The steps of a job: which there are, the command of each, and the figures that it leaves.

The paths in commands are relative to the folder of the job, where they run, so that no text in the results tells where
on this machine they were made.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from flood_seg.config.overrides import as_override
from flood_seg.products.stac_item import RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from flood_seg.service.jobs.records import Job

OF_MAP = ("before", "permanent", "cloud")
OF_IMPACT = ("roads", "buildings", "population", "places", "depots")
AREA_FOLDER, IMPACT_FOLDER, REPORT_FOLDER = "area", "impact", "sitrep"
PROGRESS = "progress.json"
SHARES = {"fetch": 10, "map": 75, "flood-area": 5, "impact": 10, "truth": 3, "report": 2}  # of the time, about
FIGURES = ("shares", "area_m2", "unobserved_share", "cloud_share", "polygons", "threshold", "scale", "input_shift",
           "change_area_m2", "flood_area_m2", "missing")  # fmt: skip


def plan_steps(inputs: Mapping[str, str]) -> list[str]:
    """Returns the names of the steps for the inputs that there are, in their order."""
    impact = any(name in inputs for name in OF_IMPACT)
    steps = ["fetch"] if any("://" in one for one in inputs.values()) else []
    steps.append("map")
    steps += ["flood-area"] if "districts" in inputs else []
    steps += ["impact"] if impact else []
    steps += ["truth"] if "truth" in inputs else []
    concludes = impact or any(name in inputs for name in ("districts", "before", "permanent"))
    return steps + (["report"] if concludes and _has_report() else [])


def _has_report() -> bool:
    return all(find_spec(package) for package in ("babel", "jinja2"))


def step_command(step: str, job: Job, model: Sequence[str], executor: Sequence[str]) -> list[str]:
    """Returns the words of a step's command, after `flood-seg`.

    Args:
        step: its name.
        job: that this process runs.
        model: flags and overrides of the model that is served.
        executor: overrides that choose where blocks are computed.
    """
    inputs = job.request.inputs
    work = job.work.relative_to(job.folder)
    results = str(work / "results")

    def given(names: Sequence[str]) -> list[str]:
        return [word for name in names if name in inputs for word in (f"--{name}", local_input(job, name))]

    if step == "map":
        chosen = [as_override(key, value) for key, value in job.request.options.items()]
        return ["map", *model, "--image", local_input(job, "scene"), "--out", results, *given(OF_MAP), *chosen,
                *executor, as_override("map.progress_file", str(work / PROGRESS))]  # fmt: skip
    if step == "flood-area":
        return [step, "--results", results, *given(["districts"]), "--out", f"{results}/{AREA_FOLDER}"]
    if step == "impact":
        return [step, "--flood", results, *given([*OF_IMPACT, "districts"]), "--out", f"{results}/{IMPACT_FOLDER}"]
    if step == "report":
        folders = {"--area": "flood-area", "--impact": "impact"}
        there = [word for flag, one in folders.items() if one in job.request.steps
                 for word in (flag, f"{results}/{AREA_FOLDER if flag == '--area' else IMPACT_FOLDER}")]  # fmt: skip
        return [step, "--results", results, *there, "--out", f"{results}/{REPORT_FOLDER}",
                "report.formats=[html,csv,gpkg]"]  # fmt: skip
    if step == "truth":
        return [step, results, local_input(job, "truth")]
    targets = {own_place(job, name): address for name, address in inputs.items() if "://" in address}
    return [step, json.dumps(targets)]


def local_input(job: Job, name: str) -> str:
    """Returns where an input is read: uploaded, fetched or linked in the folder of the job, or elsewhere."""
    text, here = job.request.inputs[name], own_place(job, name)
    return here if "://" in text or (job.folder / here).is_symlink() else text


def own_place(job: Job, name: str) -> str:
    """Returns where an input from elsewhere is fetched or linked to, relative to the folder of the job."""
    text = job.request.inputs[name]
    return f"inputs/{name}{PurePosixPath(unquote(urlsplit(text).path) if '://' in text else text).suffix.lower()}"


def progress_of(job: Job, step: str, share: float) -> float:
    """Returns the share of a job that is done, in [0, 1], with a share of one step."""
    steps = job.request.steps
    before = sum(SHARES[one] for one in steps[: steps.index(step)])
    return round((before + SHARES[step] * share) / sum(SHARES[one] for one in steps), 4)


def figures_of(step: str, results: Path) -> tuple[dict[str, Any], list[str]]:
    """Returns the main figures of a step that is done, and its warnings."""
    found, warnings = _READ[step](results) if step in _READ else ({}, [])
    return found, [str(one) for one in warnings]


def _map(results: Path) -> tuple[dict[str, Any], list[str]]:
    record = _json(results / RECORD)["properties"]
    found = {key: record[f"flood_seg:{key}"] for key in FIGURES if record.get(f"flood_seg:{key}") is not None}
    return found, record["flood_seg:warnings"]


def _area(results: Path) -> tuple[dict[str, Any], list[str]]:
    from flood_seg.analysis.area.files import JSON  # not before a job has such a step

    record = _json(results / AREA_FOLDER / JSON)
    found = {"meaning": record["meaning"], "total": record["total"], "districts": len(record["districts"])}
    return found, record["warnings"]


def _impact(results: Path) -> tuple[dict[str, Any], list[str]]:
    from flood_seg.analysis.impact.files import JSON

    record = _json(results / IMPACT_FOLDER / JSON)
    found = {"meaning": record["meaning"], "total": record["total"], "districts": len(record["districts"])}
    return found | {"places": len(record["places"])}, record["warnings"]


def _truth(results: Path) -> tuple[dict[str, Any], list[str]]:
    from flood_seg.analysis.comparison.truth import TRUTH

    record = _json(results / TRUTH)
    return {key: value for key, value in record.items() if key != "warnings"}, record["warnings"]


_READ: dict[str, Callable[[Path], tuple[dict[str, Any], list[str]]]] = {
    "map": _map, "flood-area": _area, "impact": _impact, "truth": _truth,
}  # fmt: skip


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())
