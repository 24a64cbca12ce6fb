"""`flood-seg map`: from scenes of any size to layers for a GIS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.analysis.comparison.before import Before
from flood_seg.analysis.comparison.change import Change
from flood_seg.analysis.comparison.cloud import Clouds
from flood_seg.analysis.comparison.permanent import PermanentWater
from flood_seg.analysis.result import water_class
from flood_seg.config.compose import compose
from flood_seg.config.instantiate import instantiate
from flood_seg.config.schema.scenes import MapConfig
from flood_seg.console import say, warn
from flood_seg.errors import ConfigError, FloodSegError, PartialFailureError, StoreError, UsageError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.encoded import limit_megapixels
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.imaging.source import gdal_name
from flood_seg.inference.engines import choose_engine, open_backend, with_streams
from flood_seg.inference.models import choose_model
from flood_seg.inference.predictor import Predictor
from flood_seg.products.estimate import estimate_maps
from flood_seg.products.progress import MapProgress
from flood_seg.products.results import Results
from flood_seg.products.scene_map import MapModel, MapRun, plan_map, run_map
from flood_seg.scenes.executor import Executor, ModelSource, digest_of
from flood_seg.scenes.inputs import find_scenes
from flood_seg.scenes.scene import Scene
from flood_seg.scenes.stac_input import AssetChoice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def map_scenes(
    overrides: Sequence[str] = (),
    *,
    model: PathLike | None = None,
    image: str | None = None,
    out: PathLike | None = None,
    before: str | None = None,
    permanent: str | None = None,
    cloud: str | None = None,
    dry_run: bool = False,
) -> None:
    """Segment scenes of any size and write their layers.

    Raises:
        PartialFailureError: some of several scenes, or some blocks of a scene, failed; the rest is done.
        FloodSegError: of other kinds, before anything is written.
    """
    if image is None:
        raise UsageError("--image is missing: flood-seg map --image scene.tif --out map")
    engine, name = choose_engine(overrides, None if model is None else str(model))
    config = compose("map", engine, MapConfig)
    limit_megapixels(config.max_megapixels)
    import_rasterio()  # before any work, where it is not installed
    results = Results(out, Path(config.map.work_dir))
    used = _open_model(config, name)
    bands = BandSelection.of(used.predictor.spec)
    choice = AssetChoice(config.map.assets, bands.names, Path(config.map.work_dir) / "stac", bands.optional)
    scenes = find_scenes(image, results.folder, choice, archive=results.is_archive)
    executor = _executor(config, used)
    water = water_class(used.predictor.spec.class_names, config.water, used.name) if before or permanent else 0
    earlier = Before.find(before, results, scenes, choice) if before else None
    first = {earlier.image: earlier.folder} if earlier and earlier.image else {}
    if dry_run:
        estimate_maps(first | scenes, used, config.map, config.batch_size)
        return
    results.check_writable(scenes.values())
    failed, total = 0, len(first) + len(scenes)
    with results, executor, MapProgress(total, file=config.map.progress_file) as progress:
        run = MapRun(
            used, config.map, executor, config.batch_size, config.max_input_shift, progress,
            Clouds(gdal_name(cloud), config.cloud) if cloud else None,
            (PermanentWater(gdal_name(permanent), config.permanent.threshold, water),) if permanent else (),
        )  # fmt: skip
        if earlier:
            result = earlier.open(run, scenes, bands, config.water)
            failed += bool(first and result.properties["flood_seg:failed_blocks"])
            run = replace(run, derivations=(Change(result, water, config.change), *run.derivations))
        for path, folder in progress.each(scenes.items()):
            try:
                with Scene.open(path, bands) as scene:
                    job = plan_map(scene, results.of(folder), run)
                    results.add(job.place, run_map(job, run))
                for block, error in job.failed.items():
                    warn(f"block {block} failed: {error}")
                failed += bool(job.failed)
            except FloodSegError as error:
                if len(scenes) == 1 or isinstance(error, StoreError):  # S3 is that of all scenes
                    raise
                warn(str(error))
                failed += 1
    if failed:
        raise PartialFailureError(f"{failed} of {total} scenes are incomplete, see above; the rest is done")


def _open_model(config: MapConfig, name: str | None) -> MapModel:
    name, origin = choose_model(name, config.output_dir)
    backend = open_backend(with_streams(config.backend, 100), name, config.warmup)
    predictor = Predictor(backend, config.threshold, config.value_scale)
    say(f"Model {name} ({origin}), {backend.description}")
    return MapModel(name, digest_of(name, predictor), predictor)


def _executor(config: MapConfig, model: MapModel) -> Executor:
    backend = model.predictor.backend.description
    source = ModelSource(model.name, model.digest, config.backend, backend, config.value_scale, config.max_megapixels)
    executor = instantiate(config.executor, source)
    if not isinstance(executor, Executor):
        raise ConfigError(f"executor._target_={config.executor['_target_']}: is not an executor; choose executor=NAME")
    return executor
