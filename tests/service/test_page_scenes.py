"""Scenes on the page, in Chromium: from files to a job, its map, figures and downloads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from playwright.sync_api import Page, expect
from pyogrio.raw import read, write

from flood_seg.cli.main import main
from tests.conftest import make_spec
from tests.scenes.conftest import write_scene, write_smoothing_model
from tests.service.mapped import add_job, map_scene, smooth
from tests.service.pages import READY, Visit, visit_service
from tests.service.running import Running, running_service

__all__ = ["visit_service"]

JOB_SECONDS = 120  # on a busy machine
HEIGHT, WIDTH = 192, 256


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A service with a small model, and a worker."""
    folder = tmp_path_factory.mktemp("service")
    model = write_smoothing_model(folder / "smoothing.onnx", make_spec())
    with running_service(folder, "--model", str(model)) as service:
        yield service


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """A scene of 0.5 m with soft blobs, and a truth of its left half."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scene(folder / "scene.tif", smooth(HEIGHT, WIDTH))
    truth = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    truth[:, : WIDTH // 2] = 255
    write_scene(folder / "truth.tif", truth)
    return folder


@pytest.fixture(scope="module")
def job(server, scenes, tmp_path_factory) -> str:
    """A job of the scene with an earlier image and two districts, whose results the commands of its steps have made."""
    folder = tmp_path_factory.mktemp("job")
    with rasterio.open(scenes / "scene.tif") as dataset:
        west, south, east, north = dataset.bounds
    middle = (west + east) / 2
    halves = np.array([shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)])
    write(folder / "districts.gpkg", shapely.to_wkb(halves), [np.array(["West", "East"], object)], ["name"],
          geometry_type="Polygon", crs="EPSG:32632", driver="GPKG")  # fmt: skip
    before = write_scene(folder / "before.tif", smooth(HEIGHT, WIDTH, seed=1))
    found = map_scene(server.folder / "smoothing.onnx", scenes / "scene.tif", folder / "map", "--before", str(before))
    main(
        [
            "flood-area",
            "--results",
            str(found),
            "--districts",
            str(folder / "districts.gpkg"),
            "--out",
            str(found / "area"),
        ]
    )
    return add_job(server.folder / "work", scenes / "scene.tif", found, before=before)


def results(server: Running, job: str) -> Path:
    return server.folder / "work/jobs" / job / "results"


def open_map(visit_service, server: Running, job: str, *how: str) -> Visit:
    visit = visit_service(f"{server.url}/#/scene/{job}", *how)
    expect(visit.page.locator(READY)).to_be_visible()
    return visit


def tiles(page: Page, layer: str) -> list[str]:
    """Returns what kinds of elements show a layer, once all of its tiles are there."""
    shown = page.locator(f".leaflet-{layer}-pane .leaflet-tile")
    expect(shown.first).to_be_visible()
    expect(page.locator(f".leaflet-{layer}-pane .leaflet-tile:not(.leaflet-tile-loaded)")).to_have_count(0)
    return shown.evaluate_all("all => all.map(one => one.tagName)")


def drawn(page: Page, layer: str) -> set[str]:
    """Returns the colours of a layer whose tiles this page draws itself."""
    return set(page.locator(f".leaflet-{layer}-pane canvas").evaluate_all("""all => all.flatMap((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const found = new Set();
        for (let place = 0; place < data.length; place += 4) {
            if (data[place + 3]) found.add(data.slice(place, place + 3).join());
        }
        return [...found];
    })"""))  # fmt: skip


def test_a_scene_becomes_a_map_whose_polygons_tell_their_area_and_whose_files_are_saved(
    server, scenes, visit_service, tmp_path
):
    visit = visit_service(server.url)
    page = visit.page
    page.get_by_role("link", name="Scenes and maps").click()
    visit.choose("Add files", scenes / "scene.tif", scenes / "truth.tif")
    for name in ("scene", "truth"):
        expect(page.get_by_label(f"What {name}.tif is")).to_have_value(name)
    page.get_by_text("More settings").click()
    page.get_by_label("Name").fill("Mill <Valley>")
    page.get_by_label("Scale").fill("1")
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.locator(READY)).to_be_visible(timeout=1000 * JOB_SECONDS)
    expect(page.get_by_role("heading", level=1)).to_have_text("Mill <Valley>")
    for layer in ("scene", "mask", "truth"):
        assert tiles(page, layer)
    assert drawn(page, "mask") == {"215,38,61"}  # red

    folder = results(server, page.url.rpartition("/")[2])
    truth = json.loads((folder / "truth.json").read_text())
    expect(page.locator("section", has=page.locator("#truth"))).to_contain_text(f"IoU {100 * truth['iou']:.1f}%")
    _, _, _, (areas,) = read(folder / "areas.gpkg", columns=["area_m2"])
    expect(page.get_by_text(f"{len(areas)} areas in view")).to_be_visible()
    page.get_by_text("Largest in view").click()
    largest = page.locator(".areas button").first
    expect(largest).to_have_text(f"Water: {float(f'{areas.max():.3g}'):,.0f} m²")
    largest.click()
    expect(page.locator(".leaflet-popup-content td").first).to_have_text(largest.inner_text().partition(": ")[2])
    page.keyboard.press("Escape")
    expect(page.locator(".leaflet-popup-content")).to_have_count(0)
    page.locator(".leaflet-polygons-pane path").first.dispatch_event("click")
    expect(page.locator(".leaflet-popup-content td").first).to_contain_text(" m²")

    visit.save("areas.gpkg", tmp_path / "areas.gpkg")
    assert (tmp_path / "areas.gpkg").read_bytes() == (folder / "areas.gpkg").read_bytes()


def test_figures_are_those_of_the_files(server, job, visit_service):
    page = open_map(visit_service, server, job).page
    with rasterio.open(results(server, job) / "mask.tif") as mask:
        water = mask.read(1) == 1
    row = page.locator("section", has=page.locator("#figures")).locator("tr").first
    expect(row).to_contain_text(f"{100 * water.mean():.1f}%")
    districts = page.locator("section", has=page.locator("#districts")).locator("tbody tr")
    expect(districts).to_have_count(2)
    with rasterio.open(results(server, job) / "change.tif") as change:
        values = change.read(1)
    for name, part in (("West", values[:, : WIDTH // 2]), ("East", values[:, WIDTH // 2 :])):
        new, still = (part == 1).mean(), (part == 3).mean()
        expect(districts.filter(has_text=name)).to_contain_text(f"{100 * new / (1 - still):.1f}%")
    expect(page.get_by_text("Flooded means: water that was not there before.")).to_be_visible()


def test_a_threshold_is_tried_out_on_the_map_and_layers_are_compared(server, job, visit_service):
    page = open_map(visit_service, server, job).page
    assert tiles(page, "mask")
    page.get_by_label("Probability", exact=True).check()
    assert set(tiles(page, "probability")) == {"IMG"}
    threshold = page.get_by_label("Mask at threshold")
    with page.expect_response(lambda response: "threshold=0.6" in response.url) as response:
        threshold.fill("0.6")
    assert response.value.status == 200
    expect(page.locator(".leaflet-probability-pane img")).to_have_count(0)
    assert set(tiles(page, "probability")) == {"CANVAS"}
    expect(page.get_by_label("Prediction", exact=True)).not_to_be_checked()
    page.get_by_role("button", name="Show probabilities again").click()
    expect(page.locator(".leaflet-probability-pane canvas")).to_have_count(0)

    expect(page.get_by_label("Left")).to_have_value("before")
    page.get_by_label("Line between two layers", exact=True).check()
    assert tiles(page, "before")
    line = page.get_by_label("Line between the layers")
    clip = "pane => pane.style.clipPath"
    middle = page.locator(".leaflet-before-pane").evaluate(clip)
    line.press("ArrowRight")
    assert page.locator(".leaflet-before-pane").evaluate(clip) != middle
    page.get_by_label("Line between two layers", exact=True).uncheck()
    assert page.locator(".leaflet-before-pane").evaluate(clip) == ""


def test_tiles_that_are_not_ready_are_asked_for_again(server, job, visit_service):
    page = visit_service(f"{server.url}/#/scenes").page
    refused = set()

    def refuse_once(route):
        if (url := route.request.url) in refused:
            route.continue_()
        else:
            refused.add(url)
            route.fulfill(status=503, headers={"Retry-After": "2"})

    page.route("**/tiles/*/*/*/*.png", refuse_once)
    page.goto(f"{server.url}/#/scene/{job}")
    expect(page.locator(READY)).to_be_visible()
    assert tiles(page, "scene") and tiles(page, "mask")
    assert drawn(page, "mask") == {"215,38,61"}
    natural = "all => all.every(one => one.naturalWidth === 256)"
    assert refused and page.locator(".leaflet-scene-pane img").evaluate_all(natural)


def test_outlines_of_countries_are_below_an_overview(server, job, visit_service):
    page = open_map(visit_service, server, job).page
    assert page.locator(".leaflet-base-pane *").count() == 0
    for layer in ("Outlines of areas", "Prediction", "Scene"):  # which would only take time here
        page.get_by_label(layer, exact=True).uncheck()
    with page.expect_response("**/countries.geojson"):
        for _ in range(8):
            page.get_by_role("button", name="Zoom out").click(modifiers=["Shift"])  # by three times the usual step
    drawn_once = """async canvas => {
        const pixels = () => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        while (!pixels().some((value, place) => place % 4 === 3 && value > 0)) await new Promise(requestAnimationFrame);
        return true;
    }"""
    assert page.locator(".leaflet-base-pane canvas").evaluate(drawn_once)


def test_a_map_in_russian_fits_a_dark_phone(server, job, visit_service):
    visit = open_map(visit_service, server, job, "phone", "ru-RU", "dark")
    page = visit.page
    expect(page.get_by_label("Прогноз модели", exact=True)).to_be_checked()
    with rasterio.open(results(server, job) / "mask.tif") as mask:
        share = (mask.read(1) == 1).mean()
    row = page.locator("section", has=page.locator("#figures")).locator("tr").first
    expect(row).to_contain_text(f"{100 * share:.1f}".replace(".", ",") + "\u00a0%")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_scene_without_georeference_has_a_map_in_pixels(server, visit_service, tmp_path):
    visit = visit_service(f"{server.url}/#/scenes")
    page = visit.page
    plain = write_scene(tmp_path / "plain.tif", smooth(150, 400), crs=None, transform=None)
    visit.choose("Add files", plain)
    page.get_by_role("button", name="Start the job").click()
    expect(page.locator(READY)).to_be_visible(timeout=1000 * JOB_SECONDS)
    assert tiles(page, "scene") and tiles(page, "mask")
    folder = results(server, page.url.rpartition("/")[2])
    _, _, _, (areas,) = read(folder / "areas.gpkg", columns=["area_px"])
    expect(page.get_by_text(f"{len(areas)} areas in view")).to_be_visible()
    page.get_by_text("Largest in view").click()
    expect(page.locator(".areas button").first).to_have_text(f"Water: {areas.max():,.0f} pixels")


def test_a_file_that_is_no_scene_is_refused_where_it_was_chosen(server, visit_service, tmp_path):
    (tmp_path / "notes.tif").write_text("no raster")
    visit = visit_service(f"{server.url}/#/scenes")
    visit.choose("Add files", tmp_path / "notes.tif")
    visit.page.get_by_role("button", name="Start the job").click()
    expect(visit.page.locator(".new-job").get_by_role("alert")).to_contain_text("no raster")


def test_a_job_is_removed(server, scenes, visit_service):
    lost = add_job(server.folder / "work", scenes / "scene.tif", None, "failed")
    page = visit_service(f"{server.url}/#/scenes").page
    page.locator(f"a.job[href$='{lost}']").click()
    expect(page.get_by_role("alert")).to_contain_text("The job failed.")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove this job and its files").click()
    expect(page.get_by_role("heading", name="Map a scene")).to_be_visible()
    expect(page.locator(f"a.job[href$='{lost}']")).to_have_count(0)
    page.goto(f"{server.url}/#/scene/{lost}")
    expect(page.get_by_role("alert")).to_contain_text("This is not there, or no longer.")
