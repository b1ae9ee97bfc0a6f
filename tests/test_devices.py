"""Devices and amounts of memory have one parser each."""

import pytest
import torch

from gaid import evaluate, search
from gaid.audit import audit, compare
from gaid.backbones import load_text
from gaid.devices import parse_device, parse_memory, pick_device
from gaid.errors import OptionInvalid


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("auto", "auto"),
        ("cpu", "cpu"),
        ("mps", "mps"),
        ("cuda", "cuda"),
        ("cuda:1", "cuda:1"),
        ("0", "cuda:0"),
        ("12", "cuda:12"),
    ],
)
def test_a_name_is_written_as_torch_writes_it(given, name):
    assert parse_device(given) == name
    if name != "auto":
        assert str(torch.device(name)) == name


@pytest.mark.parametrize("given", ["gpu", "cuda:", "cuda:x", "-1", "", "CPU", "cuda:1 ", "٣", "tpu"])
def test_what_no_device_is_called_is_refused_by_everything(given, tmp_path):
    for use in (
        parse_device,
        pick_device,
        lambda name: load_text("offline", device=name),
        lambda name: evaluate(store=tmp_path, preset="mean-pool", device=name),
        lambda name: search("a", store=tmp_path, preset="mean-pool", device=name),
        lambda name: audit(tmp_path, device=name),
        lambda name: compare(tmp_path, tmp_path, device=name),
    ):
        with pytest.raises(OptionInvalid, match="not a device; choose auto, cpu, cuda, cuda:0"):
            use(given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_number_is_a_gpu_and_one_that_is_not_there_is_named():
    assert pick_device() == pick_device("cpu") == "cpu"
    with pytest.raises(OptionInvalid, match="device 'cuda:0' can't be used here"):
        pick_device("0")


@pytest.mark.parametrize(("free", "taken"), [(2, 1), (24, 2.4), (80, 8), (140, 8)])
def test_scoring_takes_a_tenth_of_a_gpus_free_memory_between_1_and_8_gib(free, taken, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * 2**30, 140 * 2**30))
    assert parse_memory("auto", "cuda:0") == int(taken * 2**30)
    assert parse_memory("auto", "cpu") == parse_memory("auto", "mps") == 2**30
    assert parse_memory("3GiB", "cuda:0") == 3 * 2**30
