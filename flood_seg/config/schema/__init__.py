"""The configuration's shape: dataclasses of our groups, so that wrong keys, types and values fail at compose.

No heavy import here. Values come from configs/ alone, so no field has a default; a group that may be removed becomes an
empty dictionary. Values are checked in `__post_init__`, which runs when OmegaConf turns the composed configuration into
these objects (`flood_seg.config.compose.compose`). `dict[str, Any]` groups are leaves that Hydra's `_target_` builds
(loss, optimizer, scheduler, callbacks, logger, backend, executor).
"""

from flood_seg.config.schema.area import AreaConfig, AreaOptions
from flood_seg.config.schema.catalog import SceneConfig
from flood_seg.config.schema.checks import check_choice, check_finite, check_range, check_seed
from flood_seg.config.schema.data import AUTO, DataConfig, SampleConfig, WindowsConfig
from flood_seg.config.schema.export import (
    ExportConfig,
    QuantizeConfig,
    QuantizeOptions,
    TensorRtConfig,
    TensorRtExport,
    TritonConfig,
    TritonServerConfig,
)
from flood_seg.config.schema.impact import ImpactConfig, ImpactOptions
from flood_seg.config.schema.inference import (
    BenchmarkConfig,
    BenchmarkOptions,
    EvaluateConfig,
    EvaluationOptions,
    InferConfig,
    OutputConfig,
    PictureOptions,
    VerifyConfig,
    VerifyOptions,
)
from flood_seg.config.schema.report import ReportConfig, ReportOptions
from flood_seg.config.schema.scenes import MapConfig, MapOptions, WindowOptions
from flood_seg.config.schema.series import SeriesConfig, SeriesOptions
from flood_seg.config.schema.service import ServeConfig
from flood_seg.config.schema.training import (
    AugmentationConfig,
    ModelConfig,
    TrainConfig,
    TrainerConfig,
    TunerConfig,
    monitors,
)
from flood_seg.config.schema.workshop import DataToolsConfig

# The schema of each file of configs/.
SCHEMAS: dict[str, type] = {
    "train": TrainConfig,
    "data": DataToolsConfig,
    "infer": InferConfig,
    "map": MapConfig,
    "report": ReportConfig,
    "flood_area": AreaConfig,
    "impact": ImpactConfig,
    "flood_series": SeriesConfig,
    "scene": SceneConfig,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
    "convert_to_trt": TensorRtConfig,
    "quantize": QuantizeConfig,
    "verify": VerifyConfig,
    "benchmark": BenchmarkConfig,
    "triton_server": TritonServerConfig,
    "serve": ServeConfig,
}

__all__ = [
    "AUTO", "SCHEMAS", "AreaConfig", "AreaOptions", "AugmentationConfig", "BenchmarkConfig", "BenchmarkOptions",
    "DataConfig", "DataToolsConfig", "EvaluateConfig", "EvaluationOptions", "ExportConfig", "ImpactConfig",
    "ImpactOptions", "InferConfig", "MapConfig", "MapOptions", "ModelConfig", "OutputConfig", "PictureOptions",
    "QuantizeConfig",
    "QuantizeOptions", "ReportConfig", "ReportOptions", "SampleConfig", "SceneConfig", "SeriesConfig", "SeriesOptions",
    "ServeConfig", "TensorRtConfig", "TensorRtExport", "TrainConfig", "TrainerConfig", "TritonConfig",
    "TritonServerConfig", "TunerConfig", "VerifyConfig", "VerifyOptions", "WindowOptions", "WindowsConfig",
    "check_choice", "check_finite", "check_range", "check_seed", "monitors",
]  # fmt: skip
