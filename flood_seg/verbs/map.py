"""`flood-seg map`: from scenes of any size to layers for a GIS."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.config.compose import compose
from flood_seg.config.instantiate import instantiate
from flood_seg.config.schema.scenes import MapConfig
from flood_seg.console import say, warn
from flood_seg.errors import ConfigError, FloodSegError, PartialFailureError, StoreError, UsageError
from flood_seg.files import check_writable
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.encoded import limit_megapixels
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.inference.engines import choose_engine, open_backend, with_streams
from flood_seg.inference.models import choose_model
from flood_seg.inference.predictor import Predictor
from flood_seg.object_store import SCHEME, ObjectFolder
from flood_seg.products.archive import add_to_archive, archive_name, is_archive
from flood_seg.products.estimate import estimate_maps
from flood_seg.products.publish import local_folder
from flood_seg.products.scene_map import MapModel, plan_map, run_map
from flood_seg.scenes.executor import Executor, ModelSource, digest_of
from flood_seg.scenes.inputs import find_scenes
from flood_seg.scenes.scene import Scene
from flood_seg.scenes.stac_input import AssetChoice
from flood_seg.verbs.common import as_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def map_scenes(
    overrides: Sequence[str] = (),
    *,
    model: PathLike | None = None,
    image: str | None = None,
    out: PathLike | None = None,
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
    remote = ObjectFolder(str(out)) if str(out).startswith(SCHEME) else None
    work_dir = Path(config.map.work_dir)
    place = local_folder(remote, work_dir) if remote else as_path(out)
    archive = is_archive(remote or place) if place else False
    name, origin = choose_model(name, config.output_dir)
    backend = open_backend(with_streams(config.backend, 100), name, config.warmup)
    predictor = Predictor(backend, config.threshold, config.value_scale)
    say(f"Model {name} ({origin}), {backend.description}")
    used = MapModel(name, digest_of(name, predictor), predictor)
    bands = BandSelection.of(predictor.spec)
    choice = AssetChoice(config.map.assets, bands.names, work_dir / "stac", bands.optional)
    scenes = find_scenes(image, place, choice, archive=archive)
    for folder in () if dry_run else {folder.parent for folder in scenes.values()}:
        check_writable(folder)
    executor = _executor(config, used)
    if dry_run:
        estimate_maps(scenes, used, config.map, config.batch_size)
        return
    archive_root = remote or place
    failed, records = [], dict[str, dict[str, Any]]()
    with ExitStack() as stack:
        if archive_root:  # also when it is interrupted
            stack.callback(lambda: add_to_archive(archive_root, records) if records else None)
        stack.enter_context(executor)
        for path, folder in scenes.items():
            try:
                with Scene.open(path, bands) as scene:
                    job = plan_map(scene, folder, used, config.map)
                    if archive_root and folder != place:
                        job.archive = archive_name(archive_root)
                    if remote:
                        job.remote = remote if folder == place else remote / folder.name
                    record = run_map(job, used, config.map, executor, config.batch_size, config.max_input_shift)
                    if job.archive:
                        records[folder.name] = record
                for block, error in job.failed.items():
                    warn(f"block {block} failed: {error}")
                failed += [path] if job.failed else []
            except StoreError:  # that of all scenes; the next run adds to the archive what is done
                records.clear()
                raise
            except FloodSegError as error:
                if len(scenes) == 1:
                    raise
                warn(str(error))
                failed.append(path)
    if failed:
        raise PartialFailureError(f"{len(failed)} of {len(scenes)} scenes are incomplete, see above; the rest is done")


def _executor(config: MapConfig, model: MapModel) -> Executor:
    backend = model.predictor.backend.description
    source = ModelSource(model.name, model.digest, config.backend, backend, config.value_scale, config.max_megapixels)
    executor = instantiate(config.executor, source)
    if not isinstance(executor, Executor):
        raise ConfigError(f"executor._target_={config.executor['_target_']}: is not an executor; choose executor=NAME")
    return executor
