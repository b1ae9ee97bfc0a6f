"""What is to be said of the clips that a search found: which sense carried each of them, when, and the words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaid.retrieval.lens import Lens
from gaid.retrieval.moments import Strip, best_moment, frame_evidence, frame_scores
from gaid.retrieval.results import Hit
from gaid.retrieval.rounds import Round
from gaid.retrieval.speech import Spoken
from gaid.stores import AUDIO_STATES, read_clips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaid.heads.features import Features
    from gaid.stores import Store

LANES = ("gate", "attention", "sound_weight")


def hits_of(asked: Round, store: "Store", rows: "NDArray[np.int64]", scores: "NDArray[np.float32]") -> list[list[Hit]]:
    """The hits of each query of a round, whose clips are `rows` (queries, count) with `scores`, best first."""
    lens, known = asked.lens, np.unique(rows)
    clips = read_clips(store, known)
    features = lens.features(clips)
    senses = lens.senses(features) if lens.both or asked.spoken else {}
    places = np.searchsorted(known, rows)
    answers = []
    for query, of_query in enumerate(places):
        lanes = explain(lens, features, query, of_query)
        frames = frame_scores(lens.of([query]), features, of_query)[0]
        hits = []
        for place, (clip, of_frames) in enumerate(zip(of_query.tolist(), lanes, strict=True)):
            found = {name: float(values[query, clip]) for name, values in senses.items()} if lens.both else {}
            lift = asked.lift(query, int(known[clip]))
            if lift:
                found = {name: float(values[query, clip]) for name, values in senses.items()} | {"speech": lift}
            heard = bool(clips.audio_mask[clip].any())
            hit = Hit(
                place=place + 1,
                video=clips.video_ids[clip],
                score=float(scores[query, place]),
                sound=float(of_frames["sound_weight"].sum()) if of_frames and lens.head.uses_audio else None,
                audio=AUDIO_STATES[int(clips.audio_state[clip])],
                duration=round(float(clips.duration[clip]), 3),
                senses=found,
                carried=asked.background.carrier(query, found, heard)
                if asked.background and lens.sense == "all"
                else None,
                moment=best_moment(frames[place], clips.time[clip], float(clips.duration[clip])),
                frames=of_frames,
            )
            if asked.spoken is not None and (hit.carried == "speech" or lift > asked.shown(query)):
                said = asked.spoken.said(query, int(known[clip]))
                hit.words = said.words
                if hit.carried == "speech":
                    hit.moment = said.moment
            hits.append(hit)
        answers.append(hits)
    return answers


def hits_by_speech(
    spoken: Spoken, owners: Sequence[int], store: "Store", count: int, rows: "NDArray[np.int64]", queries: int
) -> list[list[Hit]]:
    """The hits of the first `queries` sentences by what is said alone, among the clips in `rows` that say something; the phrases that
    queries leave out follow (`owners`)."""
    names = spoken.library.rows
    allowed = np.flatnonzero(np.isin(names, rows))
    ranked = spoken.ranked(queries, owners)[:, allowed]
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :count]
    found = names[allowed][order]
    known = np.unique(found)
    states, lasts = (store.rows(f"videos/{name}", known) for name in ("audio_state", "duration"))
    answers = []
    for query, of_query in enumerate(found.tolist()):
        hits = []
        for place, row in enumerate(of_query):
            said, clip = spoken.said(query, row), int(np.searchsorted(known, row))
            score = float(ranked[query, order[query, place]])
            hits.append(
                Hit(
                    place=place + 1, video=store.ids[row], score=score, audio=AUDIO_STATES[int(states[clip])],
                    duration=round(float(lasts[clip]), 3), senses={"speech": score}, carried="speech", moment=said.moment,
                    words=said.words,
                )
            )  # fmt: skip
        answers.append(hits)
    return answers


def strip_of(lens: Lens, store: "Store", row: int) -> Strip:
    """The frames of a clip under the one query of a lens."""
    clips = read_clips(store, np.array([row]))
    features = lens.features(clips)
    scores, senses = frame_evidence(lens, features)
    if "sound" in senses:
        senses["sound"] = np.where(clips.audio_mask[0], senses["sound"], np.nan)
    return Strip(clips.time[0], scores, senses, explain(lens, features, 0, np.array([0]))[0])


@torch.inference_mode()
def explain(
    lens: Lens, features: "Features", query: int, places: "NDArray[np.int64]"
) -> "list[dict[str, NDArray[np.float32]]]":
    """For each of some clips its gate, attention and sound weight (F); nothing for a head that explains nothing."""
    explanation = lens.head.explain(lens.text[[query]], *features.videos(torch.from_numpy(places)))
    if explanation is None:
        return [{} for _ in places]
    lanes = {name: getattr(explanation, name)[0].float().cpu().numpy() for name in LANES}
    return [{name: values[number] for name, values in lanes.items()} for number in range(len(places))]
