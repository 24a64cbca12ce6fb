"""The files of the page: how they are served, that they fit together, and that they name no other host."""

from __future__ import annotations

import json
import re

import pytest

from flood_seg.service.routes.page import PAGE, REPORTS

FILES = sorted(path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*") if path.is_file())
MODULES = [name for name in FILES if name.endswith(".js")]
WORDS = {language: json.loads((PAGE / f"i18n/{language}.json").read_text("utf-8")) for language in ("en", "ru")}


def test_every_file_is_served_and_not_sent_again_while_it_is_the_same(client):
    for name in ["/", *(f"/static/{file}" for file in [*FILES, "common.css", "leaflet/leaflet.js", "leaflet/LICENSE"])]:
        first = client.get(name)
        assert first.status_code == 200, name
        again = client.get(name, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), name
    assert client.get("/static/common.css").content == (REPORTS / "common.css").read_bytes()


@pytest.mark.parametrize("name", ["nothing.js", "leaflet/../page.py", "%2e%2e/routes/page.py", "leaflet/", "page.py"])
def test_no_other_file_is_served(client, name):
    response = client.get(f"/static/{name}")
    assert response.status_code == 404 and response.json()["status"] == 404


def test_the_page_loads_under_a_policy_without_inline_scripts_and_styles(client):
    response = client.get("/")
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert not re.search(r"<style|style=|<script(?![^>]*src=)|\son\w+=", response.text)


def test_the_page_is_told_the_limits_of_the_service(client):
    found = client.get("/page/config").json()
    assert found["limits"] == {"body_mb": 50, "upload_gb": 20} and found["base_map"] is None and not found["paths"]


def test_no_file_of_the_page_names_another_host():
    for name in FILES:
        hosts = set(re.findall(r"https?://([\w.]+)", (PAGE / name).read_text("utf-8")))
        assert hosts <= {"www.w3.org"}, name  # the namespace of SVG


def test_the_languages_have_the_same_words_with_the_same_values():
    def values(text: object) -> set[str]:
        forms = text.values() if isinstance(text, dict) else [text]
        return {name for form in forms for name in re.findall(r"\{(\w+)\}", form)}

    assert list(WORDS["en"]) == list(WORDS["ru"])
    assert {key: values(text) for key, text in WORDS["en"].items()} == {
        key: values(text) for key, text in WORDS["ru"].items()
    }
    assert all({"one", "few", "many", "other"} == set(text) for text in WORDS["ru"].values() if isinstance(text, dict))


def test_words_and_modules_that_are_used_exist_and_none_is_left_over():
    source = {name: (PAGE / name).read_text("utf-8") for name in MODULES}
    for name, text in source.items():
        for module in re.findall(r'from "(\.[^"]+)"', text):
            assert (PAGE / name).parent.joinpath(module).is_file(), (name, module)
    code = "\n".join(source.values())
    used = set(re.findall(r'\bt\(\s*"([\w.-]+)"', code)) | set(re.findall(r'\? "(\w+\.[\w.]+)" : "[\w.-]+"\)', code))
    used |= set(re.findall(r'\? "[\w.-]+" : "(\w+\.[\w.]+)"\)', code))
    prefixes = tuple(re.findall(r"\bt\(\s*`([\w.-]+\.)\$\{", code))
    prefixes += ("class.", "legend.", "meaning.", "problem.", "step.")
    known = WORDS["en"].keys()
    assert {key for key in used if key not in known} == set()
    assert {key for key in known if key not in used and not key.startswith(prefixes)} == set()
