"""`evaluate`: heads against a split of a store, under a protocol, with baselines, leak, intervals and all that they rest on.

All captions of the split are queries and all its videos the gallery. Scores come from the heads, ranks and intervals from
`metrics`; pages and tables are `report`'s.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaid import metrics
from gaid.devices import pick_device
from gaid.errors import OptionInvalid
from gaid.evaluation import index as faiss_index
from gaid.evaluation import sound
from gaid.evaluation.basis import Basis, noise_by_protocol, notes_of, overlap_notes, overlaps_of
from gaid.evaluation.conditioning import NOISES, OWN_CAPTIONS, PROTOCOLS, Noise, OwnCaption, get_protocol
from gaid.evaluation.dual_softmax import SecondSoftmax
from gaid.evaluation.results import (
    DIRECTION,
    DIRECTIONS,
    Comparison,
    Evidence,
    Leak,
    Results,
    difference_of,
    figures_of,
    note_on_size,
)
from gaid.evaluation.save_ranks import BEST, check_ranks_path, holds_lists, save_lists
from gaid.evaluation.save_ranks import save_ranks as write_ranks
from gaid.evaluation.scoring import (
    DUAL_SOFTMAX,
    DualSoftmax,
    best_videos,
    parse_memory,
    ranks_of,
    score_all,
    select,
)
from gaid.evaluation.subject import (
    SENSES,
    Subject,
    check_head_fits,
    clips_with_sound,
    load_subject,
    only_sound,
    only_with_sound,
    split_of,
)
from gaid.heads.features import Features
from gaid.runs import Run, load_run
from gaid.settings import check_seed
from gaid.stores import with_audio

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Split, Store

INDEXES = ("exact", "faiss")
SUBSETS = ("all", "with-sound")


def evaluate(
    run: "str | Path | Run | None" = None,
    *,
    store: "str | Path | Store | None" = None,
    preset: str | None = None,
    split: str = "test",
    split_protocol: str | None = None,
    index: str = "exact",
    protocol: str = "query",
    direction: str = "both",
    memory: str | int = "1GiB",
    candidates: int | None = None,
    against: "Iterable[str | Path | Run]" = (),
    save_ranks: str | Path | None = None,
    device: str = "auto",
    seed: int = 0,
    sense: str = "video",
    subset: str = "all",
    dual_softmax: DualSoftmax | None = None,
    first_caption: bool = False,
    own_caption: OwnCaption = "first",
    noise: Noise | None = None,
    root: str | Path | None = None,
) -> Results:
    """Retrieval figures of a run (of all its seeds), or of a preset without training on a store.

    Args:
        run: a run folder or Run; on its own store, or on `store`, which must hold features of the same backbones.
        store, preset: a store, and a head without training: only sensible where the backbones share a space.
        split, split_protocol: part of the data set, and which of its splits (default: the one trained under).
        index: `exact` scores all pairs; `faiss` also searches by candidates and re-scores the best `candidates`.
        protocol: `query`, or one of the published ones, whose figures then stand beside the query's as a leak.
        direction: `t2v`, `v2t` or `both`.
        memory: bound on what is held beside the features, as 1GiB or a number of bytes.
        against: baselines, runs on the same store; a preset's name stands for that head without training.
        save_ranks: what every query found, as .csv, .jsonl, .npz, a TREC run (.trec, .run) or MTEB's .mteb.json.
        seed: of the bootstrap, of trials in scoring, of an untrained head, and of a page's choice of queries.
        sense: `sound` compares texts with the sounds alone, among the clips that have any (untrained heads only).
        subset: `with-sound` takes only the clips that have sound; the figures over all clips stand beside.
        dual_softmax: also the figures with a second softmax, beside the plain ones of every protocol that is measured:
            `published` takes it over the texts in both directions, `per-direction` over the queries of each.
        first_caption: only each video's first caption asks; the figures with all captions stand beside.
        own_caption: which of its own captions a gallery video reads where the protocol lets it and there are several:
            its `first`, or for k-th captions its k-th, the `same`, as the published function has it.
        noise: whose the draws of a head with trials (t-mass) are: each `pair`'s own, as published, or its `text`'s for all
            videos. Default: pair under the published protocols, text under query.
        root: where the clips lie that a page shows (`gaid.report.write_page`), if not where the store says.

    Returns Results; its figures are the query protocol's, whatever `protocol` is. Raises OptionInvalid, DataMissing,
    StoreIncomplete, StoresDisagree, HeadMismatch, RunInvalid.
    """
    started = time.perf_counter()
    chosen = get_protocol(protocol)
    directions = _directions(direction)
    if index not in INDEXES:
        raise OptionInvalid(f"--index {index!r} is none of {', '.join(INDEXES)}")
    if index == "faiss" and "t2v" not in directions:
        raise OptionInvalid("--index faiss finds videos for texts; use --direction t2v or both")
    if dual_softmax is not None and dual_softmax not in DUAL_SOFTMAX:
        raise OptionInvalid(f"--dual-softmax {dual_softmax!r} is none of {', '.join(DUAL_SOFTMAX)}")
    if own_caption not in OWN_CAPTIONS:
        raise OptionInvalid(f"--own-caption {own_caption!r} is none of {', '.join(OWN_CAPTIONS)}")
    if own_caption != "first" and chosen.pool_by != "own_caption":
        raise OptionInvalid(
            f"--own-caption {own_caption} names the caption that pools a gallery video, which under --protocol {chosen.name} "
            "is the text that asks; give --protocol published"
        )
    if noise is not None and noise not in NOISES:
        raise OptionInvalid(f"--noise {noise!r} is none of {', '.join(NOISES)}")
    budget = parse_memory(memory)
    check_seed(seed)
    ranks_path = check_ranks_path(save_ranks) if save_ranks is not None else None
    if ranks_path is not None and "t2v" not in directions:
        raise OptionInvalid("--save-ranks writes the ranks of texts; use --direction t2v or both")
    device = pick_device(device)
    subject, opened = load_subject(run, store, preset, device, seed, sense)
    if subset not in SUBSETS:
        raise OptionInvalid(f"--subset {subset!r} is none of {', '.join(SUBSETS)}")
    whole = split_of(subject.run, opened, split, split_protocol)
    if sense == SENSES[1]:
        whole = only_sound(whole)
    clips = only_with_sound(whole) if subset == "with-sound" else whole
    part = clips.first_captions() if first_caption else clips

    rest = (directions, budget, device, seed, noise)
    measured = Measurement(part, *rest)
    results = measured.of(subject, opened, dual_softmax=dual_softmax)
    if clips is not whole:
        everything = Measurement(whole.first_captions() if first_caption else whole, *rest)
        results.all_clips = everything.of(subject, opened, brief=True).figures
    if len(part.caption_ids) < len(clips.caption_ids):
        everything = Measurement(clips, *rest)
        results.all_captions = everything.of(subject, opened, brief=True).figures
    results.sense, results.index, results.subset = sense, index, subset
    results.first_caption = first_caption
    if chosen.gallery_reads_captions:
        results.leak = measured.leak(subject, results, chosen.name, dual_softmax, own_caption)
    if index == "faiss":
        results.search = measured.search(subject, candidates)
    if sense == "video":
        heads = (subject.head(number) for number in range(len(subject.seeds)))
        results.sound_weight = sound.measure_heads(
            heads, lambda head: measured.features(subject.audio, head), opened, part
        )
    for other in against:
        baseline = measured.of(_baseline(other, opened, device, seed), opened, brief=True)
        results.baselines.append(baseline)
        results.comparisons.append(_compare(results, baseline, part, seed))
    bases = [results.basis, *(baseline.basis for baseline in results.baselines)]
    results.training_overlap = overlaps_of(bases)
    results.notes += overlap_notes(bases)
    results.evidence = Evidence(opened, part, device, budget, subject.head, *measured.best, root, seed)
    results.seconds = time.perf_counter() - started
    if ranks_path is not None:
        if holds_lists(ranks_path):
            hears = bool(getattr(subject.head(0), "uses_audio", True)) and sense == "video"
            results.notes += save_lists(
                ranks_path, measured.scores(subject, 0), part, results, uses_audio=hears, memory=budget
            )
        else:
            write_ranks(ranks_path, part, results.basis.seeds, results.ranks["t2v"], *measured.best)
        results.saved_ranks = ranks_path
    return results


class Measurement:
    """Scores, ranks and figures of several heads on one split; nothing of a head is kept but its ranks."""

    def __init__(
        self,
        split: "Split",
        directions: Sequence[str],
        memory: int,
        device: str,
        seed: int,
        noise: Noise | None = None,
    ) -> None:
        self.split, self.directions, self.noise = split, directions, noise
        self.memory, self.device, self.seed = memory, device, seed
        self._features: dict[tuple[str, str, str], Features] = {}
        self.best: tuple[np.ndarray, np.ndarray] = (np.empty((0, 0), np.int64), np.empty((0, 0), np.float32))

    def features(self, audio: str = "own", head: "Head | None" = None) -> Features:
        """The split's features: what the head takes, with the sound that it was trained with."""
        key = (audio, *(("frames", "frames") if head is None else (head.visual_input, head.audio_input)))
        if key not in self._features:
            self._features[key] = Features.of(with_audio(self.split, audio, self.seed), self.device, head)
        return self._features[key]

    def of(
        self, subject: Subject, store: "Store", brief: bool = False, dual_softmax: DualSoftmax | None = None
    ) -> Results:
        """Figures under the query protocol; with `brief` nothing but figures (for a baseline)."""
        ranks: dict[str, list[np.ndarray]] = {one: [] for one in self.directions}
        with_sound: dict[str, list[np.ndarray]] = {one: [] for one in self.directions}
        doubled = self._second(dual_softmax)
        sounding = clips_with_sound(self.split)
        for number in range(len(subject.seeds)):
            scores = self.scores(subject, number, "query")
            self._rank(scores, self.split.caption_video, ranks)
            if doubled is not None:
                doubled.add(scores)
            if 0 < sounding.sum() < len(sounding):
                captions = np.flatnonzero(sounding[self.split.caption_video])
                place = np.cumsum(sounding) - 1
                of_sounding = select(scores, captions, np.flatnonzero(sounding), self.memory)
                self._rank(of_sounding, place[self.split.caption_video[captions]], with_sound)
            if number == 0 and not brief:
                self.best = best_videos(scores, BEST, memory=self.memory)
        basis = Basis.of(subject, store, self.split, device=self.device, noise=self.noise)
        results = Results(
            basis=basis,
            figures=figures_of(ranks, self.split.caption_video, self.seed),
            notes=[*notes_of([basis]), *note_on_size(len(self.split.video_ids))],
            ranks={one: np.stack(found) for one, found in ranks.items()},
        )
        if any(with_sound.values()):
            captions = np.flatnonzero(sounding[self.split.caption_video])
            own = (np.cumsum(sounding) - 1)[self.split.caption_video[captions]]
            results.with_sound = figures_of(with_sound, own, self.seed)
        if doubled is not None:
            results.dual_softmax = doubled.beside(results.figures, ranks)
        return results

    def leak(
        self,
        subject: Subject,
        results: Results,
        protocol: str,
        dual_softmax: DualSoftmax | None = None,
        reads: OwnCaption = "first",
    ) -> Leak:
        """The same heads with a gallery that reads captions, and how far that lifts them."""
        ranks: dict[str, list[np.ndarray]] = {one: [] for one in self.directions}
        doubled = self._second(dual_softmax)
        for number in range(len(subject.seeds)):
            scores = self.scores(subject, number, protocol, reads=reads)
            self._rank(scores, self.split.caption_video, ranks)
            if doubled is not None:
                doubled.add(scores)
        figures = figures_of(ranks, self.split.caption_video, self.seed)
        noise = results.basis.noise.get(protocol)
        found = Leak(protocol, figures, difference_of(figures, results.figures), reads, noise)
        if doubled is not None:
            found.dual_softmax = doubled.beside(figures, ranks)
        return found

    def search(self, subject: Subject, candidates: int | None) -> faiss_index.Search:
        """The first seed's head through the index, held against its own exact ranking."""
        head = subject.head(0)
        count = faiss_index.check_indexable(head, candidates, len(self.split.video_ids))
        started = time.perf_counter()
        exact = self.scores(subject, 0, "query")
        seconds = time.perf_counter() - started
        found = faiss_index.search_all(
            head,
            self.features(subject.audio, head),
            self.split.caption_video,
            exact,
            count=count,
            memory=self.memory,
            seed=self.seed,
            noise=noise_by_protocol(head, self.noise).get("query", "text"),
        )
        found.seconds["exact"] = seconds
        found.figures = figures_of({"t2v": [found.ranks]}, self.split.caption_video, self.seed)["t2v"]
        return found

    def scores(
        self,
        subject: Subject,
        number: int,
        protocol: str = "query",
        *,
        features: Features | None = None,
        head: "Head | None" = None,
        own_caption: np.ndarray | None = None,
        reads: OwnCaption = "first",
    ) -> np.ndarray:
        """Scores (captions, videos) of a member; other features, another head or other own captions where given."""
        head = subject.head(number) if head is None else head
        check_head_fits(head, self.split, subject.name)
        return score_all(
            head,
            self.features(subject.audio, head) if features is None else features,
            self.split.caption_video,
            PROTOCOLS[protocol],
            memory=self.memory,
            seed=self.seed,
            own_caption=own_caption,
            reads=reads,
            noise=self.noise,
        )

    def _second(self, form: DualSoftmax | None) -> SecondSoftmax | None:
        if form is None:
            return None
        return SecondSoftmax(form, self.split.caption_video, self.directions, memory=self.memory, seed=self.seed)

    def _rank(self, scores: np.ndarray, caption_video: np.ndarray, found: dict[str, list[np.ndarray]]) -> None:
        for one in self.directions:
            found[one].append(ranks_of(scores, caption_video, one, memory=self.memory))


def _compare(results: Results, baseline: Results, split: "Split", seed: int) -> Comparison:
    """Paired differences. Heads of unequal numbers of seeds are compared by their means, as they are printed."""
    difference, spread = {}, {}
    for one, ranks in results.ranks.items():
        other = baseline.figures[one].values
        difference[one] = {name: value - other[name] for name, value in results.figures[one].values.items()}
        clusters = metrics.videos_of_ranks(split.caption_video, DIRECTION[one])
        spread[one] = metrics.intervals(ranks, clusters, seed=seed, against=baseline.ranks[one])
    return Comparison(baseline.label, difference, spread)


def _baseline(other: "str | Path | Run", store: "Store", device: str, seed: int) -> Subject:
    from gaid.heads import PRESETS

    if not isinstance(other, Run) and str(other) in PRESETS and not Path(other).exists():
        return Subject.untrained(str(other), store, device, seed)
    return Subject.of_run(load_run(other), store, device)


def _directions(direction: str) -> tuple[str, ...]:
    if direction == "both":
        return tuple(DIRECTIONS)
    if direction not in DIRECTIONS:
        raise OptionInvalid(f"--direction {direction!r} is none of both, {', '.join(DIRECTIONS)}")
    return (direction,)
