"""A recorded step is the plain one; only a head whose class says so is recorded."""

import pytest
import torch

from gaid.heads import build_head
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


def train(kind, preset, device, count, sizes=(8, 7), **decay):
    torch.manual_seed(0)
    head = build_head(preset, **SIZES).to(device).train()
    optimiser = make_optimiser(head, 1e-2, 0.2, torch.device(device), **decay)
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
