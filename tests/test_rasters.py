"""A model of rasters, from training to every verb that tries it: each sees the windows that training saw."""

import json

import pytest

from flood_seg.benchmarking import benchmark as benchmark_module
from flood_seg.benchmarking import verify as verify_module
from flood_seg.cli import main as cli
from flood_seg.export import quantize as quantize_module
from tests.data.test_windows import write_scene

pytest.importorskip("openvino")

DATA = ["datamodule=rasters", "datamodule.data_dir=data", "datamodule.height=64", "datamodule.windows.block=2"]
TRAIN = ["datamodule.bands=[east,south]", "datamodule.value_scale=10000", "datamodule.batch_size=4", "model=tiny_unet",
         "trainer.max_epochs=1", "trainer.precision=32-true", "trainer.progress_bar=false", "logger=none",
         "augmentation=none"]  # fmt: skip


@pytest.mark.usefixtures("no_curves")
def test_each_verb_tries_a_model_of_rasters_on_its_windows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number, name in enumerate("ab"):
        write_scene(tmp_path / "data", name, 200, 200, east=5000.0 * number)
    cli.main(["train", *DATA, *TRAIN])
    split = [line.split("\t") for line in (tmp_path / "outputs/latest/split.txt").read_text().splitlines()]
    parts = {part: {stem for its, stem in split if its == part} for part in ("train", "val")}
    assert all("/r" in stem for stem in parts["train"] | parts["val"]) and len(parts["val"]) > 1

    capsys.readouterr()
    cli.main(["convert-to-onnx", "--ckpt", "outputs/latest/best.ckpt", "--onnx", "model.onnx"])
    assert "on a validation image at 64×64" in capsys.readouterr().out, "the run's own data is found again"

    seen = dict[str, set[str]]()
    for module, verb in ((verify_module, "verify"), (benchmark_module, "benchmark")):
        load = module.load_images

        def spy(*arguments, verb=verb, load=load):
            photos, origin = load(*arguments)
            seen[verb] = {photo.name for photo in photos}
            return photos, origin

        monkeypatch.setattr(module, "load_images", spy)
    cli.main(["verify", "--models", "outputs/latest/best.ckpt", "model.onnx", "--out", "verify.json", *DATA])
    few = ["benchmark.rounds=1", "benchmark.repeats=1", "benchmark.batch_sizes=[1]"]
    cli.main(["benchmark", "--models", "model.onnx", "--out", "bench", *few, *DATA, "benchmark.images=100"])
    assert seen == {"verify": parts["val"], "benchmark": parts["val"]}
    assert json.loads((tmp_path / "verify.json").read_text())["models"][1]["agreement"]["flipped"] < 0.01

    quantized = list[set[str]]()
    read = quantize_module.read_images
    monkeypatch.setattr(
        quantize_module, "read_images", lambda *a: quantized.append({photo.name for photo in read(*a)}) or read(*a)
    )
    split_file = "datamodule.split_file=outputs/latest/split.txt"
    cli.main(["quantize", "--onnx", "model.onnx", "--out", "half.onnx", "quantize.form=float16", split_file, *DATA])
    assert quantized == [parts["train"], parts["val"]]

    cli.main(["evaluate", "--model", "model.onnx", "--out", "report", split_file, *DATA])
    rows = json.loads((tmp_path / "report" / "images.json").read_text())
    assert {row["stem"] for row in rows} == parts["val"]
    measured = json.loads((tmp_path / "bench" / "benchmark.json").read_text())["engines"][0]["iou"]
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["iou"] == pytest.approx(measured, abs=1e-6)
