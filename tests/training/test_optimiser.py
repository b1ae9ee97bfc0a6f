"""Learning rate, decay and averages of weights."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from gaid.training.optimiser import Average, make_optimiser, optimiser_tensors, rate_factor, restore_optimiser
from gaid.training.step import set_rate

CPU = torch.device("cpu")


def test_the_rate_rises_over_the_warm_up_and_falls_to_nothing():
    factors = [rate_factor(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert factors[10] == 1
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert factors[55] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.001


@pytest.mark.parametrize("warmup", [0, 1])
def test_the_rate_is_within_bounds_with_no_warm_up_and_with_nothing_else(warmup):
    assert all(0 < rate_factor(step, 7, warmup) <= 1 for step in range(7))


def test_norms_biases_and_scalars_do_not_decay():
    head = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    head.register_parameter("scale", nn.Parameter(torch.tensor(2.0)))
    before = {name: value.clone() for name, value in head.state_dict().items()}
    optimiser = make_optimiser(head, lr=0.1, weight_decay=0.5, device=CPU)
    for parameter in head.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    changed = {name for name, value in head.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"0.weight"}
    torch.testing.assert_close(head.state_dict()["0.weight"], before["0.weight"] * (1 - 0.1 * 0.5))


@pytest.mark.parametrize(
    ("decayed", "expected"),
    [
        ("matrices", {"0.weight"}),
        ("weights", {"0.weight", "1.weight", "scale"}),
        ("all", {"0.weight", "0.bias", "1.weight", "1.bias", "scale"}),
    ],
)
def test_what_decays_can_be_chosen(decayed, expected):
    head = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    head.register_parameter("scale", nn.Parameter(torch.tensor(2.0)))
    nn.init.ones_(head[1].bias)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    optimiser = make_optimiser(head, lr=0.1, weight_decay=0.5, device=CPU, decayed=decayed)
    for parameter in head.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert {name for name, value in head.state_dict().items() if not torch.equal(value, before[name])} == expected


def test_a_parameter_learns_at_so_many_times_the_rate_through_all_the_schedule():
    """Adam's first step moves each parameter by its rate, whatever its gradient."""
    head = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    optimiser = make_optimiser(head, lr=0.1, weight_decay=0.0, device=CPU, rates={"0.weight": 100.0, "1.bias": 5.0})
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([10.0, 0.1, 0.5])
    set_rate(optimiser, 0.01)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    for parameter in head.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    moved = {name: (before[name] - value).mean().item() for name, value in head.state_dict().items()}
    expected = {"0.weight": 1.0, "0.bias": 0.01, "1.weight": 0.01, "1.bias": 0.05}
    assert moved == pytest.approx(expected, rel=1e-4)


def test_epsilon_and_the_second_decay_are_adams():
    """Two steps of gradient 1 and 3 with neither warm-up nor decay, written out."""
    weight = nn.Parameter(torch.tensor([[2.0]]))
    head = nn.Module()
    head.register_parameter("weight", weight)
    optimiser = make_optimiser(head, lr=0.1, weight_decay=0.0, device=CPU, eps=0.5, beta2=0.8)
    expected, first, second = 2.0, 0.0, 0.0
    for step, gradient in enumerate((1.0, 3.0), start=1):
        weight.grad = torch.tensor([[gradient]])
        optimiser.step()
        first, second = 0.9 * first + 0.1 * gradient, 0.8 * second + 0.2 * gradient**2
        expected -= 0.1 * first / (1 - 0.9**step) / ((second / (1 - 0.8**step)) ** 0.5 + 0.5)
        assert weight.item() == pytest.approx(expected, rel=1e-6)


def test_decay_toward_the_start_is_adamw_with_the_start_in_place_of_zero():
    """Written out in numpy, in double precision; a matrix decays, a bias does not."""
    torch.manual_seed(0)
    head = nn.Linear(3, 2).double()
    start = {name: value.detach().numpy().copy() for name, value in head.named_parameters()}
    optimiser = make_optimiser(head, lr=0.1, weight_decay=0.5, device=CPU, decay_to="start")
    expected = {name: value.copy() for name, value in start.items()}
    first = {name: np.zeros_like(value) for name, value in start.items()}
    second = {name: np.zeros_like(value) for name, value in start.items()}
    rng = np.random.default_rng(0)
    for step, rate in enumerate((0.1, 0.05, 0.2, 0.01), start=1):
        for name, parameter in head.named_parameters():
            gradient = rng.normal(size=parameter.shape)
            parameter.grad = torch.from_numpy(gradient)
            decay = 0.5 if name == "weight" else 0.0
            expected[name] -= rate * decay * (expected[name] - start[name])
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            step_size = first[name] / (1 - 0.9**step)
            expected[name] -= rate * step_size / (np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8)
        set_rate(optimiser, rate)
        optimiser.step()
    for name, parameter in head.named_parameters():
        np.testing.assert_allclose(parameter.detach().numpy(), expected[name], rtol=1e-10)


def test_a_head_that_stays_at_its_start_does_not_decay_from_it():
    head = nn.Linear(3, 3)
    start = head.weight.detach().clone()
    optimiser = make_optimiser(head, lr=0.1, weight_decay=0.5, device=CPU, decay_to="start")
    for parameter in head.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert torch.equal(head.weight, start)
    with torch.no_grad():
        head.weight.add_(1)
    optimiser.step()
    torch.testing.assert_close(head.weight.detach(), start + 1 - 0.1 * 0.5)


def test_frozen_weights_are_left_out():
    head = nn.Linear(2, 2)
    head.weight.requires_grad_(False)
    assert [len(group["params"]) for group in make_optimiser(head, 0.1, 0.1, CPU).param_groups] == [1]


def test_an_optimiser_put_back_goes_on_as_it_would_have():
    def trained(head, optimiser, steps):
        for step in steps:
            optimiser.zero_grad()
            (head(torch.full((1, 3), float(step))) ** 2).sum().backward()
            optimiser.step()

    torch.manual_seed(0)
    one, two = nn.Linear(3, 2), nn.Linear(3, 2)
    first = make_optimiser(one, 0.1, 0.2, CPU)
    trained(one, first, range(3))
    two.load_state_dict(one.state_dict())
    second = make_optimiser(two, 0.1, 0.2, CPU)
    restore_optimiser(second, {name: value.clone() for name, value in optimiser_tensors(first).items()})
    trained(one, first, range(3, 6))
    trained(two, second, range(3, 6))
    assert torch.equal(one.weight, two.weight)


def test_the_average_follows_its_formula_and_warms_up():
    head = nn.Linear(1, 1, bias=False)
    average = Average(head, 0.5)
    expected = None
    for n, value in enumerate([4.0, 8.0, 0.0, 2.0, 6.0, 1.0, 3.0, 5.0, 7.0, 9.0], start=1):
        with torch.no_grad():
            head.weight.fill_(value)
        average.update(head)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert average.head.weight.item() == pytest.approx(expected, rel=1e-6)
    assert head.weight.item() == 9.0
