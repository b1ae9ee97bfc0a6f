"""The captions whose rank sound changed most, and why: where the sound stands among the others for that sentence."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gaid.errors import GaidError
from gaid.evaluation.sound_words import class_names
from gaid.extract.sources import load_encoder

if TYPE_CHECKING:
    from gaid.evaluation.bench import Bench

EACH = 4  # captions that sound helped, and as many that it harmed
NAMED = 3  # names of classes for a sound


@dataclass
class RankChange:
    """One caption: the rank of its own clip without sound and with it, and the clip that is first with sound.

    `why`: sentences. `lanes`: the cosine of the sentence with each frame's picture, and what each frame's sound has above
    the average, (F), by `picture` and `sound`; empty where nothing compares them without training.
    """

    text: str
    video: str
    before: float
    after: float
    first: str
    why: list[str]
    lanes: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def helped(self) -> bool:
        return self.after < self.before

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; without `lanes`."""
        return {name: value for name, value in vars(self).items() if name != "lanes"} | {"helped": self.helped}


def largest_changes(without: "Bench", hears: "Bench", senses: "Bench | None") -> list[RankChange]:
    """The largest changes by the ratio of the ranks, helped ones first, one caption per clip. `senses`: untrained heads of both
    senses, by which the reasons are given."""
    before, after = (one.ranks.by["t2v"].mean(axis=0) for one in (without, hears))
    gain = np.log(before / after)
    rows = _largest(gain, without.owner) + _largest(-gain, without.owner)
    best = hears.scores(hears.members[0])
    found = [
        _change(row, float(before[row]), float(after[row]), int(best[row].argmax()), without, senses) for row in rows
    ]
    for row, one in zip(rows, found, strict=True):
        one.why += _share_of_sound(row, hears)
    return found


@torch.inference_mode()
def _share_of_sound(row: int, hears: "Bench") -> list[str]:
    """How much of what is compared is the sound of the caption's own clip, in a sentence; none from heads that can't say, or for
    a clip without sound."""
    own, features = int(hears.owner[row]), hears.features()
    explained = hears.head().explain(features.text[[row]], *features.videos([own]))
    if explained is None or not hears.sounding[own]:
        return []
    return [f"the sound has {100 * float(explained.sound_weight.sum()):.0f} % of the weight in its clip's embedding"]


def _largest(gain: np.ndarray, owner: np.ndarray) -> list[int]:
    """Rows of the largest gains above 0, the first of each clip."""
    order = np.argsort(-gain, kind="stable")
    _, first = np.unique(owner[order], return_index=True)
    rows = order[np.sort(first)][:EACH]
    return [int(row) for row in rows if gain[row] > 0]


@torch.inference_mode()
def name_sounds(changes: list[RankChange], bench: "Bench", senses: "Bench | None") -> list[RankChange]:
    """The changes, each with the names of AudioSet's classes that its clip's sound is nearest to, where the store's audio
    backbone is at hand to encode them and shares a space with sentences."""
    if senses is None or not changes or not bench.store.hears_without_training:
        return changes
    try:
        encoder = load_encoder(bench.store, "audio", bench.device)
    except GaidError:
        return changes
    names, features = class_names(), senses.features()
    vectors = torch.from_numpy(encoder.encode_text(list(names))).to(features.text)
    sentences = torch.cat([vectors.new_zeros(len(names), features.text.shape[1] - vectors.shape[1]), vectors], dim=1)
    row_of = {video: row for row, video in enumerate(bench.split.video_ids)}
    for one in changes:
        row = row_of[one.video]
        if bench.sounding[row]:
            found = senses.head().evidence(sentences, *features.videos([row]))["sound"][:, 0]
            best = ", ".join(names[int(place)] for place in found.argsort(descending=True)[:NAMED])
            one.why.insert(0, f"its sound is nearest to {best}")
    return changes


@torch.inference_mode()
def _change(row: int, before: float, after: float, first: int, bench: "Bench", senses: "Bench | None") -> RankChange:
    split = bench.split
    own = int(bench.owner[row])
    found = RankChange(split.caption_texts[row], split.video_ids[own], before, after, split.video_ids[first], [])
    if not bench.sounding[own]:
        found.why.append(
            "its clip has no sound" + (", so it keeps its picture's score while sounds move others" if senses else "")
        )
    if senses is None:
        return found
    head, features = senses.head(), senses.features()
    sentence = features.text[[row]]
    evidence = head.evidence(sentence, *features.videos(slice(None)))["sound"][0].cpu().numpy()
    if bench.sounding[own]:
        found.why.append(f"its clip's sound is {_standing(evidence, own, bench.sounding)}")
    if first != own:
        heard = (
            f"whose sound is {_standing(evidence, first, bench.sounding)}"
            if bench.sounding[first]
            else "which has no sound"
        )
        found.why.append(f"first with sound is {split.video_ids[first]}, {heard}")
    # Each frame as a clip of its own.
    frames = [values[own].unsqueeze(1) for values in features.videos(slice(None))]
    found.lanes = {name: values[0].cpu().numpy() for name, values in head.evidence(sentence, *frames).items()}
    return found


def _standing(evidence: np.ndarray, video: int, sounding: np.ndarray) -> str:
    """Where a clip's sound stands among the gallery's sounds for a sentence."""
    others = evidence[sounding]
    below = int((others < evidence[video]).sum())
    if below == len(others) - 1:
        return "the nearest to the sentence of all sounds here"
    return f"nearer to the sentence than {100 * below / (len(others) - 1):.0f} % of the sounds here"
