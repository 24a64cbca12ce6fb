"""Fails if a file above 1 MB would be committed; the models in the repository are the only exceptions."""

import sys
from pathlib import Path

EXCEPTIONS = {"models/flood_mobilenet/model.onnx", "models/ombria_mobilenet/model.onnx"}
large = [name for name in sys.argv[1:] if name not in EXCEPTIONS and Path(name).stat().st_size > 1_000_000]
sys.exit(f"above 1 MB: {', '.join(large)}" if large else 0)
