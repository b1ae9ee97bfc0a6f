"""A GPU's plan of scoring, forced on the CPU: the direct scores in few operations, however many videos a block holds.

The same heads score on a GPU where there is one (tests marked `gpu`).
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gaid.evaluation.conditioning import PROTOCOLS
from gaid.heads import PRESETS, build_head
from gaid.heads.scoring import blocks, plan

PROTOCOL_NAMES = sorted(PROTOCOLS)
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SIZES = {"visual_dim": 16, "audio_dim": 12, "text_dim": 16, "dim": 16, "frames": 4}


def make(preset=None, texts=30, videos=12, **parts):
    """A head with weights far from the identity, and (text, visual, audio, mask) for it."""
    torch.manual_seed(0)
    head = build_head(preset, **SIZES, **parts).double().eval()
    with torch.no_grad():
        for weight in head.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    patches = (5,) if head.visual_input == "patches" else ()
    width = 16 + (12 if head.text_input == "both" else 0)
    shapes = ((texts, width), (videos, 4, *patches, 16), (videos, 4, 12))
    return head, (*(torch.randn(shape).double() for shape in shapes), torch.rand(videos, 4) > 0.3)


def under(name, head, videos):
    """The options of `score` under a protocol."""
    protocol = PROTOCOLS[name]
    options = {"gate_by": protocol.gate_by, "pool_by": protocol.pool_by}
    if protocol.gallery_reads_captions:
        options["own_caption"] = 2 * torch.arange(videos)
    return options | ({"noise": protocol.noise} if head.has_trials else {})


@pytest.fixture
def gpu_plan(monkeypatch):
    monkeypatch.setattr(plan, "prefers_large_launches", lambda device: True)


@pytest.mark.slow
@pytest.mark.usefixtures("gpu_plan")
@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_gpus_plan_gives_the_direct_scores_of_every_preset_under_every_protocol(preset, protocol):
    head, features = make(preset)
    options = under(protocol, head, 12)
    direct = head.score(*features, **options, algorithm="direct")
    for memory in (2**30, 2**19):
        folded = head.score(*features, **options, algorithm="folded", memory=memory)
        torch.testing.assert_close(folded, direct, atol=1e-6, rtol=0)


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_gpu_gives_the_scores_of_the_cpu_of_every_preset_under_every_protocol(preset, protocol):
    """In double precision, so that of two equally near trials neither takes another; the noise is the same on both."""
    head, features = make(preset)
    options = under(protocol, head, 12)
    wanted = head.score(*features, **options, algorithm="direct")
    on_gpu = [part.to("cuda") for part in features]
    head.to("cuda")
    for algorithm in ("direct", "folded", "auto"):
        found = head.score(*on_gpu, **options, algorithm=algorithm)
        assert found.device.type == "cuda"
        torch.testing.assert_close(found.cpu(), wanted, atol=1e-6, rtol=0)


class Launches(TorchDispatchMode):
    """Counts what a GPU would be asked to do."""

    number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += 1
        return function(*args, **(kwargs or {}))


def launched(videos, protocol, **head_options):
    """How many operations a call is, with so many videos in its one block."""
    head, features = make(texts=60, videos=videos, **head_options)
    with Launches() as launches:
        head.score(*features, **under(protocol, head, videos), algorithm="folded")
    return launches.number


@pytest.mark.slow
@pytest.mark.usefixtures("gpu_plan")
@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_gpu_is_asked_for_as_much_whatever_number_of_videos_a_block_holds(preset, protocol):
    assert launched(3, protocol, preset=preset) == launched(30, protocol, preset=preset)


@pytest.mark.slow
@pytest.mark.usefixtures("gpu_plan")
@pytest.mark.parametrize("perturbation", ["none", "stp", "dasp"])
@pytest.mark.parametrize("fusion", ["none", "sample", "frame", "token"])
def test_a_gpu_is_asked_for_as_much_by_every_gate_with_every_perturbation(fusion, perturbation):
    parts = {"fusion": fusion, "perturbation": perturbation, "trials": 3}
    assert launched(3, "query", **parts) == launched(30, "query", **parts)


@pytest.mark.usefixtures("gpu_plan")
@pytest.mark.parametrize("preset", ["t-mass", "gaid"])
def test_a_gpus_blocks_keep_within_the_memory_that_they_are_given(preset, monkeypatch):
    head, features = make(preset, 500, 90)
    whole = head.score(*features, algorithm="folded")
    sizes = []
    plain = blocks.score_block
    monkeypatch.setattr(blocks, "score_block", lambda *a: sizes.append(len(a[1].ends)) or plain(*a))
    torch.testing.assert_close(head.score(*features, algorithm="folded", memory=2**22), whole, atol=5e-6, rtol=0)
    assert len(sizes) > 4
    assert max(sizes) < 90
