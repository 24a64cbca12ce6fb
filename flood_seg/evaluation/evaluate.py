"""The evaluate verb: how good a model is on a data set, photo by photo, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.console import counted, say, show_table, warn
from flood_seg.data.groups import read_groups
from flood_seg.data.layout import choose_pairs
from flood_seg.data.reading import SampleReader
from flood_seg.evaluation import summary
from flood_seg.evaluation.agreement import check_same_spec
from flood_seg.evaluation.gallery import Gallery
from flood_seg.evaluation.measure import MAIN, Contestant, ImageResult, Measurer, measure_all
from flood_seg.evaluation.rows import Row, image_rows, write_rows
from flood_seg.files import check_writable, write_json
from flood_seg.inference.engines import open_backend, parse_engine, with_streams
from flood_seg.inference.models import default_model
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.tta import Views
from flood_seg.metrics.calibration import Reliability
from flood_seg.metrics.confusion import image_ious
from flood_seg.metrics.curve import Curve, check_goal, sweep
from flood_seg.plots.classes import plot_confusion, show_classes
from flood_seg.skipped import EVERY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema import EvaluateConfig, EvaluationOptions
    from flood_seg.inference.predictor import Backend
    from flood_seg.spec import ModelSpec

ADVICE = ("f1", "iou", "recall>=0.95", "precision>=0.9")  # goals that the page lists


@dataclass(frozen=True)
class Evaluated:
    """All that is known of a model after an evaluation.

    Attributes:
        record: the figures as plain values, what `metrics.json` holds.
        rows: a photo's figures each.
        gallery: the best and the worst photos, with pictures.
        curve: every threshold's figures; None of several classes.
        reliability: as it is, and with the temperature that was found.
        backend: of the model.
    """

    record: dict[str, Any]
    rows: list[Row]
    gallery: Gallery
    curve: Curve | None
    reliability: tuple[Reliability, Reliability]
    backend: Backend

    @property
    def spec(self) -> ModelSpec:
        """Of the model."""
        return self.backend.spec


def evaluate(
    config: EvaluateConfig, model: str | None = None, out: Path | None = None, at_network_size: bool = False
) -> Evaluated:
    """Predicts every photo of a data set and counts its pixels.

    Args:
        config: the data set, the part of it, the backend, the threshold, and what else is wanted.
        model: a file, or an address of a Triton server; None: the newest run's model, else the one in the box.
        out: folder of `report.html`, `metrics.json`, `images.*` and `confusion.png`; None: nothing is written.
        at_network_size: count at the network's size, as training does; otherwise at each photo's own.

    Raises:
        DataError: no usable pair, no such part, or a mask has a value that the labels do not list.
        ModelError: the model that it is compared with is of another task, other classes, bands or another scale.
        UsageError: a goal or a grouping that is none.
    """
    path, options = model or str(default_model(Path(config.output_dir))[0]), config.evaluation
    if options.goal:
        check_goal(options.goal)
    if out:
        check_writable(out)
    pairs = choose_pairs(config.datamodule, config.part)
    groups = read_groups(options.groups, pairs) if options.groups else None
    engine = with_streams(_as_trained(config.backend) if at_network_size else config.backend, len(pairs))
    predictor = Predictor(open_backend(engine, path), config.threshold, config.value_scale)
    reader = SampleReader.for_model(config.datamodule, predictor.spec)
    contestants = _contestants(predictor, options, len(pairs), config.value_scale)
    say(f"{path}, {predictor.backend.description}, on {counted(len(pairs), 'photo')} of {config.datamodule.place}")
    gallery, results, logits = Gallery(options.examples), list[ImageResult](), summary.Logits()
    measurer = Measurer(contestants, reader, options.boundary, at_network_size, _listing(out))
    for result in measure_all(measurer, pairs):
        gallery.add(result, float(image_ious(result.matrix[None], predictor.spec.task)[0]))
        logits.take(result)
        results.append(result)
    rows = image_rows(results, predictor.spec, options.boundary, groups)
    head = {
        "model": path,
        "engine": predictor.backend.description,
        "data": config.datamodule.place,
        "images": len(results),
        "left_out": sorted({pair.stem for pair in pairs} - {result.stem for result in results}),
        "faults": measurer.left_out.reasons,
        "at_network_size": at_network_size,
        "unusual_values": [result.stem for result in results if result.shift > config.max_input_shift],
    }
    evaluated = _summarize(head, results, logits, rows, groups, gallery, predictor, options)
    _show(evaluated, options)
    if out:
        _write(out, evaluated, options)
    return evaluated


def _listing(out: Path | None) -> str:
    return f"{out / 'metrics.json'} lists each under faults" if out else f"--out FOLDER lists each, or {EVERY}"


def _as_trained(node: dict[str, Any]) -> dict[str, Any]:
    """Lets a checkpoint that is to be counted as training does it also compute as training did."""
    open_precision = str(node.get("_target_", "")).endswith("TorchBackend") and not node.get("precision")
    return node | ({"precision": "trained"} if open_precision else {})


def _contestants(
    predictor: Predictor, options: EvaluationOptions, photos: int, value_scale: float | None
) -> list[Contestant]:
    """Returns the model, the same without views where it has some, and the one that it is compared with."""
    views = Views(options.tta, tuple(options.scales))
    contestants = [Contestant(MAIN, predictor, views)]
    if not views.is_one:
        contestants.append(Contestant("plain", predictor))
    if options.compare:
        engine = parse_engine(options.compare)
        other = Predictor(open_backend(with_streams(engine.node(), photos), engine.model), value_scale=value_scale)
        check_same_spec(predictor.spec, other.spec, options.compare)
        contestants.append(Contestant("other", other))
    return contestants


def _summarize(
    head: dict[str, Any], results: Sequence[ImageResult], logits: summary.Logits, rows: list[Row],
    groups: dict[str, str] | None, gallery: Gallery, predictor: Predictor, options: EvaluationOptions,
) -> Evaluated:  # fmt: skip
    spec, rounds = predictor.spec, options.bootstrap
    before, after, temperature = summary.calibrate(logits, spec)
    chosen = temperature if options.calibrate else spec.temperature
    curve = None if logits.counts is None else sweep(logits.counts, chosen)
    record = head | {"threshold": predictor.threshold, "temperature": spec.temperature}
    record |= summary.overall(results, rows, spec.task, options.boundary)
    record["intervals"] = summary.spread(results, rows, spec.task, options.boundary, rounds)
    record["classes"] = summary.classes_of(results, spec)
    record["confusion"] = sum(result.matrix for result in results).tolist()  # type: ignore[union-attr]
    record["slices"] = summary.of_slices(results, rows, spec, rounds)
    if groups is not None:
        record["groups"] = summary.of_groups(results, groups, spec, rounds)
    record["calibration"] = {"ece": before.ece, "best_temperature": temperature, "ece_at_best": after.ece}
    if curve is not None:
        record["average_precision"] = curve.average_precision
        goals = dict.fromkeys((*ADVICE, *_goal(options)))
        record["thresholds"] = {goal: summary.best_of(curve, goal) for goal in goals}
    record["seconds"] = sum(result.seconds[MAIN] for result in results)
    for name, key in (("plain", "views"), ("other", "comparison")):
        if name in results[0].matrices:
            record[key] = summary.against(results, name, spec, rounds)
    if "comparison" in record:
        record["comparison"]["model"] = options.compare
    record["found"] = _found(record, predictor, options)
    return Evaluated(record, rows, gallery, curve, (before, after), predictor.backend)


def _goal(options: EvaluationOptions) -> list[str]:
    return [options.goal] if options.goal else []


def _found(record: dict[str, Any], predictor: Predictor, options: EvaluationOptions) -> dict[str, float]:
    """Returns the threshold and the temperature that the spec would get by --save."""
    spec = predictor.spec
    temperature = record["calibration"]["best_temperature"] if options.calibrate else spec.temperature
    threshold = summary.same_decision(predictor.threshold, spec.temperature, temperature)
    if options.goal and "thresholds" not in record:
        warn(f"--goal {options.goal}: a threshold is of two classes; this model decides for the likeliest of several")
    elif options.goal and (best := record["thresholds"][options.goal]):
        threshold = best["threshold"]
    elif options.goal:
        warn(f"--goal {options.goal}: is reached at no threshold; the threshold stays {threshold:.3f}")
    return {"threshold": threshold, "temperature": temperature}


def _show(evaluated: Evaluated, options: EvaluationOptions) -> None:
    record = evaluated.record
    if unusual := record["unusual_values"]:
        names = ", ".join(unusual[:3]) + (", ..." if len(unusual) > 3 else "")
        warn(f"{counted(len(unusual), 'photo')} with unusual values (input_shift above max_input_shift): {names}")
    where = "network size" if record["at_network_size"] else "each photo's own size"
    rows = []
    for name, value in record.items():
        if isinstance(value, float) and name not in ("seconds", "threshold", "temperature"):
            interval = record["intervals"].get(name)
            rows.append((name, f"{value:.4f}", f"{interval[0]:.4f} – {interval[1]:.4f}" if interval else ""))
    show_table(f"{record['images']} photos at {where}", ("metric", "value", "95 % interval"), rows)
    show_classes(record["classes"])
    if "groups" in record:
        groups = [
            (one["name"], one["images"], f"{one['iou']:.4f}", "{:.4f} – {:.4f}".format(*one["iou_interval"]))
            for one in record["groups"]
        ]
        show_table("Each group", ("group", "photos", "IoU", "95 % interval"), groups)
    for key, text in (("views", "Views add"), ("comparison", "The model against the other one:")):
        if key in record:
            say(_difference(record[key], text))
    if options.goal and (best := record.get("thresholds", {}).get(options.goal)):
        say(f"Best for {options.goal}: " + ", ".join(f"{name} {value:.4f}" for name, value in best.items()))
    if options.calibrate:
        found = record["calibration"]
        say(
            f"Temperature {found['best_temperature']:.3f}: expected calibration error {found['ece_at_best']:.4f}, "
            f"{found['ece']:.4f} now"
        )


def _difference(found: dict[str, Any], text: str) -> str:
    times = found["seconds"] / max(found["other_seconds"], 1e-9)
    return (
        f"{text} {found['difference']:+.4f} IoU ({found['low']:+.4f} to {found['high']:+.4f}), better on "
        f"{found['wins']} photos, worse on {found['losses']}; {times:.1f} times the time"
    )


def _write(folder: Path, evaluated: Evaluated, options: EvaluationOptions) -> None:
    from flood_seg.evaluation.report import write_report

    write_json(folder / "metrics.json", evaluated.record)
    files = write_rows(folder, evaluated.rows)
    plot_confusion(evaluated.record["confusion"], evaluated.spec.class_names, folder / "confusion.png")
    write_report(folder / "report.html", evaluated, options)
    names = ["report.html", "metrics.json", *(file.name for file in files), "confusion.png"]
    say(", ".join(str(folder / name) for name in names))
