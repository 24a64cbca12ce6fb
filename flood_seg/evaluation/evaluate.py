"""Evaluates a model on images with masks: predicts each image and counts its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flood_seg.console import warn
from flood_seg.data.groups import read_groups
from flood_seg.data.reading import SampleReader
from flood_seg.evaluation import summary
from flood_seg.evaluation.agreement import check_same_spec
from flood_seg.evaluation.evaluated import Evaluated
from flood_seg.evaluation.gallery import Gallery
from flood_seg.evaluation.measure import MAIN, Contestant, ImageResult, Measurer, measure_all
from flood_seg.evaluation.rows import Row, image_rows
from flood_seg.inference.engines import open_backend, parse_engine, with_streams
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.tta import Augmentations
from flood_seg.metrics.confusion import image_ious
from flood_seg.metrics.curve import sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema import DataConfig, EvaluationOptions
    from flood_seg.data.pairing import Pair

ADVICE = ("f1", "iou", "recall>=0.95", "precision>=0.9")  # goals that the report lists


def evaluate(
    predictor: Predictor, pairs: Sequence[Pair], data: DataConfig, options: EvaluationOptions, *, name: str,
    max_input_shift: float, at_network_size: bool = False, value_scale: float | None = None, listing: str = "",
) -> Evaluated:  # fmt: skip
    """Predicts every image of a data set and counts its pixels.

    Args:
        predictor: the model.
        pairs: the images and their masks.
        data: what they are of, which says how masks are read.
        options: what else is evaluated.
        name: of the model, for the record.
        max_input_shift: `input_shift` above which an image counts as unusual.
        at_network_size: count at the network's size, as training does; otherwise at each image's own.
        value_scale: of the images, for the model that this one is compared with; None: as its spec says.
        listing: where those that could not be read are listed, for the warning.

    Raises:
        DataError: no usable pair, or a mask has a value that the labels do not list.
        ModelError: the model that it is compared with is of another task, other classes, bands or another scale.
        UsageError: a grouping that is none.
    """
    groups = read_groups(options.groups, pairs) if options.groups else None
    reader = SampleReader.for_model(data, predictor.spec)
    contestants = _contestants(predictor, options, len(pairs), value_scale)
    gallery, results, logits = Gallery(options.examples), list[ImageResult](), summary.Logits()
    measurer = Measurer(contestants, reader, options.boundary, at_network_size, listing)
    for result in measure_all(measurer, pairs):
        gallery.add(result, float(image_ious(result.matrix[None], predictor.spec.task)[0]))
        logits.take(result)
        results.append(result)
    rows = image_rows(results, predictor.spec, options.boundary, groups)
    head = {
        "model": name,
        "engine": predictor.backend.description,
        "data": data.place,
        "images": len(results),
        "left_out": sorted({pair.stem for pair in pairs} - {result.stem for result in results}),
        "faults": measurer.left_out.reasons,
        "at_network_size": at_network_size,
        "unusual_values": [result.stem for result in results if result.shift > max_input_shift],
    }
    return _summarize(head, results, logits, rows, groups, gallery, predictor, options)


def _contestants(
    predictor: Predictor, options: EvaluationOptions, photos: int, value_scale: float | None
) -> list[Contestant]:
    """Returns the model, the same without views where it has some, and the one that it is compared with."""
    views = Augmentations(options.tta, tuple(options.scales))
    contestants = [Contestant(MAIN, predictor, views)]
    if not views.is_identity:
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
    return Evaluated(record, rows, gallery, curve, (before, after), spec)


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
