"""What a store was made from, found again: an encoder counts as the store's own only where all of its provenance is equal."""

from types import SimpleNamespace

import pytest

from gaid import backbones
from gaid.errors import HeadMismatch, OptionInvalid, StoresDisagree
from gaid.extract.sources import differences, find_dataset, load_encoder

# As a store gives it back: JSON has lists in place of tuples.
KEPT = {"name": "mine:Eye", "input": [64, 64], "random_weights": True, "seed": 7}


def store_of(about, dim=3):
    attrs = {"backbones": {"visual": about}} if about else {}
    return SimpleNamespace(path="s.zarr", attrs=attrs, visual_dim=dim)


@pytest.fixture
def asked(monkeypatch):
    """What the loader of visual backbones was called with; it gives the encoder of `KEPT`, with its tuples."""
    calls = []

    def load(*arguments):
        calls.append(arguments)
        return SimpleNamespace(dim=3, provenance=KEPT | {"input": (64, 64)})

    monkeypatch.setattr(backbones, "load_visual", load)
    return calls


def test_an_encoder_is_loaded_with_the_stores_name_weights_and_seed(asked):
    assert load_encoder(store_of(KEPT), "visual", "cpu").dim == 3
    assert asked == [("mine:Eye", "cpu", True, 7)]


def test_an_encoder_may_have_another_name_here(asked):
    load_encoder(store_of(KEPT), "visual", "cpu", "clip:folder")
    assert asked == [("clip:folder", "cpu", True, 7)]


def test_an_encoder_that_differs_in_anything_is_refused_with_what_differs(asked):
    with pytest.raises(StoresDisagree, match=r"another mine:Eye than .*\(seed 8, here 7\); extract again$"):
        load_encoder(store_of(KEPT | {"seed": 8}), "visual", "cpu")
    with pytest.raises(StoresDisagree, match=r"extract again, or name the same one with --text$"):
        load_encoder(store_of(KEPT | {"seed": 8}), "visual", "cpu", option="--text")
    with pytest.raises(HeadMismatch, match="vectors of 4 numbers, mine:Eye gives 3"):
        load_encoder(store_of(KEPT, dim=4), "visual", "cpu")


def test_a_store_that_does_not_name_its_encoder_or_data_set_is_one_line():
    with pytest.raises(OptionInvalid, match="does not say which visual backbone made it"):
        load_encoder(store_of(None), "visual", "cpu")
    with pytest.raises(OptionInvalid, match=r"s\.zarr is of None, which is not a data set"):
        find_dataset(store_of(None))


def test_differences_are_those_that_json_would_keep():
    assert differences({"a": (1, 2), "b": 1}, {"a": [1, 2], "b": 2, "c": 3}) == ["b", "c"]
    assert differences(KEPT, KEPT | {"input": (64, 64)}) == []
