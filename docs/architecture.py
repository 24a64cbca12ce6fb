"""Draws the layers of the package in architecture.md from the imports themselves; `make docs` runs it."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by docs/architecture.py -->\n", "<!-- end of the drawing -->\n"
WIDTH = 86


def layers() -> list[list[str]]:
    """Returns the packages of each layer, the highest first, as import-linter checks them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in row.split("|")] for row in rows]


def imports() -> dict[str, set[str]]:
    """Returns which of our packages each one imports directly."""
    graph = grimp.build_graph("flood_seg")
    found: dict[str, set[str]] = {}
    for module in graph.modules - {"flood_seg"}:
        package = module.split(".")[1]
        imported = {name.split(".")[1] for name in graph.find_modules_directly_imported_by(module) if "." in name}
        found.setdefault(package, set()).update(imported - {package})
    return found


def draw() -> str:
    """Returns the picture of the layers and the table of the packages, as Markdown."""
    rows, imported = layers(), imports()
    order = [name for row in rows for name in row]
    upward = [
        f"{name} imports {other}"
        for place, row in enumerate(rows)
        for name in row
        for other in imported.get(name, ())
        if not any(other in below for below in rows[place + 1 :])
    ]
    if upward:
        raise SystemExit(f"not a downward import: {', '.join(upward)}")
    picture = f"\n{'▼'.center(WIDTH).rstrip()}\n".join("   ".join(row).center(WIDTH).rstrip() for row in rows)
    lines = [f"| `{name}` | {_purpose(name)} | {_imported(name, imported, order)} |" for name in order]
    table = "\n".join(["| package or module | purpose | imports |", "| --- | --- | --- |", *lines])
    return f"{BEGIN}\n```text\n{picture}\n```\n\n{table}\n\n{END}"


def _imported(name: str, imported: dict[str, set[str]], order: list[str]) -> str:
    return ", ".join(sorted(imported.get(name, ()), key=order.index))


def _purpose(name: str) -> str:
    """Returns the first line of a package's or a module's docstring."""
    package = ROOT / "flood_seg" / name
    file = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").splitlines()[0].replace("|", "\\|")


def page() -> str:
    """Returns architecture.md with the drawing of today."""
    text = PAGE.read_text("utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return before + draw() + after


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
