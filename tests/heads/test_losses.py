"""What a loss may do whatever the similarities are; numbers of the published loss stand in test_published_numbers.py."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gaid.errors import OptionInvalid
from gaid.heads import build_head
from gaid.heads.losses import info_nce, positive_weights

SIMILARITIES = arrays.arrays(
    "float32",
    st.integers(1, 8).map(lambda n: (n, n)),
    elements=st.floats(-1, 1, width=32),
)


def one_of_eight_is_opposed():
    """Seven positives at 0.6, one at -0.3; everything else at 0."""
    sims = torch.diag(torch.tensor([0.6] * 7 + [-0.3]))
    return sims.requires_grad_()


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(SIMILARITIES)
def test_a_weighted_loss_is_never_below_0_and_never_pushes_a_pair_apart(sims):
    sims = torch.as_tensor(sims).requires_grad_()
    weights = positive_weights(sims)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))
    loss = info_nce(sims, 100.0, weights)
    loss.backward()
    assert loss >= 0
    assert (sims.grad.diagonal() <= 0).all()  # going down the loss raises a positive or leaves it


def test_a_positive_of_negative_similarity_has_no_share_and_the_others_theirs():
    expected = torch.tensor([0.5, 0.25, 0.0, 0.25])
    torch.testing.assert_close(positive_weights(torch.diag(torch.tensor([0.4, 0.2, -0.9, 0.2]))), expected)


@pytest.mark.parametrize("positive", [0.0, -0.2])
def test_where_no_positive_is_above_0_all_count_alike(positive):
    sims = torch.full((4, 4), positive)
    torch.testing.assert_close(positive_weights(sims), torch.full((4,), 0.25))


def test_the_published_weights_push_an_opposed_pair_apart_and_ours_do_not():
    losses, gradients = {}, {}
    for form in ("clipped", "published"):
        sims = one_of_eight_is_opposed()
        losses[form] = info_nce(sims, 100.0, positive_weights(sims, form))
        losses[form].backward()
        gradients[form] = sims.grad[-1, -1]
    assert losses["published"] < 0 < gradients["published"]
    assert losses["clipped"] >= 0
    assert gradients["clipped"] == 0


@pytest.mark.parametrize("form", ["clipped", "published"])
def test_a_head_is_trained_with_the_weights_that_its_option_names(form):
    torch.manual_seed(0)
    head = build_head("gaid", visual_dim=8, audio_dim=8, text_dim=8, frames=3, positive_weights=form)
    text, audio = torch.randn(6, 8), torch.randn(6, 3, 8)
    features = (text, text[:, None].repeat(1, 3, 1), audio, torch.zeros(6, 3, dtype=torch.bool))
    features[1][0] *= -1  # the first video is the opposite of its caption
    opposed = [float(head.loss(*features).total.detach()) < 0 for _ in range(5)]
    assert opposed == [form == "published"] * 5


def test_weights_of_positives_that_do_not_exist_are_refused(unchecked):
    with pytest.raises(OptionInvalid, match="clipped, published"):
        build_head("gaid", visual_dim=8, audio_dim=8, text_dim=8, positive_weights="negative")
