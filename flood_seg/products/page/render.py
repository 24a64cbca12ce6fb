"""Fills the template of a page that works without a network: its policy forbids every request."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Any


def render(page: str, content: dict[str, Any]) -> str:
    """Returns a page; no text of its content can end the element that it is in or become a script.

    Args:
        page: `map` or `photos`, the name of its body, script and style.
        content: that its script draws: `name`, `facts`, `warnings`, `version` and what is the page's own.
    """
    folder = files("flood_seg.products.page")
    texts = {
        name: folder.joinpath(file).read_text(encoding="utf-8")
        for name, file in {
            "leaflet": "leaflet/leaflet.js", "leaflet_style": "leaflet/leaflet.css", "license": "leaflet/LICENSE",
            "common": "common.js", "style": "common.css", "script": f"{page}.js", "body": f"{page}.html",
        }.items()
    }  # fmt: skip
    texts["leaflet"] = texts["leaflet"].partition("//# sourceMappingURL")[0]  # developer tools would ask for it
    return Template(folder.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        texts,
        title=html.escape(f"{content['name']} – {page}"),
        data=json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),
        script_hashes=" ".join(_hash(texts[name]) for name in ("leaflet", "common", "script")),
    )


def _hash(script: str) -> str:
    """Returns the source expression by which a policy allows one script alone."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
