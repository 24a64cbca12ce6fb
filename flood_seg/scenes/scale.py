"""At which resolution a model is run on a scene, and the windows that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.config.schema.scenes import AUTO, NATIVE
from flood_seg.scenes.grid import Grid

if TYPE_CHECKING:
    from flood_seg.config.schema.scenes import WindowOptions
    from flood_seg.scenes.scene import Scene
    from flood_seg.spec import ModelSpec

SCALE_WARNING = 2.0  # a scene whose ground sample distance differs from the model's by more than this factor


def lay_windows(scene: Scene, spec: ModelSpec, options: WindowOptions) -> tuple[Grid, float, list[str]]:
    """Returns the windows of a model on a scene, the scale, and warnings; see `choose_scale`."""
    scale, warnings = choose_scale(options.scale, scene.ground_sample_distance, spec.ground_sample_distance)
    window = (max(1, round(spec.height / scale)), max(1, round(spec.width / scale)))
    grid = Grid.of((scene.height, scene.width), window, options.overlap, options.block_size)
    return grid, scale, [f"{scene.source}: {warning}" for warning in warnings]


def choose_scale(given: str, scene_size: float | None, model_size: float | None) -> tuple[float, list[str]]:
    """Returns how many pixels of the network a pixel of the scene is, and warnings.

    Args:
        given: `auto`, `native` or a number.
        scene_size: ground sample distance of the scene in metres; None: unknown.
        model_size: ground sample distance that the model was trained at.
    """
    fitting = scene_size / model_size if scene_size and model_size else 1.0
    scale = fitting if given == AUTO else 1.0 if given == NATIVE else float(given)
    if not (scene_size and model_size):
        return scale, []
    ratio = max(fitting / scale, scale / fitting)
    if given == AUTO and max(fitting, 1 / fitting) > SCALE_WARNING:
        coarse = "; it lacks the detail that the model was trained on" if fitting > 1 else ""
        what = f"resampled by {scale:.3g} to the {model_size:.3g} m that the model was trained at"
        return scale, [f"pixels of {scene_size:.3g} m, {what}{coarse}"]
    if ratio > SCALE_WARNING:
        what = f"pixels of {scene_size / scale:.3g} m, the model was trained at {model_size:.3g} m"
        return scale, [f"map.scale={given} gives the model {what}; map.scale=auto resamples"]
    return scale, []
