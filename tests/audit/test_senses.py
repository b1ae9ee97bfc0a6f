"""Senses: what sound adds to picture is measured on parts of the queries, said in a sentence, and shown where it changed most."""

import json

import numpy as np
import pytest

from gaid import evaluate, train
from gaid.audit import audit, senses
from gaid.audit.senses import PICTURE, SOUND, SUM, WEIGHTED, parts_of
from gaid.evaluation.ranks import Estimate
from gaid.evaluation.sound_words import class_names, tells_of_sound
from gaid.report import write_page

PARTS = ("train", "val", "test")
VIDEOS = 120
TEXTS = tuple("a dog barks at a wall" if row % 2 else "a white wall" for row in range(2 * VIDEOS))


@pytest.fixture(scope="module")
def heard(make_store):
    return make_store(videos=VIDEOS, captions=2, signal=0.25, heard=0.5, silent=15, parts=PARTS, texts=TEXTS)


@pytest.fixture(scope="module")
def found(heard):
    return senses(heard, device="cpu")


def value(found, label, part, name="t2v R@1"):
    group = next(line.group for line in found.section.lines if line.group.partition(" ")[2] == part)
    return found.section.line(label, group).values[name]


def test_each_sense_and_both_are_measured_on_every_part(found, heard):
    labels = [line.label for line in found.section.lines if line.group == found.section.lines[0].group]
    assert labels == [PICTURE, SOUND, SUM, WEIGHTED]
    counts = {group.partition(" ")[2]: int(group.partition(" ")[0]) for group, _ in found.section.groups}
    assert counts["captions, all of them"] == 80
    assert counts["captions with a word of sound, as heard or barks"] == 40
    assert counts["captions of clips without sound"] == 10
    plain = evaluate(store=heard, preset="mean-pool", device="cpu").figures["t2v"].values["R@1"]
    assert value(found, PICTURE, "captions, all of them").value == pytest.approx(plain)
    gain = value(found, WEIGHTED, "captions, all of them", "change t2v R@1")
    assert gain.low > 0
    assert gain.value == pytest.approx(value(found, WEIGHTED, "captions, all of them").value - plain)


def test_clips_without_sound_are_ranked_by_their_picture(found):
    assert value(found, SUM, "captions of clips without sound", "change v2t R@1").value == 0
    assert value(found, SOUND, "captions of clips without sound").value == 0


def test_the_first_line_says_what_sound_brings_and_for_which_captions(found):
    assert found.answer.startswith(f"Sound ({WEIGHTED}) adds +")
    assert "points of text to video R@1 on the 40 captions that name a sound, and adds +" in found.answer
    assert found.answer.endswith("on the 40 others, compared with picture alone.")
    assert found.section.findings[0] == found.answer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((3.2, 0.4, 6.0), "adds +3.2 (+0.4 to +6.0)"),
        ((3.2, -0.4, 6.0), "may add +3.2 (−0.4 to +6.0)"),
        ((-2.0, -4.0, -0.5), "costs 2.0 (+0.5 to +4.0)"),
        ((-2.0, -4.0, 0.5), "may cost 2.0 (−0.5 to +4.0)"),
    ],
)
def test_a_change_is_sure_where_its_interval_does_not_hold_0(change, words):
    from gaid.audit.senses import _effect

    assert _effect(Estimate(*change, signed=True)) == words


def test_the_captions_that_sound_moved_most_are_shown_with_reasons(found, tmp_path):
    helped = [one for one in found.changes if one.helped]
    harmed = [one for one in found.changes if not one.helped]
    assert len(helped) == 4
    assert len({one.video for one in helped}) == 4
    assert all(one.after < one.before for one in helped)
    assert all(one.after > one.before for one in harmed)
    assert found.changes == helped + harmed
    assert any("to the sentence" in line for one in helped for line in one.why)
    assert all(one.lanes["sound"].shape == (12,) for one in helped)
    page = write_page(found, tmp_path / "page.html").read_text()
    assert "Found better with sound" in page
    assert helped[0].video in page
    assert json.loads(json.dumps(found.to_dict()))["changes"]["hears"] == WEIGHTED


@pytest.mark.slow
def test_trained_heads_are_compared_with_the_trained_one_that_takes_no_sound(heard, tmp_path):
    options = {"progress": False, "device": "cpu", "set": ["epochs=1", "threads=1"]}
    deaf = train(heard, "mean-pool", out=tmp_path / "deaf", **options)
    hears = train(heard, "av-weighted", out=tmp_path / "hears", **options)
    found = senses(heard, runs=[deaf, hears], device="cpu")
    assert found.silent == "mean-pool, trained"
    assert (found.hears, found.without) == ("av-weighted, trained", "mean-pool, trained")
    first, second = (value(found, label, "captions, all of them").value for label in (found.hears, found.without))
    assert value(found, found.hears, "captions, all of them", "change t2v R@1").value == pytest.approx(first - second)
    assert found.answer.endswith("others, compared with mean-pool, trained.")
    gated = train(heard, "gaid", out=tmp_path / "gated", **options)
    explained = senses(heard, runs=[deaf, gated], device="cpu").changes
    assert any("% of the weight in its clip's embedding" in line for one in explained for line in one.why)
    section = audit(hears, only=["senses"], device="cpu")["senses"]
    assert [line.label for line in section.lines][:5] == [PICTURE, SOUND, SUM, WEIGHTED, "av-weighted, trained"]


@pytest.mark.slow
def test_a_store_without_captions_in_the_sounds_space_says_what_is_lacking(make_store, tmp_path):
    found = senses(make_store(videos=30), device="cpu")
    assert {line.label for line in found.section.lines} == {PICTURE}
    assert found.answer == "Whether sound helps is not measured: no head here takes it"
    assert any("has no captions in the sound's own text space" in note for note in found.section.notes)
    assert "not measured" in write_page(found, tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_without_a_validation_part_the_plain_sum_is_what_counts(make_store):
    found = senses(make_store(videos=40, signal=0.2, heard=0.5), device="cpu")
    assert found.hears == SUM
    assert any("has no other part, val" in note for note in found.section.notes)


def test_words_of_sound_are_not_names_of_things():
    texts = ["music can be heard", "a man sings", "a DOG barking", "a dog", "a golden ring", "a bell", "a blue drum"]
    assert tells_of_sound(texts).tolist() == [True, True, True, False, False, False, False]
    assert "Dog" in class_names()


def test_parts_hold_each_caption_once_with_their_complement(heard):
    parts = parts_of(heard.split("test"))
    for one, other in ((1, 2), (3, 4), (5, 6)):
        assert np.array_equal(parts[one].captions, ~parts[other].captions)
