"""Writes docs/recipes.md: every group of configs/, its choices, their keys and what the files say of them.

python docs/recipes.py [--check]    with --check: exit code 1 where the page is not what would be written
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "recipes.md"
HEAD = """# Recipes: every group and choice

`flood-seg VERB group=choice group.key=value`. This page is written by `python docs/recipes.py` from the files in
[configs/](../configs/); a test holds that it is up to date.
"""


def page() -> str:
    """Returns the page's text."""
    groups = sorted(path for path in (ROOT / "configs").iterdir() if path.is_dir())
    return "\n".join([HEAD, *(section(group) for group in groups)])


def section(group: Path) -> str:
    """Returns a group's heading and table."""
    rows = [f"| `{choice.stem}` | {about(choice)} | {keys(choice)} |" for choice in sorted(group.glob("*.yaml"))]
    return "\n".join([f"## `{group.name}`\n", "| choice | what | keys |", "| --- | --- | --- |", *rows, ""])


def about(choice: Path) -> str:
    """Returns the comment on top of a file, else what it builds."""
    lines = choice.read_text("utf-8").splitlines()
    comments = [line.lstrip("# ") for line in lines[: _first_that_is_none(lines)]]
    comment = " ".join(line for line in comments if not line.startswith("@package"))
    target = re.search(r"_target_: (\S+)", "\n".join(lines))
    return comment or (f"`{target[1]}`" if target else "")


def _first_that_is_none(lines: list[str]) -> int:
    return next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))


def keys(choice: Path) -> str:
    """Returns `key: value` of each setting, by their dotted names."""
    shown, path = [], list[str]()
    for line in choice.read_text("utf-8").splitlines():
        found = re.match(r"( *)(?:- )?([\w.@/ -]+): ?(.*)$", line)
        if line.lstrip().startswith(("#", "- ")) or found is None:
            continue
        depth, key, value = len(found[1]) // 2, found[2], re.sub(r"\s+#.*", "", found[3])
        path = [*path[:depth], key]
        if value and key != "_target_":
            shown.append(f"`{'.'.join(path)}: {value}`")
    return ", ".join(shown)


def main() -> None:
    """Writes or checks."""
    text = page()
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text("utf-8") != text)
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
