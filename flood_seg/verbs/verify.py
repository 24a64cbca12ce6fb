"""`flood-seg verify`: check that a model gives the same result in every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.verbs.common import as_path, data_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.evaluation.agreement import Agreement
    from flood_seg.verbs.common import PathLike


def verify(
    overrides: Sequence[str] = (),
    *,
    models: Sequence[str] = (),
    data: PathLike | None = None,
    out: PathLike | None = None,
) -> list[Agreement]:
    """Compare the first model with each of the others on the same images.

    Raises:
        DisagreementError: one differs by more than the tolerance.
    """
    from flood_seg.config.compose import compose
    from flood_seg.config.schema import VerifyConfig

    config = compose("verify", [*overrides, *data_dir(data)], VerifyConfig)

    from flood_seg.benchmarking.verify import verify as run

    return run(config.datamodule, config.verify, models, as_path(out))
