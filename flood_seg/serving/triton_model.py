"""What Triton's Python backend runs: one of flood-seg's own engines, on the batch that Triton made.

A copy lies in each model repository as model.py; Triton's stub process imports it.
"""

from __future__ import annotations

import os
import sys

# The stub ignores PYTHONPATH; without this it would find another environment's packages.
sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]

import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import triton_python_backend_utils as triton  # noqa: E402

from flood_seg.inference.engines import open_backend  # noqa: E402
from flood_seg.serving.repository import ENGINE_KEY  # noqa: E402


class TritonPythonModel:
    """Triton's interface to a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the engine that config.pbtxt names, on the model file beside this one."""
        parameters = json.loads(args["model_config"])["parameters"]
        engine = json.loads(parameters[ENGINE_KEY]["string_value"])
        folder = Path(args["model_repository"]) / args["model_version"]
        (model,) = (path for path in folder.glob("model.*") if path.suffix not in (".py", ".bin"))
        self._backend = open_backend(engine, str(model), warmup=1)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Runs waiting requests, all of one height and width, as one batch."""
        name = self._backend.spec.input_name
        # DLPack, because Triton's conversion from and to arrays predates NumPy 2 and would send nothing.
        batches = [np.from_dlpack(triton.get_input_tensor_by_name(request, name)) for request in requests]
        logits = self._backend.run(np.concatenate(batches) if len(batches) > 1 else batches[0])
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        return [self._answer(part) for part in np.split(logits, ends)]

    def _answer(self, logits: np.ndarray) -> Any:
        tensor = triton.Tensor.from_dlpack(self._backend.spec.output_name, np.ascontiguousarray(logits))
        return triton.InferenceResponse([tensor])
