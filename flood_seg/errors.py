"""What a user can do wrong, as exceptions.

FloodSegError                 exit code 2: one line that says what, where, and what to do
├── UsageError                an unknown verb or flag, a flag without its value
├── ConfigError               an unknown key, a wrong type or an impossible value in the configuration
├── DataError                 a data set that cannot be used: a missing folder, no usable pair, a wrong split file
│   └── ImageError            one file that cannot be read as an image or a mask
├── ModelError                a checkpoint or ONNX file that is missing, damaged or carries no ModelSpec
│   ├── WeightsError          encoder weights that cannot be had or do not fit
│   └── LogitsError           a model answers NaN or infinity for an image, of which no mask can be made
├── BackendError              an execution provider or device that was asked for and is not there
│   └── ServerError           a Triton server that does not start, does not answer or does not fit
├── TrainingError             a loss that is NaN or infinite
├── TrackingError             an experiment tracker that is not installed or does not answer
├── OutputError               a file that cannot be written
├── OutOfMemoryError          there is not enough memory for what was asked
├── MissingExtraError         a package of an extra (`train`, ...) that is not installed
├── FindingsError             a data set has errors (exit code 1, as of a test)
├── DisagreementError         engines that should answer the same do not (exit code 1, as of a test)
└── PartialFailureError       some inputs of many failed; the rest was done

Only `cli.main` catches these, prints their one line and exits; it does so too with what a file system can refuse at any
time (`cli.FORESEEN`). Everything else is a bug: a traceback, exit code 1. FLOOD_SEG_DEBUG=1 shows every traceback.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class FloodSegError(Exception):
    """A mistake that a user can make and mend; its text is one line that says what, where, and what to do."""

    exit_code = 2


class UsageError(FloodSegError):
    """The command line does not fit the verb."""


class ConfigError(FloodSegError):
    """The configuration holds an unknown key, a wrong type or an impossible value."""


class DataError(FloodSegError):
    """A data set cannot be used."""


class ImageError(DataError):
    """One file cannot be read as an image or a mask."""


class ModelError(FloodSegError):
    """A model file is missing, damaged or carries no ModelSpec."""


class WeightsError(ModelError):
    """Encoder weights cannot be had or do not fit."""


class LogitsError(ModelError):
    """A model answers NaN or infinity, of which no mask can be made."""


class BackendError(FloodSegError):
    """An execution provider or device was asked for and is not there."""


class ServerError(BackendError):
    """A Triton server does not start, does not answer or does not fit."""


class TrainingError(FloodSegError):
    """Training cannot go on: its loss is NaN or infinite."""


class TrackingError(FloodSegError):
    """An experiment tracker is not installed or does not answer."""


class OutputError(FloodSegError):
    """A file cannot be written."""


class OutOfMemoryError(FloodSegError):
    """There is not enough memory for what was asked."""


class MissingExtraError(FloodSegError):
    """A package of an optional extra is not installed."""


class FindingsError(FloodSegError):
    """A check of a data set has found errors."""

    exit_code = 1


class DisagreementError(FloodSegError):
    """Engines that should answer the same do not."""

    exit_code = 1


class PartialFailureError(FloodSegError):
    """Some inputs of many failed; the rest was done."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)` for the nearest of `choices`, or an empty string."""
    near = get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""
