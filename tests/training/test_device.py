"""The code path of an accelerator: no step waits for the device."""

import pytest
import torch

from benchmarks.features import write_store
from benchmarks.train import Ours
from gaid.heads import build_head
from gaid.training.batches import on_device
from gaid.training.state import Losses
from gaid.training.step import PLAIN_STEPS

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SIZES = {"visual_dim": 16, "audio_dim": 16, "text_dim": 16, "frames": 4}


def draw(batch, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    shapes = ((batch, 16), (batch, 4, 16), (batch, 4, 16))
    features = [torch.randn(shape, generator=generator).to(device) for shape in shapes]
    return *features, torch.ones(batch, 4, dtype=torch.bool, device=device)


@pytest.mark.parametrize("preset", ["gaid", "t-mass", "x-pool", "mean-pool"])
def test_a_step_never_asks_the_device_for_a_number(preset):
    # On torch's device `meta` tensors have no values: every float(), item() and bool() of one is an error.
    head = build_head(preset, **SIZES).to("meta").train()
    found = head.loss(*draw(6, "meta"), same=torch.zeros(6, 6, dtype=torch.bool, device="meta"))
    found.total.backward()
    norm = torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
    losses = Losses()
    losses.add({"loss": found.total, **found.parts})
    assert norm.device.type == losses.sums["loss"].device.type == "meta"
    with pytest.raises((RuntimeError, NotImplementedError)):
        losses.means()


@pytest.mark.gpu
@NEEDS_GPU
def test_steps_on_a_gpu_do_not_wait(tmp_path):
    store = write_store(tmp_path / "random.zarr", 40, 16, 4, validation=8)
    loop = Ours(store, 8, tmp_path, 0, device="cuda").loop
    batches = loop.batches.epoch(0) + loop.batches.epoch(1)
    taken = zip(batches, on_device(loop.data, batches), strict=True)
    for _ in range(PLAIN_STEPS + 1):  # kernels are loaded, memory is taken and the step is recorded
        batch, given = next(taken)
        loop._step(batch, *given)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch, (inputs, same) in taken:
            loop._step(batch, inputs, same)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    loop._look()
