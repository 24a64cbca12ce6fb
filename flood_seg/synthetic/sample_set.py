"""Writes a data set of synthetic flood scenes, to try the tool without any data."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from flood_seg.config.schema import SampleConfig
from flood_seg.console import track
from flood_seg.errors import DataError
from flood_seg.files import check_writable, write_json, write_text
from flood_seg.imaging.bands import RGB
from flood_seg.imaging.gdal import utm_32n, write_geotiff
from flood_seg.imaging.write import write_image
from flood_seg.synthetic.scene import draw_scene

DRAWING_VERSION = 1  # raise it where a seed's scene changes
README = """These photos are drawn by a program (flood-seg data sample). They are no real floods:
they serve to try and to test the tool. A model that was trained on them knows nothing of real water.
"""


OWN_FILES = ("images/[0-9]*.[jt]*", "masks/[0-9]*.png", "images/before.tif", "images/flood.tif", "masks/before.tif",
             "masks/flood.tif", "layers/*.gpkg", "layers/population.tif")  # fmt: skip
ORIGIN = (500_000.0, 5_500_000.0)  # of the first georeferenced scene, in UTM zone 32N; the others lie east of it


def write_sample(folder: Path, config: SampleConfig) -> None:
    """Draws `config.count` scenes into folder/images and folder/masks, unless they lie there already; or a valley.

    Scene i has the seed `config.seed * 1 000 000 + i`. A drawing that was interrupted is done again.

    Raises:
        DataError: the folder holds other files.
        OutputError: it cannot be written to.
    """
    check_writable(folder)
    record = {"drawing_version": DRAWING_VERSION, **asdict(config)}
    done = folder / "sample.json"
    with suppress(OSError, ValueError):
        if json.loads(done.read_text(encoding="utf-8")) == record:
            return
    readme = folder / "README.txt"
    if folder.exists() and any(folder.iterdir()) and not (readme.is_file() and readme.read_text("utf-8") == README):
        raise DataError(f"{folder}: holds files that are not of the sample set; choose an empty or new folder")
    write_text(readme, README)
    done.unlink(missing_ok=True)
    for old in [path for pattern in OWN_FILES for path in folder.glob(pattern)]:
        old.unlink()
    if config.valley:
        from flood_seg.synthetic.valley_files import write_valley

        write_valley(folder, config, ORIGIN)
    else:
        _write_scenes(folder, config)
    write_json(done, record)


def _write_scenes(folder: Path, config: SampleConfig) -> None:
    for number in track(range(config.count), "Drawing scenes", config.count):
        image, mask = draw_scene(config.seed * 1_000_000 + number, config.height, config.width)
        if config.ground_sample_distance:
            distance = config.ground_sample_distance
            place = utm_32n(ORIGIN[0] + number * config.width * distance, ORIGIN[1], distance)
            write_geotiff(folder / "images" / f"{number:04d}.tif", image, place, None, RGB)
        else:
            write_image(folder / "images" / f"{number:04d}.jpg", image)
        write_image(folder / "masks" / f"{number:04d}.png", mask)
