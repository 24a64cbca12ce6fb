"""Renders the notebooks of docs/tutorials/ with their outputs as pages of the site.

python docs/notebooks.py [--execute]    with --execute: runs them first, in an empty folder, and saves their outputs
"""

import base64
import io
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TUTORIALS = ROOT / "docs" / "tutorials"


def execute(path: Path) -> None:
    """Runs a notebook and saves it with its outputs: without standard error or paths, and with small pictures."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, resources=resources, record_timing=False, coalesce_streams=True).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kept = [output for output in cell.outputs if output.get("name") != "stderr"]
            cell.outputs = [*map(_cleaned, kept)]
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, path)


def _cleaned(output: Any) -> Any:
    """Keeps plain text without colors or the checkout's path, and reduces a picture to 256 colors."""
    from PIL import Image

    data = output.get("data", {})
    for holder, key in ((output, "text"), (data, "text/plain")):
        if key in holder:
            holder[key] = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", holder[key]).replace(f"{ROOT}/", "")
    data.pop("text/html", None)
    if png := data.get("image/png"):
        small = io.BytesIO()
        Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(small.getvalue()).decode()
    return output


def page(notebook: dict[str, Any]) -> str:
    """Returns the text of a notebook's page; pictures are part of it."""
    return "\n\n".join(part for cell in notebook["cells"] for part in _cell(cell)) + "\n"


def _cell(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        # A link to a notebook leads to its page.
        return [re.sub(r"(\]\(\w+)\.ipynb\)", r"\1.md)", source)]
    language = "sh" if source.startswith("%%bash\n") else "python"
    code = source.removeprefix("%%bash\n")
    return [f"```{language}\n{code}\n```", *filter(None, map(_output, cell["outputs"]))]


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        png = "".join(data["image/png"]).replace("\n", "")
        return f"![output](data:image/png;base64,{png})"
    text = "".join(data.get("text/plain", output.get("text", ""))).rstrip()
    return f"```text\n{text}\n```" if text else ""


def main() -> None:
    """Writes the pages."""
    for path in sorted(TUTORIALS.glob("*.ipynb")):
        if "--execute" in sys.argv:
            execute(path)
        path.with_suffix(".md").write_text(page(json.loads(path.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
