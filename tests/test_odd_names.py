"""File names that are not UTF-8, with line feeds or quotes, or 255 bytes long: nothing is lost after the work."""

import csv
import json
import os
from pathlib import Path

import pytest
from PIL import Image
from pyarrow import parquet

from flood_seg.cli import main as cli
from flood_seg.data.split import read_split
from tests.conftest import draw_pond
from tests.inference.conftest import red_spec, write_model

LONG = "n" * 251  # with .jpg or .png 255 bytes, the most that a file system takes
NAMES = [b"caf\xe9", b"line\nfeed", b"quote\"'<b>", LONG.encode(), b'"quoted"', b"plain"]
STEMS = sorted(os.fsdecode(name) for name in NAMES)
ESCAPED = "caf\\udce9"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="names are text")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a data set."""
    root = tmp_path_factory.mktemp("odd")
    write_model(root / "red.onnx", red_spec())
    try:
        for part in ("images", "masks"):
            (root / "set" / part).mkdir(parents=True)
        for number, name in enumerate(NAMES):
            image, mask = draw_pond(number)
            with open(os.fsencode(root / "set" / "images") + b"/" + name + b".jpg", "wb") as file:  # noqa: PTH123
                Image.fromarray(image).save(file, "JPEG", quality=95)
            with open(os.fsencode(root / "set" / "masks") + b"/" + name + b".png", "wb") as file:  # noqa: PTH123
                Image.fromarray(mask).save(file, "PNG")
    except OSError:
        pytest.skip("the file system takes no such names")
    return root


@pytest.fixture(autouse=True)
def _at_root(root, monkeypatch):
    monkeypatch.chdir(root)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(words))
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and err.count("\n") == 1
    return err


def test_infer_writes_masks_and_a_report_that_finds_the_photos(root, tmp_path, capsys):
    report = tmp_path / "r.json"
    cli.main(["infer", "--onnx", "red.onnx", "--image", "set/images", "--out", str(tmp_path), "--json", str(report)])
    records = json.loads(report.read_text("utf-8"))["images"]
    assert sorted(Path(record["image"]).stem for record in records) == STEMS
    assert all(Path(record["image"]).is_file() and Path(record["mask"]).is_file() for record in records)
    assert capsys.readouterr().out.count("\n") == 2


def test_a_mask_or_an_overlay_whose_name_would_be_too_long_is_refused_before_the_work(root, tmp_path, capsys):
    photo = f"set/images/{LONG}.jpg"
    assert "a name of 260 bytes, of which the file system takes 255" in refused(
        capsys, "infer", "--onnx", "red.onnx", "--image", photo
    )
    words = ["infer", "--onnx", "red.onnx", "--image", "set/images", "--out", str(tmp_path / "o"), "--overlay"]
    assert "_overlay.jpg: a name of 263 bytes" in refused(capsys, *words)
    assert not (tmp_path / "o").exists()
    refused(capsys, "data", "tile", "--data", "set", "--out", str(tmp_path / "tiles"))
    assert not (tmp_path / "tiles").exists()


def test_evaluate_writes_all_its_reports(root, tmp_path):
    words = ["--model", "red.onnx", "--data", "set", "--out", str(tmp_path), "evaluation.bootstrap=10", "part=all"]
    cli.main(["evaluate", *words])
    assert [row["stem"] for row in json.loads((tmp_path / "images.json").read_text("utf-8"))] == STEMS
    with (tmp_path / "images.csv").open(newline="", encoding="utf-8") as file:
        assert ESCAPED in [row["stem"] for row in csv.DictReader(file)]
    assert ESCAPED in parquet.read_table(tmp_path / "images.parquet")["stem"].to_pylist()
    page = (tmp_path / "report.html").read_text("utf-8")
    assert ESCAPED in page and "quote&#34;&#39;&lt;b&gt;" in page


def test_a_split_file_names_them_so_that_all_are_found_again(root, tmp_path, capsys):
    file = tmp_path / "split.txt"
    cli.main(["data", "split", "--data", "set", "--out", str(file), "split.val=0.3", "split.groups=none"])
    assert b"\tcaf\xe9\n" in file.read_bytes() and b'\t"line\\nfeed"\n' in file.read_bytes()
    split = read_split(file, STEMS)
    assert sorted((*split.train, *split.val)) == STEMS
    cli.main(["data", "stats", "--data", "set", "--out", str(tmp_path / "st"), f"datamodule.split_file={file}"])
    assert json.loads((tmp_path / "st" / "stats.json").read_text("utf-8"))["images"] == len(STEMS)


def test_data_check_names_what_is_wrong_with_them(root, tmp_path, capsys):
    masks = root / "set" / "masks"
    hidden = (masks / os.fsdecode(b"caf\xe9.png")).rename(root / "away.png")
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["data", "check", "--data", "set", "--out", str(tmp_path)])
    finally:
        hidden.rename(masks / os.fsdecode(b"caf\xe9.png"))
    assert stopped.value.code == 1
    assert ESCAPED in (tmp_path / "report.html").read_text("utf-8")
    (finding,) = json.loads((tmp_path / "report.json").read_text("utf-8"))["findings"]
    assert os.fsdecode(b"caf\xe9") in json.dumps(finding, ensure_ascii=False)


def test_data_sets_in_other_formats_keep_them_or_say_that_they_cannot(root, tmp_path, capsys):
    cli.main(["data", "to-mmseg", "--data", "set", "--out", str(tmp_path / "mmseg"), "datamodule.val_split=0.3"])
    assert sorted(path.stem for path in (tmp_path / "mmseg").glob("ann_dir/*/*.png")) == STEMS
    cli.main(["data", "to-coco", "--data", "set", "--out", str(tmp_path / "coco")])
    images = json.loads((tmp_path / "coco" / "annotations.json").read_text("utf-8"))["images"]
    assert all((tmp_path / "coco" / "images" / image["file_name"]).is_file() for image in images)
    said = refused(capsys, "data", "to-cvat", "--data", "set", "--out", str(tmp_path / "x"))
    assert "XML cannot hold this name" in said
    assert not (tmp_path / "x").exists()


@pytest.mark.usefixtures("no_curves")
def test_a_data_set_whose_folder_is_not_utf_8_is_cached_and_trained_on(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / os.fsdecode(b"\xe9t\xe9")
    folder.symlink_to(root / "set")
    words = ["datamodule.cache=disk", f"datamodule.cache_dir={tmp_path / 'cache'}", "datamodule.val_split=0.3"]
    words += ["datamodule.height=32", "datamodule.batch_size=2", "trainer.max_epochs=1", "model=tiny_unet", "loss=dice"]
    words += ["logger=csv", f"datamodule.data_dir='{folder}'"]
    cli.main(["train", *words])
    (run,) = (tmp_path / "outputs").glob("*/*/last.ckpt")
    split = read_split(run.with_name("split.txt"), STEMS)
    assert sorted((*split.train, *split.val)) == STEMS
    cli.main(["train", "resume=auto", "trainer.max_epochs=2"])
    assert "epoch   1" in capsys.readouterr().out
