"""The data download verb: a data set of images and masks from Kaggle."""

from __future__ import annotations

import shlex
from pathlib import Path

from flood_seg.console import say, track
from flood_seg.errors import DataError
from flood_seg.files import copy_file
from flood_seg.imaging.source import is_image_file
from flood_seg.workshop.output_layout import IMAGES, MASKS, check_empty

FLOOD_AREA = "faizalkarim/flood-area-segmentation"
FOLDERS = {"Image": IMAGES, "Mask": MASKS}  # folders of the archive, and folders of the data set


def download(out: Path, name: str = FLOOD_AREA) -> None:
    """Downloads a data set of images and masks from Kaggle and copies it into the default layout.

    Args:
        out: a new folder; gets `images/` and `masks/`.
        name: OWNER/DATASET, whose files lie in Image/ and Mask/.

    Raises:
        DataError: there is no network, no such data set, no key where one is required, or no folders Image/ and Mask/.
        OutputError: `out` holds files.
    """
    check_empty(out)
    if name.count("/") != 1:
        raise DataError(f"--name {name}: give OWNER/DATASET as in the address on Kaggle, for example {FLOOD_AREA}")
    import kagglehub

    say(f"Downloading {name} from Kaggle")
    try:
        folder = Path(kagglehub.dataset_download(name))
    except Exception as error:  # of kagglehub, requests and the operating system
        raise DataError(f"{name}: cannot be downloaded from Kaggle ({_reason(error)}); {_advice(error)}") from error
    files = [
        (path, out / ours / path.name)
        for theirs, ours in FOLDERS.items()
        for path in sorted((folder / theirs).glob("*"))
        if is_image_file(path)
    ]
    if {target.parent.name for _, target in files} != {IMAGES, MASKS}:
        raise DataError(f"{name}: holds no folders Image and Mask; it lies in {folder}, see docs/data.md for layouts")
    for path, target in track(files, "Copying", len(files)):
        copy_file(path, target)
    count = sum(target.parent.name == IMAGES for _, target in files)
    say(f"{out}: {count} images; look at them with flood-seg data check --data {shlex.quote(str(out))}")


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return "no network, or Kaggle does not answer"
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def _advice(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "log in by kagglehub.login(), or set KAGGLE_USERNAME and KAGGLE_KEY"
    return "or unpack it yourself into images/ and masks/, or try datamodule=sample"
