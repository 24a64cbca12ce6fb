"""Description of the machine, for benchmark results."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from flood_seg.resources import cores

ENGINES = ("onnxruntime", "openvino", "torch", "tensorrt", "tritonclient")
EXTENSIONS = ("avx2", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")


def describe_machine() -> str:
    """Returns processor, cores, instruction sets, memory, operating system and engine versions in one line."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")  # psutil knows the number of processors alone
    except OSError:
        text = ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set(re.findall(r"[\w]+", (re.search(r"^(?:flags|Features)\s*:(.+)$", text, re.MULTILINE) or [""])[0]))
    parts = [
        name[1].strip() if name else platform.processor() or platform.machine(),
        f"{cores()} cores",
        " ".join(flag for flag in EXTENSIONS if flag in flags),
        f"{psutil.virtual_memory().total / 2**30:.0f} GB",
        f"{platform.system()}, Python {platform.python_version()}",
        " ".join(f"{package} {found}" for package in ENGINES if (found := _version(package))),
    ]
    return ", ".join(part for part in parts if part)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
