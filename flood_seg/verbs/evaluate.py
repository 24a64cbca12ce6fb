"""`flood-seg evaluate`: evaluate a model on images with masks, and write a report."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import counted, say
from flood_seg.errors import UsageError
from flood_seg.skipped import EVERY
from flood_seg.verbs.common import as_overrides, as_path, data_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema import EvaluateConfig
    from flood_seg.data.pairing import Pair
    from flood_seg.evaluation.result import EvaluationResult
    from flood_seg.tracking.composite import Trackers
    from flood_seg.verbs.common import PathLike

TRACKED_FILES = ("report.html", "metrics.json", "images.csv", "images.json", "images.parquet", "confusion.png")


def evaluate(
    overrides: Sequence[str] = (),
    *,
    model: PathLike | None = None,
    data: PathLike | None = None,
    out: PathLike | None = None,
    at_network_size: bool = False,
    goal: str | None = None,
    calibrate: bool = False,
    save: bool = False,
    tta: bool = False,
    compare: str | None = None,
    groups: str | None = None,
) -> EvaluationResult:
    """Evaluate a model; raises and returns as `run_evaluation`."""
    from flood_seg.config.compose import compose
    from flood_seg.config.schema import EvaluateConfig
    from flood_seg.inference.engines import choose_engine

    flags = {"goal": goal, "compare": compare, "groups": groups, "calibrate": calibrate or None, "tta": tta or None}
    given = as_overrides({f"evaluation.{key}": value for key, value in flags.items()})
    engine, model = choose_engine(overrides, None if model is None else str(model))
    config = compose("evaluate", [*engine, *data_dir(data), *given], EvaluateConfig)
    return run_evaluation(config, model, as_path(out), at_network_size, save)


def run_evaluation(
    config: EvaluateConfig,
    model: str | None = None,
    out: Path | None = None,
    at_network_size: bool = False,
    save: bool = False,
) -> EvaluationResult:
    """Evaluates a model, prints and writes what was found, and hands it to the trackers.

    Args:
        config: the data set, the part of it, the backend, the threshold, and the options.
        model: a file, or the address of a Triton server; None: the newest run's model, else the bundled one.
        out: folder of `report.html`, `metrics.json`, `images.*` and `confusion.png`; None: nothing is written.
        at_network_size: count at the network's size, as training does; otherwise at each image's own.
        save: whether the model's spec gets the threshold of the goal, the temperature, and the rates of the images.

    Raises:
        UsageError: a goal or a grouping that is none.
        DataError: no usable pair, no such part, or a mask has a value that the labels do not list.
        ModelError: the model's spec cannot be changed, or the other model does not fit this one.
    """
    from flood_seg.data.layout import parts_of
    from flood_seg.data.prepare import prepare_data
    from flood_seg.evaluation.evaluate import evaluate as measure
    from flood_seg.evaluation.prediction_files import PredictionFiles
    from flood_seg.evaluation.report import write_files
    from flood_seg.evaluation.show import show
    from flood_seg.export.update_spec import check_writable as check_spec_writable
    from flood_seg.files import check_writable
    from flood_seg.inference.engines import as_trained, open_backend, with_streams
    from flood_seg.inference.models import choose_model
    from flood_seg.inference.predictor import Predictor
    from flood_seg.metrics.curve import check_goal

    options, (path, _) = config.evaluation, choose_model(model, config.output_dir)
    if options.scenes and at_network_size:
        raise UsageError(
            "--at-network-size: not with evaluation.scenes=true, which counts at each scene's own resolution"
        )
    if save:
        check_spec_writable(path)
    if options.goal:
        check_goal(options.goal)
    if out:
        check_writable(out)
    elif options.files:
        raise UsageError("evaluation.files: requires --out FOLDER")
    listing = f"{out / 'metrics.json'} lists each under faults" if out else f"--out FOLDER lists each, or {EVERY}"
    with ExitStack() as stack:
        trackers = _open_trackers(config, path, out) if config.logger else None
        if trackers:
            stack.push(lambda kind, *_: trackers.close(failed=kind is not None))
        prepare_data(config.datamodule)
        found, pairs = _find_pairs(config)
        runs = 100 if options.scenes else len(pairs)
        engine = with_streams(as_trained(config.backend) if at_network_size else config.backend, runs)
        predictor = Predictor(open_backend(engine, path), config.threshold, config.value_scale)
        description = predictor.backend.description
        kind = "scene" if options.scenes else "image"
        say(f"{path}, {description}, on {counted(len(pairs), kind)} of {config.datamodule.place}")
        files = None
        if out and options.files:
            images = {pair.stem: pair.image for pair in found if pair.window is None}
            files = PredictionFiles(out, options, predictor.spec, parts_of(config.datamodule, found), images)
        result = measure(
            predictor, pairs, config.datamodule, options, name=path, max_input_shift=config.max_input_shift,
            at_network_size=at_network_size, value_scale=config.value_scale, listing=listing,
            files=files, scenes=config.map if options.scenes else None,
        )  # fmt: skip
        show(result, options)
        if out:
            write_files(out, result, options)
        if trackers and out:
            _log(trackers, result, out)
    if trackers and trackers.description:
        say(trackers.description)
    if save:
        _save(result, _part(config, pairs), Path(path))
    return result


def _find_pairs(config: EvaluateConfig) -> tuple[list[Pair], Sequence[Pair]]:
    """Returns all samples, and those that are evaluated: of the part, or the scenes that have pixels of it."""
    from flood_seg.data.layout import choose_part, find_samples
    from flood_seg.evaluation.scene_pairs import find_scenes_of
    from flood_seg.imaging.gdal import import_rasterio

    if config.evaluation.scenes:
        import_rasterio()  # before any work, where it is not installed
        return [], find_scenes_of(config.datamodule, config.part)
    found, _ = find_samples(config.datamodule)
    return found, choose_part(config.datamodule, found, config.part)


def _part(config: EvaluateConfig, pairs: Sequence[Pair]) -> str:
    """Returns the part that is evaluated, where it is `auto`: see `choose_part`."""
    named = bool(config.datamodule.split_file) or any(pair.part for pair in pairs)
    return ("val" if named else "all") if config.part == "auto" else config.part


def _save(result: EvaluationResult, part: str, path: Path) -> None:
    """Writes the threshold and the temperature, and the rates of the images where they are those of its masks."""
    from flood_seg.export.update_spec import write_spec
    from flood_seg.metrics.image_rates import RATES_KEY

    found, provenance = result.record["found"], dict(result.spec.provenance)
    without = _why_no_rates(result, part)
    if result.rates and not without:
        provenance[RATES_KEY] = result.rates.to_record() | found | {"part": part}
    write_spec(path, replace(result.spec, **found, provenance=provenance))
    say(f"{path}: threshold {found['threshold']:.4f} and temperature {found['temperature']:.4f} written to its spec")
    with_rates = f"errors on {counted(result.record['images'], 'image')} written to its spec, for flood-seg flood-area"
    say(f"{path}: {without or with_rates}")


def _why_no_rates(result: EvaluationResult, part: str) -> str | None:
    """Returns why the errors of these images do not tell those of maps; None: they do."""
    from flood_seg.imaging.postprocess import same_masks

    if result.rates is None:
        return "no errors for flood-seg flood-area: they require two images or more"
    if part == "train":
        return "no errors for flood-seg flood-area: on images of the training they are too few"
    if "views" in result.record:
        return "no errors for flood-seg flood-area: maps are made without test-time augmentation"
    before, after = ((one["threshold"], one["temperature"]) for one in (result.record, result.record["found"]))
    if not same_masks(before, after):
        return "no errors for flood-seg flood-area yet: these are of another threshold; run evaluate --save once more"
    return None


def _open_trackers(config: EvaluateConfig, model: str, out: Path | None) -> Trackers:
    """Opens the trackers before anything is measured, so that one that does not answer costs seconds."""
    from flood_seg.tracking.composite import open_trackers
    from flood_seg.tracking.contract import RunInfo, git_commit

    if out is None:
        raise UsageError("logger: requires the report's files; give --out FOLDER")
    params = {f"evaluation.{name}": value for name, value in asdict(config.evaluation).items()}
    params |= {"model": model, "data": config.datamodule.place, "part": config.part}
    return open_trackers(config.logger, RunInfo(f"evaluate {out.name}", out, params, git_commit()))


def _log(trackers: Trackers, result: EvaluationResult, out: Path) -> None:
    metrics = {name: value for name, value in result.record.items() if isinstance(value, float)}
    trackers.log_metrics(metrics, 0)
    trackers.log_artifacts({"evaluation": [out / name for name in TRACKED_FILES]})
