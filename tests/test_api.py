"""The public API: what `import flood_seg` offers, and that it predicts what `flood-seg infer` writes."""

import inspect
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

import flood_seg
from flood_seg import errors
from flood_seg.cli.main import main
from tests.conftest import write_ponds
from tests.inference.conftest import red_spec, write_model

PHOTO = np.random.default_rng(0).integers(0, 256, (48, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """red.onnx finds red; classes.onnx the strongest of three colours; nir.onnx near infrared of four bands."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "red.onnx", red_spec())
    classes = red_spec(task="multiclass", class_names=("land", "road", "water"), label_values=(0, 7, 9))
    write_model(folder / "classes.onnx", classes, weights=(25.5 * np.eye(3)).tolist(), bias=[0.0] * 3)
    bands = ("red", "green", "blue", "nir")
    nir = replace(red_spec(), bands=bands, mean=(0.0,) * 4, std=(1.0,) * 4, value_scale=10000.0)
    write_model(folder / "nir.onnx", nir, bands=4, weights=[[0.0, 0.0, 0.0, 25.5]])
    return folder


@pytest.fixture(scope="module")
def model(models) -> flood_seg.Model:
    return flood_seg.load_model(models / "red.onnx")


def infer(model: Path, image: Path, out: Path) -> np.ndarray:
    """The mask that the command writes."""
    main(["infer", "--onnx", str(model), "--image", str(image), "--out", str(out)])
    return np.array(Image.open(out))


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_the_surface_is_frozen():
    public = {name: getattr(flood_seg, name) for name in flood_seg.__all__}
    functions = {name: str(inspect.signature(value)) for name, value in public.items() if inspect.isfunction(value)}
    assert functions == {
        "load_model": "(model: 'PathLike | None' = None, *, threshold: 'float | None' = None, "
        "value_scale: 'float | None' = None, **options: 'Any') -> 'Model'",
        "train": "(overrides: 'Sequence[str]' = (), *, data: 'PathLike | None' = None) -> 'Summary'",
        "evaluate": "(model: 'Model | PathLike', data: 'PathLike', *, overrides: 'Sequence[str]' = (), "
        "out: 'PathLike | None' = None) -> 'dict[str, Any]'",
    }
    classes = {name for name, value in public.items() if inspect.isclass(value) and value.__module__ != errors.__name__}
    assert classes == {"Model", "ModelSpec", "Result"} and public["__version__"]
    assert set(flood_seg.__all__) <= set(dir(flood_seg))
    with pytest.raises(AttributeError, match="has no attribute 'predict'"):
        flood_seg.predict  # noqa: B018


def test_a_model_and_a_result_offer_these(model):
    result = model.predict(PHOTO)
    assert {name for name in dir(model) if name[0] != "_"} == {"description", "predict", "spec", "threshold"}
    assert {name for name in dir(result) if name[0] != "_"} == {
        "image", "input_shift", "mask", "missing", "name", "overlay", "plot", "probability", "save", "shares", "valid",
    }  # fmt: skip
    assert list(inspect.signature(flood_seg.Model.predict).parameters) == ["self", "image"]
    assert list(inspect.signature(flood_seg.Result.save).parameters) == ["self", "path", "probability"]
    assert list(inspect.signature(flood_seg.Result.plot).parameters) == ["self", "ax"]


def test_every_error_is_public():
    family = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert family == set(flood_seg.__all__) & set(vars(errors))


def test_importing_is_light():
    heavy = ["numpy", "torch", "hydra", "omegaconf", "cv2", "onnxruntime", "PIL", "matplotlib", "yaml"]
    code = f"import sys, flood_seg; flood_seg.FloodSegError; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n" and not done.stderr


def test_predicting_loads_no_torch_and_prints_nothing(models):
    code = (
        f"import sys, numpy, flood_seg; m = flood_seg.load_model({str(models / 'red.onnx')!r});"
        "r = m.predict(numpy.full((9, 9, 3), 200, 'u1')); assert r.mask.all();"
        "assert not {'torch', 'pytorch_lightning', 'mlflow', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_path_bytes_pil_and_array_give_the_mask_that_infer_writes(model, models, tmp_path, form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(PHOTO).resize((384, 192), Image.Resampling.BICUBIC)
    path = tmp_path / f"photo.{form.lower()}"
    path.write_bytes(encoded(image, form, exif=exif))
    expected = infer(models / "red.onnx", path, tmp_path / "m.png")
    assert expected.shape == ((192, 384) if orientation == 1 else (384, 192))
    assert 0.2 < (expected > 0).mean() < 0.8

    by_path = model.predict(path)
    array = by_path.image
    for given in (str(path), path.read_bytes(), bytearray(path.read_bytes()), array, array[::-1][::-1]):
        np.testing.assert_array_equal(model.predict(given).mask * 255, expected)
    np.testing.assert_array_equal(by_path.mask * 255, expected)
    with Image.open(path) as opened:
        difference = model.predict(opened).mask * 255 != expected
    assert difference.mean() <= (0.001 if form == "JPEG" else 0)  # two decoders round JPEG differently

    by_path.save(tmp_path / "saved.png")
    assert (tmp_path / "saved.png").read_bytes() == (tmp_path / "m.png").read_bytes()


def test_what_is_transparent_has_no_data_however_the_image_is_given(model, models, tmp_path):
    alpha = np.full(PHOTO.shape[:2], 255, np.uint8)
    alpha[:10] = 0
    image = Image.fromarray(np.dstack([PHOTO, alpha]))
    image.save(tmp_path / "a.png")
    expected = infer(models / "red.onnx", tmp_path / "a.png", tmp_path / "m.png")
    for given in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes(), image):
        result = model.predict(given)
        np.testing.assert_array_equal(result.mask * 255, expected)
        np.testing.assert_array_equal(result.valid, alpha > 0)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16", "LA"])
def test_a_pil_image_of_any_mode_is_read_as_its_file(model, mode, tmp_path):
    image = Image.fromarray(PHOTO)
    if mode == "I;16":
        image = Image.fromarray(PHOTO[:, :, 0].astype(np.uint16) * 257)
    image = image.convert(mode) if image.mode != mode else image
    image.save(tmp_path / "file.tif", compression="raw")
    if mode not in ("CMYK",):
        image.save(tmp_path / "file.png")
        np.testing.assert_array_equal(model.predict(image).mask, model.predict(tmp_path / "file.png").mask)
    assert model.predict(image).mask.shape == PHOTO.shape[:2]


def test_values_and_shapes_of_a_result(model):
    result = model.predict(PHOTO[:, :, :])
    assert result.mask.dtype == np.uint8 and result.mask.shape == result.probability.shape == PHOTO.shape[:2]
    assert result.probability.dtype == np.float32 and 0 <= result.probability.min() <= result.probability.max() <= 1
    np.testing.assert_array_equal(result.mask, result.probability > model.threshold)
    assert result.shares == {"water": pytest.approx((result.mask == 1).mean())}
    assert result.overlay.shape == PHOTO.shape and result.overlay.dtype == np.uint8


def test_several_classes(models, tmp_path):
    image = np.array(Image.fromarray(PHOTO).resize((64, 64), Image.Resampling.NEAREST))
    result = flood_seg.load_model(models / "classes.onnx").predict(image)
    assert result.probability.shape == (64, 64, 3)
    np.testing.assert_allclose(result.probability.sum(axis=2), 1, atol=1e-5)
    np.testing.assert_array_equal(result.mask, image.argmax(axis=2))
    assert list(result.shares) == ["road", "water"]
    result.save(tmp_path / "m.png")
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "m.png")), np.array([0, 7, 9])[result.mask])


def test_a_raster_of_four_bands(models, tmp_path):
    values = np.random.default_rng(1).integers(0, 10000, (64, 64, 4)).astype(np.uint16)
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", width=64, height=64, count=4, dtype="uint16", nodata=0, **place) as out:
        out.write(np.moveaxis(values, 2, 0))
    model = flood_seg.load_model(models / "nir.onnx")
    expected = infer(models / "nir.onnx", path, tmp_path / "m.png") > 0
    for given in (path, path.read_bytes(), values):
        result = model.predict(given)
        np.testing.assert_array_equal(result.mask, expected)
        assert result.image.shape == (64, 64, 4) and len(result._repr_png_()) > 0


def test_several_images_are_an_iterator_that_takes_only_what_it_needs(model):
    taken = []

    def images() -> Iterator[np.ndarray]:
        for number in range(1000):
            taken.append(number)
            yield np.full((8, 8 + number, 3), 200, np.uint8)

    results = model.predict(images())
    assert isinstance(results, Iterator) and not taken
    assert [next(results).mask.shape for _ in range(3)] == [(8, 8), (8, 9), (8, 10)]
    assert len(taken) < 50
    results.close()
    assert [result.name for result in model.predict([PHOTO, Image.fromarray(PHOTO)])] == ["array", "PIL image"]


def test_an_image_that_fails_ends_the_iteration_at_its_turn(model, tmp_path):
    results = model.predict([PHOTO, tmp_path / "missing.png", PHOTO])
    assert next(results).mask.any()
    with pytest.raises(flood_seg.ImageError, match="missing.png: No such file"):
        next(results)
    assert next(results, None) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (PHOTO.astype(np.int64), "array of int64: the values must be one of uint8"),
        (PHOTO > 100, "array of bool"),
        (np.array([["a"]]), "array of <U1"),
        (PHOTO[:, :, 0], r"array of shape \(48, 96\): the model requires \[height, width, bands\] with red, green"),
        (PHOTO[:, :, :2], r"array of shape \(48, 96, 2\)"),
        (PHOTO[:0], r"array of shape \(0, 96, 3\)"),
        (PHOTO / 255, "array: values from .* do not fit value_scale=255.*set value_scale=1 "),
        (PHOTO.astype(np.uint16) * 256, "array: values from .* do not fit value_scale=255"),
        (np.full((8, 8, 3), np.nan, np.float32), "no pixel has data"),
        (b"", "bytes: the file is empty"),
        (b"nothing", "bytes: not an image"),
        (7, "int: is no image; give a path, bytes, a PIL image or a NumPy array"),
        ("missing.jpg", "missing.jpg: No such file"),
        (Path(), r"\.: is a folder; give its images, as in sorted"),
    ],
)
def test_what_is_no_image_of_the_model_is_one_line(model, given, message):
    with pytest.raises(flood_seg.ImageError, match=message) as caught:
        model.predict(given)
    assert "\n" not in str(caught.value)


def test_an_array_is_not_changed_and_may_be_of_any_layout(model, models):
    values = np.asfortranarray(PHOTO.astype(">u2"))
    values.flags.writeable = False
    np.testing.assert_array_equal(model.predict(values).mask, model.predict(PHOTO.astype(np.uint16)).mask)
    floats = PHOTO.astype(np.float64)
    floats[0, 0] = np.nan
    before = floats.copy()
    result = model.predict(floats)
    np.testing.assert_array_equal(floats, before)
    assert result.mask[0, 0] == 0 and not result.valid[0, 0] and result.valid.sum() == PHOTO[:, :, 0].size - 1


def test_a_pil_file_that_is_cut_is_an_image_error(model, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(encoded(Image.fromarray(PHOTO), "JPEG")[:900])
    with pytest.raises(flood_seg.ImageError, match="cut.jpg: cannot be decoded"):
        model.predict(Image.open(tmp_path / "cut.jpg"))


def test_saving_and_drawing(model, tmp_path):
    pytest.importorskip("matplotlib").use("Agg")
    result = model.predict(PHOTO)
    with pytest.raises(flood_seg.OutputError, match="'.jpg' does not store the mask exactly; give a .png"):
        result.save(tmp_path / "m.jpg")
    axes = result.plot()
    assert "water" in axes.get_title() and result.plot(axes) is axes
    with Image.open(io.BytesIO(result._repr_png_())) as shown:
        np.testing.assert_array_equal(np.array(shown), result.overlay)
    assert repr(result).startswith("<flood_seg.Result of array: 96×48, ") and "red.onnx" in repr(model)
    large = model.predict(np.full((30, 3000, 3), 200, np.uint8))
    with Image.open(io.BytesIO(large._repr_png_())) as shown:
        assert shown.size == (1024, 10)


def test_without_matplotlib_drawing_names_the_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "flood_seg.plots.prediction", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    expected = r"plot: requires matplotlib.*pip install 'flood-seg\[train\]'"
    with pytest.raises(flood_seg.MissingExtraError, match=expected):
        model.predict(PHOTO).plot()


def test_models_are_named_as_on_the_command_line(models, tmp_path):
    bundled = flood_seg.load_model()
    assert bundled.spec.class_names == ("background", "water") and bundled.description.startswith("onnxruntime")
    assert isinstance(bundled.spec, flood_seg.ModelSpec)
    (tmp_path / "model.onnx").write_bytes((models / "red.onnx").read_bytes())
    assert "model.onnx" in repr(flood_seg.load_model(tmp_path))
    strict = flood_seg.load_model(models / "red.onnx", threshold=0.99, provider="cpu", threads=1)
    assert strict.threshold == 0.99 and strict.predict(PHOTO).mask.mean() < 0.5
    unit = flood_seg.load_model(f"onnxruntime,threads=1:{models / 'red.onnx'}", value_scale=1)
    assert unit.predict(PHOTO / np.float32(255)).mask.mean() == pytest.approx((PHOTO[:, :, 0] > 127).mean(), abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (["missing.onnx"], {}, "ModelError", "missing.onnx: no such file"),
        (["model.h5"], {}, "UsageError", "no engine runs that"),
        ([], {"thread": 2}, "ConfigError", r"backend.thread: no such key \(did you mean 'backend.threads'"),
        ([], {"threshold": 2}, "ConfigError", "threshold"),
        ([], {"provider": "cua"}, "ConfigError", "did you mean 'cuda'"),
        (["triton:127.0.0.1:1/m"], {"retries": 0, "timeout": 2}, "ServerError", "127.0.0.1:1/m"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_line(arguments, options, error, message):
    with pytest.raises(getattr(flood_seg, error), match=message) as caught:
        flood_seg.load_model(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_a_program_that_uses_hydra_itself_keeps_its_own(models):
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(models), version_base=None):
        (models / "mine.yaml").write_text("answer: 42\n")
        flood_seg.load_model(models / "red.onnx")
        assert compose("mine").answer == 42


def test_the_examples_of_the_documentation_run(tmp_path, monkeypatch):
    text = (Path(__file__).parent.parent / "docs" / "python.md").read_text("utf-8")
    first, second, _ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in ("photo.jpg", "photos/1.jpg", "photos/2.jpg"):
        Image.fromarray(PHOTO).save(name)
    exec(first + second, {})
    assert {path.name for path in tmp_path.rglob("*.png")} == {"water.png", "probability.png", "1.png", "2.png"}


def test_evaluating_returns_the_figures_and_writes_to_stderr_only(model, models, tmp_path, capsys):
    pytest.importorskip("flood_seg.verbs.evaluate")
    data = write_ponds(tmp_path / "data", 3)
    record = flood_seg.evaluate(model, data)
    assert 0 <= record["iou"] <= 1 and record["images"] == 3 and record["threshold"] == 0.5
    strict = flood_seg.load_model(models / "red.onnx", threshold=0.9)
    assert flood_seg.evaluate(strict, data, out=tmp_path / "out")["threshold"] == 0.9
    assert (tmp_path / "out" / "metrics.json").is_file()
    assert flood_seg.evaluate(models / "red.onnx", data)["iou"] == pytest.approx(record["iou"])
    assert capsys.readouterr().out == ""
    with pytest.raises(flood_seg.DataError, match="nowhere"):
        flood_seg.evaluate(model, tmp_path / "nowhere")


@pytest.mark.usefixtures("no_curves")
def test_training_returns_a_summary_whose_model_can_be_loaded(tmp_path, monkeypatch, capsys):
    pytest.importorskip("flood_seg.verbs.train")
    monkeypatch.chdir(tmp_path)
    data = write_ponds(tmp_path / "data", 6)
    summary = flood_seg.train(
        ["trainer.max_epochs=1", "model.encoder_weights=null", "datamodule.height=32", "datamodule.width=32",
         "datamodule.num_workers=0", "trainer.accelerator=cpu", "logger=csv"], data=data,
    )  # fmt: skip
    assert flood_seg.load_model(summary.run_dir).predict(PHOTO).mask.shape == PHOTO.shape[:2]
    assert capsys.readouterr().out == ""
    with pytest.raises(flood_seg.ConfigError, match="trainer.max_epoch"):
        flood_seg.train(["trainer.max_epoch=1"])
