"""photos.html: pins where the photos were taken, a list, and a browser without a network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from flood_seg.cli.main import main
from flood_seg.inference.photos.photo import Photo
from flood_seg.products.page.photos import write_photos_page
from tests.inference.conftest import red_spec, write_model
from tests.inference.test_locations import gps, ratio, write_photo
from tests.products.test_page import EVIL, data_of


def make_photo(number: int, place: tuple[float, float] | None, **changes: Any) -> Photo:
    properties = {"image": f"../in/{number}.jpg", "mask": f"{number}.png", "water_share": number / 10,
                  "input_shift": 0.5, "error": None}  # fmt: skip
    if place:
        properties |= {"altitude": 12.0, "time": None, "heading": None, "heading_reference": None, "thumbnail": None}
    return Photo(place, properties | changes)


def write(folder: Path, photos: list[Photo]) -> Path:
    write_photos_page(folder, photos, "models/flood.onnx")
    return folder / "photos.html"


def opened(visit: Any, path: Path, width: int = 1200) -> tuple[Any, list[str], list[str]]:
    page, outside, errors = visit(path, width)
    page.wait_for_selector("body[data-ready]")
    return page, outside, errors


def click_pin(page: Any, number: int) -> str:
    """Clicks where a photo was taken and returns the text of the popup."""
    x, y = page.evaluate(
        f"(() => {{ const at = map.latLngToContainerPoint(placed[{number}].position); return [at.x, at.y]; }})()"
    )
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + x, box["y"] + y)
    return page.locator(".leaflet-popup").inner_text()


def test_the_page_of_a_run_works_in_a_browser(visit: Any, tmp_path: Path) -> None:
    model, folder = write_model(tmp_path / "red.onnx", red_spec()), tmp_path / "flight"
    folder.mkdir()
    when = {"date": "2024:06:03", "direction": ratio(271.5)[0], "north": "M", "altitude": ratio(431.5)[0]}
    write_photo(folder / "a#1.jpg", gps(**when, clock=ratio(10, 11, 12)))
    write_photo(folder / "b.jpg", gps(**when, clock=ratio(10, 15, 0), longitude=ratio(8, 16, 0)), red=0)
    broken = write_photo(folder / "c.jpg", gps(longitude=ratio(8, 17, 0)))
    broken.write_bytes(broken.read_bytes()[:-300])
    write_photo(folder / "d.jpg", None)
    try:
        main(["infer", "--onnx", str(model), "--image", str(folder), "--out", str(tmp_path / "masks")])
    except SystemExit as error:
        assert error.code == 2  # c.jpg
    page, outside, errors = opened(visit, tmp_path / "masks" / "photos.html")
    assert page.locator("#name").inner_text() == page.title().removesuffix(" – photos") == "flight"
    facts = page.locator("#facts").inner_text()
    assert "4, 3 with a position" in facts and "2024-06-03 10:11 to 2024-06-03 10:15 UTC" in facts
    assert "1 of 4 photos have no mask" in page.locator("#warnings").inner_text()
    popup = click_pin(page, 0)
    for text in ("25.0 %", "2024-06-03 10:11:12 UTC", "431.5 m", "271.5° W (magnetic)", "47.50343° N, 8.25833° E"):
        assert text in popup
    assert page.evaluate("document.querySelector('.leaflet-popup img').naturalWidth") == 80
    linked = page.evaluate("[...document.querySelectorAll('.leaflet-popup a[target]')].map(one => one.href)")
    assert linked == [(folder / "a#1.jpg").as_uri(), (tmp_path / "masks" / "a#1.png").as_uri()]
    page.locator("button.photo", has_text="c.jpg").click()
    assert "truncated" in page.locator(".leaflet-popup", has_text="c.jpg").inner_text()
    assert page.locator("button.photo").all_inner_texts() == ["a#1.jpg\n25.0 %", "b.jpg\n0.0 %", "c.jpg\nno mask"]
    assert page.locator("#unplaced .photo").all_inner_texts() == ["d.jpg\n25.0 %"]
    legend = page.locator("#legend").inner_text()
    assert re.search(r"25 % to 50 %\s+1\b", legend) and re.search(r"no mask\s+1\b", legend)
    assert (outside, errors) == ([], [])


def test_pins_have_the_colour_of_the_chosen_class(visit: Any, tmp_path: Path) -> None:
    photos = [make_photo(number, (8 + number / 100, 47), mud_share=1 - number / 10) for number in range(4)]
    page, _, errors = opened(visit, write(tmp_path, photos))
    colors = "pins.map(pin => pin.options.fillColor)"
    assert page.evaluate(colors) == ["#ffffcc", "#41b6c4", "#41b6c4", "#2c7fb8"]
    page.get_by_role("combobox", name="Class").select_option("mud")
    assert page.evaluate(colors) == ["#253494"] * 4
    first = "[...document.querySelectorAll('button.photo')][0].innerText"
    assert page.evaluate(first).startswith("0.jpg")
    page.get_by_role("combobox", name="Order").select_option("name")
    assert page.locator("button.photo span:nth-child(2)").all_inner_texts() == [f"{number}.jpg" for number in range(4)]
    assert not errors


def test_one_photo_and_photos_across_the_antimeridian_are_in_view(visit: Any, tmp_path: Path) -> None:
    page, _, errors = opened(visit, write(tmp_path, [make_photo(1, (8.0, 47.0))]))
    assert page.evaluate("map.getZoom()") <= 18 and "1" in click_pin(page, 0)
    page, _, more = opened(visit, write(tmp_path, [make_photo(1, (179.99, -17.0)), make_photo(2, (-179.99, 89.0))]))
    assert page.evaluate("bounds.getEast() - bounds.getWest()") < 0.03
    assert "180" not in page.evaluate("geographic({ lat: 1, lng: 180.01 })") and not errors + more


def test_a_phone_shows_the_page_and_a_thousand_photos_are_quick(visit: Any, tmp_path: Path) -> None:
    photos = [
        make_photo(number % 11, (8 + number % 50 / 100, 47 + number // 50 / 100), heading=float(number % 360))
        for number in range(2000)
    ]
    page, _, errors = opened(visit, write(tmp_path, photos), 360)
    assert page.evaluate("document.documentElement.scrollWidth") == 360 and not errors
    assert (
        page.evaluate("(() => { const started = performance.now(); apply(); return performance.now() - started })()")
        < 3000
    )


def test_text_of_the_data_does_no_harm(visit: Any, tmp_path: Path) -> None:
    changes = {"image": f"javascript:x/{EVIL}.jpg", "error": EVIL, "mask": "\udce9.png", f"{EVIL}_share": 0.5}
    path = write(tmp_path, [make_photo(1, (8.0, 47.0), **changes), make_photo(2, None, **changes)])
    assert EVIL not in path.read_text("utf-8")
    page, outside, errors = opened(visit, path)
    page.locator("button.photo").click()
    assert EVIL in page.locator(".leaflet-popup").inner_text()
    links = page.evaluate("[...document.querySelectorAll('a[target]')].map(one => one.href)")
    assert links and all(link.startswith("file:///") for link in links)
    assert page.evaluate("document.body.dataset.evil") is None
    assert (outside, errors) == ([], [])


def test_the_data_is_that_of_the_photos(tmp_path: Path) -> None:
    data = data_of(write(tmp_path, [make_photo(3, (8.0, 47.0), time="2024-06-03T10:11:12"), make_photo(1, None)]))
    assert data["photos"][0]["position"] == [47.0, 8.0] and "position" not in data["photos"][1]
    assert data["photos"][0]["links"] == {"image": "../in/3.jpg", "mask": "3.png"}
    assert "Taken" not in dict(data["facts"])  # in the time of which zone is not known
    assert json.dumps(data["classes"]) == '["water"]'
