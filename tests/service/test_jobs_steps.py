"""All steps of a job against the verbs of the command line, and inputs that are fetched from their address."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flood_seg.inference.models import bundled_model
from tests.servers import s3_server
from tests.service.posting import checksums, new_job, noise, run_map, smoothing, wait_for, wait_successful
from tests.service.running import running_service

pytestmark = pytest.mark.slow


def run(folder: Path, *words: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "flood_seg", *words], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


@pytest.mark.timeout(600)
def test_each_step_is_its_verb(tmp_path: Path) -> None:
    run(tmp_path, "data", "sample", "--out", "valley", "datamodule=valley")
    images, layers = tmp_path / "valley" / "images", tmp_path / "valley" / "layers"
    files = {"scene": images / "flood.tif", "before": images / "before.tif", "population": layers / "population.tif",
             "permanent": layers / "permanent_water.gpkg", "truth": images.parent / "masks" / "flood.tif"}  # fmt: skip
    files |= {name: layers / f"{name}.gpkg" for name in ("roads", "buildings", "districts", "places", "depots")}
    model = bundled_model()
    assert model
    out = run_map(tmp_path, model, "--image", str(files["scene"]), "--before", str(files["before"]),
                  "--permanent", str(files["permanent"]))  # fmt: skip
    run(
        tmp_path,
        "flood-area",
        "--results",
        str(out),
        "--districts",
        str(files["districts"]),
        "--out",
        str(out / "area"),
    )
    kinds = ("roads", "buildings", "population", "places", "depots", "districts")
    run(tmp_path, "impact", "--flood", str(out), "--out", str(out / "impact"),
        *(word for kind in kinds for word in (f"--{kind}", str(files[kind]))))  # fmt: skip
    with running_service(tmp_path / "run", "--model", str(model)) as service:
        done = wait_successful(service.url, new_job(service.url, **files)["id"])
        results = service.folder / "work" / "jobs" / done["id"] / "results"
    expected, found = checksums(out), checksums(results)
    same = {"mask.tif", "probability.tif", "areas.gpkg", "change.tif", "change.gpkg", "flood.tif", "flood.gpkg",
            "before/mask.tif", "area/districts.gpkg", "area/flood_area.csv", "impact/impact.gpkg",
            "impact/impact.csv"}  # fmt: skip
    assert {name: found[name] for name in same} == {name: expected[name] for name in same}
    assert set(found) - set(expected) == {
        "truth.json", "truth.tif", "differences.tif", "sitrep/sitrep.html", "sitrep/sitrep.csv", "sitrep/sitrep.gpkg"
    }  # fmt: skip
    assert done["results"]["impact"]["total"] == read(out / "impact" / "impact.json")["total"]
    assert done["results"]["flood-area"]["total"] == read(out / "area" / "flood_area.json")["total"]
    assert list(done["results"]) == ["map", "flood-area", "impact", "truth"]
    here = str(service.folder).encode()
    assert not [path.name for path in results.rglob("*") if path.is_file() and here in path.read_bytes()]


def test_an_address_is_fetched_and_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    model, scene = smoothing(tmp_path), noise(tmp_path / "scene.tif", 100, 140)
    expected = checksums(run_map(tmp_path, model, "--image", str(scene)))
    with s3_server() as server:
        for name, value in (("AWS_ENDPOINT_URL", server.url), ("AWS_ACCESS_KEY_ID", "key"),
                            ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_DEFAULT_REGION", "us-east-1")):  # fmt: skip
            monkeypatch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=server.url)
        client.create_bucket(Bucket="scenes")
        client.put_object(Bucket="scenes", Key="open/scene.tif", Body=scene.read_bytes())
        words = ("--model", str(model), "serve.security.sources=[s3://scenes/open/]")
        with running_service(tmp_path / "run", *words) as service:
            job = new_job(service.url, data={"path": "s3://scenes/open/scene.tif"})
            missing = new_job(service.url, data={"path": "s3://scenes/open/none.tif"})
            done = wait_successful(service.url, job["id"])
            assert done["inputs"] == {"scene": "s3://scenes/open/scene.tif"}
            found = checksums(service.folder / "work" / "jobs" / job["id"] / "results")
            assert found["mask.tif"] == expected["mask.tif"]
            failed = wait_for(service.url, missing["id"])
            assert failed["status"] == "failed"
            assert "none.tif" in failed["problem"]["detail"]
            assert str(service.folder) not in str(failed)
