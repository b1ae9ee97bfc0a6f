"""The moment of a clip that a query found: the run of frames whose scores lie above the clip's mean by the most."""

import numpy as np
import pytest
import torch

from gaid.heads import build_head
from gaid.heads.features import Features
from gaid.retrieval.lens import Lens
from gaid.retrieval.moments import best_moment, best_run, frame_scores


def largest_run(scores):
    """By trying all runs."""
    above = scores - scores.mean()
    runs = [
        (above[first : last + 1].sum(), first, last)
        for first in range(len(scores))
        for last in range(first, len(scores))
    ]
    return max(runs)[1:]


def test_the_run_is_that_of_the_largest_sum_above_the_mean():
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores = rng.normal(size=9).astype(np.float32)
        assert best_run(scores) == largest_run(scores.astype(np.float64))
    assert best_run(np.array([0, 0, 3, 2, 0, 1], np.float32)) == (2, 3)


def test_frames_that_are_alike_have_no_moment():
    assert best_run(np.full(5, 0.3, np.float32)) is None
    assert best_moment(np.arange(4, dtype=np.float32), np.zeros(4, np.float32), 1.0) is None  # a still picture


def test_a_moment_lasts_from_middle_to_middle_and_ends_with_the_clip():
    times = np.array([1, 3, 5, 7], np.float32)
    assert best_moment(np.array([0, 1, 1, 0], np.float32), times, 8.0) == (2.0, 6.0)
    assert best_moment(np.array([1, 0, 0, 0], np.float32), times, 8.0) == (0.0, 2.0)
    assert best_moment(np.array([0, 0, 0, 1], np.float32), times, 8.0) == (6.0, 8.0)


@pytest.mark.parametrize("preset", ["mean-pool", "x-pool", "gaid", "avigate", "av-sum"])
def test_a_frame_scores_what_a_clip_of_that_frame_alone_scores(preset):
    generator = torch.Generator().manual_seed(0)
    dim, frames = 16, 3
    head = build_head(preset, visual_dim=dim, audio_dim=dim, text_dim=dim, frames=frames).eval()
    visual, audio = (torch.randn(2, frames, dim, generator=generator) for _ in range(2))
    mask = torch.tensor([[True, True, True], [True, False, True]])
    text = torch.randn(2, dim * (2 if head.text_input == "both" else 1), generator=generator)
    lens = Lens(head, text, "all", "own", "cpu", 2**26, 0)
    found = frame_scores(lens, Features(text[:0], visual, audio, mask), np.array([1]))[:, 0]
    assert found.shape == (2, frames)
    for frame in range(frames):
        alone = [one[1:2, frame : frame + 1].expand(1, frames, *one.shape[2:]) for one in (visual, audio, mask)]
        np.testing.assert_allclose(found[:, frame], head.score(text, *alone)[:, 0].numpy(), atol=1e-5)
