"""The folders and the queue of jobs, where processes are faster, slower or gone."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flood_seg.config.compose import compose
from flood_seg.config.schema.service import JobOptions, ServeConfig
from flood_seg.errors import OutputError
from flood_seg.files import write_json
from flood_seg.products.stac_item import time_text
from flood_seg.service.jobs import attempt_folder
from flood_seg.service.jobs.jobs import Jobs
from flood_seg.service.jobs.owner import has_ended, this_process
from flood_seg.service.jobs.queue import JobQueue
from flood_seg.service.jobs.records import Job, JobRequest, JobState, is_id, new_id
from flood_seg.service.jobs.run import ended, now
from flood_seg.service.jobs.store import JobStore
from flood_seg.service.jobs.upkeep import Upkeep, size_of
from flood_seg.service.problems import Problem


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path)


def accepted(store: JobStore) -> Job:
    job = new_id()
    store.prepare(job)
    return store.accept(JobRequest(job, now(), "alice", "scene", "default", {"scene": "inputs/scene.tif"}))


def options(*overrides: str) -> JobOptions:
    return compose("serve", overrides, ServeConfig).serve.jobs


def claimed(store: JobStore, job: Job, **owner: object) -> Job:
    changed = store.change(job, JobState("running", attempts=job.state.attempts + 1, owner=this_process() | owner))
    assert changed
    return changed


def gone() -> int:
    """Returns the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_ids_sort_by_time() -> None:
    ids = [new_id() for _ in range(3)]
    assert all(is_id(one) and len(one) == 26 for one in ids)
    assert not any(is_id(one) for one in ("", "a" * 26, "../" + "0" * 23, "0" * 25, "0" * 27))
    assert new_id()[:9] >= ids[0][:9]


def test_one_of_many_gets_a_job(store: JobStore) -> None:
    job = accepted(store)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: store.change(job, JobState("running", message=str(number))), range(64)))
    (winner,) = [one for one in found if one]
    assert store.get(job.id).state == winner.state
    assert store.owns(winner)
    assert not store.owns(job)


def test_what_one_writes_that_has_lost_a_job_does_not_count(store: JobStore) -> None:
    first = claimed(store, accepted(store))
    second = claimed(store, store.change(first, JobState()) or first)
    store.update(first, replace(first.state, progress=0.9))
    assert store.change(first, ended(first.state, "successful")) is None
    assert store.get(first.id).state.progress == 0
    done = store.change(second, ended(second.state, "successful"))
    assert done
    assert store.change(done, JobState()) is None  # a finished job never changes
    assert store.get(first.id).state.status == "successful"


def test_a_removed_job_is_not_made_anew_by_its_worker(store: JobStore) -> None:
    job = claimed(store, accepted(store))
    store.remove(job)
    store.update(job, replace(job.state, progress=0.5))
    assert store.change(job, ended(job.state, "successful")) is None
    assert list(store) == []
    with pytest.raises(Problem) as caught:
        store.get(job.id)
    assert caught.value.status == 404
    assert list(store.folder.iterdir()) == []


def test_processes_that_have_ended_are_known() -> None:
    assert not has_ended(this_process())
    assert has_ended(this_process() | {"pid": gone()})
    assert has_ended(this_process() | {"started": 0.0})  # another process has the number now
    assert not has_ended(this_process() | {"pid": gone(), "machine": "another"})


def test_jobs_of_lost_workers_wait_again_until_they_have_had_their_attempts(store: JobStore, tmp_path: Path) -> None:
    queue = JobQueue("sqlite", tmp_path)
    job = claimed(store, accepted(store), pid=gone())
    upkeep = Upkeep(store, queue, options("serve.jobs.attempts=2"))
    assert [one.id for one in upkeep.round()] == [job.id]
    assert queue.take(0) == job.id
    again = store.get(job.id)
    assert (again.state.status, again.state.attempts, again.state.message) == ("accepted", 1, "its worker was lost")
    claimed(store, again, pid=gone())
    assert upkeep.round() == []
    failed = store.get(job.id).state
    assert failed.status == "failed"
    assert failed.problem
    assert failed.problem["detail"] == "given up after 2 attempts; the last one: its worker was lost"
    assert failed.problem["status"] == 500


def test_a_worker_elsewhere_is_lost_when_it_gives_no_sign_of_life(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("flood_seg.service.jobs.upkeep.time.monotonic", lambda: clock[0])
    job = claimed(store, accepted(store), machine="elsewhere")
    upkeep = Upkeep(store, JobQueue("sqlite", tmp_path), options("serve.jobs.lease=20"))
    for seconds in (0, 15, 15, 15):  # it beats in between
        clock[0] += seconds
        os.utime(job.folder / "state" / "1.json", (clock[0], clock[0]))
        assert upkeep.round() == []
    clock[0] += 19
    assert upkeep.round() == []
    clock[0] += 2
    assert [one.id for one in upkeep.round()] == [job.id]


def test_a_lost_queue_is_filled_from_the_folders(store: JobStore, tmp_path: Path) -> None:
    jobs = [accepted(store) for _ in range(3)]
    queue = JobQueue("sqlite", tmp_path)
    upkeep = Upkeep(store, queue, options())
    upkeep.round()
    upkeep.round()  # adds none twice
    assert [queue.take(0) for _ in range(4)] == [*sorted(job.id for job in jobs), None]
    for file in tmp_path.glob("queue.sqlite*"):
        file.unlink()
    upkeep.round()
    upkeep.round()
    assert {queue.take(0) for _ in range(3)} == {job.id for job in jobs}
    for file in tmp_path.glob("queue.sqlite*"):
        file.write_bytes(b"no database" * 1000)
    other = JobQueue("sqlite", tmp_path)
    assert other.take(0) is None
    Upkeep(store, other, options()).round()
    assert other.take(0) in {job.id for job in jobs}


def test_old_jobs_and_given_up_uploads_are_removed(store: JobStore, tmp_path: Path) -> None:
    old, young = accepted(store), accepted(store)
    for job, days in ((old, 15), (young, 13)):
        finished = time_text(datetime.now(UTC) - timedelta(days=days))
        assert store.change(job, replace(ended(job.state, "successful"), finished=finished))
    upload, lost = store.prepare(new_id()), store.prepare(new_id())
    (lost / "upload.json").write_text(json.dumps(this_process() | {"pid": gone()}))
    keys = {job.id: store.folder / ".keys" / f"{number}.json" for number, job in enumerate((old, young))}
    for job, file in keys.items():
        write_json(file, {"job": job, "digest": ""})
    Upkeep(store, JobQueue("sqlite", tmp_path), options()).round()
    assert {path.name for path in store.folder.iterdir()} == {young.id, upload.name, ".keys"}
    assert list((store.folder / ".keys").iterdir()) == [keys[young.id]]


def test_an_attempt_takes_over_what_is_finished_and_shares_nothing(store: JobStore) -> None:
    first = claimed(store, accepted(store))
    attempt_folder.enter(first)
    results = first.work / "results"
    (results / ".blocks").mkdir(parents=True)
    for name in ("mask.tif", ".mask.12.part.tif", ".blocks/0-0.npz", ".blocks/signature.json", ".blocks/mask.tif"):
        (results / name).write_text(name)
    (first.work / "steps" / "map.json").write_text("{}")
    second = claimed(store, store.change(first, JobState()) or first)
    attempt_folder.enter(second)
    found = {path.relative_to(second.work).as_posix() for path in second.work.rglob("*") if path.is_file()}
    assert found == {"steps/map.json", "results/mask.tif", "results/.blocks/0-0.npz", "results/.blocks/signature.json"}
    assert not first.work.exists()
    results.mkdir(parents=True)
    (results / "late.tif").touch()  # of a process that still runs
    attempt_folder.publish(second)
    assert sorted(path.name for path in second.results.iterdir()) == ["mask.tif"]
    third = claimed(store, store.change(second, JobState()) or second)  # the second one ended before it said so
    attempt_folder.enter(third)
    assert (third.work / "results" / "mask.tif").is_file()
    assert (third.work / "steps" / "map.json").is_file()
    assert not third.results.exists()


def test_the_quota_counts_what_lies_there(tmp_path: Path) -> None:
    jobs = Jobs(compose("serve", [f"serve.work_dir={tmp_path}", "serve.jobs.quota_gb=1"], ServeConfig).serve)
    job = accepted(jobs.store)
    (job.folder / "inputs" / "scene.tif").write_bytes(bytes(10_000_000))
    os.link(job.folder / "inputs" / "scene.tif", job.folder / "again.tif")
    assert 10**9 - jobs.room() == pytest.approx(10_000_000, abs=3_000)
    shutil.rmtree(job.folder)


def test_the_size_is_told_while_folders_are_renamed_and_removed(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"12345")
    stop = threading.Event()

    def churn(number: int) -> None:
        folder = tmp_path / f"folder{number}"
        while not stop.is_set():
            (folder / "inputs").mkdir(parents=True)
            folder.rename(tmp_path / f"other{number}")
            shutil.rmtree(tmp_path / f"other{number}")

    with ThreadPoolExecutor(4) as pool:
        ends = [pool.submit(churn, number) for number in range(4)]
        try:
            assert {size_of(tmp_path) for _ in range(300)} == {5}
        finally:
            stop.set()
    assert [end.result() for end in ends] == [None] * 4


def test_a_full_disk_leaves_no_folder_of_a_job(store: JobStore) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # folders can be made, files not be written
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            store.prepare(new_id())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(store.folder.iterdir()) == []


def test_an_upload_whose_owner_was_never_written_is_given_up_by_its_age(store: JobStore) -> None:
    old, new = store.prepare(new_id()), store.prepare(new_id())
    for folder in (old, new):
        (folder / "upload.json").write_bytes(b"")  # a power failure
    os.utime(old, (0, 0))
    store.clear(timedelta(hours=1))
    assert list(store.folder.iterdir()) == [new]


@pytest.mark.parametrize("text", ["", "[]", '{"status": "done"}', '{"progress": "half"}', '{"results": 3}'])
def test_a_damaged_state_concerns_its_job_alone(
    text: str, store: JobStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, other = accepted(store), accepted(store)
    (damaged.folder / "state" / "0.json").write_text(text)
    assert [job.id for job in store] == [other.id]
    with pytest.raises(Problem):
        store.get(damaged.id)
    upkeep = Upkeep(store, JobQueue("sqlite", tmp_path), options())
    assert [job.id for job in upkeep.round()] == [other.id]
    assert capsys.readouterr().err.count("is damaged") == 1


def test_a_service_that_ends_while_it_accepts_leaves_no_inputs(store: JobStore) -> None:
    folder = store.prepare(new_id())
    (folder / "upload.json").unlink()
    (folder / "inputs" / "scene.tif").write_bytes(b"1")
    store.clear(timedelta(hours=1))
    assert folder.is_dir()
    os.utime(folder, (0, 0))
    store.clear(timedelta(hours=1))
    assert not folder.exists()
