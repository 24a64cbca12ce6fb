"""The catalogues of the report: complete, and of the same placeholders as the messages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[3]
CATALOGUES = sorted((ROOT / "flood_seg" / "analysis" / "report" / "locale").glob("*.po"))


def test_each_message_is_translated() -> None:
    done = subprocess.run([sys.executable, "docs/messages.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run python docs/messages.py and translate what it lists"


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)s|%%", text))


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_translations_have_the_placeholders_of_their_messages(path: Path) -> None:
    with path.open("rb") as file:
        messages = [message for message in read_po(file, locale=path.stem) if message.id]
    assert len(messages) > 50
    for message in messages:
        originals = message.id if isinstance(message.id, tuple) else (message.id,)
        for text in message.string if isinstance(message.string, tuple) else (message.string,):
            assert placeholders(text) == placeholders(originals[-1]), text
