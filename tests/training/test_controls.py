"""Trainings that an audit compares with: another clip's sound or none, and the head of every evaluation kept."""

import numpy as np
import pytest
import torch

from gaid import evaluate, open_store, train
from gaid.training.data import load_parts
from gaid.training.options import TrainConfig


@pytest.mark.parametrize("audio", ["own", "shuffled", "none"])
def test_training_and_validation_have_the_sound_that_was_asked_for(store, audio):
    opened = open_store(store)
    training, validation = load_parts(opened, TrainConfig(audio=audio))
    for found, part in ((training, "train"), (validation, "val")):
        own = opened.split(part)
        same = (found.audio == own.audio).all(axis=(1, 2))
        assert same.all() if audio == "own" else not same.any()
        assert found.audio_mask.any() == (audio != "none")
        np.testing.assert_array_equal(found.visual, own.visual)


def test_a_run_is_evaluated_with_the_sound_that_it_was_trained_with_and_says_so(store, tmp_path):
    run = train(store, "gaid", out=tmp_path / "deaf", set=["epochs=1", "audio=none"], progress=False)
    assert run.audio == "none"
    results = evaluate(run)
    assert "a control: trained with audio=none" in results.notes[0]
    head, split = run.load_head(), open_store(store).split("test")
    arrays = [torch.from_numpy(array) for array in (split.text, split.visual, split.audio)]
    unheard = head.score(*arrays, torch.zeros(split.audio_mask.shape, dtype=torch.bool)).numpy()
    own = unheard[np.arange(len(unheard)), split.caption_video]
    assert results.ranks["t2v"][0].tolist() == (unheard >= own[:, None]).sum(1).tolist()


@pytest.mark.slow
def test_the_head_of_every_evaluation_is_kept_only_if_asked_for(store, tmp_path):
    settings = {"set": ["epochs=3", "batch_size=20", "patience=0"], "progress": False}
    plain = train(store, "x-pool", out=tmp_path / "plain", **settings)
    kept = train(
        store, "x-pool", out=tmp_path / "kept", set=[*settings["set"], "keep_checkpoints=true"], progress=False
    )
    assert plain.kept == ()
    assert [int(name.removeprefix("step-")) for name in kept.kept] == [entry["step"] for entry in kept.log]
    best = f"step-{kept.describe()['step']:06d}"
    for name, value in kept.load_head("best").state_dict().items():
        torch.testing.assert_close(kept.load_head(best).state_dict()[name], value, rtol=0, atol=0)
        torch.testing.assert_close(plain.load_head("best").state_dict()[name], value, rtol=0, atol=0)
