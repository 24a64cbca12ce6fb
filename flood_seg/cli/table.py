"""The table of verbs: names, flags, configurations and help; the command, completion and tests all read it.

A new verb is one entry here and one function in `flood_seg/verbs/`. Nothing is imported before a verb runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Flag:
    """A flag of a verb.

    Attributes:
        name: as typed, without the leading dashes.
        help: one line for `--help`.
        kind: `str`, `int`, `bool` (a switch) or `tuple` (one or more values).
        default: value of the verb's parameter where the flag is not given.
    """

    name: str
    help: str
    kind: type = str
    default: Any = None

    @property
    def parameter(self) -> str:
        """The name of the function's parameter."""
        return self.name.replace("-", "_")


@dataclass(frozen=True)
class Verb:
    """A verb of the command.

    Attributes:
        name: as typed; a verb of a group has two words.
        function: `module:name` of what runs it; its keyword parameters are the flags, its first one the overrides.
        summary: one line for `--help`.
        examples: command lines, with comments after `#`.
        flags: in the order of the help.
        config: file in configs/ that the overrides apply to; None where the verb takes no overrides.
        overrides: one line for `--help` on the overrides that it takes.
        keys: top-level keys and groups of `config` that apply to this verb; empty where all do.
    """

    name: str
    function: str
    summary: str
    examples: tuple[str, ...]
    flags: tuple[Flag, ...]
    config: str | None = None
    overrides: str = ""
    keys: tuple[str, ...] = ()

    def load(self) -> Callable[..., Any]:
        """Imports and returns the function."""
        module, _, name = self.function.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function


DATA = Flag("data", "data set folder (default: datamodule.data_dir, which is data/raw)")
MODEL_TEXT = "ENGINE:MODEL, a file (.onnx, .ckpt, .xml, .plan), a run's folder or triton:HOST:PORT/NAME"
DEFAULT_MODEL = "(default: the newest run's model, else the bundled one)"
MODEL = Flag("model", f"{MODEL_TEXT} {DEFAULT_MODEL}")
IMAGE = Flag("image", "an image, a folder of images, or a quoted glob pattern")
IMAGE_OR_VIDEO = replace(IMAGE, help=f"{IMAGE.help}; also a video file, or a stream such as rtsp://HOST/PATH")
MASK_OUT = Flag("out", "output mask, or folder of masks (default: beside the images)")
OVERLAY = Flag("overlay", "also write the image with its classes tinted", bool, False)
JSON = Flag("json", "JSON file for the share of each class and the timings of each image")
HEIGHT = Flag("height", "input height in pixels (default: the model's own)", int)
WIDTH = Flag("width", "input width in pixels (default: the model's own)", int)
DOCKER_VERSION = Flag("docker-version", "tag of NVIDIA's container, for example 24.10")


def _data(function: str, summary: str, *examples: str, flags: tuple[Flag, ...], keys: tuple[str, ...] = ()) -> Verb:
    """A verb of `flood-seg data` that reads a data set by configs/data.yaml; `function` is in `verbs/data/`."""
    name = function.partition(":")[2].replace("_", "-")
    own = [key for key in keys if key != "backend"]
    return Verb(
        f"data {name}", f"flood_seg.verbs.data.{function}", summary, examples, flags, config="data",
        overrides="".join(f"{key}.*, " for key in own) + "datamodule.*; see configs/data.yaml", keys=keys,
    )  # fmt: skip


VERBS = (
    Verb(
        "train", "flood_seg.verbs.train:train", "Train a model.",
        (
            "flood-seg train --data data/raw model=mobilenet_unet trainer.max_epochs=50",
            "flood-seg train resume=auto",
            "flood-seg train -m model=mobilenet_unet,resnet34_unet optimizer.lr=1e-3,3e-4 hydra/launcher=joblib",
            "flood-seg train -m hydra/sweeper=optuna 'optimizer.lr=tag(log,interval(1e-4,1e-2))' "
            "hydra.sweeper.n_trials=20",
            "flood-seg train --image-size 256 --find-lr --find-batch-size",
            "flood-seg train debug=fast             # or overfit, profile",
            "flood-seg train --cfg job loss=dice    # print the configuration and exit",
        ),
        (
            DATA,
            Flag("multirun", "run once for each combination of comma-separated values; short form -m", bool, False),
            Flag("cfg", "print the configuration (job, hydra or all) and exit"),
            Flag("image-size", "height and width of the network's input in pixels", int),
            Flag("find-lr", "search for a learning rate first, and train with it", bool, False),
            Flag("find-batch-size", "search for the largest batch that fits into memory, and train with it", bool,
                 False),
        ),
        config="train",
        overrides="any key of configs/train.yaml and a choice of each of its groups; docs/recipes.md lists them",
    ),
    Verb(
        "evaluate", "flood_seg.verbs.evaluate:evaluate", "Evaluate a model on images with masks, and write a report.",
        (
            "flood-seg evaluate --data data/raw --out report datamodule.split_file=outputs/latest/split.txt",
            "flood-seg evaluate --model model.onnx --data data/raw --goal 'recall>=0.95' --calibrate --save",
            "flood-seg evaluate --data data/raw --out report --tta --compare other.onnx --groups events.csv:event",
        ),
        (
            MODEL,
            DATA,
            Flag("out", "folder of report.html and the metrics (default: metrics are only printed)"),
            Flag("at-network-size", "count pixels at the network's size, as training does, instead of each image's "
                 "own size", bool, False),
            Flag("goal", "find the best threshold for f1, iou, 'recall>=0.95' or 'precision>=0.9'"),
            Flag("calibrate", "fit the temperature that calibrates the probabilities", bool, False),
            Flag("save", "write that threshold and temperature, and the errors on the images, which flood-area needs, "
                 "into the model", bool, False),
            Flag("tta", "also evaluate with test-time augmentation: the eight orientations of each image", bool, False),
            Flag("compare", "another model, evaluated on the same images"),
            Flag("groups", "FILE.csv:COLUMN, or folder: metrics of each group too"),
        ),
        config="evaluate",
        overrides="evaluation.*, datamodule.*, backend=ENGINE, threshold and part; see configs/evaluate.yaml",
    ),
    Verb(
        "convert-to-onnx", "flood_seg.verbs.export:convert_to_onnx",
        "Export a checkpoint, by default the newest run's best, as one ONNX file.",
        ("flood-seg convert-to-onnx --ckpt outputs/latest/best.ckpt --onnx model.onnx weights=float16",),
        (
            Flag("ckpt", "checkpoint, or a run's folder (default: the newest run's best)"),
            Flag("onnx", "output file (default: model.onnx beside the checkpoint)"),
            replace(HEIGHT, help="input height in pixels (default: as trained)"),
            replace(WIDTH, help="input width in pixels (default: as trained)"),
        ),
        config="export", overrides="keys of configs/export.yaml",
    ),
    Verb(
        "convert-to-trt", "flood_seg.verbs.export:convert_to_trt",
        "Build a TensorRT plan of an ONNX file for this machine's GPU.",
        (
            "flood-seg convert-to-trt --onnx model.onnx --trt model.plan",
            "flood-seg convert-to-trt --docker-version 24.10 export.trt_builder=docker export.max_batch=8",
        ),
        (
            Flag("onnx", f"ONNX file with float weights {DEFAULT_MODEL}"),
            Flag("trt", "output .plan (default: beside the model)"),
            HEIGHT,
            WIDTH,
            DOCKER_VERSION,
        ),
        config="convert_to_trt", overrides="export.*; see configs/convert_to_trt.yaml",
    ),
    Verb(
        "infer", "flood_seg.verbs.infer:infer",
        "Segment an image, a folder or a glob pattern: write masks of water, or of what the model was trained on.",
        (
            "flood-seg infer --image photo.jpg --overlay",
            "flood-seg infer --image 'photos/*.jpg' --out masks --json report.json output.foreground_value=1",
            "flood-seg infer --image scene.tif --out water.tif output.probability=true",
            "flood-seg infer --image clip.mp4 --out clip_water.webm video.stride=5",
        ),
        (
            replace(MODEL, name="onnx"),
            IMAGE_OR_VIDEO,
            replace(MASK_OUT, help="output mask, folder of masks, or overlay video (default: beside the input)"),
            OVERLAY,
            JSON,
        ),
        config="infer", overrides="output.*, video.*, backend=ENGINE, threshold and batch_size; see configs/infer.yaml",
    ),
    Verb(
        "map", "flood_seg.verbs.map:map_scenes",
        "Segment scenes of any size by windows: write masks and probabilities as Cloud Optimized GeoTIFFs.",
        (
            "flood-seg map --image scene.tif --out flood",
            "flood-seg map --image 'scenes/*.tif' --out maps map.scale=0.5 backend=openvino",
            "flood-seg map --image 's3://bucket/scenes/*.tif' --out s3://bucket/maps",
            "flood-seg map --image after.tif --before before.tif --permanent rivers.gpkg --out flood",
        ),
        (
            MODEL,
            Flag("image", "a raster or a large photo, a folder, a quoted glob pattern, a text file with one scene per "
                 "line, a STAC item or catalogue; also in s3:// or at https://"),
            Flag("out", "folder of the results, also in s3://; of several scenes, folder of their folders (default: "
                 "NAME_map beside each scene)"),
            Flag("before", "an earlier image of the place, which is mapped first, or the folder of its map: what has "
                 "changed since"),
            Flag("permanent", "polygons of permanent water, or a raster of its occurrence: which water is flood"),
            Flag("cloud", "polygons or a raster of clouds, below which nothing is observed"),
            Flag("dry-run", "only print sizes, windows, and the time and disk space that are required", bool, False),
        ),
        config="map",
        overrides="map.*, change.*, permanent.*, cloud.*, backend=ENGINE and threshold; see configs/map.yaml",
    ),
    Verb(
        "flood-series", "flood_seg.verbs.flood_series:flood_series",
        "Compare maps of several dates: flooded area over time, largest extent, number of dates under water.",
        (
            "flood-seg flood-series --results map_0714 map_0716 map_0718 --out series",
            "flood-seg flood-series --results maps --out series series.resolution=10",
        ),
        (
            Flag("results", "folders that flood-seg map has made, also archives; those of one day are one date", tuple,
                 ()),
            Flag("out", "folder of series.json, series.csv, series.png, maximum.tif and count.tif", str,
                 "flood_series"),
        ),
        config="flood_series", overrides="series.*; see configs/flood_series.yaml",
    ),
    Verb(
        "report", "flood_seg.verbs.report:report",
        "Write a situation report of mapped scenes: two pages as HTML and PDF, and tables and layers for a GIS.",
        (
            "flood-seg report --results flood --impact impact --out sitrep",
            "flood-seg report --results north south --area area --out sitrep report.language=ru "
            "report.timezone=Europe/Moscow",
        ),
        (
            Flag("results", "one or more folders that map has written, also archives", tuple, ()),
            Flag("area", "folder that flood-area has written (default: that of the only result)"),
            Flag("impact", "folder that impact has written (default: that of the only result)"),
            Flag("out", "folder of sitrep.html, .pdf, .csv and .gpkg", default="sitrep"),
        ),
        config="report", overrides="report.*; see configs/report.yaml",
    ),
    Verb(
        "flood-area", "flood_seg.verbs.flood_area:flood_area",
        "Measure the flooded area of maps, in all and per district, with a 95 % interval.",
        (
            "flood-seg flood-area --results map",
            "flood-seg flood-area --results map --districts districts.gpkg area.name_field=NAME",
            "flood-seg flood-area --results map_a map_b --validation checked_points.gpkg --out area",
        ),
        (
            Flag("results", "one or more folders that flood-seg map has made, also archives", tuple, ()),
            Flag("districts", "vector file of polygons: areas of each too"),
            Flag("validation", "vector file of points or polygons of these scenes whose true class is known: a sample "
                 "for the interval (default: the errors in the model's record)"),
            Flag("out", "folder of flood_area.json, flood_area.csv and districts.gpkg (default: the results' folder)"),
        ),
        config="flood_area", overrides="area.*; see configs/flood_area.yaml",
    ),
    Verb(
        "impact", "flood_seg.verbs.impact:impact",
        "Find whom a mapped flood affects: roads, buildings, people, and places that are cut off.",
        (
            "flood-seg impact --flood map --roads roads.gpkg --buildings buildings.fgb --districts districts.geojson",
            "flood-seg impact --flood map --roads region.osm.pbf --places region.osm.pbf --depots depots.gpkg",
            "flood-seg impact --flood map --population people.tif impact.population_unit=per_km2",
        ),
        (
            Flag("flood", "folder of a scene that flood-seg map has written"),
            Flag("roads", "lines: a vector file, GeoParquet or OpenStreetMap (.osm.pbf); FILE|layername=NAME is one of "
                 "its layers"),
            Flag("buildings", "polygons"),
            Flag("population", "raster of people per cell or square kilometre"),
            Flag("districts", "polygons; all figures are given for each, too"),
            Flag("places", "points or polygons: which are under water, or cut off where --roads are given"),
            Flag("depots", "points that places must reach (default: the largest connected part of the roads)"),
            Flag("out", "folder of impact.json, impact.csv and impact.gpkg (default: that of --flood)"),
        ),
        config="impact", overrides="impact.*; see configs/impact.yaml",
    ),
    Verb(
        "quantize", "flood_seg.verbs.export:quantize",
        "Make a smaller and faster model, written only if its accuracy stays within a bound.",
        (
            "flood-seg quantize --onnx model.onnx --out model_int8.xml --data data/raw",
            "flood-seg quantize --onnx model.onnx --out model_int8.onnx --data data/raw quantize.max_iou_drop=0.002",
        ),
        (
            Flag("onnx", f"float model {DEFAULT_MODEL}"),
            Flag("out", "an .onnx file for ONNX Runtime, or an .xml file for OpenVINO"),
            DATA,
        ),
        config="quantize", overrides="quantize.* and datamodule.*; see configs/quantize.yaml",
    ),
    Verb(
        "verify", "flood_seg.verbs.compare:verify",
        "Check that a model gives the same result in every engine; exit code 1 if not.",
        (
            "flood-seg verify --models best.ckpt model.onnx openvino:model.onnx --data data/raw",
            "flood-seg verify --models model.onnx triton:127.0.0.1:8000/flood_area_segmentation verify.tolerance=0.001",
        ),
        (
            Flag("models", f"two or more, each {MODEL_TEXT}; the first is the reference", tuple, ()),
            DATA,
            Flag("out", "JSON file for the differences"),
        ),
        config="verify", overrides="verify.* and datamodule.*; see configs/verify.yaml",
    ),
    Verb(
        "benchmark", "flood_seg.verbs.compare:benchmark",
        "Measure accuracy and speed of models and engines, in turns.",
        (
            "flood-seg benchmark --data data/raw --out bench",
            "flood-seg benchmark --models model.onnx openvino:model.onnx model_int8.xml benchmark.batch_sizes=[1,8]",
        ),
        (
            Flag("models", f"each {MODEL_TEXT} (default: the bundled model in every engine installed)", tuple, ()),
            DATA,
            Flag("out", "folder for table, JSON and chart"),
        ),
        config="benchmark", overrides="benchmark.* and datamodule.*; see configs/benchmark.yaml",
    ),
    Verb(
        "serve", "flood_seg.verbs.serve:serve",
        "Serve models over HTTP: predictions, whole scenes as jobs, and a page with a map.",
        (
            "flood-seg serve                                         # the page is at http://127.0.0.1:8000",
            "flood-seg serve --model openvino:model.onnx --port 8080",
            "flood-seg serve --add-key alice --role predict          # prints the key; then: serve --host 0.0.0.0",
            "flood-seg serve 'serve.models={flood: model.onnx, buildings: buildings.onnx}'",
        ),
        (
            MODEL,
            Flag("host", "address to listen at (default: 127.0.0.1, this machine only)"),
            Flag("port", "TCP port; 0: a free one (default: 8000)", int),
            Flag("add-key", "make an API key of this name, print it and exit; required on a network"),
            Flag("role", "of that key: read, predict or admin (default: predict)"),
            Flag("remove-key", "remove the key of this name and exit; a running service refuses it at once"),
            Flag("list-keys", "list the names and roles of the keys and exit", bool, False),
        ),
        config="serve", overrides="serve.* and backend=...; see configs/serve.yaml",
    ),
    Verb(
        "worker", "flood_seg.verbs.worker:worker", "Run the jobs of a service, on the same machine or on another one.",
        (
            "flood-seg worker serve.work_dir=/shared/flood serve.jobs.queue=redis://queue:6379/0",
            "flood-seg worker --model openvino:model.onnx            # the model and the options of flood-seg serve",
        ),
        (MODEL,),
        config="serve", overrides="as of flood-seg serve, with the same values; see configs/serve.yaml",
    ),
    Verb(
        "triton-server", "flood_seg.verbs.triton:triton_server",
        "Serve a model with Triton: in NVIDIA's container, or embedded where Docker is unavailable.",
        (
            "flood-seg triton-server --model-path model.onnx",
            "flood-seg triton-server --detach triton.runtime=embedded backend=openvino",
            "flood-seg triton-server --stop",
        ),
        (
            Flag("model-type", "onnx or trt (default: by the suffix)"),
            Flag("model-path", f"the model {DEFAULT_MODEL}"),
            Flag("container-name", "name of NVIDIA's container, for example flood_seg_triton"),
            Flag("host", "address to listen on (default: 127.0.0.1)"),
            Flag("http-port", "HTTP port (default: 8000)", int),
            Flag("use-gpus", "serve from the GPU", bool, False),
            DOCKER_VERSION,
            Flag("detach", "return when the server is ready, and leave it running", bool, False),
            Flag("stop", "stop the server that --detach left running", bool, False),
        ),
        config="triton_server", overrides="triton.* and backend=ENGINE; see configs/triton_server.yaml",
    ),
    Verb(
        "triton-client", "flood_seg.verbs.triton:triton_client",
        "Segment an image, a folder or a glob pattern on a Triton server.",
        (
            "flood-seg triton-client --image photo.jpg --out water.png",
            "flood-seg triton-client --image photos --out masks --triton-url server:8001 --protocol grpc",
        ),
        (
            IMAGE,
            MASK_OUT,
            Flag("triton-url", "HOST, HOST:PORT or HOST:PORT/MODEL, optionally after http://, https://, grpc:// or "
                 "grpcs://", default="127.0.0.1"),
            Flag("model-name", "name of the model on the server (default: flood_area_segmentation)"),
            Flag("protocol", "http or grpc"),
            OVERLAY,
            JSON,
        ),
        config="infer", overrides="as for infer",
    ),
    Verb(
        "completion", "flood_seg.cli.completion:completion",
        "Print the script that makes a shell complete verbs, flags, groups, choices and keys.",
        (
            'eval "$(flood-seg completion --shell bash)"    # in ~/.bashrc',
            "flood-seg completion --shell fish | source     # in config.fish",
        ),
        (
            Flag("shell", "bash, zsh or fish", default="bash"),
            Flag("line", "the line typed so far; used by the script itself"),
        ),
    ),
    Verb(
        "data preview", "flood_seg.verbs.data.inspect:preview",
        "Draw a grid of augmented training samples with their masks.",
        ("flood-seg data preview datamodule=sample --out preview.png",),
        (Flag("out", "output picture", default="preview.png"), Flag("count", "number of samples", int, 16)),
        config="train", overrides="as for train",
    ),
    _data(
        "inspect:check", "Find faulty, swapped and duplicate samples of a data set; exit code 1 if there are errors.",
        "flood-seg data check --data data/raw --out data_check",
        "flood-seg data check --data data/raw --fix data/fixed      # a corrected copy beside it",
        flags=(
            DATA,
            Flag("out", "folder of report.html and report.json", default="data_check"),
            Flag("fix", "new folder for a corrected copy"),
        ),
        keys=("check",),
    ),
    _data(
        "inspect:overlay", "Draw masks over their images, with a legend, and contact sheets; --model shows its errors.",
        "flood-seg data overlay --data data/raw --out overlays overlay.count=40",
        "flood-seg data overlay --data data/raw --model model.onnx",
        flags=(
            DATA,
            Flag("out", "folder of the pictures", default="overlays"),
            Flag("model", f"draw truth, prediction and difference of this model: {MODEL_TEXT}"),
        ),
        keys=("overlay", "backend"),
    ),
    _data(
        "create:tile", "Cut large images and their masks into tiles, and put predictions of tiles back together.",
        "flood-seg data tile --data data/scenes --out tiles tile.size=512 tile.overlap=64",
        "flood-seg data tile --image scene.tif --labels water.gpkg --out tiles tile.empty=0.1",
        "flood-seg data tile --data tiles --mosaic masks --out scene_water.tif",
        flags=(
            DATA,
            Flag("image", "one image or a folder of images, instead of a data set"),
            Flag("labels", "mask or vector file of that one image"),
            Flag("out", "new folder of the tiles; with --mosaic a .tif file, or a folder", default="tiles"),
            Flag("mosaic", "folder of predictions of the tiles in --data, to be put together"),
        ),
        keys=("tile",),
    ),
    _data(
        "create:split",
        "Split a data set into training, validation and test parts, or into folds; near-duplicates stay together.",
        "flood-seg data split --data data/raw --out split.txt split.val=0.2 split.test=0.1 split.stratify=true",
        "flood-seg data split --data tiles --out folds split.folds=5 split.groups=scene",
        flags=(DATA, Flag("out", "the split file; with split.folds a folder", default="split.txt")),
        keys=("split",),
    ),
    _data(
        "inspect:stats", "Measure sizes, bands, classes and shapes of masks, as a table and as a report.",
        "flood-seg data stats --data data/raw --out data_stats",
        "flood-seg data stats --data data/raw --write-config stats.yaml  # train datamodule.stats_file=stats.yaml",
        flags=(
            DATA,
            Flag("out", "folder of report.html, stats.json and pictures (default: the table is only printed)"),
            Flag("write-config", "YAML file for mean and standard deviation, which datamodule.stats_file reads"),
        ),
    ),
    _data(
        "convert:to_coco",
        "Convert a data set to COCO instances: polygons, and run-length encodings of shapes with holes.",
        "flood-seg data to-coco --data data/raw --out coco coco.shape=rle",
        flags=(DATA, Flag("out", "new folder", default="coco")),
        keys=("coco",),
    ),
    Verb(
        "data from-coco", "flood_seg.verbs.data.convert:from_coco", "Convert COCO instances to images and masks.",
        (
            "flood-seg data from-coco --annotations instances_train.json --images train2017 --out data/raw "
            "--part train",
            "flood-seg data from-coco --annotations instances_val.json --images val2017 --out data/raw --part val",
        ),
        (
            Flag("annotations", "the JSON file"),
            Flag("images", "folder that its file names are relative to"),
            Flag("out", "new folder, or one that holds other parts written by this verb", default="data/raw"),
            Flag("part", "train, val or test: a folder below --out"),
        ),
    ),
    _data(
        "convert:to_cvat", "Convert a data set to CVAT for images 1.1, to be edited in CVAT.",
        "flood-seg data to-cvat --data data/raw --out cvat",
        flags=(DATA, Flag("out", "new folder", default="cvat")),
        keys=("coco",),
    ),
    Verb(
        "data from-cvat", "flood_seg.verbs.data.convert:from_cvat",
        "Convert CVAT for images 1.1 to images and masks: polygons, masks, boxes and ellipses.",
        ("flood-seg data from-cvat --annotations annotations.xml --images images --out data/raw",),
        (
            Flag("annotations", "the XML file"),
            Flag("images", "folder of the images"),
            Flag("out", "new folder", default="data/raw"),
        ),
    ),
    _data(
        "convert:to_mmseg", "Convert a data set to MMSegmentation's folders.",
        "flood-seg data to-mmseg --data data/raw --out mmseg datamodule.split_file=split.txt",
        flags=(DATA, Flag("out", "new folder", default="mmseg")),
    ),
    _data(
        "convert:from_mmseg",
        "Convert MMSegmentation's folders, which training also reads as they are, to images and masks.",
        "flood-seg data from-mmseg --data mmseg --out data/raw datamodule.max_label=1 datamodule.ignore_index=255",
        flags=(replace(DATA, help="folder of img_dir and ann_dir"), Flag("out", "new folder", default="data/raw")),
    ),
    Verb(
        "data download", "flood_seg.verbs.data.create:download", "Download the public flood data set from Kaggle.",
        ("flood-seg data download --out data/raw",),
        (
            Flag("out", "new folder", default="data/raw"),
            Flag("name", "OWNER/DATASET on Kaggle (default: the flood data set)"),
        ),
    ),
    _data(
        "upload:upload", "Upload a data set to an experiment tracker, as an artifact.",
        "flood-seg data upload --data data/raw --name flood-v1 logger=mlflow",
        "flood-seg data upload --data data/raw --name flood-v1 logger=wandb logger.wandb.project=floods",
        flags=(DATA, Flag("name", "name of the artifact")),
        keys=("logger",),
    ),
    Verb(
        "data scene", "flood_seg.verbs.data.scene:scene",
        "Find satellite scenes of an area in a public catalogue, and download the area of them as GeoTIFF.",
        (
            "flood-seg data scene --bbox 7.0,50.3,7.2,50.5 --date 2021-07-10/2021-07-20 --out scenes",
            "flood-seg data scene --aoi area.gpkg --date 2021-07-15 --collection sentinel-1-rtc --out radar.tif",
            "flood-seg data scene --aoi area.gpkg --date 2021-06-01/.. --bands red,green,blue,nir,scl --count 5",
        ),
        (
            Flag("bbox", "the area: west,south,east,north in degrees"),
            Flag("aoi", "or a vector file, of whose shapes the bounding box is the area"),
            Flag("date", "a date, 2026-01-14, or the first and the last one, 2026-01-14/2026-02-01"),
            Flag("collection", "sentinel-2-l2a, sentinel-1-rtc, landsat-c2-l2 or naip (default: sentinel-2-l2a)"),
            Flag("bands", "names with commas, for example red,green,blue,nir (default: the collection's)"),
            Flag("cloud", "largest cloud cover in percent (default: 30)", int),
            Flag("count", "number of dates, the newest ones (default: 1)", int),
            Flag("out", "a .tif file, or a folder of one file per date", default="scenes"),
            Flag("dry-run", "only list what is found", bool, False),
        ),
        config="scene", overrides="catalog=CATALOGUE, catalog.* and scene.*; see configs/scene.yaml",
    ),
    Verb(
        "data sample", "flood_seg.verbs.data.create:sample", "Draw synthetic flood scenes with masks.",
        (
            "flood-seg data sample --out data/sample datamodule.sample.count=40",
            "flood-seg data sample --out valley datamodule=valley      # before and in a flood, with vector layers",
        ),
        (Flag("out", "folder of images/ and masks/", default="data/sample"),),
        config="train", overrides="datamodule=valley, datamodule.sample.*",
    ),
)  # fmt: skip

SUMMARY = "Find water on drone, aerial and satellite images: train, evaluate, export and run segmentation models."
GROUPS = {"data": "Inspect and make data sets."}
