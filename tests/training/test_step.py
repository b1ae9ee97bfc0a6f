"""A recorded step is the plain one; only a head whose class says so is recorded.

A CPU can't record, so `recording_on_the_cpu` puts a recorder of operations in the place of CUDA's graphs: `CapturedStep`
itself, its static inputs, its rate as a tensor and the optimiser that reads it are then what a GPU would replay.
"""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gaid.heads import adapt, build_head
from gaid.heads.base import HeadBase
from gaid.heads.perturbation import StochasticPerturbation
from gaid.training.optimiser import make_optimiser
from gaid.training.step import PLAIN_STEPS, CapturedStep, Step, make_step, set_rate

from .test_device import NEEDS_GPU, SIZES

CPU = torch.device("cpu")


def batches(count, sizes, device):
    """Batches whose sizes take turns; each third one has captions that are no negatives of one another."""
    generator = torch.Generator().manual_seed(1)
    for number in range(count):
        size = sizes[number % len(sizes)]
        shapes = ((size, 16), (size, 4, 16), (size, 4, 16))
        features = [torch.randn(shape, generator=generator).to(device) for shape in shapes]
        mask = torch.rand((size, 4), generator=generator).to(device) > 0.3
        same = None
        if number % 3 == 0:
            same = torch.zeros(size, size, dtype=torch.bool, device=device)
            same[0, 1] = same[1, 0] = True
        yield (*features, mask), same


def train(kind, head, device, count, sizes=(8, 7), **decay):
    """Losses of these steps of a head, or of a preset's head, which is then trained, and the step."""
    torch.manual_seed(0)
    head = (build_head(head, **SIZES) if isinstance(head, str) else head).to(device).train()
    optimiser = make_optimiser(head, 1e-2, 0.2, torch.device(device), **decay)
    if kind is CapturedStep and device == "cpu":
        for group in optimiser.param_groups:
            group["lr"] = torch.tensor(1e-2)  # as `make_optimiser` writes it on a GPU
    step = kind(head, optimiser, 1.0, {})
    losses = []
    for number, (inputs, same) in enumerate(batches(count, sizes, device)):
        taken = step(inputs, same, rate=1e-2 * (1 - number / count))
        assert taken.finite.all()
        losses.append(float(taken.losses["loss"]))
    return losses, head, step


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("decay_to", ["zero", "start"])
@pytest.mark.parametrize("preset", ["gaid", "t-mass", "x-pool", "mean-pool", "avigate"])
def test_recorded_steps_are_plain_steps(preset, decay_to, monkeypatch):
    monkeypatch.setattr(torch, "rand_like", lambda like: torch.full_like(like, 0.4))
    monkeypatch.setattr(StochasticPerturbation, "draw", lambda self, like: torch.full_like(like, 0.4))
    plain, plain_head, _ = train(Step, preset, "cuda", 50, decay_to=decay_to)
    recorded, recorded_head, step = train(CapturedStep, preset, "cuda", 50, decay_to=decay_to)
    assert sorted(step._recordings) == [7, 8]
    torch.testing.assert_close(torch.tensor(recorded), torch.tensor(plain), atol=1e-5, rtol=1e-5)
    for found, wanted in zip(recorded_head.parameters(), plain_head.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.gpu
@NEEDS_GPU
def test_a_recorded_step_draws_anew_and_reports_what_is_not_finite():
    _, head, step = train(CapturedStep, "gaid", "cuda", 2 * (PLAIN_STEPS + 1))
    (inputs, same) = next(batches(1, (8,), "cuda"))
    with torch.no_grad():
        kept = [parameter.clone() for parameter in head.parameters()]
    found = []
    for _ in range(2):
        with torch.no_grad():
            for parameter, before in zip(head.parameters(), kept, strict=True):
                parameter.copy_(before)
        found.append(float(step(inputs, same, 1e-3).losses["loss"]))
    assert found[0] != found[1]  # noise of the perturbation
    broken = (torch.full_like(inputs[0], torch.nan), *inputs[1:])
    assert not step(broken, same, 1e-3).finite.any()


SHAPED_IN_PLACE = {torch.ops.aten.unsqueeze_.default, torch.ops.aten.squeeze_.dim, torch.ops.aten.t_.default}


class Recorder(TorchDispatchMode):
    """The operations of a step, with the tensors that they read and wrote: to run it again is to run them on those.

    A graph's capture only notes what it sees; this one also runs it, so its first replay has nothing to do.
    """

    def __init__(self):
        super().__init__()
        self.operations, self.replays = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        # The optimiser also writes marks for a profiler; a shape that was changed in place stays so.
        if function.namespace == "aten" and function not in SHAPED_IN_PLACE:
            self.operations.append((function, args, kwargs or {}, found))
        return found

    def replay(self):
        self.replays += 1
        if self.replays == 1:
            return
        with torch._C._AutoDispatchBelowAutograd():  # the backward pass is among the operations
            for function, args, kwargs, written in self.operations:
                again = function(*args, **kwargs)
                for kept, new in zip(tree_leaves(written), tree_leaves(again), strict=True):
                    if kept is not None and kept.data_ptr() != new.data_ptr():  # else a view, or changed in place
                        kept.copy_(new.view(kept.shape))


@pytest.fixture
def recording_on_the_cpu(monkeypatch):
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recorder)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: graph)


@pytest.mark.slow
@pytest.mark.usefixtures("recording_on_the_cpu")
@pytest.mark.parametrize("decay_to", ["zero", "start"])
@pytest.mark.parametrize("preset", ["gaid", "gaid-sample", "t-mass", "x-pool", "mean-pool", "avigate"])
def test_what_a_recorded_step_replays_has_the_losses_of_plain_steps(preset, decay_to):
    plain, *_ = train(Step, preset, "cpu", 50, decay_to=decay_to)
    recorded, _, step = train(CapturedStep, preset, "cpu", 50, decay_to=decay_to)
    assert {size: of.graph.replays for size, of in step._recordings.items()} == dict.fromkeys((8, 7), 25 - PLAIN_STEPS)
    torch.testing.assert_close(torch.tensor(recorded), torch.tensor(plain), atol=1e-5, rtol=1e-5)


class Own(torch.nn.Module):
    """A user's head: one product for each side, and a loss of one line."""

    capturable = True

    def __init__(self):
        super().__init__()
        self.of_text, self.of_video = torch.nn.Linear(16, 8), torch.nn.Linear(16, 8)

    def score(self, text, visual, audio, audio_mask=None, **options):
        sides = self.of_text(text), self.of_video(visual.mean(1))
        one, two = (torch.nn.functional.normalize(side, dim=-1) for side in sides)
        return one @ two.t()

    def loss(self, text, visual, audio, audio_mask, same=None):
        targets = torch.arange(len(text), device=text.device)
        return torch.nn.functional.cross_entropy(20 * self.score(text, visual, audio), targets)


def own_head():
    torch.manual_seed(3)
    return adapt(Own())


def check_own_head(device):
    head = own_head()
    assert type(make_step(head, make_optimiser(head, 1e-3, 0.1, CPU), 1.0, {}, torch.device("cuda"))) is CapturedStep
    plain, *_ = train(Step, own_head(), device, 50)
    recorded, *_ = train(CapturedStep, own_head(), device, 50)
    torch.testing.assert_close(torch.tensor(recorded), torch.tensor(plain), atol=1e-5, rtol=1e-5)
    assert plain[-1] < plain[0]


@pytest.mark.usefixtures("recording_on_the_cpu")
def test_a_users_own_head_that_says_so_is_recorded():
    check_own_head("cpu")


@pytest.mark.gpu
@NEEDS_GPU
def test_a_users_own_head_that_says_so_is_recorded_on_a_gpu():
    check_own_head("cuda")


def test_on_the_cpu_a_step_is_run_operation_by_operation():
    head = build_head("gaid", **SIZES)
    assert type(make_step(head, make_optimiser(head, 1e-3, 0.1, CPU), 1.0, {}, CPU)) is Step


def test_only_a_class_that_says_so_itself_is_recorded():
    class Own(type(build_head("gaid", **SIZES))):
        """Derived from one that can be recorded, but for all that is known keeps a count in Python."""

    assert not Own.capturable
    assert type(build_head("gaid", **SIZES)).capturable
    assert not HeadBase.capturable


def test_the_rate_is_written_where_a_recorded_step_reads_it():
    head = build_head("mean-pool", **SIZES)
    optimiser = make_optimiser(head, 1e-3, 0.1, CPU)
    rate = torch.tensor(1e-3)
    optimiser.param_groups[0]["lr"] = rate
    set_rate(optimiser, 0.25)
    assert rate == 0.25
    assert all(group["lr"] == 0.25 for group in optimiser.param_groups)
