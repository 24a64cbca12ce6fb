"""Renders the notebooks of docs/tutorials/ with their outputs as pages of the site.

python docs/notebooks.py
"""

import json
import re
from pathlib import Path
from typing import Any

TUTORIALS = Path(__file__).parent / "tutorials"


def page(notebook: dict[str, Any]) -> str:
    """Returns the text of a notebook's page; pictures are part of it."""
    return "\n\n".join(part for cell in notebook["cells"] for part in _cell(cell)) + "\n"


def _cell(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        # A link to a notebook leads to its page.
        return [re.sub(r"(\]\(\w+)\.ipynb\)", r"\1.md)", source)]
    shell = source.startswith(("!", "%%bash"))
    code = re.sub(r"^(!|%%bash\n)", "", source)
    return [f"```{'sh' if shell else 'python'}\n{code}\n```", *filter(None, map(_output, cell["outputs"]))]


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        png = "".join(data["image/png"]).replace("\n", "")
        return f"![output](data:image/png;base64,{png})"
    text = "".join(data.get("text/plain", output.get("text", ""))).rstrip()
    return f"```text\n{text}\n```" if text else ""


if __name__ == "__main__":
    for path in sorted(TUTORIALS.glob("*.ipynb")):
        path.with_suffix(".md").write_text(page(json.loads(path.read_text("utf-8"))), "utf-8")
