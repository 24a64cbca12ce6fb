"""Measures which `map.scale` works for a model of whole photos: the IoU of windows at several scales; prints a table.

Each photo is a scene at its own resolution. Scales are pixels of the network per pixel of the photo; those that end in
`x` are multiples of the scale at which the photo's shorter side fills a window. `auto` is that of `map.scale=auto`,
`median` that of the images which the model was trained on. `whole` resizes the whole photo to the network's size, as
`infer` does.

python benchmarks/map_scale.py MODEL DATA [--split-file FILE] [--scales whole 1 0.5 1x 1.5x ...] [key=value ...]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from flood_seg.config.compose import compose
from flood_seg.config.schema import EvaluateConfig
from flood_seg.data.layout import choose_pairs
from flood_seg.data.reading import SampleReader
from flood_seg.errors import ImageError
from flood_seg.inference.engines import open_backend, with_streams
from flood_seg.inference.predictor import Predictor
from flood_seg.metrics.confusion import confusion_matrix, image_ious
from flood_seg.scenes.cells import read_cells
from flood_seg.scenes.executor import LocalExecutor
from flood_seg.scenes.grid import Grid
from flood_seg.scenes.scale import choose_scale
from flood_seg.scenes.scene import Scene
from flood_seg.scenes.segment import segment_scene
from flood_seg.scenes.store import BlockStore

SCALES = ("whole", "auto", "median", "1", "0.75", "0.5", "0.38", "0.25", "0.75x", "1x", "1.5x", "2x")
SIZES = ((0.0, 0.4), (0.4, 1.0), (1.0, np.inf))  # megapixels


def factor_of(scale: str, scene: Scene, predictor: Predictor) -> float:
    """Returns how many pixels of the network a pixel of the photo is."""
    if scale.endswith("x"):
        return predictor.spec.height * float(scale[:-1]) / min(scene.height, scene.width)
    if scale == "median" and predictor.spec.image_scales:
        return predictor.spec.image_scales[1]
    return choose_scale(scale, (scene.height, scene.width), None, predictor.spec).value


def map_mask(path: Path, predictor: Predictor, reader: SampleReader, scale: str) -> np.ndarray:
    """Returns the class indices, uint8 [H, W], that `map` gives a photo."""
    with Scene.open(path, reader.bands) as scene, tempfile.TemporaryDirectory() as folder:
        side = predictor.spec.height
        factor = factor_of(scale, scene, predictor)
        grid = Grid.of((scene.height, scene.width), (round(side / factor),) * 2, 0.25, 2048)
        store = BlockStore(Path(folder), grid)
        for _, error in segment_scene(scene, predictor, grid, store, LocalExecutor(None, retries=0)):
            if error:
                raise error
        mask = np.zeros((scene.height, scene.width), np.uint8)
        for cell in read_cells(grid, store):
            assert cell.probabilities is not None
            mask[cell.box.within(scene.box)] = cell.probabilities[0] > predictor.threshold
    return mask


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split-file", type=Path, help="of which the validation part is used; default: all photos")
    parser.add_argument("--scales", nargs="+", default=SCALES)
    options, overrides = parser.parse_known_args()
    split = [f"datamodule.split_file={options.split_file}"] if options.split_file else []
    config = compose("evaluate", [f"datamodule.data_dir={options.data}", *split, *overrides], EvaluateConfig)
    predictor = Predictor(open_backend(with_streams(config.backend, 100), str(options.model)))
    reader = SampleReader.for_model(config.datamodule, predictor.spec)
    matrices: dict[str, list[np.ndarray]] = {scale: [] for scale in options.scales}
    seconds, megapixels = dict.fromkeys(options.scales, 0.0), list[float]()
    for pair in choose_pairs(config.datamodule):
        try:
            image, truth = reader.load(pair)
        except ImageError as error:
            print(f"{pair.stem}: left out, {error}")
            continue
        megapixels.append(truth.size / 1e6)
        for scale in options.scales:
            started = time.perf_counter()
            whole = scale == "whole"
            mask = predictor.predict(image).mask if whole else map_mask(pair.image, predictor, reader, scale)
            seconds[scale] += time.perf_counter() - started
            matrices[scale].append(confusion_matrix(mask, truth, 2))
    groups = [np.flatnonzero([low <= size < high for size in megapixels]) for low, high in SIZES]
    names = [f"{low:g}–{high:g} MP ({len(group)})" for (low, high), group in zip(SIZES, groups, strict=True)]
    print(f"{len(megapixels)} photos, {predictor.backend.description}")
    print("| " + " | ".join(["scale", "pooled IoU", "IoU per photo", *names, "s per photo"]) + " |")
    print("|" + " --- |" * (4 + len(groups)))
    for scale in options.scales:
        found = np.stack(matrices[scale])
        ious, pooled = image_ious(found, "binary"), image_ious(found.sum(axis=0)[None], "binary")[0]
        values = [pooled, ious.mean(), *(ious[group].mean() if len(group) else np.nan for group in groups)]
        shown = " | ".join(f"{value:.3f}" for value in values)
        print(f"| {scale} | {shown} | {seconds[scale] / len(found):.2f} |")


if __name__ == "__main__":
    main()
