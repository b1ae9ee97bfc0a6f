"""The annotations of the heads are checked in all tests (pyproject.toml), so a false one does not stay unseen."""

import jaxtyping
import pytest
import torch

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
