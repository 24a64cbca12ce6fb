"""The light installation: a wheel in an empty environment, outside the checkout, without torch."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
UV = shutil.which("uv") or (str(ROOT / ".uv/bin/uv") if (ROOT / ".uv/bin/uv").is_file() else None)


@pytest.mark.slow
@pytest.mark.skipif(UV is None, reason="uv builds the wheel and the environment; it is not on the PATH")
def test_an_installed_wheel_finds_water_without_torch_and_without_the_checkout(tmp_path):
    def run(*command: str) -> str:
        environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(UV, "build", "--wheel", "--out-dir", str(tmp_path), str(ROOT))
    run(UV, "venv", "env")
    run(UV, "pip", "install", "--python", "env", str(next(tmp_path.glob("*.whl"))))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)).save(tmp_path / "p.png")
    out = run("env/bin/flood-seg", "infer", "--image", "p.png", "--overlay")
    assert "(bundled)" in out and (tmp_path / "p_mask.png").is_file() and (tmp_path / "p_overlay.jpg").is_file()
    assert run("env/bin/python", "-c", "import importlib.util as i; print(i.find_spec('torch'))").strip() == "None"
    code = "import flood_seg; flood_seg.load_model().predict('p.png').save('api.png'); print(flood_seg.__file__)"
    package = Path(run("env/bin/python", "-c", code).strip()).parent
    assert (tmp_path / "api.png").read_bytes() == (tmp_path / "p_mask.png").read_bytes()
    assert (package / "py.typed").is_file() and package.is_relative_to(tmp_path / "env")
    page = package / "products" / "page"  # the pages are made of these
    parts = (
        "page.html", "common.css", "common.js", "map.html", "map.js", "photos.html", "photos.js", "leaflet/leaflet.js",
        "leaflet/leaflet.css", "leaflet/LICENSE",
    )  # fmt: skip
    assert all((page / part).is_file() for part in parts)
    served = {path.relative_to(ROOT) for path in (ROOT / "flood_seg/service/page").rglob("*") if path.is_file()}
    assert served and all((package.parent / part).is_file() for part in served)
