"""Segments a whole scene: the blocks that are missing, each tried several times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.errors import FloodSegError, ImageError
from flood_seg.imaging.preprocess import preprocess
from flood_seg.inference.values import BandStatistics, check_statistics, missing_shares
from flood_seg.scenes.stream import measure_window, pad

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

    from flood_seg.inference.predictor import Predictor
    from flood_seg.scenes.executor import Executor
    from flood_seg.scenes.grid import Block, Grid
    from flood_seg.scenes.scene import Scene
    from flood_seg.scenes.store import BlockStore

SAMPLED_WINDOWS = 16  # read before the work, to refuse a scene whose values cannot be on the model's scale


def segment_scene(
    scene: Scene,
    predictor: Predictor,
    grid: Grid,
    store: BlockStore,
    executor: Executor,
    batch_size: int = 1,
    blocks: Iterable[Block] | None = None,
) -> Iterator[tuple[Block, FloodSegError | None]]:
    """Segments the blocks of a scene that the store does not have.

    Args:
        scene: what is segmented.
        predictor: the model.
        grid: the windows and blocks.
        store: takes the result of each block.
        executor: where blocks are segmented.
        batch_size: windows that are run at once.
        blocks: that are wanted; None: all.

    Yields:
        each of these blocks when it is done, with None, or when it has failed in each attempt, with its last error.

    Raises:
        OutputError: a block cannot be written.
    """
    blocks = list(grid.blocks() if blocks is None else blocks)
    todo = [block for block in blocks if block not in store]
    missing = set(todo)
    yield from ((block, None) for block in blocks if block not in missing)
    for retries_left in range(executor.retries, -1, -1):
        failed = []
        for block, result in executor.segment(scene, predictor, grid, todo, batch_size):
            if not isinstance(result, FloodSegError):
                store.save(block, result)
                yield block, None
            elif retries_left:
                failed.append(block)
            else:
                yield block, result
        todo = failed


def check_scene(scene: Scene, predictor: Predictor, grid: Grid) -> None:
    """Reads some windows across a scene before the work.

    Raises:
        ImageError: the scene has not the model's bands, or its values cannot be on the model's scale.
    """
    boxes = [box for block in grid.blocks() for box in grid.windows(block)]
    step = max(1, len(boxes) // SAMPLED_WINDOWS)
    parts, errors, dtype = list[BandStatistics](), list[ImageError](), None
    sampled = boxes[step // 2 :: step]
    for box in sampled:
        try:
            raster = scene.read(box)
        except ImageError as error:  # maybe of this place alone
            errors.append(error)
            continue
        dtype = raster.values.dtype
        if raster.valid is None or raster.valid.any():
            tensor = preprocess(pad(raster.values, grid.window), predictor.spec)
            shares = missing_shares(predictor.spec, raster.missing)
            parts.append(measure_window(tensor, raster.valid, grid.window, shares))
    if len(errors) == len(sampled):
        raise errors[0]
    if parts:
        shift_of(scene, predictor, BandStatistics.merged(parts), dtype)


def shift_of(scene: Scene, predictor: Predictor, statistics: BandStatistics, dtype: np.dtype | None = None) -> float:
    """Returns how far a scene's values lie from the training data's; see `check_statistics`.

    Raises:
        ImageError: the values cannot be on the model's scale; the text names the scene.
    """
    try:
        return check_statistics(statistics, predictor.spec, dtype)
    except ImageError as error:
        raise ImageError(f"{scene.source}: {error}") from error
