"""What `flood-seg map --before` names: an image, which is mapped first, or a finished map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.analysis.pixel_grid import PixelGrid
from flood_seg.analysis.result import BEFORE, MapResult
from flood_seg.console import warn
from flood_seg.errors import OutputError, UsageError
from flood_seg.imaging.source import address
from flood_seg.products.archive import COLLECTION
from flood_seg.products.results import SceneResults
from flood_seg.products.scene_map import plan_map, run_map
from flood_seg.products.stac_item import RECORD
from flood_seg.scenes.inputs import find_scenes
from flood_seg.scenes.scene import Scene, same_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flood_seg.imaging.bands import BandSelection
    from flood_seg.products.results import Results
    from flood_seg.products.scene_map import MapRun
    from flood_seg.scenes.stac_input import AssetChoice


@dataclass(frozen=True)
class Before:
    """An earlier map, or one that is still to be made.

    Attributes:
        folder: of the map.
        image: that is mapped there first; None: the map is finished.
    """

    folder: Path
    image: Path | None = None

    @classmethod
    def find(cls, text: str, results: Results, scenes: Mapping[Path, Path], choice: AssetChoice) -> Before:
        """Finds what a text names.

        Args:
            text: an image, as `find_scenes` takes it, or the folder of a finished map.
            results: of the run: the image is mapped into the folder `before` there. Where results go to S3, it is the
                local one, which stays.
            scenes: that are compared with it, and the folders of their results.
            choice: of the assets of STAC items.

        Raises:
            FloodSegError: there is no single image or map, it is one of the scenes itself, or its folder is another's.
        """
        folder = Path(text)
        if (folder / RECORD).is_file():
            if any(same_file(folder, other) for other in scenes.values()):
                raise UsageError(f"--before {text}: is the folder of the results themselves; choose another --out")
            return cls(folder)
        if folder.is_dir():
            what = "an archive; give the folder of one scene in it" if (folder / COLLECTION).is_file() else (
                f"a folder without {RECORD}; give an image, or a folder that flood-seg map has completed")  # fmt: skip
            raise UsageError(f"--before {text}: is {what}")
        first = next(iter(scenes.values()))
        if len(scenes) > 1:
            place = (results.folder or first.parent) / BEFORE
        else:
            place = first / BEFORE if not results.is_remote else first.with_name(f"{first.name}.{BEFORE}")
        try:
            found = list(find_scenes(text, place, choice))
        except OutputError:  # two of the same name
            found = []
        if len(found) != 1:
            raise UsageError(f"--before {text}: is several images; give one, or the local folder of one map")
        for scene, other in scenes.items():
            if same_file(scene, found[0]):
                raise UsageError(f"--before {text}: is {address(scene)} itself; give an earlier image")
            if other == place:
                raise UsageError(f"{place}: would hold the results of {address(scene)} and of {text}; rename one")
        return cls(place, found[0])

    def open(self, run: MapRun, scenes: Mapping[Path, Path], bands: BandSelection, water: str | None) -> MapResult:
        """Returns the map, made with the model and options of a run if it is still to be made.

        Raises:
            FloodSegError: the image cannot be mapped, or a single scene lies elsewhere.
        """
        if self.image:
            with Scene.open(self.image, bands) as scene:
                for path in scenes if len(scenes) == 1 else ():
                    with Scene.open(path, bands) as other:  # before the work
                        run.check(other)
                        grid = PixelGrid.of_scene(other)
                        grid.check_overlap(PixelGrid.of_scene(scene), scene.source, other.source)
                alone = replace(run, cover=None, derivations=())
                for _ in run.progress.each([self.image]):
                    job = plan_map(scene, SceneResults(self.folder), alone)
                    run_map(job, alone)
            for block, error in job.failed.items():
                warn(f"{scene.source}: block {block} failed: {error}")
        return MapResult.open(self.folder, water)
