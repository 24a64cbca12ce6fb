"""The `flood-seg` command: one thin method a verb, and the only place that exits.

Nothing heavy is imported before a verb runs.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.cli.guard import guard
from flood_seg.cli.streams import BROKEN_PIPE, Sink, open_streams
from flood_seg.console import fail, say
from flood_seg.errors import FloodSegError, MissingExtraError, UsageError
from flood_seg.extras import extra_to_install
from flood_seg.resources import check_address_space, is_out_of_memory
from flood_seg.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema.workshop import DataToolsConfig

LESS_MEMORY = "set a smaller batch or image size, or fewer workers and threads, or close other programs"

# What happens to the machine at any place, maybe without a file's name.
MACHINE = frozenset({errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, getattr(errno, "EDQUOT", 0)})


class FloodSeg:
    """Finds water on drone, aerial and satellite images: trains, evaluates, exports and runs segmentation models."""

    def train(
        self,
        *overrides: str,
        data: str | None = None,
        multirun: bool = False,
        cfg: str | None = None,
        image_size: int | None = None,
        find_lr: bool = False,
        find_batch_size: bool = False,
    ) -> None:
        """Trains a model; Hydra overrides choose how.

        flood-seg train --data data/raw model=mobilenet_unet trainer.max_epochs=50
        flood-seg train resume=auto
        flood-seg train -m model=mobilenet_unet,resnet34_unet optimizer.lr=1e-3,3e-4 hydra/launcher=joblib
        flood-seg train -m hydra/sweeper=optuna 'optimizer.lr=tag(log,interval(1e-4,1e-2))' hydra.sweeper.n_trials=20
        flood-seg train --image-size 256 --find-lr --find-batch-size
        flood-seg train debug=fast             # or overfit, profile
        flood-seg train --cfg job loss=dice    # prints the configuration and stops

        Args:
            *overrides: any key of configs/train.yaml and a choice of each of its groups; docs/recipes.md lists them.
            data: folder of the data set; without it datamodule.data_dir, which is data/raw.
            multirun: sweep over values in commas; -m for short.
            cfg: print the configuration (job, hydra or all) and stop.
            image_size: side of the network's input in pixels, instead of datamodule.height and width.
            find_lr: look for a learning rate first, and train with it.
            find_batch_size: look for the largest batch that memory takes, and train with it.
        """
        from flood_seg.config.compose import as_yaml, compose, run_folder, show, sweep
        from flood_seg.config.schema import TrainConfig, check_choice

        check_choice("--cfg", cfg or "job", ("job", "hydra", "all"))
        flags: dict[str, object] = {"datamodule.height": image_size, "datamodule.width": image_size}
        flags |= {"tuner.find_lr": find_lr or None, "tuner.find_batch_size": find_batch_size or None}
        given = (f"{key}={value}" for key, value in flags.items() if value is not None)
        overrides = (*overrides, *_folder(data), *given)
        jobs = sweep(overrides) if multirun else [list(overrides)]
        configs = [compose("train", job, TrainConfig) for job in jobs]  # all are checked before the first one starts
        if cfg:
            hydras = [show("train", jobs[0], "hydra")] if cfg in ("hydra", "all") else []
            ours = [as_yaml(config) for config in configs] if cfg in ("job", "all") else []
            print("---\n".join([*hydras, *ours]), end="")
            return

        from flood_seg.training.run import check_start

        for config in configs:
            check_start(config)

        if multirun:
            from flood_seg.training.sweep import run_sweep

            run_sweep(overrides, configs)
            return

        from flood_seg.training.train import train

        train(configs[0], [word for word in jobs[0] if not word.startswith("hydra.run.dir=")], run_folder(overrides))

    def evaluate(
        self,
        *overrides: str,
        model: str | None = None,
        data: str | None = None,
        out: str | None = None,
        at_network_size: bool = False,
        goal: str | None = None,
        calibrate: bool = False,
        save: bool = False,
        tta: bool = False,
        compare: str | None = None,
        groups: str | None = None,
    ) -> None:
        """Measures a model on photos with masks, and writes a page that tells how good it is and why.

        flood-seg evaluate --data data/raw --out report datamodule.split_file=outputs/latest/split.txt
        flood-seg evaluate --model model.onnx --data data/raw --goal 'recall>=0.95' --calibrate --save
        flood-seg evaluate --data data/raw --out report --tta --compare other.onnx --groups events.csv:event

        Args:
            *overrides: evaluation.*, datamodule.*, backend=ENGINE, threshold and part, all in configs/evaluate.yaml.
            model: ENGINE:MODEL, a file (.onnx, .ckpt, .xml, .plan), a run's folder or triton:HOST:PORT/NAME;
                without it the newest run's, else the one in the box.
            data: folder of the data set; without it datamodule.data_dir, which is data/raw.
            out: folder of report.html and the figures; without it they are only shown.
            at_network_size: count at the network's size, as training does, instead of each photo's own.
            goal: find the threshold that is best for f1, iou, 'recall>=0.95' or 'precision>=0.9'.
            calibrate: find the temperature that makes probabilities true.
            save: write that threshold and temperature into the model.
            tta: also measure with the eight orientations of each photo.
            compare: another model, measured on the same photos.
            groups: FILE.csv:COLUMN, or folder: figures of each group too.
        """
        from flood_seg.config.compose import compose
        from flood_seg.config.schema import EvaluateConfig
        from flood_seg.inference.engines import choose_engine

        flags: dict[str, object] = {"goal": goal, "compare": compare, "groups": groups}
        given = [f"evaluation.{key}={_quoted(str(value))}" for key, value in flags.items() if value is not None]
        given += [f"evaluation.{key}=true" for key, value in (("calibrate", calibrate), ("tta", tta)) if value]
        engine, model = choose_engine(overrides, model)
        config = compose("evaluate", [*engine, *_folder(data), *given], EvaluateConfig)

        from flood_seg.evaluation.verb import run_evaluate

        run_evaluate(config, model, _path(out), at_network_size, save)

    def convert_to_onnx(
        self,
        *overrides: str,
        ckpt: str | None = None,
        onnx: str | None = None,
        height: int | None = None,
        width: int | None = None,
    ) -> None:
        """Exports a checkpoint, by default the newest run's best, as one ONNX file.

        flood-seg convert-to-onnx --ckpt outputs/latest/best.ckpt --onnx model.onnx weights=float16

        Args:
            *overrides: keys of configs/export.yaml.
            ckpt: the checkpoint, or a run's folder; without it the newest run's best.
            onnx: where to write; without it model.onnx beside the checkpoint.
            height: that photos are resized to, in pixels; without it as trained.
            width: likewise.
        """
        from flood_seg.config.compose import compose
        from flood_seg.config.schema import ExportConfig

        config = compose("export", overrides, ExportConfig)

        from flood_seg.export.convert import convert_to_onnx

        convert_to_onnx(config, _path(ckpt), _path(onnx), height, width)

    def convert_to_trt(
        self,
        *overrides: str,
        onnx: str | None = None,
        trt: str | None = None,
        height: int | None = None,
        width: int | None = None,
        docker_version: str | None = None,
    ) -> None:
        """Builds a TensorRT plan of an ONNX file for this machine's GPU.

        flood-seg convert-to-trt --onnx model.onnx --trt model.plan
        flood-seg convert-to-trt --docker-version 24.10 export.trt_builder=docker export.max_batch=8

        Args:
            *overrides: export.*, in configs/convert_to_trt.yaml.
            onnx: an ONNX file of float weights; without it the newest run's, else the one in the box.
            trt: where to write the .plan; without it beside the model.
            height: of the input in pixels; without it the model's own.
            width: likewise.
            docker_version: tag of NVIDIA's container, 24.10 for example.
        """
        from flood_seg.config.compose import compose
        from flood_seg.config.schema import TensorRtConfig

        version = [f"export.docker_version={_quoted(docker_version)}"] if docker_version else []
        config = compose("convert_to_trt", [*overrides, *version], TensorRtConfig)

        from flood_seg.export.tensorrt import convert_to_trt

        convert_to_trt(config, _path(onnx), _path(trt), height, width)

    def infer(
        self,
        *overrides: str,
        onnx: str | None = None,
        image: str | None = None,
        out: str | None = None,
        overlay: bool = False,
        json: str | None = None,
    ) -> None:
        """Writes the mask of a photo, a folder or a pattern in quotes: of water, or of what the model was trained on.

        flood-seg infer --image photo.jpg --overlay
        flood-seg infer --image 'photos/*.jpg' --out masks --json report.json output.foreground_value=1

        Args:
            *overrides: output.*, backend=ENGINE, threshold and batch_size, all in configs/infer.yaml.
            onnx: ENGINE:MODEL, a file (.onnx, .ckpt, .xml, .plan), a run's folder or triton:HOST:PORT/NAME;
                without it the newest run's, else the one in the box.
            image: a photo, a folder, or a pattern in quotes.
            out: the mask, or a folder of masks; without it beside the photos.
            overlay: also write the photo with its classes tinted.
            json: file for the share of each class in each photo and the time that it took.
        """
        if image is None:
            raise UsageError("--image is missing: flood-seg infer --image photo.jpg")
        from flood_seg.config.compose import compose
        from flood_seg.config.schema import InferConfig
        from flood_seg.inference.engines import choose_engine
        from flood_seg.inference.infer import infer

        engine, onnx = choose_engine(overrides, onnx)
        config = compose("infer", engine, InferConfig)
        infer(config, onnx, image, _path(out), overlay, _path(json))

    def quantize(
        self, *overrides: str, onnx: str | None = None, out: str | None = None, data: str | None = None
    ) -> None:
        """Makes a smaller and faster model, and writes it only where it stays as good.

        flood-seg quantize --onnx model.onnx --out model_int8.xml --data data/raw
        flood-seg quantize --onnx model.onnx --out model_int8.onnx --data data/raw quantize.max_iou_drop=0.002

        Args:
            *overrides: quantize.* and datamodule.*, in configs/quantize.yaml.
            onnx: a float model; without it the newest run's, else the one in the box.
            out: an .onnx for ONNX Runtime or an .xml for OpenVINO.
            data: folder of the data set; without it datamodule.data_dir, which is data/raw.
        """
        from flood_seg.config.compose import compose
        from flood_seg.config.schema import QuantizeConfig

        config = compose("quantize", [*overrides, *_folder(data)], QuantizeConfig)

        from flood_seg.export.quantize import quantize

        quantize(config, _path(onnx), _path(out))

    def verify(
        self, *overrides: str, models: tuple[str, ...] = (), data: str | None = None, out: str | None = None
    ) -> None:
        """Proves that a model answers the same through every engine: exit code 1 where it does not.

        flood-seg verify --models best.ckpt model.onnx openvino:model.onnx --data data/raw
        flood-seg verify --models model.onnx triton:127.0.0.1:8000/flood_area_segmentation verify.tolerance=0.001

        Args:
            *overrides: verify.* and datamodule.*, in configs/verify.yaml.
            models: two or more, each as --model of evaluate; the first is the measure of the others.
            data: folder of the data set; without it datamodule.data_dir, which is data/raw.
            out: JSON file for the figures.
        """
        from flood_seg.config.compose import compose
        from flood_seg.config.schema import VerifyConfig

        config = compose("verify", [*overrides, *_folder(data)], VerifyConfig)

        from flood_seg.benchmarking.verify import verify

        verify(config, models, _path(out))

    def benchmark(
        self, *overrides: str, models: tuple[str, ...] = (), data: str | None = None, out: str | None = None
    ) -> None:
        """Measures accuracy and speed of models and engines, in turns.

        flood-seg benchmark --data data/raw --out bench
        flood-seg benchmark --models model.onnx openvino:model.onnx model_int8.xml benchmark.batch_sizes=[1,8]

        Args:
            *overrides: benchmark.* and datamodule.*, in configs/benchmark.yaml.
            models: each as --model of evaluate; without it every engine that is here, with the model in the
                box.
            data: folder of the data set; without it datamodule.data_dir, which is data/raw.
            out: folder for table, JSON and chart.
        """
        from flood_seg.config.compose import compose
        from flood_seg.config.schema import BenchmarkConfig

        config = compose("benchmark", [*overrides, *_folder(data)], BenchmarkConfig)

        from flood_seg.benchmarking.benchmark import benchmark

        benchmark(config, models, _path(out))

    def triton_server(
        self,
        *overrides: str,
        model_type: str | None = None,
        model_path: str | None = None,
        container_name: str | None = None,
        host: str | None = None,
        http_port: int | None = None,
        use_gpus: bool = False,
        docker_version: str | None = None,
        detach: bool = False,
        stop: bool = False,
    ) -> None:
        """Serves a model by Triton: in NVIDIA's container, or embedded where there is no Docker.

        flood-seg triton-server --model-path model.onnx
        flood-seg triton-server --detach triton.runtime=embedded backend=openvino
        flood-seg triton-server --stop

        Args:
            *overrides: triton.* and backend=ENGINE, in configs/triton_server.yaml.
            model_type: onnx or trt; without it as the suffix tells.
            model_path: the model; without it the newest run's, else the one in the box.
            container_name: of NVIDIA's container, flood_seg_triton for example.
            host: address to listen at; without it 127.0.0.1.
            http_port: without it 8000.
            use_gpus: serve from the GPU.
            docker_version: tag of NVIDIA's container, 24.10 for example.
            detach: come back when the server answers.
            stop: end the server that --detach left running.
        """
        from flood_seg.config.compose import compose
        from flood_seg.config.schema import TritonServerConfig
        from flood_seg.inference.engines import choose_engine

        flags = {"container_name": container_name, "host": host, "http_port": http_port}
        flags |= {"docker_version": docker_version, "use_gpus": use_gpus or None}
        given = [f"triton.{key}={_quoted(str(value))}" for key, value in flags.items() if value is not None]
        engine, model_path = choose_engine(overrides, model_path)
        config = compose("triton_server", [*engine, *given], TritonServerConfig)

        from flood_seg.serving.server import stop_server, triton_server

        if stop:
            stop_server(config.triton)
        else:
            triton_server(config, model_type, _path(model_path), detach)

    def triton_client(
        self,
        *overrides: str,
        image: str | None = None,
        out: str | None = None,
        triton_url: str = "127.0.0.1",
        model_name: str | None = None,
        protocol: str | None = None,
        overlay: bool = False,
        json: str | None = None,
    ) -> None:
        """Writes the mask of a photo, a folder or a pattern in quotes, by a Triton server.

        flood-seg triton-client --image photo.jpg --out water.png
        flood-seg triton-client --image photos --out masks --triton-url server:8001 --protocol grpc

        Args:
            *overrides: as of infer.
            image: a photo, a folder, or a pattern in quotes.
            out: the mask, or a folder of masks; without it beside the photos.
            triton_url: HOST, HOST:PORT or HOST:PORT/MODEL, with http://, https://, grpc:// or grpcs:// before it.
            model_name: as the server calls it; without it flood_area_segmentation.
            protocol: http or grpc.
            overlay: also write the photo with its classes tinted.
            json: file for the share of each class in each photo and the time that it took.
        """
        if image is None:
            raise UsageError("--image is missing: flood-seg triton-client --image photo.jpg")
        from flood_seg.config.compose import compose
        from flood_seg.config.schema import InferConfig
        from flood_seg.inference.backends.triton import join_address
        from flood_seg.inference.infer import infer

        address = join_address(triton_url, model_name)
        chosen = ["backend=triton", *([f"backend.protocol={protocol}"] if protocol else [])]
        config = compose("infer", [*chosen, *overrides], InferConfig)
        infer(config, address, image, _path(out), overlay, _path(json))

    def completion(self, shell: str = "bash", line: str | None = None) -> None:
        """Prints what makes a shell (bash, zsh, fish) complete verbs, flags, groups, choices and keys.

        eval "$(flood-seg completion --shell bash)"    # in ~/.bashrc
        flood-seg completion --shell fish | source     # in config.fish

        Args:
            shell: bash, zsh or fish.
            line: what is typed so far, for the script itself.
        """
        from flood_seg.cli.completion import SCRIPTS, complete, script
        from flood_seg.config.schema import check_choice

        check_choice("--shell", shell, tuple(SCRIPTS))
        print(script(shell) if line is None else "\n".join(complete(line, FloodSeg)))

    class data:
        """Looks at data sets and makes them."""

        def preview(self, *overrides: str, out: str = "preview.png", count: int = 16) -> None:
            """Draws a grid of augmented training samples with their masks.

            flood-seg data preview datamodule=sample --out preview.png

            Args:
                *overrides: as of train.
                out: the picture.
                count: of samples.
            """
            config = _compose_data(overrides, None)

            from flood_seg.workshop.preview import preview

            preview(config, Path(out), count)

        def check(
            self, *overrides: str, data: str | None = None, out: str = "data_check", fix: str | None = None
        ) -> None:
            """Finds faulty, swapped and doubled samples of a data set; exit code 1 where there are errors.

            flood-seg data check --data data/raw --out data_check
            flood-seg data check --data data/raw --fix data/fixed      # a corrected copy beside it

            Args:
                *overrides: check.* and datamodule.*, in configs/data.yaml.
                data: folder of the data set; without it datamodule.data_dir, which is data/raw.
                out: folder of report.html and report.json.
                fix: new folder for a corrected copy.
            """
            config = _compose_data(overrides, data)

            from flood_seg.workshop.check.check import check

            check(config, Path(out), _path(fix))

        def overlay(
            self, *overrides: str, data: str | None = None, out: str = "overlays", model: str | None = None
        ) -> None:
            """Draws masks over their images, with a legend, and contact sheets; --model shows where it is wrong.

            flood-seg data overlay --data data/raw --out overlays overlay.count=40
            flood-seg data overlay --data data/raw --model model.onnx

            Args:
                *overrides: overlay.* and datamodule.*, in configs/data.yaml.
                data: folder of the data set; without it datamodule.data_dir, which is data/raw.
                out: folder of the pictures.
                model: show truth, prediction and difference of this model, given as --model of evaluate.
            """
            from flood_seg.inference.engines import choose_engine

            engine, model = choose_engine(overrides, model)
            config = _compose_data(engine, data)

            from flood_seg.workshop.overlays import overlay

            overlay(config, Path(out), model)

        def tile(
            self,
            *overrides: str,
            data: str | None = None,
            image: str | None = None,
            labels: str | None = None,
            out: str = "tiles",
            mosaic: str | None = None,
        ) -> None:
            """Cuts large images and their masks into tiles, and puts predictions of tiles back together.

            flood-seg data tile --data data/scenes --out tiles tile.size=512 tile.overlap=64
            flood-seg data tile --image scene.tif --labels water.gpkg --out tiles tile.empty=0.1
            flood-seg data tile --data tiles --mosaic masks --out scene_water.tif

            Args:
                *overrides: tile.* and datamodule.*, in configs/data.yaml; with --mosaic only tile.compress.
                data: folder of the data set; without it datamodule.data_dir, which is data/raw.
                image: one image or a folder of images, instead of a data set.
                labels: mask or shapes of that one image.
                out: new folder of the tiles; of a mosaic its .tif, or a folder.
                mosaic: folder of predictions of the tiles in --data, to be put together.
            """
            config = _compose_data(overrides, data)
            if mosaic:
                from flood_seg.config.compose import check_relevant
                from flood_seg.workshop.tiles.mosaic import mosaic as assemble

                for flag, value in (("image", image), ("labels", labels)):
                    if value:
                        raise UsageError(f"--{flag}: has no effect with --mosaic; leave it out")
                if not data:
                    raise UsageError("--mosaic: requires the folder of the tiles: --data tiles")
                check_relevant(overrides, ["tile.compress"], "--mosaic")
                assemble(Path(data), Path(mosaic), Path(out), config.tile.compress)
                return

            from flood_seg.workshop.tiles.tile import tile

            tile(config, Path(out), image, labels)

        def split(self, *overrides: str, data: str | None = None, out: str = "split.txt") -> None:
            """Divides a data set into training, validation and test, or into folds; near-duplicates are never parted.

            flood-seg data split --data data/raw --out split.txt split.val=0.2 split.test=0.1 split.stratify=true
            flood-seg data split --data tiles --out folds split.folds=5 split.groups=scene

            Args:
                *overrides: split.* and datamodule.*, in configs/data.yaml.
                data: folder of the data set; without it datamodule.data_dir, which is data/raw.
                out: the split file; of folds a folder.
            """
            config = _compose_data(overrides, data)

            from flood_seg.workshop.split_tool import divide

            divide(config, Path(out))

        def stats(
            self,
            *overrides: str,
            data: str | None = None,
            out: str | None = None,
            write_config: str | None = None,
        ) -> None:
            """Measures sizes, bands, classes and the shapes of masks, in figures, pictures and a page.

            flood-seg data stats --data data/raw --out data_stats
            flood-seg data stats --data data/raw --write-config stats.yaml  # train datamodule.stats_file=stats.yaml

            Args:
                *overrides: datamodule.*, in configs/data.yaml.
                data: folder of the data set; without it datamodule.data_dir, which is data/raw.
                out: folder of report.html, stats.json and pictures; without it figures are only shown.
                write_config: yaml for mean and standard deviation, which datamodule.stats_file reads.
            """
            config = _compose_data(overrides, data)

            from flood_seg.workshop.statistics_report import stats

            stats(config, _path(out), _path(write_config))

        def to_coco(self, *overrides: str, data: str | None = None, out: str = "coco") -> None:
            """Writes a data set as COCO's instances: polygons, and run lengths of shapes with holes.

            flood-seg data to-coco --data data/raw --out coco coco.shape=rle

            Args:
                *overrides: coco.* and datamodule.*, in configs/data.yaml.
                data: folder of the data set; without it datamodule.data_dir, which is data/raw.
                out: new folder.
            """
            config = _compose_data(overrides, data)

            from flood_seg.workshop.convert.coco import to_coco

            to_coco(config, Path(out))

        def from_coco(
            self,
            annotations: str | None = None,
            images: str | None = None,
            out: str = "data/raw",
            part: str | None = None,
        ) -> None:
            """Writes images and masks of COCO's instances.

            flood-seg data from-coco --annotations instances_train.json --images train2017 --out data/raw --part train
            flood-seg data from-coco --annotations instances_val.json --images val2017 --out data/raw --part val

            Args:
                annotations: the JSON file.
                images: folder that its file names are relative to.
                out: new folder, or one that holds other parts which this verb wrote.
                part: train, val or test: a folder below --out.
            """
            files = _wanted(annotations=annotations, images=images)
            from flood_seg.config.schema import check_choice
            from flood_seg.workshop.convert.coco import from_coco

            check_choice("--part", part or "train", ("train", "val", "test"))
            from_coco(files[0], files[1], Path(out), part)

        def to_cvat(self, *overrides: str, data: str | None = None, out: str = "cvat") -> None:
            """Writes a data set as CVAT for images 1.1, to be mended there.

            flood-seg data to-cvat --data data/raw --out cvat

            Args:
                *overrides: datamodule.*, in configs/data.yaml.
                data: folder of the data set; without it datamodule.data_dir, which is data/raw.
                out: new folder.
            """
            config = _compose_data(overrides, data)

            from flood_seg.workshop.convert.cvat import to_cvat

            to_cvat(config, Path(out))

        def from_cvat(self, annotations: str | None = None, images: str | None = None, out: str = "data/raw") -> None:
            """Writes images and masks of CVAT for images 1.1: polygons, masks, boxes and ellipses.

            flood-seg data from-cvat --annotations annotations.xml --images images --out data/raw

            Args:
                annotations: the XML file.
                images: folder of the images.
                out: new folder.
            """
            files = _wanted(annotations=annotations, images=images)
            from flood_seg.workshop.convert.cvat import from_cvat

            from_cvat(files[0], files[1], Path(out))

        def to_mmseg(self, *overrides: str, data: str | None = None, out: str = "mmseg") -> None:
            """Writes a data set in MMSegmentation's folders.

            flood-seg data to-mmseg --data data/raw --out mmseg datamodule.split_file=split.txt

            Args:
                *overrides: datamodule.*, in configs/data.yaml.
                data: folder of the data set; without it datamodule.data_dir, which is data/raw.
                out: new folder.
            """
            config = _compose_data(overrides, data)

            from flood_seg.workshop.convert.mmseg import to_mmseg

            to_mmseg(config, Path(out))

        def from_mmseg(self, *overrides: str, data: str | None = None, out: str = "data/raw") -> None:
            """Writes images and masks of MMSegmentation's folders, which training also takes as they are.

            flood-seg data from-mmseg --data mmseg --out data/raw datamodule.max_label=1 datamodule.ignore_index=255

            Args:
                *overrides: datamodule.*, in configs/data.yaml; the classes are needed where there is no classes.json.
                data: folder of img_dir and ann_dir.
                out: new folder.
            """
            folders = ["datamodule.images_dir=img_dir", "datamodule.masks_dir=ann_dir"]
            config = _compose_data([*folders, *overrides], data)

            from flood_seg.workshop.convert.mmseg import from_mmseg

            from_mmseg(config, Path(out))

        def download(self, out: str = "data/raw", name: str | None = None) -> None:
            """Downloads the public flood set from Kaggle.

            flood-seg data download --out data/raw

            Args:
                out: new folder.
                name: OWNER/DATASET on Kaggle; without it the flood set.
            """
            from flood_seg.workshop.download import FLOOD_AREA, download

            download(Path(out), name or FLOOD_AREA)

        def sample(self, *overrides: str, out: str = "data/sample") -> None:
            """Draws the synthetic flood scenes into a folder.

            flood-seg data sample --out data/sample datamodule.sample.count=40

            Args:
                *overrides: datamodule.sample.*.
                out: folder of images/ and masks/.
            """
            from flood_seg.config.compose import compose
            from flood_seg.config.schema import TrainConfig
            from flood_seg.synthetic.sample_set import write_sample

            scenes = compose("train", ["datamodule=sample", *overrides], TrainConfig).datamodule.sample
            if scenes is None:
                raise UsageError("datamodule.sample is null: leave that override out")
            write_sample(Path(out), scenes)
            say(f"{out}: {scenes.count} synthetic scenes with masks")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits.

    The exit code is 0 where all is done, 2 after a mistake that the user can mend, memory that ended, or a standard
    output that could not be written, 1 after a bug (or a check that found something), 130 where it was interrupted,
    and 141 where all is done but the reader of standard output has gone.
    """
    sink = open_streams()
    code = _exit_code(list(sys.argv[1:] if arguments is None else arguments))
    if code := _lost(sink, code):
        sys.exit(code)


def _exit_code(arguments: list[str]) -> int:
    try:
        _run(arguments)
    except KeyboardInterrupt:
        print("flood-seg: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        line = _one_line(error)
        if line is None or os.environ.get("FLOOD_SEG_DEBUG") == "1":
            raise
        fail(line)
        return error.exit_code if isinstance(error, FloodSegError) else 2
    return 0


def _one_line(error: Exception) -> str | None:
    """Returns what a user reads of an error, or None of a bug: a traceback."""
    if isinstance(error, FloodSegError):
        return str(error)
    if is_out_of_memory(error):
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return f"not enough memory ({reason[:200]}); {LESS_MEMORY}"
    if isinstance(error, OSError) and error.strerror and (error.filename is not None or error.errno in MACHINE):
        # A folder that cannot be listed, a name that is too long, a disk that is full or failing
        where = os.fsdecode(error.filename) + ": " if isinstance(error.filename, str | bytes) else ""
        return f"{where}{error.strerror}; check the path, its permissions and the disk"
    return None


def _lost(sink: Sink | None, code: int) -> int:
    """Returns the exit code, which says that standard output could not be written where nothing worse happened."""
    sys.stdout.flush()
    if sink is None or sink.error is None:
        return code
    if isinstance(sink.error, BrokenPipeError):
        return code or BROKEN_PIPE
    fail(f"standard output: cannot be written ({sink.error.strerror}); files are written all the same")
    return code or 2


def _run(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        print(__version__)
        return
    command = guard(FloodSeg, arguments, "flood-seg")
    if command is None:
        return
    _check_working_directory()
    check_address_space()
    import fire

    try:
        fire.Fire(FloodSeg, command=command, name="flood-seg")
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if (extra := extra_to_install(package, error.__traceback__)) is None:
            raise
        raise MissingExtraError(
            f"{arguments[0]}: needs {package}, which is not installed; pip install 'flood-seg[{extra}]'"
        ) from error


def _check_working_directory() -> None:
    try:
        os.getcwd()  # noqa: PTH109
    except OSError as error:
        raise UsageError(f"the working directory does not exist ({error.strerror}); cd to one that does") from error


def _compose_data(overrides: Sequence[str], data: str | None) -> DataToolsConfig:
    from flood_seg.config.compose import compose
    from flood_seg.config.schema.workshop import DataToolsConfig

    return compose("data", [*overrides, *_folder(data)], DataToolsConfig)


def _wanted(**files: str | None) -> list[Path]:
    """Returns the files of flags that a verb cannot do without."""
    for name, value in files.items():
        if value is None:
            raise UsageError(f"--{name}: is missing; see --help")
    return [Path(value) for value in files.values() if value is not None]


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _folder(data: str | None) -> list[str]:
    return [f"datamodule.data_dir={_quoted(data)}"] if data else []


def _quoted(text: str) -> str:
    """A value that Hydra takes as it is, whatever characters a path has."""
    from flood_seg.config.compose import quoted

    return quoted(text)
