"""Sound weights against a truth."""

import numpy as np
import pytest

from gaid.evaluation.sound import auc, explain_own, load_split_truth, measure, roc_curve
from gaid.heads import build_head
from gaid.heads.features import Features


def test_auc_is_the_chance_that_a_true_one_lies_higher():
    values, truth = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert auc(values, truth) == 0.75  # of the four pairs, 0.35 against 0.4 is the one that is wrong
    assert auc(np.ones(4), truth) == 0.5
    assert np.isnan(auc(values, np.ones(4, bool)))


def test_the_area_under_the_curve_is_the_auc():
    rng = np.random.default_rng(0)
    values, truth = rng.normal(size=500).round(1), rng.random(500) < 0.3
    values[truth] += 1
    x, y = roc_curve(values, truth, points=10_000)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(auc(values, truth))


def test_each_caption_is_explained_with_its_own_video(make_store):
    split = make_store(videos=90, captions=2).split("test")
    head = build_head("gaid", visual_dim=64, audio_dim=64, text_dim=64).eval()
    features = Features.of(split, "cpu")
    order = np.random.default_rng(0).permutation(180)
    found = explain_own(head, features, split.caption_video)
    shuffled = Features(features.text[order], *features.videos(slice(None)))
    again = explain_own(head, shuffled, split.caption_video[order])
    for kind, values in found.items():
        assert values.shape == (180, 12)
        np.testing.assert_allclose(again[kind], values[order], atol=1e-6)
    direct = head.explain(features.text[33:34], *features.videos(split.caption_video[33:34]))
    np.testing.assert_allclose(found["sound_weight"][33], direct.sound_weight[0, 0].numpy(), atol=1e-6)


def test_a_weight_that_is_the_truth_has_an_auc_of_one(make_store):
    split = make_store(videos=30, silent=10).split("test")
    truth = np.random.default_rng(1).random((30, 12)) < 0.4
    truth &= split.audio_mask
    noise = np.random.default_rng(2).random((30, 12))
    found = measure([{"sound_weight": truth + 0.5 * noise, "gate": noise, "attention": noise}], truth, split)
    assert found.auc["sound_weight"] == found.audible["sound_weight"] == 1
    assert 0.4 < found.auc["gate"] < 0.6
    assert found.informative == truth.sum()


def test_a_data_set_that_knows_no_truth_has_none(make_store):
    store = make_store(videos=12)
    assert load_split_truth(store, store.split("test")) is None
