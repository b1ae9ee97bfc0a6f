"""A head that reads tokens of the whole clip's sound: where it takes them, what a control and a fault change, that it is told."""

import dataclasses

import numpy as np
import pytest
import torch

from gaid import evaluate, export, load_run, open_store, train
from gaid.audit import audit
from gaid.errors import HeadMismatch
from gaid.heads.features import Features
from gaid.report.tables import findings
from gaid.retrieval.lens import Lens, best_clips
from gaid.stores import with_audio
from gaid.stores.controls import with_noise
from gaid.stress import stress
from gaid.stress.faults import FAULTS
from tests.training.planted import AUDIO, write_store

pytestmark = pytest.mark.slow

SMALL = ("epochs=2", "batch_size=20", "head.dim=8", "head.layers=1", "head.queries=3", "threads=1")
TOKENS = 7


@pytest.fixture(scope="module")
def tokened(tmp_path_factory):
    """The store of all tests of training, with tokens of the sound of frames and of clips."""
    place = tmp_path_factory.mktemp("stores") / "clips.zarr"
    return open_store(write_store(place, audio_tokens=4, audio_clip_tokens=TOKENS))


@pytest.fixture(scope="module")
def trained(tokened, tmp_path_factory):
    return train(tokened, "avigate", out=tmp_path_factory.mktemp("runs") / "clips", set=SMALL, progress=False)


def test_avigate_takes_tokens_of_clips_where_the_store_has_them(store, tokened, trained, tmp_path):
    head = trained.load_head()
    assert (head.audio_input, head.config["audio_dim"]) == ("clip", AUDIO + 2)
    features = Features.of(tokened.split("test"), "cpu", head)
    assert features.audio.shape[1:] == (TOKENS, AUDIO + 2)
    others = train(tokened, "avigate", out=tmp_path / "run", set=[*SMALL, "head.audio_input=tokens"], progress=False)
    assert others.load_head().audio_input == "tokens"
    published = train(tokened, "avigate", out=tmp_path / "published", recipe="published", set=SMALL, progress=False)
    assert published.load_head().gates_without_audio == "open"
    assert trained.load_head().gates_without_audio == "closed"
    with pytest.raises(HeadMismatch, match="the store has none; `gaid extract --audio-clip-tokens`"):
        train(store, "avigate", out=tmp_path / "none", set=[*SMALL, "head.audio_input=clip"], progress=False)
    with pytest.raises(HeadMismatch, match="whole clips, the store has none; evaluate it on a store of"):
        evaluate(trained, store=store)


def test_an_evaluation_says_that_the_whole_clip_was_heard(trained):
    results = evaluate(trained)
    assert results.to_dict()["audio_input"] == "clip"
    assert "avigate hears sound tokens of the whole clip" in findings(results)


def test_tokens_of_clips_are_what_is_scored_searched_and_exported(tokened, trained, tmp_path):
    split, head = tokened.split("test"), trained.load_head()
    text, visual, mask = (torch.from_numpy(one) for one in (split.text, split.visual, split.audio_mask))
    scores = head.score(text, visual, torch.from_numpy(split.audio_as("clip")), mask).numpy()
    own = scores[np.arange(len(scores)), split.caption_video]
    assert evaluate(trained).ranks["t2v"][0].tolist() == (scores >= own[:, None]).sum(1).tolist()
    export(trained, out=tmp_path / "vectors.npz")
    with np.load(tmp_path / "vectors.npz") as file:
        np.testing.assert_allclose(file["scores"], scores, atol=1e-5)
    _, best = best_clips(Lens(head, text[:3], "all", "own", "cpu", 2**30, 0), tokened, 5)
    every = torch.from_numpy(tokened.whole("videos/audio_clip_tokens"))
    whole = head.score(text[:3], torch.from_numpy(tokened.whole("videos/visual")), every).numpy()
    np.testing.assert_allclose(best, np.sort(whole, axis=1)[:, :-6:-1], atol=1e-5)


def test_a_control_of_the_sound_changes_the_tokens_of_clips_too(tokened):
    split = tokened.split("test")
    own = split.audio_as("clip")
    found = {name: with_audio(split, name, 1).audio_as("clip") for name in ("shuffled", "moved", "silence", "none")}
    same = (found["shuffled"][:, None] == own[None]).all(axis=(2, 3))
    assert (same.sum(axis=1) == 1).all()
    assert not np.diag(same).any()
    np.testing.assert_array_equal(np.sort(found["moved"], axis=1), np.sort(own, axis=1))
    assert (found["moved"] != own).any(axis=(1, 2)).all()
    assert not found["silence"].any()
    assert not found["none"].any()
    assert with_noise(split, 1).audio_as("clip").std() == pytest.approx(own.std(), rel=0.2)


@pytest.mark.parametrize("name", ["noise", "noise-frames", "other", "other-frames", "late", "missing"])
def test_a_fault_of_the_sound_changes_more_tokens_the_stronger_it_is_and_keeps_those_that_it_changed(tokened, name):
    split, fault = tokened.split("test"), FAULTS[name]
    own, before = split.audio_as("clip"), None
    for strength in fault.strengths:
        changed = (fault(split, strength, 3).audio_as("clip") != own).any(axis=2)
        if before is None:
            assert not changed.any()
        elif fault.unit != "dB":
            assert (changed >= before).all()
        before = changed
    assert before.mean() > 0.9


def test_of_a_share_of_frames_the_same_share_of_tokens_is_changed(tokened):
    split = tokened.split("test")
    changed = FAULTS["noise-frames"](split, 0.5, 3).audio_as("clip") != split.audio_as("clip")
    frames = FAULTS["noise-frames"](split, 0.5, 3).audio != split.audio
    share = frames.any(axis=2).mean(axis=1)
    np.testing.assert_array_equal(changed.any(axis=2).sum(axis=1), np.round(share * TOKENS))


def test_audits_and_faults_reach_a_head_of_clips(tokened, tmp_path, monkeypatch):
    monkeypatch.setattr("gaid.heads.avigate.FUSED", 1.0)
    run = train(tokened, "avigate", out=tmp_path / "run", set=[*SMALL, "epochs=15", "lr=0.01"], progress=False)
    found = audit(run, only=["audio"], retrain=True, work=tmp_path / "work")
    lines = {(line.label, line.group): line.values["t2v MnR"].value for line in found["audio"].lines}
    own = lines["its own sound", "changed at test only"]
    assert lines["another clip's sound", "changed at test only"] != own
    assert lines["no sound (mask false everywhere)", "changed at test only"] != own
    assert load_run(tmp_path / "work" / "shuffled").config["head"]["audio_input"] == "clip"
    results = stress(run, faults=["noise", "other", "late", "missing"], progress=False)
    for finding in results.findings:
        clean, *_, worst = finding.curves[0].points
        assert clean.difference["MnR"] == 0, finding.name
        assert worst.figures.values["MnR"] != clean.figures.values["MnR"], finding.name


def test_queries_move_further_at_a_hundred_times_the_rate(tokened, tmp_path):
    """One step of Adam with no warm-up: every number of the queries moves by its rate."""

    def moved(factor: float) -> float:
        again = [
            *SMALL,
            "epochs=1",
            "batch_size=1000",
            "warmup=0",
            "weight_decay=0",
            "lr=1e-5",
            f"head.query_rate={factor}",
        ]
        run = train(tokened, "avigate", out=tmp_path / str(factor), set=again, progress=False)
        torch.manual_seed(run.seed)
        before = run.build_head().queries
        return float((run.load_head("last").queries - before).detach().abs().max())

    assert moved(100.0) == pytest.approx(100 * moved(1.0), rel=0.05)


def test_a_part_of_the_clips_has_its_own_tokens(tokened):
    split = tokened.split("test")
    keep = np.arange(len(split.video_ids)) % 3 == 0
    np.testing.assert_array_equal(split.take(keep).audio_as("clip"), split.audio_as("clip")[keep])
    without = dataclasses.replace(split, read_audio_clip_tokens=None)
    assert without.take(keep).read_audio_clip_tokens is None
