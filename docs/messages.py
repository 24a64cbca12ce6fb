"""Brings the catalogues of the situation report up to date with its messages.

python docs/messages.py            after a change of a message: new ones are added without a translation
python docs/messages.py --new de   begins a language
python docs/messages.py --check    fails where a catalogue is out of date or lacks a translation
"""

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

REPORT = Path(__file__).parent.parent / "flood_seg" / "analysis" / "report"
KEYWORDS = {"_": None, "text": None, "plural": (1, 2), "ngettext": (1, 2)}
COMMENT = "# Messages of flood-seg's situation report; docs/flood.md says how they are translated."
# Headers that would change with Babel and the day, and not with the messages.
HEADERS = "Generated-By Last-Translator Language-Team PO-Revision POT-Creation Project-Id Report-Msgid"
UNUSED = tuple(f'"{name}' for name in HEADERS.split())


def messages() -> Catalog:
    """Returns the messages of the code and of the template, without translations."""
    found = Catalog(charset="utf-8")
    for path in [*sorted(REPORT.glob("*.py")), *sorted(REPORT.glob("templates/*.html"))]:
        method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
        options = {} if path.suffix == ".py" else {"trimmed": "false", "silent": "false"}
        for _, message, _, _ in extract_from_file(method, path, KEYWORDS, options=options):
            found.add(message)
    return found


def text_of(catalogue: Catalog) -> str:
    """Returns a catalogue as the text of its file."""
    written = io.BytesIO()
    catalogue.header_comment, catalogue.fuzzy = COMMENT, False
    write_po(written, catalogue, width=118, no_location=True, sort_output=True, ignore_obsolete=True)
    lines = written.getvalue().decode("utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(UNUSED))


def updated(path: Path, template: Catalog) -> Catalog:
    """Returns a catalogue with the present messages and what is translated of them."""
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.stem)
    catalogue.update(template, no_fuzzy_matching=True)
    return catalogue


def untranslated(catalogue: Catalog) -> list[str]:
    """Returns the messages that have no translation, or not in each plural form."""
    lacking = []
    for message in catalogue:
        forms = message.string if isinstance(message.string, tuple | list) else (message.string,)
        if message.id and not all(forms):
            lacking.append(str(message.id))
    return lacking


def main() -> None:
    """Updates, begins or checks catalogues."""
    template, check = messages(), "--check" in sys.argv
    if "--new" in sys.argv:
        code = sys.argv[sys.argv.index("--new") + 1]
        path = REPORT / "locale" / f"{code}.po"
        begun = Catalog(locale=code)
        begun.update(template, no_fuzzy_matching=True)
        path.write_text(text_of(begun), encoding="utf-8")
    for path in sorted(REPORT.glob("locale/*.po")):
        catalogue = updated(path, template)
        lacking, text = untranslated(catalogue), text_of(catalogue)
        if check and (lacking or text != path.read_text(encoding="utf-8")):
            sys.exit(f"{path}: {len(lacking)} messages have no translation; run python docs/messages.py and edit it")
        path.write_text(text, encoding="utf-8")
        for message in lacking:
            sys.stdout.write(f"{path.name}: {message}\n")


if __name__ == "__main__":
    main()
