"""Photos on the page, in Chromium: from a file to a mask, a threshold, downloads and the history."""

from __future__ import annotations

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from flood_seg.service.security.keys import KeyFile
from tests.conftest import draw_pond
from tests.service.pages import READY, visit_service
from tests.service.running import running_service

__all__ = ["visit_service"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three ponds, photos that a camera could have made."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        Image.fromarray(draw_pond(number, 240, 320)[0]).save(folder / f"pond{number}.jpg", quality=95)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def probability(client, photos):
    """The probability of the first photo, uint16 [240, 320], as a client of the service reads it."""
    answer = client.post("/predict?probability=true", files={"image": photos[0].open("rb")}).json()
    return np.asarray(Image.open(io.BytesIO(b64decode(answer["probability"]))))


def share_of(page) -> float:
    text = page.locator(".shares dd").inner_text()
    return float(text.replace("%", "").replace("\u00a0", "").replace(",", ".").strip())


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_photo_becomes_a_mask_whose_share_follows_the_threshold(
    server, client, visit_service, photos, probability, size, tmp_path
):
    visit = visit_service(server.url, size)
    page = visit.page
    visit.choose("Choose files", photos[0])
    expect(page.locator(READY)).to_be_visible()
    answer = client.post("/predict", files={"image": photos[0].open("rb")}).json()
    assert share_of(page) == pytest.approx(100 * answer["shares"]["water"], abs=0.051)
    expect(page.locator("#said")).to_contain_text("pond0.jpg is done: Water")

    threshold = page.get_by_label("Threshold")
    threshold.focus()
    for key, value in (("End", 0.99), ("ArrowLeft", 0.98), ("Home", 0.01), ("ArrowRight", 0.02)):
        page.keyboard.press(key)
        assert float(threshold.input_value()) == value
        expected = 100 * np.mean(probability > value * 65535)
        assert share_of(page) == pytest.approx(expected, abs=0.051 if expected >= 0.1 else 0.00051)
    drawn = page.locator("canvas").evaluate("""canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.filter((value, place) => place % 4 === 3 && value > 0).length;
    }""")
    assert drawn == np.count_nonzero(probability > 0.02 * 65535)

    assert visit.save("Mask", tmp_path / "mask.png") == "pond0_mask.png"
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    files, headers = {"image": photos[0].open("rb")}, {"Accept": "image/png"}
    expected = client.post("/predict?threshold=0.02", files=files, headers=headers)
    assert (tmp_path / "mask.png").read_bytes() == expected.content and mask.shape == (240, 320)
    assert visit.save("Photo with mask", tmp_path / "overlay.png") == "pond0_overlay.png"
    assert Image.open(tmp_path / "overlay.png").mode == "RGB"
    page.get_by_role("button", name="Back to 50%").click()
    assert share_of(page) == pytest.approx(100 * answer["shares"]["water"], abs=0.051)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_several_photos_make_a_gallery_that_is_there_after_a_reload_and_can_be_cleared(server, visit_service, photos):
    visit = visit_service(server.url)
    page = visit.page
    visit.choose("Choose files", *photos)
    expect(page.locator("a.tile")).to_have_count(3)
    expect(page.locator(READY)).to_be_visible()
    page.locator("a.tile", has_text="pond1.jpg").click()
    expect(page.locator(".result h1")).to_have_text("pond1.jpg")
    share = page.locator(".shares dd").inner_text()
    page.reload()
    expect(page.locator(READY)).to_be_visible()
    expect(page.locator(".result h1")).to_have_text("pond1.jpg")
    assert page.locator(".shares dd").inner_text() == share
    page.get_by_role("button", name="Remove from this browser").click()
    expect(page.locator("a.tile")).to_have_count(2)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("a.tile")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("heading", name="Where is the water?")).to_be_visible()
    expect(page.locator("a.tile")).to_have_count(0)


def test_files_that_are_no_images_are_refused_beside_those_that_are(server, visit_service, photos, tmp_path):
    (tmp_path / "text.jpg").write_text("not a photo")
    (tmp_path / "cut.jpg").write_bytes(photos[1].read_bytes()[:3000])
    visit = visit_service(server.url)
    page = visit.page
    visit.choose("Choose files", tmp_path / "text.jpg", photos[0], tmp_path / "cut.jpg")
    expect(page.locator(READY)).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(2)
    expect(page.locator(".fault", has_text="text.jpg").get_by_role("alert")).to_contain_text("not an image")
    expect(page.locator(".fault", has_text="cut.jpg").get_by_role("alert")).to_contain_text("truncated")
    page.locator(".fault", has_text="text.jpg").get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_have_count(1)


def test_a_photo_unlike_the_training_data_is_warned_of_in_russian_on_a_dark_phone(server, visit_service, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(240, 256, (120, 160, 3), np.uint8)).save(tmp_path / "snow.png")
    visit = visit_service(server.url, "phone", "ru-RU", "dark")
    page = visit.page
    visit.choose("Выбрать файлы", tmp_path / "snow.png")
    expect(page.locator(READY)).to_be_visible()
    expect(page.locator("#warnings li")).to_have_count(1)
    expect(page.locator("#warnings li")).to_contain_text("не похожа на те, на которых обучена модель")
    assert page.locator(".slider output").first.inner_text() == "50\u00a0%"
    page.get_by_label("Язык").select_option("en")
    expect(page.locator("#warnings li")).to_contain_text("differs from those that the model has learned from")
    page.reload()
    expect(page.get_by_role("link", name="Photos")).to_be_visible()


def test_a_dropped_and_a_pasted_photo_are_taken(server, visit_service, photos):
    visit = visit_service(server.url)
    page = visit.page
    expect(page.get_by_role("heading", name="Where is the water?")).to_be_visible()
    hand_over = """([kind, name, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
        const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: data, cancelable: true, bubbles: true })
            : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
        document.body.dispatchEvent(event);
    }"""
    for number, kind in enumerate(("drop", "paste"), 1):
        page.evaluate(hand_over, [kind, f"{kind}.jpg", list(photos[0].read_bytes())])
        expect(page.locator("a.tile")).to_have_count(number)
    expect(page.locator("a.tile span:nth-child(2)")).to_have_text(["paste.jpg", "drop.jpg"])


def test_a_service_with_keys_asks_for_one_and_takes_it(visit_service, photos, tmp_path):
    key = KeyFile(tmp_path / "work" / "keys.json").add("crew", "predict")
    with running_service(tmp_path, "serve.security.require_keys='true'") as service:
        page = (visit := visit_service(service.url)).page
        dialog = page.get_by_role("dialog", name="A key is required")
        dialog.get_by_label("API key").fill("a wrong one")
        dialog.get_by_role("button", name="Use the key").click()
        expect(dialog.get_by_role("alert")).to_contain_text("does not know this key")
        dialog.get_by_label("API key").fill(key)
        page.keyboard.press("Enter")
        expect(dialog).to_have_count(0)
        visit.choose("Choose files", photos[0])
        expect(page.locator(READY)).to_be_visible()
        page.reload()
        expect(page.locator(READY)).to_be_visible()
        page.get_by_role("button", name="Sign out crew").click()
        expect(page.get_by_role("button", name="Enter a key")).to_be_visible()
        assert key not in page.evaluate("JSON.stringify([localStorage, document.cookie])")
