"""A module of one's own with `loss` and `score` becomes a head, and keeps its own weights and words."""

import copy

import pytest
import torch
from torch import nn

from gaid.errors import OptionInvalid
from gaid.heads import Head, HeadBase, adapt, build_head


class Plain(nn.Module):
    """What a researcher may write who has read nothing."""

    def __init__(self):
        super().__init__()
        self.visual = nn.Linear(3, 2)

    def loss(self, text, visual, audio, audio_mask, same=None):
        return self.visual(visual).sum()

    def score(self, text, visual, audio, audio_mask=None, *, memory, seed):
        return torch.zeros(len(text), len(visual))


class Talkative(Plain):
    """Says of itself what differs from what is assumed."""

    uses_audio, audio_input, training_defaults = False, "tokens", {"lr": 0.5}

    def __init__(self):
        super().__init__()
        self.config = {"visual_dim": 3}

    def score(self, text, visual, audio, audio_mask=None, **_):
        return torch.zeros(len(text), len(visual))

    def embed_text(self, text):
        return text


def test_a_plain_module_hears_sees_frames_and_has_nothing_else_to_say():
    head = adapt(Plain())
    assert isinstance(head, Head)
    assert isinstance(head, Plain)
    assert head.uses_audio
    assert (head.visual_input, head.audio_input, dict(head.config), dict(head.training_defaults)) == (
        "frames",
        "frames",
        {},
        {},
    )
    assert not (head.has_trials)
    assert not (head.has_video_embedding)
    assert not (head.has_text_embedding)
    assert not (head.capturable)
    assert not (head.trains_by_own_caption)
    assert not (head.scores_by_pool_caption)
    assert head.explain(torch.zeros(1, 3), torch.zeros(1, 2, 3), torch.zeros(1, 2, 3)) is None
    assert head.few_texts(100) == 0


def test_what_a_module_says_of_itself_counts():
    head = adapt(Talkative())
    assert not head.uses_audio
    assert head.audio_input == "tokens"
    assert head.config == {"visual_dim": 3}
    assert type(head).training_defaults == {"lr": 0.5}
    assert head.has_text_embedding
    assert head.scores_by_pool_caption


def test_weights_keep_their_names_and_the_module_is_the_same_object():
    module = Plain()
    names = list(module.state_dict())
    head = adapt(module)
    assert head is module
    assert list(head.state_dict()) == names == ["visual.weight", "visual.bias"]
    assert type(head).__name__ == "Plain"
    assert torch.equal(copy.deepcopy(head).visual.weight, module.visual.weight)


def test_a_head_stays_as_it_is():
    head = build_head("mean-pool", visual_dim=4, audio_dim=4, text_dim=4)
    kind = type(head)
    assert adapt(head) is head
    assert type(head) is kind


@pytest.mark.parametrize("base", [nn.Module, HeadBase])
@pytest.mark.parametrize("missing", ["loss", "score"])
def test_a_module_that_lacks_a_method_is_refused_by_name(base, missing):
    other = {"loss": "score", "score": "loss"}[missing]
    with pytest.raises(OptionInvalid, match=f"Half is not a head: it has no `{missing}`"):
        adapt(type("Half", (base,), {other: lambda self: None})())


def test_that_a_step_can_be_recorded_is_not_inherited():
    class Whole(Plain):
        capturable = True

    class Derived(Whole):
        pass

    assert adapt(Whole()).capturable
    assert not adapt(Derived()).capturable
