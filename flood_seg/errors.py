"""The errors that a user can cause, as exceptions.

FloodSegError                 exit code 2: one line: what is wrong, where, and what to do
├── UsageError                an unknown verb or flag, a flag without its value
├── ConfigError               an unknown key, a wrong type or an impossible value in the configuration
├── DataError                 an unusable data set: a missing folder, no usable pair, a wrong split file
│   └── ImageError            one file that cannot be read as an image or a mask
│       └── FormatError       its content is no image, or of a format that is not read
├── ModelError                a checkpoint or ONNX file that is missing, damaged or carries no ModelSpec
│   ├── WeightsError          encoder weights that are unavailable or do not fit
│   └── LogitsError           a model returns NaN or infinity for an image, so that there is no mask
├── BackendError              a requested execution provider or device that is unavailable
│   └── ServerError           a Triton server that does not start, does not respond or does not fit
├── TrainingError             a loss that is NaN or infinite
├── TrackingError             an experiment tracker that is not installed or does not respond
├── OutputError               a file that cannot be written
├── StoreError                a bucket that is missing, does not respond, or refuses what is asked of it
├── OutOfMemoryError          not enough memory for what was requested
├── MissingExtraError         a package of an extra (`train`, ...) that is not installed
├── FindingsError             a data set has errors (exit code 1, like a failed test)
├── DisagreementError         engines that should agree do not (exit code 1, like a failed test)
└── PartialFailureError       some of many inputs failed; the others succeeded

Only `cli.main` catches these, prints one line and exits, as for errors of the file system, which can come at any time.
Everything else is a bug: a traceback, exit code 1. FLOOD_SEG_DEBUG=1 shows every traceback.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class FloodSegError(Exception):
    """An error that a user can cause and fix; its text is one line: what is wrong, where, and what to do."""

    exit_code = 2


class UsageError(FloodSegError):
    """The command line does not fit the verb."""


class ConfigError(FloodSegError):
    """The configuration holds an unknown key, a wrong type or an impossible value."""


class DataError(FloodSegError):
    """A data set cannot be used."""


class ImageError(DataError):
    """One file cannot be read as an image or a mask."""


class FormatError(ImageError):
    """The content of a file is no image, or of a format that is not read."""


class ModelError(FloodSegError):
    """A model file is missing, damaged or carries no ModelSpec."""


class WeightsError(ModelError):
    """Encoder weights are unavailable or do not fit."""


class LogitsError(ModelError):
    """A model returns NaN or infinity, so that there is no mask."""


class BackendError(FloodSegError):
    """A requested execution provider or device is unavailable."""


class ServerError(BackendError):
    """A Triton server does not start, does not respond or does not fit."""


class TrainingError(FloodSegError):
    """Training cannot continue: its loss is NaN or infinite."""


class TrackingError(FloodSegError):
    """An experiment tracker is not installed or does not respond."""


class OutputError(FloodSegError):
    """A file cannot be written."""


class StoreError(FloodSegError):
    """A bucket is missing, does not respond, or refuses what is asked of it."""


class OutOfMemoryError(FloodSegError):
    """Not enough memory for what was requested."""


class MissingExtraError(FloodSegError):
    """A package of an optional extra is not installed."""


class FindingsError(FloodSegError):
    """A check of a data set found errors."""

    exit_code = 1


class DisagreementError(FloodSegError):
    """Engines that should agree do not."""

    exit_code = 1


class PartialFailureError(FloodSegError):
    """Some of many inputs failed; the others succeeded."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)` for the nearest of `choices`, or an empty string."""
    near = get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""
