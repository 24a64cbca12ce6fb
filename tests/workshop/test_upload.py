"""A data set uploaded to MLflow's embedded store, and what is refused."""

import pytest
from mlflow import MlflowClient

from flood_seg.errors import DataError, UsageError
from flood_seg.verbs.data.upload import upload
from tests.conftest import write_ponds


def test_a_data_set_lies_among_the_artifacts_of_its_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_ponds(tmp_path / "set", 3)
    upload(["logger=mlflow"], data="set", name="ponds-v1")
    assert "3 samples uploaded as ponds-v1" in capsys.readouterr().out
    assert not (tmp_path / "outputs").exists()
    client = MlflowClient("sqlite:///mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == "flood-seg"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["samples"] == "3"
    folder = client.download_artifacts(run.info.run_id, "ponds-v1", str(tmp_path))
    for original in (tmp_path / "set").rglob("*.*"):
        copy = tmp_path / "ponds-v1" / original.relative_to(tmp_path / "set")
        assert folder.endswith("ponds-v1") and copy.read_bytes() == original.read_bytes()


def test_what_cannot_be_uploaded_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_ponds(tmp_path / "set", 2)
    for name in (None, "a/b", ""):
        with pytest.raises(UsageError, match="--name is missing, or not made of letters"):
            upload(data="set", name=name)
    with pytest.raises(UsageError, match="logger=csv: stores no files; give logger=mlflow"):
        upload(["logger=csv"], data="set", name="a")
    with pytest.raises(UsageError, match="logger=none: stores no files"):
        upload(["logger=none"], data="set", name="a")
    with pytest.raises(DataError, match="no such folder"):
        upload(["logger=mlflow"], data="nowhere", name="a")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
