import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flood_seg.errors import DataError, OutputError
from flood_seg.workshop.download import download


@pytest.fixture
def unpacked(tmp_path) -> Path:
    """A data set as Kaggle unpacks it."""
    for folder, suffix in (("Image", "jpg"), ("Mask", "png")):
        (tmp_path / "kaggle" / folder).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "kaggle" / folder / f"{number}.{suffix}")
    (tmp_path / "kaggle" / "metadata.csv").write_text("Image,Mask\n")
    return tmp_path / "kaggle"


def test_the_set_is_put_where_training_looks(unpacked, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("kagglehub.dataset_download", lambda name: asked.append(name) or str(unpacked))
    download(tmp_path / "raw")
    assert asked == ["faizalkarim/flood-area-segmentation"]
    assert sorted(str(path.relative_to(tmp_path / "raw")) for path in (tmp_path / "raw").rglob("*.*")) == [
        *(f"images/{n}.jpg" for n in range(3)), *(f"masks/{n}.png" for n in range(3))
    ]  # fmt: skip
    with pytest.raises(OutputError, match="is not empty"):
        download(tmp_path / "raw")


def test_without_a_network_it_is_one_line_within_seconds(tmp_path):
    dead = {"HTTPS_PROXY": "http://127.0.0.1:9", "PATH": "", "HOME": str(tmp_path), "KAGGLE_CONFIG_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "flood_seg", "data", "download", "--out", "raw"],
        cwd=tmp_path, env=dead, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and not (tmp_path / "raw").exists()
    (line,) = done.stderr.strip().splitlines()
    assert "cannot be downloaded from Kaggle (no network, or Kaggle does not answer); or unpack it yourself" in line


@pytest.mark.parametrize(("name", "message"), [("flood", "give OWNER/DATASET"), ("a/b", "log in by kagglehub.login")])
def test_a_wrong_name_and_a_missing_key_say_what_to_do(tmp_path, monkeypatch, name, message):
    import requests
    from kagglehub.exceptions import KaggleApiHTTPError

    response = requests.Response()
    response.status_code = 403

    def refuse(_name):
        raise KaggleApiHTTPError("403 Client Error.\nYou don't have permission", response=response)

    monkeypatch.setattr("kagglehub.dataset_download", refuse)
    with pytest.raises(DataError, match=message):
        download(tmp_path / "raw", name)
