"""Runs one of flood-seg's backends inside Triton's Python backend, on the requests that Triton has batched.

Each model repository holds a copy as model.py, which Triton's stub process imports.
"""

from __future__ import annotations

import os
import sys

# The stub ignores PYTHONPATH; without this it would find another environment's packages.
sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]

import json  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import triton_python_backend_utils as triton  # noqa: E402

from flood_seg.errors import LogitsError  # noqa: E402
from flood_seg.imaging.postprocess import check_logits  # noqa: E402
from flood_seg.inference.engines import open_backend, with_streams  # noqa: E402
from flood_seg.inference.predictor import Predictor  # noqa: E402
from flood_seg.serving.repository import ENGINE_KEY  # noqa: E402


class TritonPythonModel:
    """Triton's interface to a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model file beside this one with the backend that config.pbtxt names."""
        config = json.loads(args["model_config"])
        engine = json.loads(config["parameters"][ENGINE_KEY]["string_value"])
        folder = Path(args["model_repository"]) / args["model_version"]
        (model,) = (path for path in folder.glob("model.*") if path.suffix not in (".py", ".bin"))
        self._single = self._several = Predictor(open_backend(engine, str(model), warmup=1))
        several = with_streams(engine, int(config["max_batch_size"]))
        if several != engine and several["streams"] > 1:
            # A single request gets all cores; several share them, which is faster than in turn or as one batch.
            self._several = Predictor(open_backend(several, str(model), warmup=1))
        self._pool = ThreadPoolExecutor(self._several.backend.concurrency)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Runs the waiting requests, all of one height and width; NaN fails its own request only."""
        name = self._single.spec.input_name
        # DLPack, because Triton's conversion from and to arrays predates NumPy 2 and would send nothing.
        batches = [np.from_dlpack(triton.get_input_tensor_by_name(request, name)) for request in requests]
        return [self._answer(logits) for logits in self._run(batches)]

    def _run(self, batches: list[np.ndarray]) -> list[np.ndarray]:
        if len(batches) == 1:
            return [self._single.run(batches[0])]
        if self._several.backend.concurrency > 1:
            return list(self._pool.map(self._several.run, batches))
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        return np.split(self._several.run(np.concatenate(batches)), ends)

    def _answer(self, logits: np.ndarray) -> Any:
        try:
            check_logits(logits, "output")
        except LogitsError as error:
            return triton.InferenceResponse(error=triton.TritonError(str(error)))
        tensor = triton.Tensor.from_dlpack(self._single.spec.output_name, np.ascontiguousarray(logits))
        return triton.InferenceResponse([tensor])
