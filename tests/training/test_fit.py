"""Heads with nothing to train: `train` finds their numbers on validation, and a run keeps them and what they took of the library."""

import pytest
import torch

from gaid import evaluate, train
from gaid.errors import HeadMismatch, OptionInvalid

PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def heard(make_store):
    return make_store(videos=150, signal=0.2, heard=0.5, silent=9, parts=PARTS)


@pytest.mark.slow
def test_a_run_keeps_the_numbers_that_validation_chose(heard, tmp_path):
    run = train(heard, "av-weighted", out=tmp_path / "run", progress=False, device="cpu")
    head = run.load_head()
    visual, audio = head.numbers[:2].tolist()
    assert visual + audio == pytest.approx(1.0)
    assert audio > visual > 0  # the sound tells more here
    assert head.mean_sound.any()
    assert run.metrics["steps"] == 0
    fitted = evaluate(run, device="cpu").figures["t2v"].values["R@1"]
    pictures, summed = (
        evaluate(store=heard, preset=preset, device="cpu").figures["t2v"].values["R@1"]
        for preset in ("mean-pool", "av-sum")
    )
    assert fitted >= summed > pictures + 20


def test_an_untrained_head_says_that_its_weights_are_equal(heard):
    untrained = evaluate(store=heard, preset="av-weighted", device="cpu")
    assert untrained.figures["t2v"].values == evaluate(store=heard, preset="av-sum", device="cpu").figures["t2v"].values
    assert any("its weights are equal" in note for note in untrained.basis.notes)


@pytest.mark.slow
def test_a_store_without_captions_in_the_sounds_space_is_refused_by_name(make_store, tmp_path):
    deaf = make_store(parts=PARTS)
    with pytest.raises(HeadMismatch, match="the store has no captions in it; extract again"):
        evaluate(store=deaf, preset="av-sum", device="cpu")
    with pytest.raises(HeadMismatch, match="the store has no captions in it; extract again"):
        train(deaf, "av-weighted", out=tmp_path / "run", progress=False, device="cpu")


def test_sounds_in_the_picture_s_place_are_not_asked_of_it(heard):
    with pytest.raises(OptionInvalid, match="--preset sound compares sounds alone"):
        evaluate(store=heard, preset="av-sum", sense="sound", device="cpu")


def test_other_heads_never_see_the_second_vector(heard, heads):
    seen = evaluate(store=heard, preset=f"{heads}:Mean", device="cpu")
    assert seen.bench.features().text.shape[1] == heard.text_dim
    both = evaluate(store=heard, preset="sound", device="cpu").bench.features().text
    assert both.shape[1] == heard.text_dim + heard.audio_dim
    assert torch.equal(both[:, : heard.text_dim], seen.bench.features().text)
