"""Times a training step with a batch of 16 images of 256×256: step.py ENCODER plain|ours."""

import json
import sys
import time

from flood_seg.training.speed import choose_precision, keep_freed_memory

encoder, ours = sys.argv[1], sys.argv[2] == "ours"
if ours:
    keep_freed_memory()

import torch  # noqa: E402

from flood_seg.networks.network import build_network  # noqa: E402
from flood_seg.training.losses import BCEWithLogits  # noqa: E402

torch.manual_seed(0)
network, loss = build_network("Unet", encoder, 3, 1).train(), BCEWithLogits(3.0)
images, masks = torch.randn(16, 3, 256, 256), torch.randint(0, 2, (16, 256, 256), dtype=torch.uint8)
if ours:
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
bfloat16 = ours and choose_precision("auto", "cpu") == "bf16-mixed"
optimizer = torch.optim.AdamW(network.parameters())


def step() -> None:
    """Runs forward, backward and optimizer step."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = network(images)
    value = loss(logits.float(), masks)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()


for _ in range(2):
    step()
times = []
for _ in range(6):
    started = time.perf_counter()
    step()
    times.append(time.perf_counter() - started)
print(json.dumps({"seconds": sorted(times)[len(times) // 2]}))
