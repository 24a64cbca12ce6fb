"""Lets torchvision be imported beside a CPU build of torch; import this before anything that imports torchvision.

The package index carries torchvision built for CUDA alone. Beside a CPU build of torch its compiled operators do
not load, and its import then fails on the first of them that it describes to torch
("operator torchvision::nms does not exist"). segmentation-models-pytorch and torchmetrics need none of these
operators, only torchvision's Python modules, so we declare the missing names, without a kernel, and go on.
"""

from __future__ import annotations

import re

import torch

_declared = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call] # must outlive this module's import


def _import_torchvision() -> None:
    for _ in range(32):
        try:
            import torchvision  # noqa: F401
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            _declared.define(f"{missing[1]}() -> ()")  # type: ignore[no-untyped-call]
        else:
            return


_import_torchvision()
