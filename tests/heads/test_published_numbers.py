"""Agreement with what the published modules gave on random tensors (tests/data/published_reference.npz)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gaid.errors import HeadMismatch
from gaid.heads import load_published
from gaid.heads.losses import info_nce, positive_weights, support_embedding
from gaid.heads.scoring import direct

PROTOCOLS = {
    "scores_query": ("query", "query"),
    "scores_published": ("own_caption", "own_caption"),
    "scores_gate_own_pool_query": ("own_caption", "query"),
    "scores_gate_query_pool_own": ("query", "own_caption"),
}


@pytest.fixture(scope="module")
def numbers():
    with np.load(Path(__file__).parents[1] / "data" / "published_reference.npz") as arrays:
        return {name: torch.as_tensor(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def published(numbers):
    """The reference's weights under their published key names."""
    names = {"gate.": "gate_fc.", "pool.": "pool_frames.", "radius.": "stochastic.std_branch.linear_proj."}
    state = {
        new + name.removeprefix(old): value
        for name, value in numbers.items()
        for old, new in names.items()
        if name.startswith(old)
    }
    return {**state, "stochastic.alpha": numbers["alpha"], "stochastic.std_branch.learnable_scalar": torch.zeros(1)}


@pytest.fixture(scope="module")
def head(published):
    return load_published(published)


@pytest.fixture(scope="module")
def features(numbers):
    mask = torch.ones(numbers["visual"].shape[:2], dtype=torch.bool)
    return numbers["text"], numbers["visual"], numbers["audio"], mask


def near(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("algorithm", ["folded", "direct"])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_scores_agree_under_every_protocol(numbers, head, features, name, algorithm):
    gate_by, pool_by = PROTOCOLS[name]
    near(head.score(*features, gate_by=gate_by, pool_by=pool_by, algorithm=algorithm), numbers[name])


def test_gates_agree(numbers, head, features):
    gate = head.gate(*features)
    near(gate, numbers["gate_pairwise"])
    near(gate.diagonal().T, numbers["gate_paired"])
    near(head.explain(*features).gate, numbers["gate_pairwise"])


def test_fused_frames_and_pooled_embeddings_agree(numbers, head, features):
    text, visual, audio, mask = features
    fused, _ = direct.fuse(head.parts, text, visual, audio, mask, gated_by=text)
    near(fused[0], numbers["fused_paired"])
    near(head.pooling(text[:, None], fused).transpose(0, 1), numbers["pooled_paired"])


def test_perturbed_texts_agree(numbers, head):
    text, fused, noise = numbers["text"], numbers["fused_paired"], numbers["noise"]
    log_std = head.perturbation.deviation(text, fused)
    near(log_std, numbers["log_std"])
    near(head.perturbation.perturb(text, log_std.exp(), noise), numbers["text_dasp_train"])
    near(text + head.perturbation.alpha * log_std.exp(), numbers["text_dasp_eval"])
    near(text + noise * log_std.exp(), numbers["text_stp_train"])


def test_losses_agree(numbers):
    sims = numbers["sims_train"]
    weights = positive_weights(sims, "published")
    near(info_nce(sims, 100.0, weights), numbers["loss_weighted"])
    near(info_nce(sims, 100.0), numbers["loss_unweighted"])
    pooled = numbers["pooled_paired"].transpose(0, 1)
    support = support_embedding(numbers["text"], pooled.mean(0), numbers["log_std"].exp())
    near(support, numbers["text_support"])
    directions = torch.nn.functional.normalize(pooled, dim=-1)
    cosines = (torch.nn.functional.normalize(support, dim=-1)[:, None] * directions).sum(-1)
    near(info_nce(cosines, 100.0, weights), numbers["loss_support_weighted"])


def test_a_training_step_gives_the_published_loss(numbers, head, features, monkeypatch):
    monkeypatch.setattr(torch, "rand_like", lambda text: numbers["noise"])
    monkeypatch.setattr(head, "support_loss_weight", 0.8)
    monkeypatch.setattr(head, "positive_weights", "published")
    found = head.loss(*features, gate_by="own_caption")
    near(found.total.detach(), numbers["loss_weighted"] + 0.8 * numbers["loss_support_weighted"])


def test_published_names_tell_the_method(published):
    t_mass = {name: value for name, value in published.items() if "gate_fc" not in name and "alpha" not in name}
    x_pool = {name: value for name, value in t_mass.items() if "stochastic" not in name}
    assert load_published(t_mass).config["perturbation"] == "stp"
    assert load_published(x_pool).config["perturbation"] == "none"
    assert load_published({f"module.{name}": value for name, value in published.items()}).config["fusion"] == "frame"


def test_a_checkpoint_that_lacks_weights_is_refused_by_name(published):
    part = {name: value for name, value in published.items() if name != "pool_frames.layer_norm3.bias"}
    with pytest.raises(HeadMismatch, match=r"pooling\.norm_pooled\.bias"):
        load_published(part)
    with pytest.raises(HeadMismatch, match="no published head"):
        load_published({"layer.weight": torch.zeros(2)})
    with pytest.raises(HeadMismatch, match="strange"):
        load_published({**published, "strange.weight": torch.zeros(2)})
