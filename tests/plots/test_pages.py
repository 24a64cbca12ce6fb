"""The pages that flood-seg writes, as a reader's browser shows them."""

import re
from pathlib import Path

import pytest

from flood_seg.config.compose import compose
from flood_seg.config.schema import EvaluateConfig
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.errors import FindingsError
from flood_seg.verbs.evaluate import run_evaluation as evaluate
from tests.conftest import write_ponds
from tests.inference.conftest import red_spec, write_model


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_ponds(folder / "data", 14)
    model = write_model(folder / "m.onnx", red_spec(), weights=[[0.0, 0.0, 25.5]])
    (folder / "groups.csv").write_text(
        "stem,event\n" + "".join(f"{n:02d},{'<b>&' if n % 2 else 'x'}\n" for n in range(14))
    )
    options = ["tta=true", f"groups='{folder}/groups.csv:event'", "goal=f1", f"compare='{model}'"]
    overrides = [f"datamodule.data_dir='{folder}/data'", *(f"evaluation.{option}" for option in options)]
    evaluate(compose("evaluate", overrides, EvaluateConfig), str(model), folder / "out")
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def check_page(tmp_path_factory) -> Path:
    from tests.workshop.tools import check

    folder = tmp_path_factory.mktemp("check")
    write_ponds(folder / "data", 6)
    (folder / "data" / "masks" / "00.png").write_bytes(b"")
    with pytest.raises(FindingsError):
        check(compose("data", [f"datamodule.data_dir='{folder}/data'"], DataToolsConfig), folder / "out")
    return folder / "out" / "report.html"


def pages(request) -> Path:
    return request.getfixturevalue(request.param)


page_path = pytest.fixture(params=["evaluation", "check_page"])(pages)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_asks_nobody_shows_all_its_pictures_and_fits_a_phone(visit, page_path, width):
    page, outside, errors = visit(page_path, width)
    assert outside == [] and errors == []
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("document.images.length") >= 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_even_what_a_template_might_ask_for_is_forbidden(visit, evaluation, tmp_path):
    text = evaluation.read_text().replace("<footer>", '<img src="http://127.0.0.1:9/x.png"><footer>')
    (tmp_path / "asking.html").write_text(text)
    page, _, errors = visit(tmp_path / "asking.html", 800)
    page.wait_for_timeout(200)
    assert any("Content Security Policy" in error for error in errors)


def test_a_click_on_a_title_sorts_by_number_and_again_the_other_way_round(visit, evaluation):
    page, *_ = visit(evaluation, 1280)
    table = page.locator("#images ~ div table")
    column = table.locator("th").all_inner_texts().index("iou")

    def values() -> list[float]:
        return [float(text) for text in table.locator(f"tbody td:nth-child({column + 1})").all_inner_texts()]

    before = values()
    table.locator("th button").nth(column).click()
    assert values() == sorted(before) != before
    table.locator("th button").nth(column).click()
    assert values() == sorted(before, reverse=True)
    assert table.locator("th").nth(column).get_attribute("aria-sort") == "descending"


def test_the_evaluation_has_what_it_promises(visit, evaluation):
    page, *_ = visit(evaluation, 1280)
    text = page.inner_text("body")
    for wanted in ("Boundary F1, 2 px", "95 % CI", "Test-time augmentation", "Comparison with", "sharpness", "<b>&",
                   "water found", "Lowest IoU", "Highest IoU"):  # fmt: skip
        assert wanted in text, wanted
    assert page.locator(".trio").count() == 20 and page.locator("#images ~ div tbody tr").count() == 14
    legend = page.locator(".swatch").evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
    assert len(set(legend)) >= 3 and all(re.fullmatch(r"rgb\(.*\)", color) for color in legend)
