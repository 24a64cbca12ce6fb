"""Writes map.html, the web map of a scene. It holds all that it shows: its policy forbids every request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.classes import to_hex
from flood_seg.errors import ImageError
from flood_seg.files import write_text
from flood_seg.products.layers import Legend
from flood_seg.products.page.frame import Frame
from flood_seg.products.page.pictures import mask_picture, probability_picture, ramp
from flood_seg.products.page.polygons import read_polygons
from flood_seg.products.page.render import render
from flood_seg.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flood_seg.inference.predictor import Predictor
    from flood_seg.products.layers import DerivedLayer, LayerStatistics
    from flood_seg.scenes.scene import Scene

PAGE = "map.html"


def write_page(
    folder: Path,
    scene: Scene,
    model: str,
    predictor: Predictor,
    statistics: LayerStatistics,
    picture: Callable[[], str],
    warnings: Sequence[str] = (),
    derived: Sequence[DerivedLayer] = (),
    scale: str = "1",
) -> None:
    """Writes the web map of a scene from its layers.

    Args:
        folder: of mask.tif, maybe probability.tif and a vector layer, and of the page.
        scene: that was mapped.
        model: its file or address.
        predictor: the loaded model.
        statistics: of the layers.
        picture: returns the picture of the scene; see `scene_picture`.
        warnings: that the reader should know of.
        derived: layers in the folder that were made of the mask; they are shown instead of it.
        scale: pixels of the network per pixel of the scene, and why.

    Raises:
        ImageError: a layer cannot be read.
        OutputError: the page cannot be written.
    """
    frame, spec = Frame(scene), predictor.spec
    legend, total = Legend.of(spec), scene.height * scene.width
    left, bottom, right, top = frame.bounds
    notes, pictures = list(warnings), list[dict[str, Any]]()
    content: dict[str, Any] = {
        "name": scene.name,
        "facts": _facts(scene, frame, model, predictor, scale),
        "warnings": notes,
        "georeferenced": frame.ground is not None,
        "bounds": [[bottom, left], [top, right]],
        "outline": frame.outline[:, ::-1].tolist(),
        "pictures": pictures,
        "classes": _classes(legend, statistics.pixels, statistics.square_metres, total),
        "unobserved": statistics.unobserved / total,
        "derived": [{"title": one.title, "unobserved": 1 - sum(one.pixels) / total,
                     "classes": _classes(one.legend, one.pixels, one.square_metres, total, readable=True)}
                    for one in derived],
        "threshold": predictor.threshold if spec.task == "binary" else None,
        "version": __version__,
    }  # fmt: skip
    vectors = (folder / f"areas.{suffix}" for suffix in ("gpkg", "fgb", "geojson"))
    vector = next((path for path in vectors if path.is_file()), None)
    layer = folder / "probability.tif"
    with ThreadPoolExecutor() as pool:  # GDAL, GEOS and the encoders work without Python's lock
        mask = pool.submit(mask_picture, folder / "mask.tif", legend, frame)
        more = [pool.submit(mask_picture, folder / one.file, one.legend, frame) for one in derived]
        probability = pool.submit(probability_picture, layer, frame) if layer.is_file() else None
        drawn = pool.submit(read_polygons, vector, spec.class_names, frame) if vector else None
        try:
            pictures.append(_picture("Scene", picture(), 100))
        except ImageError:  # the layers have what could be read
            notes.append("the scene cannot be shown, its file is damaged")
        pictures.append(_picture("Result", mask.result(), 60, shown=not derived))
        for number, (one, drawing) in enumerate(zip(derived, more, strict=True), 1):
            pictures.append(_picture(one.title, drawing.result(), 60, shown=number == len(derived)))
        if probability:
            title = f"Probability of {spec.class_names[1]}" if spec.task == "binary" else "Probability of the result"
            pictures.append(_picture(title, probability.result(), 80, shown=False))
            steps = [[*map(int, color[:3]), round(color[3] / 255, 3)] for color in ramp()[::5]]
            content["ramp"] = {"title": title, "colors": steps}
        if vector and drawn:
            found = drawn.result()
            content["polygons"] = {"file": vector.name, "total": found.total, "features": found.features}
    write_text(folder / PAGE, render("map", content))


def _picture(title: str, source: str, opacity: int, *, shown: bool = True) -> dict[str, Any]:
    return {"title": title, "source": source, "opacity": opacity, "shown": shown}


def _classes(
    legend: Legend, pixels: Sequence[int], square_metres: Sequence[float] | None, total: int, *, readable: bool = False
) -> list[dict[str, Any]]:
    areas: Sequence[float | None] = square_metres or [None] * len(pixels)
    return [
        {"name": name.replace("_", " ") if readable else name, "color": to_hex(color), "share": count / total,
         "area": area}
        for name, color, count, area in zip(legend.names, legend.colors, pixels, areas, strict=True)
    ]  # fmt: skip


def _facts(scene: Scene, frame: Frame, model: str, predictor: Predictor, scale: str) -> list[tuple[str, str]]:
    size = f"{scene.width} × {scene.height} pixels"
    if scene.ground_sample_distance:
        size += f" of {scene.ground_sample_distance:.3g} m"
    facts = [("Model", "/".join(Path(model).parts[-2:])), ("Size", size), ("Scale", scale)]
    if predictor.spec.task == "binary":
        facts.append(("Threshold", f"{predictor.threshold:.3g}"))
    if scene.time:
        facts.append(("Acquired", _text(scene.time)))
    facts.append(("Processed", _text(datetime.now(UTC))))
    return [*facts, ("CRS", frame.ground.crs.name) if frame.ground else ("Location", "not georeferenced")]


def _text(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
