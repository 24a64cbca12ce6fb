"""What each extra declares is what the modules that work with it import; each extra is installed alone, too (slow)."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from flood_seg.extras import EXTRAS, MODULES, extra_to_install, extras_of

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
UV = shutil.which("uv") or (str(ROOT / ".uv/bin/uv") if (ROOT / ".uv/bin/uv").is_file() else None)
# Packages whose importable name is not that of their distribution.
DISTRIBUTIONS = {"PIL": "pillow", "cuda": "cuda-python", "cv2": "opencv-python-headless", "google": "protobuf",
                 "grpc": "grpcio", "hydra": "hydra-core", "pytriton": "nvidia-pytriton", "yaml": "pyyaml",
                 "dotenv": "python-dotenv", "opentelemetry": "opentelemetry-api"}  # fmt: skip
INSIDE = {"triton_python_backend_utils"}  # what Triton's server brings itself
# What a checkpoint, an ONNX file and an OpenVINO model are rewritten with: each extra rewrites those of its own.
BY_FILE = {"flood_seg.export.update_spec"}


def requirements(lines: list[str]) -> set[str]:
    """Names of distributions; those of other extras of ours are followed."""
    names = set()
    for line in lines:
        name = re.split(r"[\[<>=;\s]", line)[0]
        if name != "flood-seg":
            names.add(name)
            continue
        for extra in re.search(r"\[([^]]+)\]", line)[1].split(","):
            names |= requirements(PROJECT["optional-dependencies"][extra])
    return names


CORE = requirements(PROJECT["dependencies"])
DECLARED = {extra: CORE | requirements(lines) for extra, lines in PROJECT["optional-dependencies"].items()}


def distribution(package: str) -> str:
    return DISTRIBUTIONS.get(package, package.replace("_", "-"))


def brought_by(extras: str) -> set[str]:
    return set().union(*(DECLARED[extra] for extra in extras.split("+")))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {name_of(path): path for path in sorted((ROOT / "flood_seg").rglob("*.py"))}


@cache
def imports_of(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """What a module imports when it is imported, and later in its functions; what is for type checkers is left out."""
    first, later = set[str](), set[str]()

    def visit(node: ast.AST, into: set[str]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                into |= {alias.name for alias in child.names}
            elif isinstance(child, ast.ImportFrom):
                inner = {f"{child.module}.{alias.name}" for alias in child.names}
                into |= {child.module} | (inner & set(SOURCES))
            visit(child, later if isinstance(child, ast.FunctionDef) else into)

    visit(ast.parse(SOURCES[module].read_text("utf-8")), first)
    return frozenset(first), frozenset(later)


def third_party(names: set[str]) -> set[str]:
    packages = {name.split(".")[0] for name in names}
    return packages - set(sys.stdlib_module_names) - {"flood_seg"} - INSIDE


@cache
def needed_to_import(module: str) -> frozenset[str]:
    """The packages that a module needs to be imported at all, through the modules of ours that it imports."""
    seen, waiting, packages = set[str](), [module], set[str]()
    while waiting:
        if (name := waiting.pop()) in seen or name not in SOURCES:
            continue
        seen.add(name)
        packages |= third_party(set(imports_of(name)[0]))
        waiting += imports_of(name)[0]
    return frozenset(packages)


@pytest.mark.parametrize("module", SOURCES)
def test_what_a_module_imports_is_declared_by_each_extra_that_it_works_with(module):
    packages = needed_to_import(module)
    if module not in BY_FILE:
        packages |= third_party(set(imports_of(module)[1]))
    for extras in extras_of(module) or ("",):
        declared = brought_by(extras) if extras else CORE
        missing = sorted(package for package in packages if distribution(package) not in declared)
        assert not missing, f"{module} with {extras or 'the core'}: {missing}; see flood_seg/extras.py, pyproject.toml"


def test_what_rewrites_a_models_file_is_declared_somewhere():
    for module in BY_FILE:
        assert third_party(set(imports_of(module)[1])) <= set(EXTRAS)


def test_the_table_of_packages_is_pyprojects():
    for package, extras in EXTRAS.items():
        declaring = {extra for extra, names in DECLARED.items() if distribution(package) in names - CORE}
        assert set(extras) == declaring, package
    used = set().union(*(third_party(set().union(*imports_of(module))) for module in SOURCES))
    assert not {package for package in used if distribution(package) not in CORE} - set(EXTRAS)


def test_every_entry_is_of_a_module_and_an_extra():
    for prefix, alternatives in MODULES.items():
        assert any(f"{name}.".startswith(f"{prefix}.") for name in SOURCES), prefix
        assert {extra for one in alternatives for extra in one.split("+")} <= set(DECLARED)


def failing_in(module: str) -> Exception:
    """A missing matplotlib, as if a function of the module had imported it."""
    try:
        exec("raise ModuleNotFoundError(name='matplotlib')", {"__name__": module})
    except ModuleNotFoundError as error:
        return error
    raise AssertionError


def test_a_missing_package_is_of_the_extra_that_the_verb_needs():
    for module, extra in (("flood_seg.workshop.check.report", "data"), ("flood_seg.plots.training", "train")):
        assert extra_to_install("matplotlib", failing_in(module).__traceback__) == extra
    assert extra_to_install("matplotlib", None) == "train" and extra_to_install("nothing", None) is None


NOT_IMPORTED = ("flood_seg.__main__", "flood_seg.serving.triton_model")  # the command itself, and what Triton runs


def works_with(extra: str) -> list[str]:
    return [module for module in SOURCES if not extras_of(module) or extra in extras_of(module)]


CODE = """
import importlib, sys
failed = []
for name in {names}:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append((name, repr(error)))
print(failed)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(UV is None, reason="uv makes the environment; it is not on the PATH")
@pytest.mark.parametrize("extra", sorted(DECLARED))
def test_each_extra_alone_brings_all_that_its_modules_import(extra, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    python = tmp_path / "env/bin/python"

    def run(*command: str, cwd: Path) -> str:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        if done.returncode and "tensorrt-cu" in done.stderr:
            pytest.skip("the libraries of tensorrt come from NVIDIA's own index, which does not answer here")
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(UV, "venv", "--python", sys.executable, str(tmp_path / "env"), cwd=tmp_path)
    # In the checkout, for the constraints and overrides of pyproject.toml.
    run(UV, "pip", "install", "--python", str(python), f"{ROOT}[{extra}]", cwd=ROOT)
    ours = [module for module in works_with(extra) if module not in NOT_IMPORTED]
    later = set().union(*(third_party(set(imports_of(module)[1])) for module in ours if module not in BY_FILE))
    packages = sorted(package for package in later if package not in ("cuda", "google"))  # of several distributions
    failed = run(str(python), "-c", CODE.format(names=[*ours, *packages]), cwd=tmp_path).splitlines()[-1]
    assert failed == "[]"
