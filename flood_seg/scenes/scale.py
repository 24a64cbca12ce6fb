"""At which resolution a model is run on a scene, and the windows that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flood_seg.config.schema.scenes import AUTO, NATIVE, SCALES
from flood_seg.scenes.grid import Grid

if TYPE_CHECKING:
    from flood_seg.config.schema.scenes import WindowOptions
    from flood_seg.scenes.scene import Scene
    from flood_seg.spec import ModelSpec

SCALE_WARNING = 2.0  # a scene whose ground sample distance differs from the model's by more than this factor


@dataclass(frozen=True)
class Scale:
    """The resolution that a model is run at.

    Attributes:
        value: pixels of the network per pixel of the scene.
        reason: why, for users; empty: the configuration says so.
        warnings: on it.
    """

    value: float
    reason: str = ""
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Returns the value and the reason."""
        return f"{self.value:.3g}" + (f", {self.reason}" if self.reason else "")


def lay_windows(scene: Scene, spec: ModelSpec, options: WindowOptions) -> tuple[Grid, Scale]:
    """Returns the windows of a model on a scene and the scale; see `choose_scale`."""
    scale = choose_scale(options.scale, (scene.height, scene.width), scene.ground_sample_distance, spec)
    window = (max(1, round(spec.height / scale.value)), max(1, round(spec.width / scale.value)))
    return Grid.of((scene.height, scene.width), window, options.overlap, options.block_size), scale


def choose_scale(given: str, size: tuple[int, int], scene_distance: float | None, spec: ModelSpec) -> Scale:
    """Chooses how many pixels of the network a pixel of the scene is.

    Args:
        given: `auto`, `native` or a number.
        size: height and width of the scene in pixels.
        scene_distance: ground sample distance of the scene in metres; None: unknown.
        spec: of the model.
    """
    if scene_distance and spec.ground_sample_distance:
        return _by_distance(given, scene_distance, spec.ground_sample_distance)
    if given != AUTO:
        return Scale(1.0 if given == NATIVE else float(given))
    if spec.image_scales is None:
        return Scale(1.0)
    low, median, high = spec.image_scales
    if scene_distance:  # a mosaic, which has no frame
        return Scale(_allowed(median), "the median of the images that the model was trained on")
    fitting = max(spec.height / size[0], spec.width / size[1])
    scale = min(max(fitting, low), high)
    if scale == fitting:
        return Scale(_allowed(scale), "at which the shorter side fills a window")
    extreme = "smallest" if scale > fitting else "largest"
    return Scale(_allowed(scale), f"the {extreme} of the images that the model was trained on")


def _allowed(scale: float) -> float:
    return min(max(scale, SCALES[0]), SCALES[1])


def _by_distance(given: str, scene_size: float, model_size: float) -> Scale:
    fitting = scene_size / model_size
    scale = fitting if given == AUTO else 1.0 if given == NATIVE else float(given)
    if given == AUTO:
        reason = f"from {scene_size:.3g} m per pixel to {model_size:.3g} m"
        if max(fitting, 1 / fitting) <= SCALE_WARNING:
            return Scale(scale, reason)
        coarse = "; it lacks the detail that the model was trained on" if fitting > 1 else ""
        what = f"resampled by {scale:.3g} to the {model_size:.3g} m that the model was trained at"
        return Scale(scale, reason, [f"pixels of {scene_size:.3g} m, {what}{coarse}"])
    if max(fitting / scale, scale / fitting) > SCALE_WARNING:
        what = f"pixels of {scene_size / scale:.3g} m, the model was trained at {model_size:.3g} m"
        return Scale(scale, "", [f"map.scale={given} gives the model {what}; map.scale=auto resamples"])
    return Scale(scale)
