import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flood_seg.cli.completion import complete
from flood_seg.cli.table import VERBS


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("flood-seg tr", ["train", "triton-client", "triton-server"]),
        ("flood-seg data s", ["sample", "scene", "split", "stats"]),
        ("flood-seg infer --o", ["--onnx", "--out", "--overlay"]),
        ("flood-seg train mod", ["model.", "model="]),
        ("flood-seg train model=mob", ["model=mobilenet_unet"]),
        ("flood-seg train --find-lr loss=[", []),
        ("flood-seg train -m model=mobilenet_unet,resnet34", ["model=mobilenet_unet,resnet34_unet"]),
        ("flood-seg train +exp", ["+experiment="]),
        ("flood-seg train +experiment=p", ["+experiment=pets"]),
        ("flood-seg train debug=", ["debug=fast", "debug=overfit", "debug=profile"]),
        ("flood-seg train trainer.max", ["trainer.max_epochs="]),
        ("flood-seg train trainer.comp", ["trainer.compile="]),
        ("flood-seg train trainer.compile=", ["trainer.compile=false", "trainer.compile=true"]),
        ("flood-seg train datamodule.windows.m", ["datamodule.windows.min_data="]),
        ("flood-seg infer backend=o", ["backend=onnxruntime", "backend=openvino"]),
        ("flood-seg data tile ti", ["tile."]),
        ("flood-seg data tile tile.s", ["tile.size="]),
        ("flood-seg data tile spl", []),
        ("flood-seg data split split.s", ["split.stratify="]),
        ("flood-seg data split split.stratify=", ["split.stratify=false", "split.stratify=true"]),
        ("flood-seg data check ch", ["check."]),
        ("flood-seg data check datamodule=r", ["datamodule=rasters"]),
        ("flood-seg data overlay backend=o", ["backend=onnxruntime", "backend=openvino"]),
        ("flood-seg data stats back", []),
        ("flood-seg data to-coco co", ["coco."]),
        ("flood-seg data sample datamodule.sample.c", ["datamodule.sample.count="]),
        ("flood-seg data from-coco co", []),
        ("flood-seg nothing x", []),
        ("flood-seg quantize quantize.f", ["quantize.form="]),
        ("flood-seg train datamodule.cache=", [f"datamodule.cache={kept}" for kept in ("disk", "none", "ram")]),
        ("flood-seg train task=", ["task=binary", "task=multiclass"]),
        ("flood-seg train trainer.profiler=s", ["trainer.profiler=simple"]),
        ("flood-seg data overlay overlay.part=t", ["overlay.part=test", "overlay.part=train"]),
        ("flood-seg train datamodule.windows=", []),
        ("flood-seg train trainer.seconds=", []),
        ("flood-seg train nothing.cache=", []),
    ],
)  # fmt: skip
def test_a_word_may_become(line, words):
    assert complete(line, VERBS) == words


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flood-seg trai", "train"),
        ("flood-seg train model=mob", "mobilenet_unet"),  # bash has cut the word at the equals sign
        ("flood-seg train trainer.max_e", "trainer.max_epochs="),
        ("flood-seg train -m model=mobilenet_unet,tin", "mobilenet_unet,tiny_unet"),
    ],
)
def test_bash_itself_completes(line, expected, tmp_path):
    command = tmp_path / "flood-seg"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flood_seg "$@"\n')
    command.chmod(0o755)
    script = f"""
eval "$(flood-seg completion --shell bash)"
COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}
_flood_seg
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [expected], done.stderr


def test_completing_imports_nothing_heavy():
    heavy = ("numpy", "cv2", "torch", "hydra", "omegaconf", "rich")
    line = "flood-seg train trainer.max"
    code = f"import sys; from flood_seg.cli.main import main; main(['completion', '--line', {line!r}])"
    code += f"; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["trainer.max_epochs=", "[]"]
