"""Which extra installs which package, and with which extras each module works; tests compare it with the code."""

from __future__ import annotations

from contextlib import contextmanager
from traceback import walk_tb
from typing import TYPE_CHECKING

from flood_seg.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

# The extras that install an importable package, the usual one first.
EXTRAS: dict[str, tuple[str, ...]] = {
    "albumentations": ("train",),
    "babel": ("report",),
    "clearml": ("loggers",),
    "comet_ml": ("loggers",),
    "cuda": ("tensorrt",),
    "cvat_sdk": ("data",),
    "dvc": ("data",),
    "exactextract": ("geo", "data"),
    "fastapi": ("service",),
    "fastapi_offline": ("service",),
    "gevent": ("triton", "serve"),
    "google": ("triton", "serve"),
    "grpc": ("triton", "serve"),
    "h11": ("service",),
    "httpx": ("train",),
    "huey": ("service",),
    "huggingface_hub": ("train",),
    "imagehash": ("data",),
    "jinja2": ("train", "data", "report"),
    "kagglehub": ("data",),
    "matplotlib": ("train", "data"),
    "mlflow": ("train",),
    "nncf": ("quantize",),
    "obstore": ("geo", "data"),
    "onnx": ("train", "quantize", "tensorrt"),
    "opentelemetry": ("service",),
    "openvino": ("openvino", "quantize"),
    "prometheus_client": ("service",),
    "pyarrow": ("train", "data", "geo"),
    "pycocotools": ("data",),
    "pydantic": ("service",),
    "pyogrio": ("geo", "data"),
    "pyproj": ("geo", "data"),
    "pystac": ("geo", "data"),
    "pystac_client": ("geo", "data"),
    "python_multipart": ("service",),
    "pytorch_lightning": ("train",),
    "pytriton": ("serve",),
    "rasterio": ("geo", "data"),
    "ray": ("ray",),
    "redis": ("service",),
    "requests": ("data",),
    "rio_tiler": ("service",),
    "rustac": ("geo", "data"),
    "scipy": ("train", "data", "geo"),
    "segmentation_models_pytorch": ("train",),
    "shapely": ("geo", "data"),
    "starlette": ("service",),
    "tensorboard": ("loggers",),
    "tensorrt": ("tensorrt",),
    "timm": ("train",),
    "torch": ("train",),
    "torchvision": ("train",),
    "tritonclient": ("triton", "serve"),
    "uvicorn": ("service",),
    "wandb": ("loggers",),
    "weasyprint": ("report",),
}

# The extras with each of which alone a module works, by the longest prefix of its name; `a+b`: both are needed. A
# module that is not listed requires none.
MODULES: dict[str, tuple[str, ...]] = {
    "flood_seg.analysis": ("geo", "data"),
    "flood_seg.analysis.report": ("geo+report", "data+report"),
    "flood_seg.benchmarking.results": ("train", "data"),
    "flood_seg.data.augmentation": ("train",),
    "flood_seg.data.datamodule": ("train",),
    "flood_seg.data.vectors": ("geo", "data"),
    "flood_seg.evaluation": ("train", "data"),
    "flood_seg.export.convert": ("train",),
    "flood_seg.export.float16": ("quantize", "train"),
    "flood_seg.export.int8": ("quantize",),
    "flood_seg.export.onnx": ("train",),
    "flood_seg.export.pooling": ("train",),
    "flood_seg.export.quantize": ("quantize",),
    "flood_seg.export.tensorrt": ("tensorrt",),
    "flood_seg.export.tensorrt_python": ("tensorrt",),
    "flood_seg.imaging.gdal": ("geo", "data"),
    "flood_seg.imaging.label_values": ("geo", "data"),
    "flood_seg.imaging.raster": ("geo", "data"),
    "flood_seg.inference.backends.openvino": ("openvino", "quantize"),
    "flood_seg.inference.backends.tensorrt": ("tensorrt",),
    "flood_seg.inference.backends.triton": ("triton", "serve"),
    "flood_seg.metrics.area": ("geo", "data", "train"),
    "flood_seg.metrics.calibration": ("train", "data"),
    "flood_seg.networks": ("train",),
    "flood_seg.object_store": ("geo", "data"),
    "flood_seg.plots": ("train", "data"),
    "flood_seg.products": ("geo", "data"),
    "flood_seg.products.page.photos": (),
    "flood_seg.products.page.render": (),
    "flood_seg.scenes": ("geo", "data"),
    "flood_seg.scenes.ray_cluster": ("geo+ray", "data+ray"),
    "flood_seg.scenes.ray_executor": ("geo+ray", "data+ray"),
    "flood_seg.service": ("geo+service", "data+service"),
    "flood_seg.serving.repository": ("triton", "serve"),
    "flood_seg.synthetic.valley": ("geo", "data"),
    "flood_seg.synthetic.valley_files": ("geo", "data"),
    "flood_seg.synthetic.valley_plan": ("geo", "data"),
    "flood_seg.torchvision_compat": ("train",),
    "flood_seg.tracking": ("train",),
    "flood_seg.tracking.clearml": ("train+loggers",),
    "flood_seg.tracking.comet": ("train+loggers",),
    "flood_seg.tracking.tensorboard": ("train+loggers",),
    "flood_seg.tracking.wandb": ("train+loggers",),
    "flood_seg.training": ("train",),
    "flood_seg.verbs.train_parts": ("train",),
    "flood_seg.verbs.train_run": ("train",),
    "flood_seg.workshop.catalog": (
        "geo",
        "data",
    ),
    "flood_seg.workshop.check": ("data",),
    "flood_seg.workshop.convert": ("data",),
    "flood_seg.workshop.download": ("data",),
    "flood_seg.workshop.preview": ("train",),
    "flood_seg.workshop.statistics_report": ("data", "train"),
    "flood_seg.workshop.tiles": ("geo", "data"),
}


def extras_of(module: str) -> tuple[str, ...]:
    """Returns the extras with each of which a module of ours works; empty: it needs none."""
    prefixes = [prefix for prefix in MODULES if f"{module}.".startswith(f"{prefix}.")]
    return MODULES[max(prefixes, key=len)] if prefixes else ()


def extra_to_install(package: str, traceback: TracebackType | None) -> str | None:
    """Returns the extra that installs a missing package for the module of ours that needs it; None: no extra does.

    Args:
        package: the name that could not be imported.
        traceback: of the failure.
    """
    bringing = EXTRAS.get(package)
    if bringing is None:
        return None
    needed: set[str] = set()
    for frame, _ in walk_tb(traceback):
        needed.update(extra for one in extras_of(frame.f_globals.get("__name__", "")) for extra in one.split("+"))
    return next((extra for extra in bringing if extra in needed), bringing[0])


@contextmanager
def missing_extra(what: str) -> Iterator[None]:
    """Turns a package that is missing in the body into an error that names its extra.

    Args:
        what: requires the package.

    Raises:
        MissingExtraError: a package of an extra is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if (extra := extra_to_install(package, error.__traceback__)) is None:
            raise
        raise MissingExtraError(
            f"{what}: requires {package}, which is not installed; pip install 'flood-seg[{extra}]'"
        ) from error
