"""A head that may listen to tokens or embeddings of the sound: which it takes, where, and that it is told."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch

from gaid import evaluate, export, load_run, open_store, train
from gaid.audit import audit, compare
from gaid.errors import HeadMismatch, OptionInvalid
from gaid.heads.features import Features
from gaid.report import write_page
from gaid.report.audit import print_audit, print_compared
from gaid.report.stress import print_stress
from gaid.report.tables import csv_records, findings, markdown, rows
from gaid.retrieval.lens import Lens, best_clips
from gaid.runs import files as run_files
from gaid.stress import stress
from gaid.training.data import load_parts
from gaid.training.options import TrainConfig

from .planted import AUDIO, FRAMES, write_store

pytestmark = pytest.mark.slow

SMALL = ("epochs=2", "batch_size=20", "head.dim=8", "head.layers=1", "head.queries=3", "threads=1")
TOKENS = 4


@pytest.fixture(scope="module")
def tokened(tmp_path_factory):
    """The store of all tests of training, with tokens of the sound."""
    return open_store(write_store(tmp_path_factory.mktemp("stores") / "tokens.zarr", audio_tokens=TOKENS))


@pytest.fixture(scope="module")
def trained(tokened, tmp_path_factory):
    return train(tokened, "avigate", out=tmp_path_factory.mktemp("runs") / "tokens", set=SMALL, progress=False)


def test_avigate_takes_tokens_where_the_store_has_them_and_else_embeddings(store, tokened, trained, tmp_path):
    assert trained.config["head"]["audio_input"] == "tokens"
    head = trained.load_head()
    assert (head.audio_input, head.config["audio_dim"]) == ("tokens", AUDIO + 1)
    other = train(store, "avigate", out=tmp_path / "run", set=SMALL, progress=False)
    assert (other.load_head().audio_input, other.load_head().config["audio_dim"]) == ("frames", AUDIO)


def test_embeddings_can_be_asked_for_and_tokens_that_are_not_there_can_not(store, tokened, tmp_path):
    forced = train(tokened, "avigate", out=tmp_path / "run", set=[*SMALL, "head.audio_input=frames"], progress=False)
    assert (forced.load_head().audio_input, forced.load_head().config["audio_dim"]) == ("frames", AUDIO)
    with pytest.raises(HeadMismatch, match="the store has none; `gaid extract --audio-tokens`") as caught:
        train(store, "avigate", out=tmp_path / "none", set=[*SMALL, "head.audio_input=tokens"], progress=False)
    assert "\n" not in str(caught.value)
    with pytest.raises(OptionInvalid, match=r"head\.audio_input = 'words' should be 'frames', 'tokens' or 'clip'"):
        train(store, "avigate", out=tmp_path / "none", set=[*SMALL, "head.audio_input=words"], progress=False)


@pytest.mark.parametrize("audio", ["own", "shuffled", "none"])
def test_training_and_validation_have_the_tokens_of_the_sound_that_was_asked_for(tokened, audio):
    training, validation = load_parts(tokened, TrainConfig(audio=audio))
    for found, part in ((training, "train"), (validation, "val")):
        own, tokens = tokened.split(part).audio_as("tokens"), found.audio_as("tokens")
        assert tokens.shape == own.shape == (len(found.video_ids), FRAMES, TOKENS, AUDIO + 1)
        same = (tokens == own).all(axis=(1, 2, 3))
        assert same.all() if audio == "own" else not same.any()
        assert found.audio_mask.any() == (audio != "none")


def test_an_evaluation_says_what_was_heard(store, tokened, trained, tmp_path):
    deaf = train(tokened, "x-pool", out=tmp_path / "x-pool", set=["epochs=1", "batch_size=20"], progress=False)
    results = evaluate(trained, against=[deaf])
    assert results.to_dict()["audio_input"] == "tokens"
    line = "avigate hears sound tokens"
    assert line in findings(results)
    assert line in markdown(results)
    assert line in write_page(results, tmp_path / "page.html").read_text()
    assert {one["head"]: one["sound"] for one in csv_records(results)} == {"avigate": "sound tokens", "x-pool": ""}
    untrained = evaluate(store=store, preset="avigate")
    assert "avigate (untrained) hears one embedding per frame" in findings(untrained)
    beside = evaluate(deaf, store=tokened, against=[trained])
    assert line in findings(beside)


def test_pages_and_tables_of_audits_comparisons_and_faults_say_what_was_heard(trained, tokened, tmp_path, capsys):
    deaf = train(tokened, "x-pool", out=tmp_path / "x-pool", set=["epochs=1", "batch_size=20"], progress=False)
    audited = audit(trained, only=["pool"])
    compared = compare(trained, deaf)
    stressed = stress(deaf, against=[trained], faults=["missing"], progress=False)
    print_audit(audited)
    print_compared(compared)
    print_stress(stressed)
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 seed per head, avigate hears sound tokens" in printed
    assert printed.count("avigate, hears sound tokens") == 2  # both directions of the comparison
    assert "hears sound tokens" in write_page(audited, tmp_path / "audit.html").read_text()
    assert "avigate hears sound tokens" in write_page(stressed, tmp_path / "stress.html").read_text()
    assert audited.to_dict()["audio_input"] == "tokens"
    assert compared.to_dict()["audio_inputs"] == ["tokens", None]
    assert stressed.to_dict()["audio_inputs"] == {"avigate": "tokens"}


def test_two_runs_that_differ_in_what_they_heard_are_told_apart(tokened, trained, tmp_path):
    frames = train(tokened, "avigate", out=tmp_path / "run", set=[*SMALL, "head.audio_input=frames"], progress=False)
    told = [row.label for row in rows(evaluate(frames, against=[trained]), "t2v")]
    assert told == ["avigate (one embedding per frame)", "avigate (sound tokens)"]


def test_a_head_of_tokens_is_refused_on_a_store_without(store, trained):
    with pytest.raises(
        HeadMismatch, match="takes audio tokens, the store has none; evaluate it on a store of"
    ) as caught:
        evaluate(trained, store=store)
    assert "\n" not in str(caught.value)
    with pytest.raises(HeadMismatch, match="`gaid extract --audio-tokens`"):
        audit(trained, only=["alignment"], published_sampling=store)


def test_tokens_are_what_is_scored_searched_and_exported(tokened, trained, tmp_path):
    split, head = tokened.split("test"), trained.load_head()
    text, visual, mask = (torch.from_numpy(one) for one in (split.text, split.visual, split.audio_mask))
    scores = head.score(text, visual, torch.from_numpy(split.audio_as("tokens")), mask).numpy()
    results = evaluate(trained)
    own = scores[np.arange(len(scores)), split.caption_video]
    assert results.ranks["t2v"][0].tolist() == (scores >= own[:, None]).sum(1).tolist()
    export(trained, out=tmp_path / "vectors.npz")
    with np.load(tmp_path / "vectors.npz") as file:
        np.testing.assert_allclose(file["scores"], scores, atol=1e-5)
        assert file["video_embedding"].shape == (len(split.video_ids), 8)
    rows, best = best_clips(Lens(head, text[:3], "all", "own", "cpu", 2**30, 0), tokened, 5)
    every = tokened.whole("videos/audio_tokens")
    whole = head.score(text[:3], torch.from_numpy(tokened.whole("videos/visual")), torch.from_numpy(every)).numpy()
    np.testing.assert_allclose(best, np.sort(whole, axis=1)[:, :-6:-1], atol=1e-5)
    np.testing.assert_array_equal(np.take_along_axis(whole, rows, axis=1), best)


def test_a_part_of_the_clips_has_its_own_tokens(tokened):
    split = tokened.split("test")
    keep = np.arange(len(split.video_ids)) % 3 == 0
    np.testing.assert_array_equal(split.take(keep).audio_as("tokens"), split.audio_as("tokens")[keep])
    without = dataclasses.replace(split, read_audio_tokens=None)
    assert without.take(keep).read_audio_tokens is None


@pytest.fixture
def listening(tokened, tmp_path, monkeypatch):
    """A head for which sound is more than the twentieth part that it is in AVIGATE, so that ranks of few clips show it."""
    monkeypatch.setattr("gaid.heads.avigate.FUSED", 1.0)
    longer = [*SMALL, "epochs=15", "lr=0.01"]
    return train(tokened, "avigate", out=tmp_path / "listening", set=longer, progress=False)


def test_an_audit_takes_the_tokens_away_and_gives_other_clips(listening, tmp_path):
    """The embeddings stay in the store: a head that heard them instead would not notice."""
    found = audit(listening, only=["audio", "leak", "alignment"], retrain=True, work=tmp_path / "work")
    lines = {(line.label, line.group): line.values["t2v MnR"].value for line in found["audio"].lines}
    own = lines["its own sound", "changed at test only"]
    for control in ("another clip's sound", "no sound (mask false everywhere)"):
        assert lines[control, "changed at test only"] != own
    assert load_run(tmp_path / "work" / "shuffled").config["head"]["audio_input"] == "tokens"
    assert len(found["alignment"].lines) == 2


def test_faults_of_the_sound_reach_a_head_of_tokens(listening):
    results = stress(listening, faults=["noise", "other", "late", "missing"], progress=False)
    for finding in results.findings:
        clean, *_, worst = finding.curves[0].points
        assert clean.difference["MnR"] == 0, finding.name
        assert worst.figures.values["MnR"] != clean.figures.values["MnR"], finding.name


def test_a_head_and_a_run_of_before_there_were_tokens_are_of_embeddings(store, tokened, tmp_path):
    """As the version before wrote them: nothing names audio_input."""
    out = tmp_path / "run"
    run = train(store, "avigate", out=out, set=SMALL, progress=False)
    expected = evaluate(run).ranks["t2v"]
    config = out / run_files.CONFIG
    config.write_text(re.sub(r"audio_input = .*\n", "", config.read_text()))
    for name in ("best", "last"):
        place = out / "checkpoints" / f"{name}.safetensors"
        tensors, described = run_files.read_checkpoint(place)
        del described["head"]["arguments"]["audio_input"]
        described["config"]["head"].pop("audio_input")
        run_files.write_checkpoint(place, tensors, described)
    assert "audio_input" not in json.dumps(load_run(out).describe()) + config.read_text()
    assert load_run(out).load_head().audio_input == "frames"
    np.testing.assert_array_equal(evaluate(out).ranks["t2v"], expected)
    np.testing.assert_array_equal(evaluate(out, store=tokened).ranks["t2v"], expected)
    assert train(store, out=out, resume=True, progress=False).finished
    audit(out, store=tokened, only=["audio"], retrain=True)  # its controls hear what it hears
    assert load_run(out / "audit" / "none").config["head"]["audio_input"] == "frames"


def test_tokens_are_read_only_by_a_head_that_takes_them(tokened, trained):
    split = dataclasses.replace(tokened.split("test"), read_audio_tokens=lambda: pytest.fail("read"))
    Features.of(split, "cpu", None)
    assert Features.of(tokened.split("test"), "cpu", trained.load_head()).audio.ndim == 4
