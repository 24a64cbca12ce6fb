"""The situation report: its figures, its map, its pages, and what it says of what is missing."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from base64 import b64decode
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
import rasterio
import shapely
from PIL import Image
from pyogrio import list_layers
from pyogrio.raw import read

from flood_seg.analysis.report.language import Language
from flood_seg.errors import ConfigError, DataError, FloodSegError, MissingExtraError, UsageError
from flood_seg.verbs.report import report
from tests.analysis.conftest import write_result
from tests.analysis.report.conftest import HEIGHT, WIDTH, flood_values, write_area, write_map

HTML, TABLE = ["report.formats=[html]"], ["report.formats=[csv]"]


class Page(HTMLParser):
    """The words of a page, the rows of its tables, and the attributes of its elements."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.words, self.rows, self.elements = list[str](), list[list[str]](), list[tuple[str, dict[str, str | None]]]()
        self._hidden = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._hidden = tag == "style"
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self._hidden = False
        if tag == "table":
            self.rows.append([])

    def handle_data(self, data):
        if self._hidden or not data.strip():
            return
        self.words.append(data.strip())
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def page(results: Path) -> Page:
    report(HTML, results=[str(results / "flood")], impact=results / "impact", out=results / "sitrep")
    return Page(results / "sitrep" / "sitrep.html")


def test_the_figures_are_those_of_the_analyses(page: Page) -> None:
    assert "132 ha are flooded (95 % interval 110–154 ha), 55 % of the land that was observed." in page.text
    assert "About 1,200 people live where it is flooded." in page.text
    assert "1 place is cut off: Place 1." in page.text
    assert "Flooded roads 1.8 km 2 sections are cut" in page.text
    assert "Not observed 60.0 ha 17 % of the scene" in page.text


def test_the_tables_have_a_row_for_each_district_and_place(page: Page) -> None:
    districts = [row for row in page.rows if "".join(row[:1]).startswith("District ")]
    assert [row[0] for row in districts] == [f"District {number}" for number in range(12, 0, -1)]
    assert districts[0] == ["District 12", "13.2 ha", "10.8–15.6 ha", "5.5 %", "1,200", "12", "1.8 km", "1"]
    places = {row[1]: row[2] for row in page.rows if row[1:2] and row[1].startswith("Place ")}
    assert len(places) == 8
    assert places["Place 1"] == "cut off, under water" and places["Place 2"] == "detour of 9.0 km"


def test_what_was_observed_when_and_by_what(page: Page) -> None:
    assert ["flood", "1 Jul 2026, 10:00", "10 m", "12.0 ha", "12 %", "counts"] in page.rows
    assert "permanent water is that of rivers.gpkg" in page.text
    assert "a warning" in page.text and "few points" in page.text
    assert "What is missing" not in page.text


def test_the_page_is_accessible_and_asks_for_nothing(page: Page) -> None:
    assert ("html", {"lang": "en"}) in page.elements
    heads = [attributes for tag, attributes in page.elements if tag == "th"]
    assert heads and all(attributes.get("scope") in ("col", "row") for attributes in heads)
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert all("132 ha are flooded" in str(attributes["alt"]) for attributes in pictures) and pictures
    assert not [tag for tag, _ in page.elements if tag in ("script", "iframe", "form")]
    sources = [str(attributes.get("src") or attributes.get("href") or "data:") for _, attributes in page.elements]
    assert all(source.startswith("data:") for source in sources)
    numbers = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert numbers[0] == 1 and set(numbers[1:]) == {2}


def picture_of(page: Page) -> np.ndarray:
    source = next(str(attributes["src"]) for tag, attributes in page.elements if tag == "img")
    return np.asarray(Image.open(io.BytesIO(b64decode(source.partition(",")[2]))).convert("RGB")).astype(int)


def test_the_map_shows_the_flood_where_it_is(page: Page) -> None:
    picture = picture_of(page)
    height, width = picture.shape[:2]
    assert width / height == pytest.approx(WIDTH / HEIGHT, rel=0.03)

    def color(column: float) -> np.ndarray:
        return picture[height // 2 - 3 : height // 2 + 3, int(column / WIDTH * width)].mean(axis=0)

    flood, permanent, dry = color(10), color(25), color(50)
    assert flood[2] - flood[0] > 100 and flood[0] < 120
    assert permanent[0] > flood[0] + 40 and permanent[2] > 190
    assert np.ptp(dry) < 15
    unseen = picture[:, int(75 / WIDTH * width)]
    assert unseen.std() > 20, "hatched"


def test_marks_lie_where_the_places_are(page: Page) -> None:
    marks = [attributes["style"] for tag, attributes in page.elements if attributes.get("class") == "mark"]
    shares = np.array([[float(value) for value in re.findall(r"([\d.]+)%", str(style))] for style in marks])
    expected = (4 + 6 * np.arange(8)) / WIDTH * 100
    assert len(marks) == 8
    np.testing.assert_allclose(shares[:, 0], expected, atol=0.6)
    np.testing.assert_allclose(shares[:, 1], 50, atol=1)


def test_only_the_flooded_part_of_a_road_is_drawn(page: Page) -> None:
    box = next(str(attributes["viewbox"]) for tag, attributes in page.elements if "viewbox" in attributes)
    width = float(box.split()[2])
    roads = next(str(attributes["d"]) for tag, attributes in page.elements if attributes.get("stroke") == "#c1121f")
    ends = [float(x) / width * WIDTH for x, _ in re.findall(r"([\d.]+) ([\d.]+)", roads)]
    assert ends == pytest.approx([5, 20], abs=0.5), "from its beginning to the end of the flood"


def test_it_prints_to_two_pages_and_fits_a_phone(results: Path, page: Page, visit, tmp_path: Path) -> None:
    opened, outside, errors = visit(results / "sitrep" / "sitrep.html", 390)
    assert opened.evaluate("document.documentElement.scrollWidth") == 390
    opened.pdf(path=str(tmp_path / "printed.pdf"), prefer_css_page_size=True)
    assert not outside and not errors
    sizes = [one.get_size() for one in pypdfium2.PdfDocument(tmp_path / "printed.pdf")]
    assert [(round(width), round(height)) for width, height in sizes] == [(595, 842)] * 2
    wide, *_ = visit(results / "sitrep" / "sitrep.html", 1280)
    tops = wide.evaluate("[...document.querySelectorAll('.map, .figures')].map(one => one.getBoundingClientRect().top)")
    assert tops[0] == pytest.approx(tops[1], abs=2), "the figures are beside the map"


def test_the_pdf_has_two_pages_and_the_same_words(results: Path, tmp_path: Path) -> None:
    overrides = ["report.formats=[pdf]", "report.language=ru"]
    report(overrides, results=[str(results / "flood")], impact=results / "impact", out=tmp_path)
    document = pypdfium2.PdfDocument(tmp_path / "sitrep.pdf")
    assert len(document) == 2
    words = " ".join(" ".join(one.get_textpage().get_text_range().split()) for one in document)
    assert "Отрезан 1 населённый пункт" in words and "110–154 га" in words


def test_csv_and_geopackage(results: Path, tmp_path: Path) -> None:
    report(["report.formats=[csv,gpkg]"], results=[str(results / "flood")], impact=results / "impact", out=tmp_path)
    with (tmp_path / "sitrep.csv").open(encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert len(rows) == 13
    assert float(rows["all"]["flooded_m2"]) == pytest.approx(1_320_000)
    assert (rows["District 3"]["flooded_low_95_m2"], rows["District 3"]["people"]) == ("27000.0", "1234.0")
    layers = dict(list_layers(tmp_path / "sitrep.gpkg"))
    assert layers == {"flood": "MultiPolygon", "districts": "MultiPolygon", "roads": "LineString"}
    about, _, shapes, fields = read(tmp_path / "sitrep.gpkg", layer="districts")
    columns = dict(zip(about["fields"], fields, strict=True))
    assert about["crs"] == "EPSG:32632" and columns["flooded_high_95_m2"][2] == 39_000
    assert shapely.area(shapely.from_wkb(shapes)).sum() == pytest.approx(800 * 600)


def test_what_is_missing_is_said_with_its_command(tmp_path: Path) -> None:
    values = flood_values()
    folder = write_result(tmp_path / "map", np.where(values == 2, 1, values),
                          **{"flood_seg:area_m2": {"background": 2_000_000.0, "water": 1_800_000.0},
                             "flood_seg:datetime_source": "modification time of the file"})  # fmt: skip
    report(HTML, results=[str(folder)], out=tmp_path / "out")
    page = Page(tmp_path / "out" / "sitrep.html")
    assert (
        "180 ha are flooded, 47 % of the land that was observed." in page.text and "no interval is known" in page.text
    )
    assert "Rivers and lakes count as flooded" in page.text and "modification time of the file" in page.text
    for command in ("--permanent PERMANENT_WATER", f"flood-seg flood-area --results {folder}", "flood-seg impact"):
        assert command in page.text


def test_scenes_side_by_side_are_added_and_older_ones_of_the_same_place_are_not(tmp_path: Path) -> None:
    west, east = (write_map(tmp_path / name) for name in ("west", "east"))
    old = write_map(tmp_path / "old")
    record = json.loads((old / "item.json").read_text())
    record["properties"]["datetime"] = "2026-06-30T10:00:00Z"
    (old / "item.json").write_text(json.dumps(record))
    for name in ("mask.tif", "flood.tif"):
        with rasterio.open(east / name, "r+") as dataset:
            dataset.transform = dataset.transform @ rasterio.Affine.translation(WIDTH, 0)
    report([*HTML, "report.formats=[html,csv]"], results=[str(west), str(old), str(east)], out=tmp_path / "out")
    with (tmp_path / "out" / "sitrep.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["flooded_m2"]) == 2 * 120_000
    page = Page(tmp_path / "out" / "sitrep.html")
    assert ["old", "30 Jun 2026, 10:00", "10 m", "12.0 ha", "12 %", "earlier than west, does not count"] in page.rows
    picture = picture_of(page)
    assert picture.shape[1] / picture.shape[0] == pytest.approx(2 * WIDTH / HEIGHT, rel=0.03)


def test_more_districts_than_fit_are_in_the_table(results: Path, tmp_path: Path) -> None:
    write_map(tmp_path / "map")
    write_area(tmp_path / "map", 40)
    report(["report.formats=[html,csv]"], results=[str(tmp_path / "map")], out=tmp_path)
    assert "28 more districts are in sitrep.csv." in Page(tmp_path / "sitrep.html").text
    assert len((tmp_path / "sitrep.csv").read_text().splitlines()) == 42


def test_a_photo_without_a_place_has_a_picture_but_no_scale(tmp_path: Path) -> None:
    write_result(tmp_path / "map", np.where(flood_values() == 2, 1, flood_values()), crs=None)
    report(HTML, results=[str(tmp_path / "map")], out=tmp_path)
    page = Page(tmp_path / "sitrep.html")
    assert not [1 for _, attributes in page.elements if attributes.get("class") in ("scale", "north")]
    assert picture_of(page).shape[1] > picture_of(page).shape[0]


def test_names_cannot_become_markup(results: Path, tmp_path: Path) -> None:
    evil = "</style><img src=x onerror=alert(1)>"
    report([*HTML, f"report.title='{evil}'"], results=[str(results / "flood")], out=tmp_path)
    page = Page(tmp_path / "sitrep.html")
    assert evil in page.text
    assert len([1 for tag, _ in page.elements if tag == "img"]) == 1


def test_without_weasyprint_all_else_is_written(results: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    report(["report.formats=[csv,pdf]"], results=[str(results / "flood")], out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sitrep.csv"]
    assert "sitrep.pdf: WeasyPrint is not installed; print sitrep.html" in capsys.readouterr().err
    with pytest.raises(MissingExtraError, match="sitrep.pdf"):
        report(["report.formats=[pdf]"], results=[str(results / "flood")], out=tmp_path)


@pytest.mark.parametrize(
    ("flags", "overrides", "error", "message"),
    [
        ({"results": None}, [], UsageError, "--results is missing"),
        ({"impact": "flood"}, [], UsageError, "has no impact.json; make it by flood-seg impact"),
        ({"area": "nowhere"}, [], UsageError, "has no flood_area.json"),
        ({"results": "nowhere"}, [], UsageError, "is not a folder"),
        ({}, ["report.language=rus"], ConfigError, r"allowed are en, ru \(did you mean 'ru'\?\)"),
        ({}, ["report.timezone=Berlin"], ConfigError, "no such time zone"),
        ({}, ["report.formats=[html,doc]"], ConfigError, "report.formats=doc"),
        ({}, ["report.formats=[]"], ConfigError, "at least one"),
    ],
)
def test_what_cannot_be_reported(flags, overrides, error, message, results: Path, tmp_path: Path) -> None:
    paths = {flag: value and str(results / value) for flag, value in ({"results": "flood"} | flags).items()}
    paths["results"] = [paths["results"]] if paths["results"] else []
    with pytest.raises(error, match=message):
        report(overrides, **paths, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"total": {}}'])
def test_damaged_files(content: str, tmp_path: Path) -> None:
    write_map(tmp_path / "map")
    (tmp_path / "map" / "flood_area.json").write_text(content)
    with pytest.raises(DataError, match="flood_area.json"):
        report(TABLE, results=[str(tmp_path / "map")], out=tmp_path / "out")


def test_results_without_polygons_make_no_geopackage(tmp_path: Path) -> None:
    write_map(tmp_path / "map")
    (tmp_path / "map" / "flood.gpkg").unlink()
    with pytest.raises(FloodSegError, match=r"map.vectors=\[gpkg\]"):
        report(["report.formats=[gpkg]"], results=[str(tmp_path / "map")], out=tmp_path / "out")


def test_numbers_of_each_language() -> None:
    english, russian = Language("en", "UTC"), Language("ru", "Europe/Moscow")
    assert english.area(1_234_567) == "123 ha" and russian.area(12_345) == "1,2 га"
    assert english.area(25_400_000) == "25.4 km²"
    assert english.interval(667_193, 634_422, 704_963) == "63.4–70.5 ha"
    assert english.people(12_345) == "12,000" and english.people(71.4) == "71"
    assert russian.people(12_345) == "12\N{NO-BREAK SPACE}000"
    assert english.percent(0.0456) == "4.6 %" and english.percent(0.456) == "46 %"
    when = datetime(2026, 7, 14, 22, 20, tzinfo=UTC)
    assert english.time(when) == "14 July 2026, 22:20 UTC"
    assert russian.short_time(when).replace("\N{NARROW NO-BREAK SPACE}", " ") == "15 июл. 2026 г., 01:20"


@pytest.mark.parametrize(("number", "expected"), [(1, "перерезан 1 участок"), (2, "перерезаны 2 участка"),
                                                  (5, "перерезано 5 участков"), (11, "перерезано 11 участков"),
                                                  (21, "перерезан 21 участок")])  # fmt: skip
def test_russian_plurals(number: int, expected: str) -> None:
    assert Language("ru", "UTC").plural("%(n)s section is cut", "%(n)s sections are cut", number) == expected


def test_sentences_of_other_modules_keep_their_numbers() -> None:
    sentence = "25 of 300 points (8.3 %) are unknown"
    assert Language("en", "UTC").foreign(sentence) == Language("ru", "UTC").foreign(sentence) == sentence
