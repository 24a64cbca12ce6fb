"""Evaluates a model on images with masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flood_seg.console import warn
from flood_seg.data.reading import SampleReader
from flood_seg.data.tables import read_groups
from flood_seg.evaluation import summary
from flood_seg.evaluation.agreement import check_same_spec
from flood_seg.evaluation.measure import MAIN, Evaluator, ImageResult
from flood_seg.evaluation.measure_scenes import SceneEvaluator
from flood_seg.evaluation.result import EvaluationResult, Gallery
from flood_seg.evaluation.rows import image_rows
from flood_seg.evaluation.tta import Augmentations, AugmentedBackend
from flood_seg.imaging.optional import OptionalBands
from flood_seg.inference.engines import open_backend, parse_engine, with_streams
from flood_seg.inference.predictor import Predictor
from flood_seg.metrics.confusion import by_class, task_metrics
from flood_seg.metrics.curve import sweep
from flood_seg.metrics.image_rates import ImageRates
from flood_seg.metrics.slices import group_slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema import DataConfig, EvaluationOptions, WindowOptions
    from flood_seg.data.pairing import Pair
    from flood_seg.evaluation.prediction_files import PredictionFiles

REPORTED_GOALS = ("f1", "iou", "recall>=0.95", "precision>=0.9")


def evaluate(
    predictor: Predictor, pairs: Sequence[Pair], data: DataConfig, options: EvaluationOptions, *, name: str,
    max_input_shift: float, at_network_size: bool = False, value_scale: float | None = None, listing: str = "",
    files: PredictionFiles | None = None, scenes: WindowOptions | None = None,
) -> EvaluationResult:  # fmt: skip
    """Predicts every image of a data set and computes the metrics.

    Args:
        predictor: the model.
        pairs: the images and their masks.
        data: the data set, whose options say how masks are read.
        options: bootstrap, boundary radii, test-time augmentation, comparison, groups, goal and calibration.
        name: of the model, for the record.
        max_input_shift: `input_shift` above which an image is reported as unusual.
        at_network_size: compute metrics at the network's input size, as training does; otherwise at each image's
            original size.
        value_scale: of the images, for the model of `options.compare`; None: the one in its spec.
        listing: where all skipped images are listed, for the warning.
        files: writes the predictions; None: nothing is written.
        scenes: how the images, `ScenePair`s where not all of their pixels count, are segmented in windows, as `map`
            does; None: each is resized to the network's input. On scenes, boundary F1 is not measured, and the logits
            are those of the blended probabilities.

    Raises:
        DataError: no usable pair, or a mask has a value that the labels do not list.
        ModelError: the model of `options.compare` differs in task, classes, bands or value scale.
        UsageError: `options.groups` is invalid.
    """
    spec, task, rounds = predictor.spec, predictor.spec.task, options.bootstrap
    groups = read_groups(options.groups, pairs) if options.groups else None
    reader = SampleReader.for_model(data, spec)
    candidates = _candidates(predictor, options, len(pairs), value_scale)
    gallery, results, logits = Gallery(options.examples), list[ImageResult](), summary.LogitStatistics()
    radii = [] if scenes else options.boundary
    evaluator: Evaluator | SceneEvaluator
    if scenes:
        evaluator = SceneEvaluator(candidates, reader, scenes, listing)
    else:
        evaluator = Evaluator(candidates, reader, radii, at_network_size, listing, files)
    for result in evaluator.evaluate(pairs):
        scores = task_metrics(result.matrix[None], task)
        gallery.add(result, scores.iou if options.rank_by == "iou" else scores.f1)
        logits.add(result)
        results.append(result)
    rows = image_rows(results, spec, radii, groups)
    record: dict[str, Any] = {
        "model": name,
        "engine": predictor.backend.description,
        "data": data.place,
        "images": len(results),
        "left_out": sorted({pair.stem for pair in pairs} - {result.stem for result in results}),
        "faults": evaluator.left_out.reasons,
        "at_network_size": at_network_size,
        "unusual_values": [result.stem for result in results if result.shift > max_input_shift],
        "threshold": predictor.threshold,
        "temperature": spec.temperature,
    }
    if spec.optional_bands:  # the number of images for each combination
        record["missing"] = OptionalBands.of(spec).count(result.missing for result in results)
    metrics, bounds = summary.overall(results, rows, task, radii, rounds)
    matrices = summary.stack(results)
    record |= metrics | {
        "intervals": bounds,
        "classes": by_class(matrices, spec.class_names),
        "confusion": matrices.sum(axis=0).tolist(),
        "slices": {
            title: summary.slice_metrics(results, slices, task, rounds)
            for title, slices in summary.property_slices(rows).items()
        },
    }
    if scenes and isinstance(evaluator, SceneEvaluator):
        record["scenes"] = {"overlap": scenes.overlap, "scale": evaluator.scales}
        record |= {f"boundary_f1_{radius}px": None for radius in options.boundary}
    if groups is not None:
        slices = group_slices([result.stem for result in results], groups)
        record["groups"] = summary.slice_metrics(results, slices, task, rounds)
    before, after, temperature = summary.calibrate(logits, spec)
    record["calibration"] = {"ece": before.ece, "best_temperature": temperature, "ece_at_best": after.ece}
    curve = None
    if logits.counts is not None:
        curve = sweep(logits.counts, temperature if options.calibrate else spec.temperature)
        record["average_precision"] = curve.average_precision
        goals = dict.fromkeys((*REPORTED_GOALS, *([options.goal] if options.goal else [])))
        record["thresholds"] = {goal: summary.best_for_goal(curve, goal) for goal in goals}
    record["seconds"] = sum(result.seconds[MAIN] for result in results)
    for candidate, key in (("plain", "views"), ("other", "comparison")):
        if candidate in candidates:
            record[key] = summary.compare_candidates(results, candidate, task, rounds)
    if "comparison" in record:
        record["comparison"]["model"] = options.compare
    record["found"] = _found(record, predictor, options)
    return EvaluationResult(record, rows, gallery, curve, (before, after), spec, ImageRates.of(matrices))


def _candidates(
    predictor: Predictor, options: EvaluationOptions, images: int, value_scale: float | None
) -> dict[str, Predictor]:
    """Returns the model, the model without test-time augmentation if that is on, and the model to compare with."""
    augmentations, candidates = Augmentations(options.tta, tuple(options.scales)), {MAIN: predictor}
    if not augmentations.is_identity:
        augmented = AugmentedBackend(predictor.backend, augmentations)
        candidates = {MAIN: Predictor(augmented, predictor.threshold, predictor.spec.value_scale), "plain": predictor}
    if options.compare:
        engine = parse_engine(options.compare)
        other = Predictor(open_backend(with_streams(engine.node(), images), engine.model), value_scale=value_scale)
        check_same_spec(predictor.spec, other.spec, options.compare)
        candidates["other"] = other
    return candidates


def _found(record: dict[str, Any], predictor: Predictor, options: EvaluationOptions) -> dict[str, float]:
    """Returns the threshold and the temperature that `--save` writes to the spec."""
    spec = predictor.spec
    temperature = record["calibration"]["best_temperature"] if options.calibrate else spec.temperature
    threshold = summary.equivalent_threshold(predictor.threshold, spec.temperature, temperature)
    if options.goal and "thresholds" not in record:
        warn(f"--goal {options.goal}: ignored; a multiclass model has no threshold, it takes the most probable class")
    elif options.goal and (best := record["thresholds"][options.goal]):
        threshold = best["threshold"]
    elif options.goal:
        warn(f"--goal {options.goal}: no threshold reaches it; the threshold stays {threshold:.3f}")
    return {"threshold": threshold, "temperature": temperature}
