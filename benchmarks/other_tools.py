"""Times tiled inference of geoai on a scene, in float32 as it comes, for comparison with `flood-seg map`; prints JSON.

pip install --no-deps --target FOLDER geoai-py
PYTHONPATH=FOLDER:. python benchmarks/other_tools.py SCENE [--size 384] [--encoder mobilenet_v2]

The network has the architecture of the bundled model and random weights, which take the same time.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import flood_seg.torchvision_compat  # noqa: F401 - before smp

import segmentation_models_pytorch as smp
import torch
from geoai.inference import predict_geotiff  # type: ignore[import-not-found]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--encoder", default="mobilenet_v2")
    options = parser.parse_args()
    network = smp.Unet(options.encoder, encoder_weights=None, classes=1, activation="sigmoid").eval()
    seconds = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for blend in ("none", "spline"):
            started = time.perf_counter()
            predict_geotiff(
                network, str(options.scene), f"{folder}/{blend}.tif", tile_size=options.size,
                overlap=options.size // 4, batch_size=4, blend_mode=blend, device="cpu", verbose=False,
            )  # fmt: skip
            seconds[blend] = time.perf_counter() - started
    print(json.dumps({"geoai predict_geotiff": seconds}))


if __name__ == "__main__":
    main()
