"""Takes the documentation's pictures of reports and of the service's page, of synthetic scenes, in Chromium.

python docs/screenshots.py MODEL SITREP   (make pictures does it with what make demo and make demo-flood made)
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pypdfium2
from playwright.sync_api import Browser, FloatRect, Page, expect, sync_playwright

from flood_seg.imaging.decode import read_photo
from flood_seg.imaging.label_values import read_labels
from flood_seg.imaging.write import write_image

IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 1180, 2000
# In view, the last row of a page at whose top it can be cut without cutting a chart or an image.
LAST_ROW = """[...document.querySelectorAll("h2, .charts figure, .tile")]
    .map(element => element.getBoundingClientRect().top).filter(top => top <= innerHeight).at(-1)"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def flood_seg(*words: str, code: int = 0) -> None:
    """Runs a verb in a scratch folder."""
    done = subprocess.run([sys.executable, "-m", "flood_seg", *words], capture_output=True, text=True, check=False)
    if done.returncode != code:
        sys.exit(done.stderr)


def spoil(data: Path) -> None:
    """Puts faults into a data set of scenes: two swapped masks, an image twice, one that is truncated."""
    masks, images = data / "masks", data / "images"
    spare = data / "spare.png"
    shutil.move(masks / "0003.png", spare)
    shutil.move(masks / "0008.png", masks / "0003.png")
    shutil.move(spare, masks / "0008.png")
    write_image(images / "0012_again.jpg", np.ascontiguousarray(read_photo(images / "0012.jpg")[0][:, ::-1]))
    mask = read_labels(masks / "0012.png", by_color=False).values
    write_image(masks / "0012_again.png", np.ascontiguousarray(mask[:, ::-1]))
    cut = (images / "0011.jpg").read_bytes()
    (images / "0011.jpg").write_bytes(cut[: len(cut) // 2])


@contextmanager
def served(folder: str) -> Iterator[str]:
    """Yields the address of a service with the bundled model."""
    command = [sys.executable, "-m", "flood_seg", "serve", "--port", "0", f"serve.work_dir={folder}/service"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        try:
            yield next(found[1] for line in process.stdout if (found := re.search(r"Ready at (\S+);", line)))
        finally:
            process.terminate()


def choose(page: Page, button: str, *files: Path) -> None:
    """Chooses files on the page, and waits for their result."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files([str(file) for file in files])


def page_of_service(opened: Browser, url: str, photo: Path, valley: Path) -> None:
    """Takes a photo and a scene on the service's page."""
    page = opened.new_page(viewport={"width": WIDTH, "height": 660})
    page.goto(url)
    choose(page, "Choose files", photo)
    page.locator("#map[data-ready]").wait_for()
    page.screenshot(path=str(IMAGES / "service_photo.jpg"), quality=80)
    page.get_by_role("link", name="Scenes and maps").click()
    layers = [valley / f"layers/{name}.gpkg" for name in ("roads", "buildings", "places", "depots", "districts")]
    layers += [valley / "layers/permanent_water.gpkg", valley / "layers/population.tif"]
    choose(page, "Add files", *(valley / f"images/{name}.tif" for name in ("flood", "before")), *layers)
    page.get_by_text("More settings").click()
    page.get_by_label("Name").fill("Mill Valley")
    page.get_by_label("Scale").fill("0.35")
    page.get_by_role("button", name="Start the job").click()
    page.locator("#map[data-ready]").wait_for(timeout=300_000)
    page.get_by_label("Line between two layers").check()
    page.locator(".leaflet-before-pane .leaflet-tile").first.wait_for()
    expect(page.locator(".leaflet-tile:not(.leaflet-tile-loaded)")).to_have_count(0, timeout=60_000)
    page.locator("aside").evaluate("aside => { aside.scrollTop = 0; }")
    page.screenshot(path=str(IMAGES / "service_map.jpg"), quality=80)


def main() -> None:
    """Draws the scenes, writes their reports, and takes the pictures."""
    model, report = sys.argv[1], Path(sys.argv[2])
    page = pypdfium2.PdfDocument(report / "sitrep.pdf")[0].render(scale=1.35).to_pil()
    page.crop((0, 0, page.width, round(0.93 * page.height))).save(IMAGES / "sitrep.jpg", quality=84)
    browser = next(path for name in BROWSERS if (path := shutil.which(name)))
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        data = f"{name}/scenes"
        sizes = ["datamodule.sample.count=40", "datamodule.sample.height=384", "datamodule.sample.width=512"]
        flood_seg("data", "sample", "--out", data, *sizes, "datamodule.sample.seed=3")
        flood_seg("evaluate", "--model", model, "--data", data, "--out", f"{name}/evaluation")
        flood_seg("data", "stats", "--data", data, "--out", f"{name}/stats")
        spoil(Path(data))
        flood_seg("data", "check", "--data", data, "--out", f"{name}/check", code=1)
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        for kind in ("check", "evaluation", "stats"):
            page = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            # A page as its reader sees it, but for the scratch folder's name.
            text = Path(name, kind, "report.html").read_text("utf-8").replace(f"{name}/", "data/")
            Path(name, f"{kind}.html").write_text(text, encoding="utf-8")
            page.goto(Path(name, f"{kind}.html").as_uri())
            visible = FloatRect(x=0, y=0, width=WIDTH, height=page.evaluate(LAST_ROW))
            page.screenshot(path=str(IMAGES / f"{kind}.png"), clip=visible)
        with served(name) as url:
            page_of_service(opened, url, Path(data, "images/0002.jpg"), report.parent / "valley")
        opened.close()


if __name__ == "__main__":
    main()
