"""`evaluate`: heads against a split of a store, under a protocol, with baselines, leak, intervals and all that they rest on.

All captions of the split are queries and all its videos the gallery. A bench gives scores and ranks; each further question
(leak, index, sound weight) is a function of its own here or in its module. Pages and tables are left to `report`.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaid import metrics
from gaid.errors import OptionInvalid
from gaid.evaluation.basis import notes_of, overlap_notes, overlaps_of
from gaid.evaluation.bench import Bench, Condition, View, open_bench
from gaid.evaluation.conditioning import NOISES, OWN_CAPTIONS, OwnCaption, Protocol, get_protocol
from gaid.evaluation.dual_softmax import SecondSoftmax
from gaid.evaluation.figures import difference_of, figures_of, paired_intervals
from gaid.evaluation.index import measure_index
from gaid.evaluation.ranks import Ranks
from gaid.evaluation.results import (
    Comparison,
    Leak,
    Results,
    note_on_size,
)
from gaid.evaluation.save_ranks import BEST, check_ranks_path, write_ranks
from gaid.evaluation.scoring import DUAL_SOFTMAX, DualSoftmax, best_videos
from gaid.evaluation.sound import measure_sound_weight
from gaid.evaluation.subject import Subject
from gaid.evaluation.subsets import only_with_sound
from gaid.heads.base import Noise
from gaid.runs import Run

if TYPE_CHECKING:
    from gaid.stores import Store

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
    memory: str | int = "auto",
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
    """Retrieval figures of a run (of all its seeds), or of an untrained preset on a store.

    Args:
        run: a run folder or Run; on its own store, or on `store`, which must hold features of the same backbones.
        store: features in place of the run's own, or for an untrained head.
        preset: the untrained head on `store`, which makes sense only where the backbones share a space.
        split: part of the data set.
        split_protocol: which of the data set's splits; by default the one that the run was trained under.
        index: `exact` scores all pairs; `faiss` also searches by candidates and re-scores the best `candidates`.
        protocol: `query`, or one of the published ones, whose figures then stand beside the query's as a leak.
        direction: `t2v`, `v2t` or `both`.
        memory: bound on what is held beside the features, as 1GiB or a number of bytes; by the device by default
            (`devices.default_memory`).
        against: baselines, runs on the same store; a preset's name stands for its untrained head.
        save_ranks: where the list of every query goes, as .csv, .jsonl, .npz, a TREC run (.trec, .run) or .mteb.json.
        seed: of the bootstrap, of trials in scoring, of an untrained head, and of a page's choice of queries.
        sense: `sound` compares texts with the sounds alone, among the clips that have any (untrained heads only).
        subset: `with-sound` takes only the clips that have sound; the figures over all clips stand beside.
        dual_softmax: also the figures with a second softmax, beside the plain ones of every protocol that is measured:
            `published` takes it over the texts in both directions, `per-direction` over the queries of each.
        first_caption: only each video's first caption asks; the figures with all captions stand beside.
        own_caption: which of several captions of its own a gallery video reads where the protocol lets it: the `first`, or
            `same`, for k-th captions its k-th, as in the published code.
        noise: how the trials of a head (t-mass) are drawn: for each `pair`, as published, or for each `text`, the same for
            all videos. Default: pair under the published protocols, text under query.
        root: where the clips lie that a page shows (`gaid.report.write_page`), if not where the store says.

    Returns Results; its figures are the query protocol's, whatever `protocol` is. Raises OptionInvalid, DataMissing,
    StoreIncomplete, StoresDisagree, HeadMismatch, RunInvalid.
    """
    started = time.perf_counter()
    chosen, directions = get_protocol(protocol), _directions(direction)
    _check_one_of("--index", index, INDEXES)
    if index == "faiss" and "t2v" not in directions:
        raise OptionInvalid("--index faiss finds videos for texts; use --direction t2v or both")
    _check_one_of("--dual-softmax", dual_softmax, DUAL_SOFTMAX)
    _check_own_caption(own_caption, chosen)
    _check_one_of("--noise", noise, NOISES)
    _check_one_of("--subset", subset, SUBSETS)
    ranks_path = check_ranks_path(save_ranks) if save_ranks is not None else None
    if ranks_path is not None and "t2v" not in directions:
        raise OptionInvalid("--save-ranks writes the ranks of texts; use --direction t2v or both")
    whole = open_bench(
        run, store=store, preset=preset, split=split, split_protocol=split_protocol, memory=memory, device=device,
        seed=seed, sense=sense, noise=noise, directions=directions,
    )  # fmt: skip
    clips = whole.on(only_with_sound(whole.split)) if subset == "with-sound" else whole
    bench = clips.on(clips.split.first_captions()) if first_caption else clips

    results = measure(bench, dual_softmax, best=True)
    results.sense, results.index, results.subset, results.first_caption = sense, index, subset, first_caption
    results.bench, results.root = bench, root
    if clips.videos < whole.videos:
        results.all_clips = measure(whole.on(whole.split.first_captions()) if first_caption else whole).figures
    if len(bench.owner) < len(clips.owner):
        results.all_captions = measure(clips).figures
    if chosen.gallery_reads_captions:
        results.leak = measure_leak(bench, results, Condition(chosen.name, reads=own_caption), dual_softmax)
    if index == "faiss":
        results.search = measure_index(bench, candidates)
    if sense == "video":
        results.sound_weight = measure_sound_weight(bench)
    _compare(bench, results, [_baseline(other, bench) for other in against])
    results.seconds = time.perf_counter() - started
    if ranks_path is not None:
        results.notes += write_ranks(ranks_path, bench, results)
        results.saved_ranks = ranks_path
    return results


def measure(bench: Bench, dual_softmax: DualSoftmax | None = None, *, best: bool = False) -> Results:
    """Figures of a bench under the query protocol, and of its clips with sound alone where some have none.

    `best`: also the best videos of each caption, by the first member.
    """
    second = SecondSoftmax(dual_softmax, bench) if dual_softmax else None
    found: list[np.ndarray] = []

    def watch(member: int, scores: np.ndarray) -> None:
        if second is not None:
            second.watch(member, scores)
        if best and member == bench.members[0]:
            found.extend(best_videos(scores, BEST, memory=bench.memory))

    views, sounding = [View()], bench.sounding
    if 0 < sounding.sum() < len(sounding):
        views.append(View(np.flatnonzero(sounding[bench.owner]), np.flatnonzero(sounding)))
    ranks, *of_sounding = bench.measure(*views, watch=watch)
    figures = figures_of(ranks, bench.seed)
    results = Results(
        basis=bench.basis,
        figures=figures,
        with_sound=figures_of(of_sounding[0], bench.seed) if of_sounding else None,
        dual_softmax=second.beside(figures, ranks) if second else None,
        notes=notes_of([bench.basis]) + note_on_size(bench.videos),
        ranks=ranks.by,
    )
    if best:
        results.best_rows, results.best_scores = found
    return results


def measure_leak(bench: Bench, results: Results, condition: Condition, dual_softmax: DualSoftmax | None = None) -> Leak:
    """The same heads with a gallery that reads captions, and how much higher their figures are than those of `results`."""
    second = SecondSoftmax(dual_softmax, bench) if dual_softmax else None
    (ranks,) = bench.measure(condition=condition, watch=second.watch if second else None)
    figures = figures_of(ranks, bench.seed)
    return Leak(
        condition.protocol,
        figures,
        difference_of(figures, results.figures),
        condition.reads,
        bench.basis.noise.get(condition.protocol),
        second.beside(figures, ranks) if second else None,
    )


def _compare(bench: Bench, results: Results, others: Sequence[Bench]) -> None:
    """Baselines and paired differences to them. Heads of unequal numbers of seeds are compared by their means, as printed."""
    for other in others:
        baseline = measure(other)
        ranks, against = (Ranks(one.ranks, bench.clusters, bench.videos) for one in (results, baseline))
        difference = difference_of(results.figures, baseline.figures)
        spread = paired_intervals(ranks, against, bench.seed)
        results.baselines.append(baseline)
        results.comparisons.append(Comparison(baseline.label, difference, spread))
    bases = [results.basis, *(baseline.basis for baseline in results.baselines)]
    results.training_overlap = overlaps_of(bases)
    results.notes += overlap_notes(bases)


def _baseline(other: "str | Path | Run", bench: Bench) -> Bench:
    """A run's heads, or a preset's untrained one, on the same split."""
    from gaid.heads import PRESETS

    if not isinstance(other, Run) and str(other) in PRESETS and not Path(other).exists():
        return bench.beside(Subject.untrained(str(other), bench.store, bench.device, bench.seed))
    return bench.beside(other)


def _directions(direction: str) -> tuple[metrics.Direction, ...]:
    _check_one_of("--direction", direction, ("both", *metrics.DIRECTIONS))
    return tuple(one for one in metrics.DIRECTIONS if direction in ("both", one))


def _check_own_caption(own_caption: str, protocol: Protocol) -> None:
    _check_one_of("--own-caption", own_caption, OWN_CAPTIONS)
    if own_caption != "first" and protocol.pool_by != "own_caption":
        raise OptionInvalid(
            f"--own-caption {own_caption} names the caption that pools a gallery video, which under --protocol {protocol.name} "
            "is the text that asks; give --protocol published"
        )


def _check_one_of(option: str, value: str | None, known: Iterable[str]) -> None:
    """Raises OptionInvalid for a value that is given and not known."""
    if value is not None and value not in known:
        raise OptionInvalid(f"{option} {value!r} is none of {', '.join(known)}")
