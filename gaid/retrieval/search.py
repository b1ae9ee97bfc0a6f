"""`search`: the clips of a store that answer a sentence, best first. It needs no captions and opens no clip.

The sentence goes through the store's own encoders of captions and is kept as a caption would be; the head then scores it with every
clip that has features, exactly, a block of clips at a time. Pages and tables are `report`'s and the command's.
"""

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from gaid.errors import DataMissing, GaidError, MediaError, OptionInvalid
from gaid.evaluation.basis import Basis, notes_of, overlap_notes
from gaid.evaluation.bench import Bench, open_bench
from gaid.evaluation.subject import own_encoder, zero_shot_preset
from gaid.extract.sources import find_videos, load_sentence_encoder
from gaid.heads.features import Features
from gaid.runs import Run
from gaid.stores import AUDIO_STATES, iter_clips, open_store, read_clips, valid_rows

if TYPE_CHECKING:
    from gaid.datasets.types import Video
    from gaid.heads import Head
    from gaid.retrieval.index import ClipIndex, IndexAbout
    from gaid.stores import Store

Sentences = dict[str, Any]
LANES = ("gate", "attention", "sound_weight")


@dataclass
class Hit:
    """One clip of an answer. `sound`: the share of its sound in the embedding that was compared, 0 to 1, or None. `senses`: what
    picture and sound have found, where the score is a sum of both.

    `frames` holds gate, attention and sound weight (F) where the head explains them; `start` and `end` are seconds in `path`.
    """

    place: int
    video: str
    score: float
    sound: float | None = None
    audio: str = "sound"
    duration: float = 0.0
    path: str | None = None
    start: float | None = None
    end: float | None = None
    senses: dict[str, float] = field(default_factory=dict)
    frames: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; without `frames`."""
        plain = {name: value for name, value in vars(self).items() if name != "frames"}
        senses = {name: round(value, 6) for name, value in self.senses.items()}
        sound = None if self.sound is None else round(self.sound, 4)
        return plain | {"score": round(self.score, 6), "sound": sound, "senses": senses}


@dataclass
class Answer:
    """The clips that answer one sentence, best first."""

    query: str
    hits: list[Hit]


@dataclass
class SearchResults:
    """A search. `seconds` has the times of loading, of encoding the text, and of scoring.

    `opened` and `root`, the store and where its clips lie if not where it says, are what a page's pictures are drawn from; they
    are kept in memory only.
    """

    answers: list[Answer]
    basis: Basis
    text_backbone: str
    audio_text_backbone: str | None
    frames: int
    seconds: dict[str, float]
    notes: list[str] = field(default_factory=list)
    opened: "Store | None" = field(default=None, repr=False)
    root: str | Path | None = field(default=None, repr=False)

    @property
    def clips(self) -> int:
        """How many clips were compared."""
        return self.basis.videos

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "answers": [
                {"query": answer.query, "hits": [hit.to_dict() for hit in answer.hits]} for answer in self.answers
            ],
            "clips": self.clips,
            **self.basis.to_dict("store", "dataset", "preset", "trained", "run"),
            "seed": self.basis.seeds[0],
            "text_backbone": self.text_backbone,
            "audio_text_backbone": self.audio_text_backbone,
            "random_weights": self.basis.random_weights,
            "frames": self.frames,
            "audio_input": self.basis.audio_input,
            "notes": self.notes,
            **self.basis.to_dict("training_overlap"),
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
        }


def search(
    query: str | Sequence[str] = (),
    *,
    run: "str | Path | Run | None" = None,
    store: "str | Path | Store | None" = None,
    preset: str | None = None,
    query_file: str | Path | Iterable[str | Path] = (),
    top: int = 10,
    text: str | None = None,
    root: str | Path | None = None,
    device: str = "auto",
    memory: str | int = "auto",
    seed: int = 0,
    index: Literal["exact", "faiss"] = "exact",
) -> SearchResults:
    """The best clips of a store for each sentence, by a run's head (its first seed's) or by an untrained one.

    Args:
        query: a sentence or several.
        query_file: files of more, one sentence per line; `-` is standard input.
        run: on its own store, or on `store`, which must hold features of the same backbones.
        store: features in place of the run's own, or for an untrained head.
        preset: the untrained head on `store`, which makes sense only where the backbones share a space. By default the one that
            compares every sense that shares a space with sentences: av-sum, mean-pool (pictures) or sound.
        top: clips per sentence.
        text: the encoder of the sentences, where the store's name for it does not load here.
        root: where the clips' files are. Default: where the store says they were. Only for paths and pictures.
        device: of the encoder and the head.
        memory: bound on what is held beside a block of features.
        seed: of an untrained head and of trials in scoring.
        index: `exact` scores every clip; `faiss` takes candidates from an index that is kept beside the store, made when it is
            first asked for and extended when the store has grown, and scores these.

    Raises OptionInvalid, DataMissing, StoreIncomplete, StoresDisagree, HeadMismatch, RunInvalid, BackboneUnavailable.
    """
    started = time.perf_counter()
    queries = _collect(query, query_file)
    if top < 1:
        raise OptionInvalid(f"--top {top} must be at least 1")
    if index not in ("exact", "faiss"):
        raise OptionInvalid(f"--index {index}: choose exact or faiss")
    if run is None and store is None:
        raise OptionInvalid("search where? Give a run (--run RUN), or a store (--store PATH)")
    if run is None and preset is None and store is not None:
        store = open_store(store) if isinstance(store, str | Path) else store
        preset = zero_shot_preset(store)
    bench = open_bench(run, store=store, preset=preset, split=None, seeds=1, memory=memory, device=device, seed=seed)
    subject, opened = bench.subject, bench.store
    valid = valid_rows(opened)
    count = len(valid)
    if not count:
        raise DataMissing(f"{opened.path}: holds no clip with features (gaid store info {opened.path} shows why)")
    if subject.audio not in ("own", "silence", "none"):
        raise OptionInvalid(f"{run}: a control, trained with audio={subject.audio}; search by another run")
    _check_index(index, bench.head())
    own_name = text or own_encoder(subject.run, opened, "text")
    encode = load_sentence_encoder(opened, bench.device, bench.head().text_input, own_name, "--text")
    kept = _open_index(bench, index)
    loaded = time.perf_counter()
    embedded = encode(queries)
    encoded = time.perf_counter()
    wanted = min(top, count)
    rows, scores = find_best(bench, embedded, wanted) if kept is None else kept[0].find_best(embedded, wanted)
    scored = time.perf_counter()
    basis = Basis.of_library(subject, opened, [opened.ids[row] for row in valid], bench.device)
    notes = notes_of([basis]) + overlap_notes([basis])
    if len(subject.seeds) > 1:
        notes.append(f"a run of {len(subject.seeds)} seeds: the head of seed {basis.seeds[0]} searches")
    if kept is not None:
        notes.append(str(kept[1]))
    answers = _answers(queries, rows, scores, bench, embedded)
    try:
        _locate(answers, opened, root)
    except (GaidError, OSError) as error:
        notes.append(f"the clips' files are not listed: {error}; --root FOLDER says where they are")
    return SearchResults(
        answers=answers,
        basis=basis,
        text_backbone=encode.text.name,
        audio_text_backbone=encode.audio.name if encode.audio else None,
        frames=opened.frames,
        seconds={"load": loaded - started, "text": encoded - loaded, "score": scored - encoded},
        notes=notes,
        opened=opened,
        root=root,
    )


def _check_index(index: str, head: "Head") -> None:
    """Raises OptionInvalid for a head that an index can't be made with."""
    if index == "exact":
        return
    if not head.has_video_embedding:
        raise OptionInvalid("--index faiss: this head has no vector of a video without a query; use --index exact")
    if head.has_trials:
        raise OptionInvalid("--index faiss: this head draws trials for every clip of a store; use --index exact")


def _open_index(bench: Bench, index: str) -> "tuple[ClipIndex, IndexAbout] | None":
    """The index beside the store, where it is asked for."""
    if index == "exact":
        return None
    from gaid.retrieval.index import ClipIndex

    return ClipIndex.open(bench, find_best)


@torch.inference_mode()
def find_best(bench: Bench, sentences: Sentences, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the bench's store (queries, count) with the best scores for each query, best first, and the scores.

    `sentences`: as a `SentenceEncoder` gives them. Clips are read and scored a block at a time, so a store may be larger than memory.
    """
    head, store = bench.head(), bench.store
    queries = len(sentences["text"])
    per_clip = max(bench.bytes_per_clip, 8 * queries)
    best_rows = np.empty((queries, 0), np.int64)
    best_scores = np.empty((queries, 0), np.float32)
    for rows, clips in iter_clips(store, max(1, bench.memory // 4 // per_clip)):
        features = bench.on(replace(clips, **sentences)).features()
        block = head.score(features.text, *features.videos(slice(None)), memory=bench.memory // 2, seed=bench.seed)
        scores = np.concatenate([best_scores, block.float().cpu().numpy()], axis=1)
        table = np.concatenate([best_rows, np.broadcast_to(rows, (queries, len(rows)))], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        best_scores, best_rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(table, order, axis=1)
    return best_rows, best_scores


def _collect(query: str | Sequence[str], files: str | Path | Iterable[str | Path]) -> list[str]:
    """All sentences, with white space normalised. Raises OptionInvalid, DataMissing."""
    from gaid.datasets.reading import read_lines
    from gaid.datasets.types import is_unicode

    queries = [query] if isinstance(query, str) else list(query)
    if any(not one.strip() for one in queries):
        raise OptionInvalid("search for what? The sentence is empty")
    for file in [files] if isinstance(files, str | Path) else files:
        if str(file) == "-":
            lines = sys.stdin.read().splitlines()
        elif not Path(file).is_file():
            raise DataMissing(f"--query-file {file}: no such file; one sentence per line is expected in it")
        else:
            lines = [line for _, line in read_lines(Path(file))]
        queries += [line for line in lines if line.strip()]
    if not queries:
        raise OptionInvalid('search for what? Give a sentence ("a dog barks"), or --query-file FILE with one per line')
    for one in queries:
        if not is_unicode(one):
            raise OptionInvalid(
                f"the sentence {one!r} is not text: it has bytes that are not UTF-8, or half of a character"
            )
    return [" ".join(one.split()) for one in queries]


def _answers(
    queries: list[str], rows: np.ndarray, scores: np.ndarray, bench: Bench, sentences: Sentences
) -> list[Answer]:
    head, known = bench.head(), np.unique(rows)
    clips = read_clips(bench.store, known)
    features = bench.on(replace(clips, **sentences)).features()
    answers = []
    for number, (query, of_query, of_scores) in enumerate(zip(queries, rows, scores, strict=True)):
        places = np.searchsorted(known, of_query)
        explained, senses = _explain(head, features, number, places), _senses(head, features, number, places)
        hits = [
            Hit(
                place=place,
                video=clips.video_ids[row],
                score=float(score),
                sound=float(lanes["sound_weight"].sum()) if lanes and head.uses_audio else None,
                audio=AUDIO_STATES[int(clips.audio_state[row])],
                duration=round(float(clips.duration[row]), 3),
                senses=of_hit,
                frames=lanes,
            )
            for place, (row, score, lanes, of_hit) in enumerate(
                zip(places, of_scores, explained, senses, strict=True), start=1
            )
        ]
        answers.append(Answer(query, hits))
    return answers


@torch.inference_mode()
def _explain(head: "Head", features: Features, query: int, places: np.ndarray) -> list[dict[str, np.ndarray]]:
    """For each hit its gate, attention and sound weight (F); nothing for a head that explains nothing."""
    nothing: list[dict[str, np.ndarray]] = [{} for _ in places]
    explanation = head.explain(features.text[[query]], *features.videos(torch.from_numpy(places)))
    if explanation is None:
        return nothing
    lanes = {name: getattr(explanation, name)[0].float().cpu().numpy() for name in LANES}
    return [{name: values[number] for name, values in lanes.items()} for number in range(len(places))]


@torch.inference_mode()
def _senses(head: "Head", features: Features, query: int, places: np.ndarray) -> list[dict[str, float]]:
    """For each hit what picture and sound have found; nothing for a head whose score is no sum of such."""
    found = head.evidence(features.text[[query]], *features.videos(torch.from_numpy(places)))
    return [{name: float(values[0, number]) for name, values in found.items()} for number in range(len(places))]


def _locate(answers: list[Answer], store: "Store", root: str | Path | None) -> None:
    hits = [hit for answer in answers for hit in answer.hits]
    known = find_videos(store, [hit.video for hit in hits], root)
    for hit in hits:
        video = known.get(hit.video)
        if video is not None:
            hit.path, (hit.start, hit.end) = str(video.path), _times(video)


def _times(video: "Video") -> tuple[float | None, float | None]:
    """Where in its file a hit is."""
    if not video.may_be_whole:
        return video.start, video.end
    from gaid.media.decode import clip_times, probe

    try:
        return clip_times(video, probe(video.path).duration)
    except MediaError:
        return video.start, video.end
