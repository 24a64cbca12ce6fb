"""Where the blocks of scenes are segmented: in this process, or elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.config.schema.checks import check_range
from flood_seg.scenes.stream import BlockSegmenter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flood_seg.errors import FloodSegError
    from flood_seg.inference.predictor import Predictor
    from flood_seg.scenes.grid import Block, Grid
    from flood_seg.scenes.scene import Scene
    from flood_seg.scenes.stream import BlockResult


@dataclass(frozen=True)
class ModelSource:
    """What another process needs to load the same model.

    Attributes:
        name: its file or address.
        digest: see `digest_of`.
        backend: the backend's configuration.
        description: of the opened backend: the engine that all processes must have.
        value_scale: replaces that of the model's spec; None: it does not.
        max_megapixels: of photos.
    """

    name: str
    digest: str
    backend: dict[str, Any]
    description: str
    value_scale: float | None
    max_megapixels: float


class Executor(ABC):
    """Segments blocks; a context manager that holds what the work needs.

    Attributes:
        retries: further attempts of a block that fails.
    """

    def __init__(self, retries: int) -> None:
        check_range("executor.retries", retries, 0, 100)
        self.retries = retries

    @abstractmethod
    def segment(
        self, scene: Scene, predictor: Predictor, grid: Grid, blocks: Sequence[Block], batch_size: int
    ) -> Iterator[tuple[Block, BlockResult | FloodSegError]]:
        """Tries each block once.

        Args:
            scene: what is segmented.
            predictor: the model, as it is loaded in this process.
            grid: the windows and blocks.
            blocks: of the grid.
            batch_size: windows that are run at once.

        Yields:
            each block, in any order, with its result or with the error that it failed with.
        """

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends what `__enter__` has started."""
        return


class LocalExecutor(Executor):
    """Segments blocks in this process, in order."""

    def __init__(self, model: ModelSource | None, retries: int) -> None:
        """Takes the further attempts of a block; the model is that of `segment`."""
        super().__init__(retries)

    def segment(
        self, scene: Scene, predictor: Predictor, grid: Grid, blocks: Sequence[Block], batch_size: int
    ) -> Iterator[tuple[Block, BlockResult | FloodSegError]]:
        """Tries each block once; see `Executor.segment`."""
        return BlockSegmenter(scene, predictor, grid).segment(blocks, batch_size)


def digest_of(model: str, predictor: Predictor) -> str:
    """Returns the SHA-256 of a model's file, or of its record where it is not a file."""
    path = Path(model)
    if not path.is_file():
        return sha256(predictor.spec.to_json().encode()).hexdigest()
    digest = sha256(path.read_bytes())
    if path.suffix.lower() == ".xml" and (weights := path.with_suffix(".bin")).is_file():  # OpenVINO's
        digest.update(weights.read_bytes())
    return digest.hexdigest()
