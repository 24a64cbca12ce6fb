import glob
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from flood_seg.cli import main as cli
from flood_seg.errors import DataError, OutputError
from flood_seg.inference.files import plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b c.png", "ü.webp", "x[1].jpg", ".hidden.jpg", "deep/d.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("")
    return tmp_path / "in"


def test_the_mask_of_one_photo_lies_beside_it(folder):
    (job,) = plan(str(folder / "a.jpg"), None)
    assert job.mask == folder / "a_mask.png" and job.overlay == folder / "a_overlay.jpg"


def test_out_is_a_file_or_a_folder(folder, tmp_path):
    assert plan(str(folder / "a.jpg"), tmp_path / "m.png")[0].mask == tmp_path / "m.png"
    assert plan(str(folder / "a.jpg"), tmp_path)[0].mask == tmp_path / "a_mask.png"
    assert plan(str(folder / "a.jpg"), tmp_path / "new")[0].mask == tmp_path / "new" / "a_mask.png"


def test_a_folder_gives_its_images_and_a_folder_beside_it(folder):
    jobs = plan(str(folder), None)
    assert [job.image.name for job in jobs] == ["a.jpg", "b c.png", "x[1].jpg", "ü.webp"]
    assert {job.mask.parent for job in jobs} == {folder.with_name("in_masks")}
    assert jobs[1].mask.name == "b c.png"


def test_patterns(folder):
    assert [job.image.name for job in plan(str(folder / "*.jpg"), None)] == ["a.jpg", "x[1].jpg"]
    deep = plan(str(folder / "**" / "*.jpg"), folder / "out")
    assert {job.image.name for job in deep} == {"a.jpg", "x[1].jpg", "d.jpg"}


def test_a_name_with_brackets_is_a_name_where_it_exists(folder):
    assert plan(str(folder / "x[1].jpg"), None)[0].image == folder / "x[1].jpg"


def test_photos_that_share_a_stem_keep_their_suffix(folder, tmp_path):
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    names = [job.mask.name for job in plan(str(folder), tmp_path / "out")]
    assert names[:2] == ["a.jpg.png", "a.png.png"] and len(set(names)) == len(names)


def test_a_mask_never_takes_the_place_of_a_photo(folder):
    for job in plan(str(folder), folder):
        assert not job.mask.exists()


@pytest.mark.parametrize("name", ["missing.jpg", "*.gif"])
def test_nothing_there_is_an_error(folder, name):
    with pytest.raises(DataError, match=name.replace("*", r"\*")):
        plan(str(folder / name), None)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no image in it"):
        plan(str(tmp_path), None)


def test_out_must_keep_the_photo_and_the_mask_exact(folder):
    with pytest.raises(OutputError, match="is the image itself"):
        plan(str(folder / "b c.png"), folder / "b c.png")
    with pytest.raises(OutputError, match="give a .png"):
        plan(str(folder / "a.jpg"), folder / "m.jpg")
    with pytest.raises(OutputError, match="is a file"):
        plan(str(folder), folder / "a.jpg")


def test_masks_of_all_levels_lie_as_their_photos_do(folder):
    Image.new("RGB", (4, 4)).save(folder / "deep" / "a.jpg")
    masks = {job.mask for job in plan(str(folder / "**" / "a.jpg"), None)}
    assert masks == {folder.with_name("in_masks") / "a.png", folder.with_name("in_masks") / "deep" / "a.png"}


def test_beside_their_photos_masks_are_called_so_and_are_not_taken_for_photos(folder):
    jobs = plan(str(folder), folder)
    assert jobs[0].mask == folder / "a_mask.png"
    for job in jobs:
        Image.new("L", (4, 4)).save(job.mask)
        Image.new("RGB", (4, 4)).save(job.overlay)
    assert plan(str(folder), None)[0].image == jobs[0].image
    assert len(plan(str(folder), None)) == len(jobs)


def test_a_photo_that_is_only_named_like_a_mask_is_a_photo(folder):
    Image.new("RGB", (4, 4)).save(folder / "lake_mask.png")
    assert folder / "lake_mask.png" in [job.image for job in plan(str(folder), None)]


def test_an_output_folder_among_the_photos_is_not_searched(folder):
    (folder / "out").mkdir()
    Image.new("L", (4, 4)).save(folder / "out" / "a.png")
    assert all(job.image.parent.name != "out" for job in plan(str(folder / "**" / "*"), folder / "out"))


def test_three_names_that_clash_in_turn_stay_apart(folder, tmp_path):
    for name in ("a.png", "a.jpg.tif"):
        Image.new("RGB", (4, 4)).save(folder / name)
    masks = [job.mask.name for job in plan(str(folder / "a*"), tmp_path / "out")]
    assert masks == ["a.jpg.png", "a.jpg.tif.png", "a.png.png"]


def test_a_folder_whose_name_holds_brackets_can_be_searched(folder):
    named = folder.rename(folder.with_name("in [1]"))
    assert [job.image.name for job in plan(str(named / "*.jpg"), None)] == ["a.jpg", "x[1].jpg"]


def test_the_working_folder_gives_a_folder_beside_it(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for image in (".", "*.jpg"):
        assert plan(image, None)[0].mask == folder.with_name("in_masks") / "a.png"


def test_an_overlay_that_would_take_the_place_of_the_photo_is_refused(folder):
    photo = (folder / "a.jpg").rename(folder / "a_overlay.jpg")
    with pytest.raises(OutputError, match="would be overwritten"):
        plan(str(photo), folder / "a.png")


def test_links_to_folders_above_give_each_photo_once_and_end(folder, tmp_path):
    """`glob` finds each photo 41 times by one such link, and by two of them never ends."""
    for name in ("loop", "again", "deep/loop"):
        (folder / name).symlink_to(folder)
    found = [job.image for job in plan(str(folder / "**" / "*.jpg"), tmp_path / "out")]
    assert found == [folder / "a.jpg", folder / "deep" / "d.jpg", folder / "x[1].jpg"]
    for pattern in ("**", "**/*", "*/**/d.jpg", "**/**/d.jpg", "**/*/d.jpg", "**/deep/*"):
        assert folder / "deep" / "d.jpg" in [job.image for job in plan(str(folder / pattern), tmp_path / "out")]
    (folder / "linked.jpg").symlink_to(folder / "a.jpg")  # a file of its own
    assert len(plan(str(folder / "**" / "*.jpg"), tmp_path / "out")) == 4


@pytest.mark.parametrize("pattern", ["*.jpg", "*/*.jpg", "**/*.jpg", "**/[ab]*", "**/deep/**/*", "d*/*"])
def test_patterns_match_what_glob_matches(folder, tmp_path, pattern):
    for name in ("deep/er/e.jpg", "deep/.hidden/f.jpg", "other/deep/g.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)
    names = glob.glob(str(folder / pattern), recursive=True)  # noqa: PTH207 - the truth
    expected = {Path(name) for name in names if Path(name).is_file()}
    assert {job.image for job in plan(str(folder / pattern), tmp_path / "out")} == expected


def test_a_photo_whose_link_leads_nowhere_is_not_passed_over_in_silence(folder, tmp_path):
    (folder / "gone.jpg").symlink_to(tmp_path / "missing.jpg")
    (folder / ".hidden.png").symlink_to(tmp_path / "missing.jpg")
    assert [job.image.name for job in plan(str(folder), None)][:3] == ["a.jpg", "b c.png", "gone.jpg"]


def test_a_pipe_is_refused_at_once_and_passed_over_in_a_folder(folder):
    os.mkfifo(folder / "pipe.jpg")
    with pytest.raises(DataError, match=r"pipe\.jpg: is a pipe, a socket or a device; give a regular file"):
        plan(str(folder / "pipe.jpg"), None)
    assert "pipe.jpg" not in [job.image.name for job in plan(str(folder), None)]


def test_a_folder_that_cannot_be_listed_is_named(folder, tmp_path, monkeypatch, capsys):
    """As for a user who is not root."""
    listed = Path.iterdir

    def forbidden(path: Path) -> Iterator[Path]:
        if path.name == refused:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", forbidden)
    refused = "in"
    for pattern in (folder, folder / "*.jpg", folder / "**" / "*.jpg"):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["infer", "--image", str(pattern)])
        said = capsys.readouterr().err
        assert stopped.value.code == 2 and said.startswith(f"flood-seg: error: {folder}: Permission denied; check")
    refused = "deep"
    assert [job.image.name for job in plan(str(folder / "**" / "*.jpg"), None)] == ["a.jpg", "x[1].jpg"]
    assert (
        f"{folder / 'deep'}: cannot be listed (Permission denied); its images are left out" in capsys.readouterr().err
    )
