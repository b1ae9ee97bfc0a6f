"""`--first-caption`: one query a video, the whole gallery, and the figures with all captions beside."""

import numpy as np
import pytest

from gaid.evaluation.evaluate import evaluate
from gaid.report.tables import heading, rows


def test_first_captions_ask_and_all_captions_stand_beside(make_store):
    store = make_store(videos=30, captions=3, signal=0.7)
    whole = evaluate(store=store, preset="mean-pool")
    first = evaluate(store=store, preset="mean-pool", first_caption=True)
    assert (whole.figures["t2v"].queries, whole.all_captions) == (90, None)
    assert (first.figures["t2v"].queries, first.figures["t2v"].gallery) == (30, 30)
    assert np.array_equal(first.ranks["t2v"], whole.ranks["t2v"][:, ::3])
    assert first.all_captions["v2t"].values == whole.figures["v2t"].values
    assert first.basis.gallery_hash == whole.basis.gallery_hash
    assert first.to_dict()["first_caption"] is True
    assert first.to_dict()["all_captions"]["t2v"]["queries"] == 90


def test_a_table_says_which_captions_ask(make_store):
    first = evaluate(store=make_store(videos=30, captions=3, signal=0.7), preset="mean-pool", first_caption=True)
    assert "first captions only" in heading(first)
    assert [row.label for row in rows(first, "t2v")][-1] == "mean-pool (untrained), all captions"


def test_with_one_caption_a_video_the_first_is_all(make_store):
    first = evaluate(store=make_store(videos=30), preset="mean-pool", first_caption=True)
    assert first.all_captions is None
    assert first.figures["t2v"].queries == 30


def test_first_captions_of_the_clips_with_sound(make_store):
    store = make_store(videos=30, captions=2, silent=10)
    found = evaluate(store=store, preset="mean-pool", subset="with-sound", first_caption=True)
    assert (found.figures["t2v"].queries, found.figures["t2v"].gallery) == (20, 20)
    assert found.all_clips["t2v"].queries == 30
    assert found.all_captions["t2v"].queries == 40


def test_captions_keep_their_videos(make_store):
    split = make_store(videos=30, captions=3, signal=0.7).split("test")
    first = split.first_captions()
    assert first.caption_ids == [f"caption {3 * number}" for number in range(30)]
    assert first.caption_video.tolist() == list(range(30))
    assert first.video_ids == split.video_ids


@pytest.mark.parametrize("spelling", ["--first-caption", "--first_caption"])
def test_the_command_takes_it(make_store, spelling, capfd):
    from gaid.cli import run

    store = make_store(videos=30, captions=3, signal=0.7)
    assert run(["eval", "--store", str(store.path), "--preset", "mean-pool", spelling]) == 0
    assert "first captions only" in capfd.readouterr().out
