"""Generates the reference pages and the README's table of verbs from the table of verbs and from configs/.

python docs/reference.py [--check]    with --check: exit code 1 if a page is not up to date
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flood_seg.cli.table import VERBS, Flag, Verb

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference"
BEGIN, END = "<!-- verbs: written by docs/reference.py -->\n", "<!-- end of verbs -->"
COMMANDS = """# Commands

Every flag can be written with dashes or underscores, as `--flag value` or `--flag=value`. Overrides of the
[configuration](../configuration.md) follow as `key=value` or `group=choice`. All verbs share the same
[exit codes](../reliability.md#exit-codes).

<!-- written by docs/reference.py -->
"""
CONFIGURATION = """# Configuration keys

All keys of `configs/` with their defaults, for overrides of the form `key=value`. [Groups and choices](../recipes.md)
compares the choices of each group; [configuration](../configuration.md) explains how they are combined.

<!-- written by docs/reference.py -->
"""


def pages() -> dict[Path, str]:
    """Returns the text of each generated page."""
    readme = README.read_text("utf-8")
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    rows = "".join(f"| `{verb.name}` | {_cell(verb.summary)} |\n" for verb in VERBS)
    return {
        README: f"{before}{BEGIN}| verb | purpose |\n| --- | --- |\n{rows}{END}{after}",
        REFERENCE / "commands.md": "\n".join([COMMANDS, *map(_verb, VERBS)]),
        REFERENCE / "configuration.md": "\n".join([CONFIGURATION, *map(_file, _files())]),
    }


def _verb(verb: Verb) -> str:
    parts = [f"## {verb.name}\n", f"{verb.summary}\n"]
    if verb.flags:
        parts += ["| flag | type | default | description |\n| --- | --- | --- | --- |"]
        parts += [*map(_flag, verb.flags), ""]
    if verb.config:
        parts += [f"Overrides: {_cell(verb.overrides)}.\n"]
    return "\n".join([*parts, "```sh", *verb.examples, "```\n"])


def _flag(flag: Flag) -> str:
    kind = {"bool": "switch", "tuple": "one or more values"}.get(flag.kind.__name__, flag.kind.__name__)
    default = "" if flag.default in (None, False, ()) else f"`{flag.default}`"
    text = flag.help
    if described := re.fullmatch(r"(.*) \(default: (.*)\)", text):
        text, default = described.groups()
    return f"| `--{flag.name}` | {kind} | {_cell(default)} | {_cell(text)} |"


def _files() -> list[Path]:
    return [*sorted(CONFIGS.glob("*.yaml")), *sorted(CONFIGS.glob("*/*.yaml"))]


class _Key(NamedTuple):
    name: str
    value: str
    comment: str


def _file(path: Path) -> str:
    name = path.relative_to(CONFIGS).as_posix()
    title = f"{path.parent.name}={path.stem}" if path.parent != CONFIGS else name
    text = path.read_text("utf-8")
    lines = text.splitlines()
    head = _head(lines)
    keys = [key for key in _keys(lines[len(head) :]) if key.value]
    parts = [f"## `{title}`\n", _cell(" ".join(line.lstrip("# ") for line in head if "@package" not in line)) + "\n"]
    if keys:
        parts += ["| key | default | description |\n| --- | --- | --- |"]
        parts += [f"| `{key.name}` | `{_cell(key.value)}` | {_cell(key.comment)} |" for key in keys]
        parts += [""]
    return "\n".join(parts)


def _head(lines: list[str]) -> list[str]:
    """Returns the comment that describes the file: sentences on top of it; a key's own comment starts in lower case."""
    head: list[str] = []
    for line in lines:
        if not line.startswith("#") or (head and head[-1].endswith(".") and line[2:3].islower()):
            break
        head.append(line)
    return head


def _keys(lines: list[str]) -> Iterator[_Key]:
    """Yields each key by its dotted name, with the comment above it or behind it."""
    path: list[str] = []
    comment: list[str] = []
    for line in lines:
        found = re.match(r"( *)([\w.@/-]+): ?(.*)$", line)
        if line.lstrip().startswith("#"):
            comment.append(line.strip("# "))
        elif found is None:
            comment = []
        else:
            value, _, trailing = found[3].partition("  # ")
            path = [*path[: len(found[1]) // 2], found[2]]
            if path[0] not in ("defaults", "hydra"):
                yield _Key(
                    ".".join(path), value.strip(), " ".join([*comment, *([trailing.strip()] if trailing else [])])
                )
            comment = []


def _cell(text: str) -> str:
    """A text for a cell of a table: no bar ends it, and <NAME> is not a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*.", "\\*.")


def main() -> None:
    """Writes or checks the pages."""
    outdated = {path: text for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text}
    if "--check" in sys.argv:
        sys.exit(" ".join(str(path) for path in outdated) or None)
    for path, text in outdated.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
