"""Triton without Docker: the server inside the package nvidia-pytriton, with Triton's Python backend.

The package's own Python interface is not used: it binds functions, and requires NumPy 1.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.errors import MissingExtraError, ServerError
from flood_seg.serving import supervisor

if TYPE_CHECKING:
    from flood_seg.config.schema import TritonConfig

STUB = "triton_python_backend_stub"
SERVER = "tritonserver"
BACKENDS = "backends"  # the folder beside config.pbtxt
IDENTITY, REPOSITORY = "--id=", "--model-repository="  # by which a server's command line is recognized


def is_available() -> bool:
    """Whether nvidia-pytriton is installed."""
    return find_spec("pytriton") is not None


def server_folder() -> Path:
    """Returns the folder of the server inside nvidia-pytriton.

    Raises:
        MissingExtraError: it is not installed.
    """
    package = find_spec("pytriton")
    if package is None or package.origin is None:
        raise MissingExtraError(
            "triton.runtime=embedded: requires nvidia-pytriton, which is not installed (Linux on x86-64 only); "
            "pip install 'flood-seg[serve]'"
        )
    return Path(package.origin).parent / "tritonserver"


def backend_files() -> dict[str, Path]:
    """Returns Triton's Python backend for this version of Python: its files by their places in the model's folder.

    Raises:
        ServerError: nvidia-pytriton has none for this version.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stubs = server_folder() / "python_backend_stubs"
    if not (stubs / version / STUB).is_file():
        versions = sorted((path.name for path in stubs.iterdir()), key=lambda name: int(name.partition(".")[2]))
        raise ServerError(f"nvidia-pytriton has no backend for Python {version}; use one of {', '.join(versions)}")
    backend = server_folder() / "backends" / "python"
    sources = [*(path for path in backend.iterdir() if path.is_file()), stubs / version / STUB]
    return {f"{BACKENDS}/python/{source.name}": source for source in sources}


def command(config: TritonConfig, repository: Path, identity: str, *, detach: bool) -> list[str]:
    """Returns the command line of the server under a supervisor, which leads their process group.

    Attached, the server ends when this process ends, however it ends. `identity` is the name that the server reports.
    """
    root = repository.resolve()
    return [
        # -I -S: without the environment's packages, which the supervisor does not use.
        *(sys.executable, "-I", "-S", supervisor.__file__),
        *("0" if detach else str(os.getpid()), str(supervisor.GRACE_SECONDS)),
        str(server_folder() / "bin" / SERVER),
        f"{IDENTITY}{identity}",
        f"{REPOSITORY}{root}",
        f"--backend-directory={root / config.model_name / BACKENDS}",
        "--model-control-mode=explicit",
        f"--load-model={config.model_name}",
        "--disable-auto-complete-config",
        "--exit-timeout-secs=10",
        f"--http-address={config.host}",
        f"--http-port={config.http_port}",
        f"--grpc-address={config.host}",
        f"--grpc-port={config.grpc_port}",
        f"--metrics-address={config.host}",
        f"--metrics-port={config.metrics_port}",
    ]


def environment() -> dict[str, str]:
    """Returns the server's environment: its libraries, this Python's, and where this Python finds packages.

    Raises:
        ServerError: this Python has no shared library.
    """
    libraries = (server_folder().parent.parent / "nvidia_pytriton.libs", _libpython().parent)
    earlier = os.environ.get("LD_LIBRARY_PATH")
    return {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join([*map(str, libraries), *([earlier] if earlier else [])]),
        "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path),
    }


def _libpython() -> Path:
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    library, architecture = (str(sysconfig.get_config_var(key)) for key in ("LIBDIR", "MULTIARCH"))
    folders = (f"{sys.base_prefix}/lib", library, f"{sys.base_prefix}/lib64", f"/usr/lib/{architecture}")
    found = next((path for folder in folders if (path := Path(folder, name)).is_file()), None)
    if found is None:
        raise ServerError(
            f"{name}: not found, and Triton's Python backend requires it; "
            "install it (Debian: libpython3-dev) or use a Python built with --enable-shared"
        )
    return found
