import json
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import InferConfig, OutputConfig
from flood_seg.errors import ImageError, LogitsError, OutOfMemoryError, OutputError, PartialFailureError
from flood_seg.imaging import read as read_module
from flood_seg.inference import rendering as rendering_module
from flood_seg.inference import segment as segment_module
from flood_seg.inference import stages as stages_module
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.verbs import infer as infer_module
from flood_seg.verbs.infer import segment_images as infer
from tests.conftest import make_spec
from tests.inference.conftest import red_spec, write_model

BACKEND = {"_target_": "flood_seg.inference.backends.onnxruntime.OnnxRuntimeBackend"}
PHOTO = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
EXPECTED = PHOTO[:, :, 0] > 127


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def run(
    model: Path, image: Path | str, out: Path | None = None, value: int = 255, skip: bool = False, **options: object
) -> None:
    config = defaults(
        InferConfig, backend=BACKEND, output=defaults(OutputConfig, foreground_value=value), skip_existing=skip
    )
    infer(config, str(model), str(image), out, **options)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of four photos that are older than any model or mask."""
    (tmp_path / "album").mkdir()
    for number in range(4):
        Image.fromarray(PHOTO).save(tmp_path / "album" / f"{number}.png")
        os.utime(tmp_path / "album" / f"{number}.png", (1000, 1000))
    return tmp_path / "album"


@pytest.mark.parametrize("value", [255, 1])
def test_the_mask_is_a_single_channel_png_of_the_photos_size(red_model, photo, tmp_path, value):
    run(red_model, photo, tmp_path / "m.png", value)
    with Image.open(tmp_path / "m.png") as mask:
        assert mask.mode == "L" and mask.format == "PNG"
        np.testing.assert_array_equal(np.array(mask), EXPECTED * value)


def test_it_says_which_model_and_where_the_mask_is(red_model, photo, capsys):
    run(red_model, photo)
    out = capsys.readouterr().out
    assert f"Model {red_model} (as given), onnxruntime cpu" in out
    assert f"{photo.with_name('photo_mask.png')}: 64×64, {EXPECTED.mean():.1%} water" in out


def test_the_overlay_tints_the_water(red_model, photo, tmp_path):
    Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(photo)
    run(red_model, photo, tmp_path / "m.png", overlay=True)
    tint = 255 * 0.55 + np.array([30, 144, 255]) * 0.45
    with Image.open(tmp_path / "m_overlay.jpg") as overlay:
        assert np.abs(np.array(overlay)[20:40, 20:40] - tint).max() <= 4


def test_json_gives_share_and_timings(red_model, photo, tmp_path):
    run(red_model, photo, json=tmp_path / "r.json")
    record = json.loads((tmp_path / "r.json").read_text())
    (image,) = record["images"]
    assert record["model"] == str(red_model) and record["engine"] == "onnxruntime cpu"
    assert image["foreground_share"] == image["water_share"] == pytest.approx(EXPECTED.mean())
    assert image["shares"] == {"water": image["water_share"]}
    assert (image["width"], image["height"]) == (64, 64)
    assert set(image["milliseconds"]) == {"read", "predict", "write", "total"}


def test_a_report_speaks_of_the_models_own_classes(photo, tmp_path, capsys):
    spec = red_spec(class_names=("background", "building"))
    run(write_model(tmp_path / "b.onnx", spec), photo, overlay=True, json=tmp_path / "r.json")
    (image,) = json.loads((tmp_path / "r.json").read_text())["images"]
    assert image["shares"] == {"building": image["foreground_share"]} and image["foreground_share"] > 0.4
    assert "water" not in (tmp_path / "r.json").read_text() + capsys.readouterr().out

    spec = red_spec(task="multiclass", class_names=("land", "road", "water"), label_values=(0, 1, 2))
    model = write_model(tmp_path / "m.onnx", spec, weights=(25.5 * np.eye(3)).tolist(), bias=[0.0] * 3)
    run(model, photo, json=tmp_path / "m.json")
    (image,) = json.loads((tmp_path / "m.json").read_text())["images"]
    best = PHOTO.argmax(axis=2)
    assert image["water_share"] == pytest.approx((best == 2).mean())
    assert image["foreground_share"] == pytest.approx((best > 0).mean())


def test_a_report_that_is_no_json_could_be_a_photo_and_is_refused(red_model, photo):
    before = photo.read_bytes()
    with pytest.raises(OutputError, match="ends in .json"):
        run(red_model, photo, json=photo)
    assert photo.read_bytes() == before


def test_a_model_of_several_classes_writes_its_label_values(tmp_path, photo):
    names, values = ("background", "cat", "dog"), (0, 100, 200)
    spec = red_spec(task="multiclass", class_names=names, label_values=values)
    model = write_model(tmp_path / "pets.onnx", spec, weights=[[0, 0, 0], [9, 0, 0], [0, 9, 0]], bias=[4.5, 0, 0])
    run(model, photo, tmp_path / "m.png")
    scores = np.stack([np.full((64, 64), 127.5), PHOTO[:, :, 0], PHOTO[:, :, 1]])
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "m.png")), np.array(values)[scores.argmax(0)])


def test_a_second_run_over_a_folder_finds_the_same_photos(red_model, photo):
    for _ in range(2):
        run(red_model, photo.parent, photo.parent, overlay=True)
    names = sorted(path.name for path in photo.parent.iterdir() if path.suffix != ".onnx")
    assert names == ["photo.png", "photo_mask.png", "photo_overlay.jpg"]


def test_files_that_are_corrupt_alike_are_counted_and_the_json_file_lists_each(red_model, photo, tmp_path, capsys):
    folder, report = tmp_path / "in", tmp_path / "report.json"
    folder.mkdir()
    Image.fromarray(PHOTO).save(folder / "good.png")
    for number in range(9):
        (folder / f"{number}.png").write_bytes(b"")
    with pytest.raises(PartialFailureError, match="9 of 10 images"):
        run(red_model, folder, tmp_path / "out", json=report)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4 and f"6 more left out, 9 in all: the file is empty; {report} lists each" in told[-1]
    assert len(json.loads(report.read_text())["failed"]) == 9


def test_a_corrupt_file_in_a_folder_is_reported_and_the_rest_is_done(red_model, photo, tmp_path, capsys):
    folder = tmp_path / "in put"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(PHOTO).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(PartialFailureError, match="1 of 4 images"):
        run(red_model, folder, json=tmp_path / "r.json")
    assert sorted(path.name for path in (tmp_path / "in put_masks").iterdir()) == ["0.png", "1.png", "3.png"]
    assert "2.png" in capsys.readouterr().err
    report = json.loads((tmp_path / "r.json").read_text())
    assert len(report["images"]) == 3 and "2.png" in report["failed"][0]


@pytest.mark.parametrize(("overlay", "allowed"), [(False, 2), (True, 5)])
def test_however_many_photos_a_few_are_in_memory(overlay, allowed, red_model, tmp_path, monkeypatch):
    """Counts the arrays that are alive each time another photo has been decoded."""
    (tmp_path / "in").mkdir()
    for number in range(20):
        Image.fromarray(PHOTO).save(tmp_path / "in" / f"{number:02d}.png")
    read, alive, most = read_module.read_photo, weakref.WeakSet(), []

    class Photo(np.ndarray):
        __hash__ = object.__hash__

    def counted(path: Path) -> tuple[np.ndarray, None]:
        image = read(path)[0].view(Photo)
        alive.add(image)
        most.append(len(alive))
        return image, None

    monkeypatch.setattr(read_module, "read_photo", counted)
    monkeypatch.setattr(stages_module, "cores", lambda: 2)
    run(red_model, tmp_path / "in", overlay=overlay)
    assert len(most) == 20 and max(most) <= allowed


def test_a_phone_photo_gives_an_upright_mask(red_model, tmp_path):
    lying = np.zeros((48, 64, 3), np.uint8)
    lying[:, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    Image.fromarray(lying).save(tmp_path / "p.jpg", exif=exif, quality=95)
    run(red_model, tmp_path / "p.jpg")
    mask = np.array(Image.open(tmp_path / "p_mask.png"))
    assert mask.shape == (64, 48)
    assert mask[:28].all() and not mask[36:].any()


def test_one_corrupt_photo_is_the_error_itself_and_writes_nothing(red_model, tmp_path):
    (tmp_path / "p.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match="p.jpg: the file is empty"):
        run(red_model, tmp_path / "p.jpg")
    assert not (tmp_path / "p_mask.png").exists()


def test_a_place_that_cannot_be_written_is_named(red_model, photo):
    with pytest.raises(OutputError, match="cannot be written"):
        run(red_model, photo, photo / "m.png")


def test_a_stopped_folder_is_gone_on_with(red_model, album, tmp_path, capsys):
    """Whole masks stay, byte for byte; one that is missing, one that is cut off and one of an older photo are made."""
    masks, report = tmp_path / "album_masks", tmp_path / "r.json"
    run(red_model, album)
    whole = (masks / "0.png").read_bytes()
    (masks / "1.png").unlink()
    (masks / "2.png").write_bytes(whole[: len(whole) // 2])
    os.utime(album / "3.png")
    os.utime(masks / "3.png", (2000, 2000))
    os.utime(masks / "0.png", ns=(time.time_ns(), time.time_ns()))
    capsys.readouterr()
    run(red_model, album, skip=True, json=report)
    record = json.loads(report.read_text())
    assert [Path(image["image"]).name for image in record["images"]] == ["1.png", "2.png", "3.png"]
    assert record["skipped"] == 1 and record["stopped"] is None
    assert "3 masks" in (said := capsys.readouterr().out) and "1 skipped (skip_existing=true)" in said
    assert {path.read_bytes() for path in masks.iterdir()} == {whole}
    run(red_model, album, skip=True)
    assert "0 masks, 4 skipped" in capsys.readouterr().out


def test_an_overlay_that_is_wanted_and_missing_is_made_and_a_newer_model_makes_all_anew(red_model, album, tmp_path):
    report = tmp_path / "r.json"
    run(red_model, album)
    run(red_model, album, skip=True, overlay=True, json=report)
    assert json.loads(report.read_text())["skipped"] == 0
    run(red_model, album, skip=True, overlay=True, json=report)
    assert json.loads(report.read_text())["skipped"] == 4
    later = time.time() + 10
    os.utime(red_model, (later, later))
    run(red_model, album, skip=True, json=report)
    assert json.loads(report.read_text())["skipped"] == 0


@pytest.mark.parametrize(
    ("fault", "raised", "told"),
    [(OutputError("m.png: cannot be written"), OutputError, "m.png: cannot be written"),
     (KeyboardInterrupt(), KeyboardInterrupt, "interrupted")],
)  # fmt: skip
def test_a_stop_in_mid_folder_leaves_a_report_of_what_is_done(
    fault, raised, told, red_model, album, tmp_path, monkeypatch, capsys
):
    write = rendering_module.write_image

    def faulty(path: Path, image: np.ndarray) -> None:
        if path.name == "2.png":
            raise fault
        write(path, image)

    monkeypatch.setattr(rendering_module, "write_image", faulty)
    with pytest.raises(raised):
        run(red_model, album, json=tmp_path / "r.json")
    record = json.loads((tmp_path / "r.json").read_text())
    there = sorted(path.name for path in (tmp_path / "album_masks").iterdir())
    assert [Path(image["mask"]).name for image in record["images"]] == there and record["stopped"] == told
    said = capsys.readouterr().err
    assert f"{len(there)} of 4 images are done; the same command with skip_existing=true continues" in said


@pytest.mark.parametrize("stage", ["read", "run", "write"])
def test_memory_that_ends_at_one_photo_is_one_line_and_the_others_are_done(
    stage, red_model, album, tmp_path, monkeypatch, capsys
):
    calls = []

    def once(wrapped: Callable) -> Callable:
        def call(*arguments: object) -> object:
            calls.append(None)
            if len(calls) == 2:
                raise MemoryError
            return wrapped(*arguments)

        return call

    if stage == "run":
        monkeypatch.setattr(OnnxRuntimeBackend, "run", once(OnnxRuntimeBackend.run))
    else:
        module, name = {"read": (segment_module, "read_bands"), "write": (rendering_module, "write_image")}[stage]
        monkeypatch.setattr(module, name, once(getattr(module, name)))
    with pytest.raises(PartialFailureError, match="1 of 4 images have no mask"):
        run(red_model, album, json=tmp_path / "r.json")
    record = json.loads((tmp_path / "r.json").read_text())
    assert len(record["images"]) == len(list((tmp_path / "album_masks").iterdir())) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "not enough memory for" in line and "album/" in line and record["failed"] == [line.partition(": ")[2]]


def test_memory_that_ends_at_the_only_photo_is_the_error_itself(red_model, photo, monkeypatch):
    monkeypatch.setattr(segment_module, "read_bands", lambda *_: np.empty((1 << 25, 1 << 25)))
    with pytest.raises(OutOfMemoryError, match="not enough memory for .*photo.png"):
        run(red_model, photo)


def test_infer_loads_no_torch(red_model, photo):
    """In a process of its own: what the light installation has not must not be needed."""
    heavy = [
        "torch",
        "pytorch_lightning",
        "mlflow",
        "albumentations",
        "onnx",
        "matplotlib",
        "segmentation_models_pytorch",
        "pandas",
    ]
    code = (
        f"import sys; from flood_seg.cli.main import main; main(['infer', '--onnx', {str(red_model)!r}, '--image', "
        f"{str(photo)!r}, '--overlay']); print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and not done.stderr


class Broken:
    """A backend that answers NaN for images whose first value is 1, and red else."""

    description, concurrency = "broken", 1

    def __init__(self) -> None:
        self.spec = red_spec()

    def run(self, batch: np.ndarray) -> np.ndarray:
        logits = batch[:, :1] * 25.5 - 12.75
        logits[batch[:, 0, 0, 0] == 1] = np.nan
        return logits


def test_an_answer_of_nan_is_an_error_of_that_image_and_never_a_dry_mask(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(infer_module, "open_backend", lambda *_: Broken())
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(PHOTO).save(folder / "good.png")
    bad = PHOTO.copy()
    bad[0, 0] = 255
    Image.fromarray(bad).save(folder / "nan.png")
    with pytest.raises(PartialFailureError, match="1 of 2"):
        run(Path("any.onnx"), folder, out, json=tmp_path / "r.json", overlay=True)
    assert sorted(path.name for path in out.iterdir()) == ["good.png", "good_overlay.jpg"]
    (failed,) = json.loads((tmp_path / "r.json").read_text())["failed"]
    assert failed.startswith(f"{folder / 'nan.png'}: the model returns NaN or infinity for 100.0% of the logits")
    with pytest.raises(LogitsError, match="nan.png"):
        run(Path("any.onnx"), folder / "nan.png", tmp_path / "m.png")
    assert not (tmp_path / "m.png").exists()


def test_an_image_of_another_scale_is_refused_and_read_where_the_scale_is_given(red_model, tmp_path):
    import rasterio

    with rasterio.open(
        tmp_path / "float.tif", "w", driver="GTiff", height=64, width=64, count=3, dtype="float32"
    ) as file:
        file.write(np.moveaxis(PHOTO / np.float32(255), 2, 0))
    with pytest.raises(ImageError, match=r"float.tif: values from 0 to 1 do not fit value_scale=255"):
        run(red_model, tmp_path / "float.tif", tmp_path / "m.png")
    assert not (tmp_path / "m.png").exists()
    config = defaults(InferConfig, backend=BACKEND, value_scale=1.0)
    infer(config, str(red_model), str(tmp_path / "float.tif"), tmp_path / "m.png")
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "m.png")) > 0, EXPECTED)


def test_unusual_values_are_a_warning_and_a_figure_of_the_image(tmp_path, photo, capsys):
    model = write_model(tmp_path / "red.onnx", make_spec())
    run(model, photo, json=tmp_path / "r.json")
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["images"][0]["input_shift"] < 0.6 and record["warnings"] == [] and not capsys.readouterr().err
    Image.fromarray(np.maximum(PHOTO, 250)).save(photo)
    run(model, photo, json=tmp_path / "r.json")
    record = json.loads((tmp_path / "r.json").read_text())
    mean = (np.maximum(PHOTO, 250)[:, :, 2].mean() / 255 - 0.406) / 0.225
    assert record["images"][0]["input_shift"] == pytest.approx(mean, abs=1e-3)
    (warning,) = record["warnings"]
    assert warning.startswith(f"{photo}: unusual values: band means 2.6") and warning in capsys.readouterr().err


@pytest.mark.parametrize("photos", [3, 5])
def test_many_images_of_unusual_values_are_counted_not_listed(tmp_path, photos, capsys):
    model, folder = write_model(tmp_path / "red.onnx", make_spec()), tmp_path / "in"
    folder.mkdir()
    for number in range(photos):
        Image.fromarray(np.maximum(PHOTO, 250)).save(folder / f"{number}.png")
    run(model, folder, tmp_path / "out", json=tmp_path / "r.json")
    lines = [line for line in capsys.readouterr().err.splitlines() if "unusual" in line]
    assert len(lines) == (3 if photos == 3 else 4)
    assert len(json.loads((tmp_path / "r.json").read_text())["warnings"]) == photos


@pytest.mark.parametrize("how", ["alpha", "declared", "model"])
def test_where_nothing_was_seen_no_water_is_claimed_and_the_report_says_how_much(tmp_path, how, capsys):
    unseen = np.zeros((64, 64), bool)
    unseen[:16] = True
    model = write_model(tmp_path / "red.onnx", red_spec(nodata=255.0 if how == "model" else None), bias=[1.0])
    if how == "alpha":
        path = tmp_path / "a.png"
        Image.fromarray(np.dstack([PHOTO, np.where(unseen, 0, 255).astype(np.uint8)])).save(path)
    else:
        path, bands = tmp_path / "a.tif", np.minimum(np.moveaxis(PHOTO, 2, 0), 254)
        bands[:, unseen] = 255
        nodata = {"nodata": 255} if how == "declared" else {}
        place = {"crs": "EPSG:32632", "transform": rasterio.Affine(1, 0, 0, 0, -1, 0)}
        with rasterio.open(path, "w", height=64, width=64, count=3, dtype="uint8", **nodata, **place) as out:
            out.write(bands)
    run(model, path, tmp_path / "m.png", json=tmp_path / "r.json")
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "m.png")) == 0, unseen)  # all the rest is water
    (image,) = json.loads((tmp_path / "r.json").read_text())["images"]
    assert image["nodata_share"] == 0.25 and image["water_share"] == 0.75
    assert "75.0% water, 25.0% without data" in capsys.readouterr().out


def test_a_photo_that_is_seen_as_a_whole_has_a_nodata_share_of_0(red_model, photo, tmp_path):
    run(red_model, photo, json=tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["images"][0]["nodata_share"] == 0
