"""The folder configs/: where it is, and which choices its groups have."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_hydra = threading.RLock()  # whose state is one of the process


def configs_dir() -> Path:
    """Returns the folder of the configuration files: in a checkout, or inside an installed package."""
    package = Path(__file__).resolve().parent.parent
    checkout = package.parent / "configs"
    return checkout if (checkout / "train.yaml").is_file() else package / "configs"


def groups() -> list[str]:
    """Returns the names of all groups."""
    return sorted(path.name for path in configs_dir().iterdir() if path.is_dir())


def choices(group: str) -> list[str]:
    """Returns the choices of a group; none where there is no such group."""
    return sorted(path.stem for path in (configs_dir() / group).glob("*.yaml")) if group in groups() else []


def shipped_values(file: str) -> dict[str, Any]:
    """Returns the content of configs/{file}.yaml as it is written, for example of `datamodule/flood`."""
    import yaml

    values: dict[str, Any] = yaml.safe_load((configs_dir() / f"{file}.yaml").read_text("utf-8"))
    return values


@contextmanager
def initialized_hydra() -> Iterator[None]:
    """Lets Hydra read configs/ within the block, one thread at a time, and leaves its global state as it was."""
    from hydra import initialize_config_dir

    with _hydra, initialize_config_dir(str(configs_dir()), version_base=None):
        yield
