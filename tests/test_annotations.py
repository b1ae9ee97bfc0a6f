"""The annotations of heads and evaluation are checked in all tests (pyproject.toml), so a false one does not stay unseen."""

import jaxtyping
import numpy as np
import pytest
import torch

from gaid.evaluation.scoring import ranks_of
from gaid.heads import build_head
from gaid.heads.gate import FrameGate


def test_a_shape_that_an_annotation_excludes_fails():
    gate = FrameGate(8)
    features = torch.zeros(2, 3, 8)
    assert gate.of_frames(features, features, torch.ones(2, 3, dtype=torch.bool)).shape == (2, 3)
    with pytest.raises(jaxtyping.TypeCheckError, match="audio_mask"):
        gate.of_frames(features, features, torch.ones(2, 4, dtype=torch.bool))


def test_a_word_that_an_annotation_excludes_fails():
    with pytest.raises(jaxtyping.TypeCheckError, match="fusion"):
        build_head(visual_dim=8, audio_dim=8, text_dim=8, fusion="early")


def test_a_shape_of_the_evaluation_that_an_annotation_excludes_fails():
    scores = np.eye(3, dtype=np.float32)
    assert ranks_of(scores, np.arange(3), "t2v", memory=2**20).tolist() == [1, 1, 1]
    with pytest.raises(jaxtyping.TypeCheckError, match="caption_video"):
        ranks_of(scores, np.arange(4), "t2v", memory=2**20)
