"""Senses: does sound help, and when? Picture, sound and both without training, and trained runs, on parts of the queries."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gaid.audit.rank_changes import RankChange, largest_changes, name_sounds
from gaid.audit.results import Line, Section
from gaid.evaluation.basis import Basis, notes_of, overlap_notes
from gaid.evaluation.bench import Bench, open_bench, split_of
from gaid.evaluation.ranks import Estimate, Ranks
from gaid.evaluation.sound_words import named_sounds, names_sound, tells_of_sound
from gaid.evaluation.subject import Subject
from gaid.evaluation.subsets import clips_with_sound
from gaid.heads import Features
from gaid.metrics import Direction
from gaid.runs import Run, load_run

if TYPE_CHECKING:
    from gaid.stores import Split, Store

PICTURE, SOUND, SUM, WEIGHTED = "picture only", "sound only", "both, summed", "both, weighted"
PRESETS = {PICTURE: "mean-pool", SOUND: "sound", SUM: "av-sum", WEIGHTED: "av-weighted"}
ALL, WORDS, NAMES = (
    "captions, all of them",
    "captions with a word of sound, as heard or barks",
    "captions with the name of an AudioSet class",
)
NAMED = {WORDS: "that name a sound", NAMES: "that have the name of an AudioSet class"}
ENOUGH = 20  # captions of a part that the first sentence speaks of
CHANGE = "change t2v R@1"
NO_TEXT_SIDE = (
    "sound is not measured without training: the store has no captions in the sound's own text space; extract it again "
    "(--overwrite) with an audio backbone that has a text side, such as clap"
)


@dataclass(frozen=True)
class Part:
    """Some queries: captions that ask (captions), and videos that ask in the other direction (videos), None for none."""

    name: str
    captions: np.ndarray
    videos: np.ndarray | None = None

    def of(self, ranks: Ranks) -> Ranks:
        """Their ranks; the gallery stays whole."""
        rows: dict[Direction, np.ndarray] = {"t2v": self.captions}
        if self.videos is not None:
            rows["v2t"] = self.videos
        by = {one: ranks.by[one][:, chosen] for one, chosen in rows.items() if one in ranks.by}
        return Ranks(by, {one: ranks.clusters[one][rows[one]] for one in by}, ranks.gallery)


@dataclass
class Comparison:
    """Heads on one split by their labels, with the figures of each part of the queries.

    `hears` and `without` are the labels of the two that the first finding compares; None where nothing here takes sound. `silent`
    is the trained head that takes no sound, with which other trained ones are compared; None where there is none.
    """

    benches: dict[str, Bench]
    section: Section
    hears: str | None
    without: str
    silent: str | None

    def changes(self) -> list[RankChange]:
        """The captions whose rank sound changed most."""
        if self.hears is None:
            return []
        return largest_changes(self.benches[self.without], self.benches[self.hears], self.benches.get(SUM))


@dataclass
class Senses:
    """What sound brings: `answer` says it in a sentence, `section` has the figures, `changes` the captions whose rank it changed
    most, by `hears` against `without`. `silent` as in `Comparison`. `bench` and `root` are what a page's pictures are drawn from."""

    basis: Basis
    answer: str
    section: Section
    changes: list[RankChange]
    hears: str | None
    without: str
    silent: str | None
    runs: list[str]
    notes: list[str]
    seconds: float
    bench: Bench = field(repr=False)
    root: str | Path | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "answer": self.answer,
            **self.basis.to_dict(
                "store", "dataset", "split", "split_protocol", "videos", "captions", "census", "gallery_hash", "backbones",
                "random_weights",
            ),
            "runs": self.runs,
            "notes": self.notes,
            "section": self.section.to_dict(),
            "changes": {"hears": self.hears, "without": self.without, "captions": [one.to_dict() for one in self.changes]},
            "seconds": round(self.seconds, 1),
        }  # fmt: skip


def senses(
    store: "str | Path | Store",
    *,
    runs: "Iterable[str | Path | Run]" = (),
    split: str = "test",
    split_protocol: str | None = None,
    seeds: int | None = None,
    root: str | Path | None = None,
    memory: str | int = "auto",
    device: str = "auto",
    seed: int = 0,
) -> Senses:
    """Whether sound helps on a store: untrained heads of each sense and of both, and `runs`, with paired 95 % intervals.

    Args:
        store: with captions in the sound's own text space; else only pictures and the runs are measured.
        runs: trained on features of the same backbones.
        split, split_protocol: part of the data set, and which of its splits (default: the first run's, else the store's).
        seeds: only the first so many members of every run.
        root: where the clips' files are, for the page. Default: where the store says they were.
        memory, device: as in `evaluate`. seed: of intervals.

    Raises OptionInvalid, DataMissing, StoreIncomplete, StoresDisagree, HeadMismatch, RunInvalid.
    """
    started = time.perf_counter()
    loaded = [one if isinstance(one, Run) else load_run(one) for one in runs]
    bench = open_bench(
        None, store=store, preset=PRESETS[PICTURE], split=split, split_protocol=split_protocol, memory=memory, device=device,
        seed=seed, keeps_scores=True,
    )  # fmt: skip
    if loaded:
        bench = bench.on(split_of(loaded[0], bench.store, split, split_protocol))
    trained = [bench.beside(one, seeds) for one in loaded]
    found = compare_senses(bench, trained)
    bases = [one.basis for one in trained]
    return Senses(
        basis=bench.basis,
        answer=found.section.findings[0],
        section=found.section,
        changes=name_sounds(found.changes(), bench, found.benches.get(SUM)),
        hears=found.hears,
        without=found.without,
        silent=found.silent,
        runs=[str(one.path) for one in loaded],
        notes=list(dict.fromkeys(notes_of([bench.basis]) + notes_of(bases))) + overlap_notes(bases),
        seconds=time.perf_counter() - started,
        bench=bench,
        root=root,
    )


def senses_of_runs(bench: Bench, others: list[Bench]) -> Section:
    """The question for an audited run and those beside it, on its split."""
    pictures = bench.beside(Subject.untrained(PRESETS[PICTURE], bench.store, bench.device, bench.seed))
    return compare_senses(pictures, [bench, *others]).section


def compare_senses(bench: Bench, trained: list[Bench]) -> Comparison:
    """The untrained heads of each sense beside trained ones, on the split of `bench`, which are the heads of picture only."""
    section = Section("senses", "Senses", "Does sound help, and for which captions?")
    benches = {PICTURE: bench, **_untrained(bench, section.notes)}
    benches |= {_label(one, trained): one for one in trained}
    silent = next((label for label, one in benches.items() if one.subject.trained and not one.head().uses_audio), None)
    parts = [part for part in parts_of(bench.split) if part.name == ALL or 0 < part.captions.sum() < len(part.captions)]
    for part in parts:
        ranks = {label: part.of(one.ranks) for label, one in benches.items()}
        for label, one in benches.items():
            against = silent if silent and one.subject.trained and label != silent else PICTURE
            values = ranks[label].values(None if label == against else ranks[against], bench.seed)
            section.lines.append(Line(label, values, _kind(label, one), _group(part)))
    hears, without = _compared(benches, silent)
    section.findings = [_in_words(section, parts, hears, without)]
    if silent:
        section.notes.append(
            f"trained heads are compared with {silent}, which takes no sound, the others with {PICTURE}; two trained heads differ in "
            "more than sound (gaid audit --only audio replaces the sound of one)"
        )
    common = Counter(name for caption in bench.split.caption_texts for name in set(named_sounds(caption))).most_common(
        6
    )
    if common:
        section.notes.append(
            "names of AudioSet's classes are compared by word stems, and may be those of things that are seen; the commonest here: "
            + ", ".join(f"{name} ({count})" for name, count in common)
        )
    return Comparison(benches, section, hears, without, silent)


def parts_of(split: "Split") -> list[Part]:
    """The parts of a split's queries, with all of them first."""
    words, names = tells_of_sound(split.caption_texts), names_sound(split.caption_texts)
    sounding = clips_with_sound(split)
    of_caption = sounding[split.caption_video]
    return [
        Part(ALL, np.ones(len(words), bool), np.ones(len(sounding), bool)),
        Part(WORDS, words),
        Part("captions without such a word", ~words),
        Part(NAMES, names),
        Part("captions without such a name", ~names),
        Part("captions of clips with sound", of_caption, sounding),
        Part("captions of clips without sound", ~of_caption, ~sounding),
    ]


def _group(part: Part) -> str:
    return f"{part.captions.sum():,} {part.name}"


def _untrained(bench: Bench, notes: list[str]) -> dict[str, Bench]:
    """The untrained heads that hear, as far as the store has what they need; `notes` take what is lacking."""
    store = bench.store
    if not store.has_audio_text:
        notes.append(NO_TEXT_SIDE)
        return {}
    if not store.hears_without_training:
        notes.append(
            f"sound is not measured without training: sounds of {store.backbone('audio')} share no space with sentences"
        )
        return {}
    found = {SOUND: _beside(bench, SOUND)}
    if store.visual_dim != store.text_dim:
        return found
    found[SUM], weighted = _beside(bench, SUM), _beside(bench, WEIGHTED)
    if _fit(weighted, notes):
        found[WEIGHTED] = weighted
    return found


def _beside(bench: Bench, label: str) -> Bench:
    return bench.beside(Subject.untrained(PRESETS[label], bench.store, bench.device, bench.seed))


def _fit(bench: Bench, notes: list[str]) -> bool:
    """Finds the head's numbers on the validation part; False where there is none beside the part that is measured."""
    store, split, head = bench.store, bench.split, bench.head()
    if split.part == "val" or not store.protocols[split.protocol].get("val"):
        notes.append(f"{WEIGHTED} is not measured: {split.protocol!r} has no other part, val, to find the weights on")
        return False
    part = store.split("val", split.protocol)
    data = Features.of(part, bench.device, head)
    chosen = head.fit(data.text, data.visual, data.audio, data.audio_mask, torch.from_numpy(part.caption_video))
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in chosen.items())
    notes.append(f"{WEIGHTED}: {numbers}, found on the {len(part.caption_ids):,} captions of val")
    return True


def _label(bench: Bench, trained: list[Bench]) -> str:
    """A run's preset, with its folder where two runs have the same."""
    preset = bench.basis.preset
    alone = sum(one.basis.preset == preset for one in trained) == 1
    return f"{preset}, trained" if alone else f"{preset}, {bench.run.path}"


def _kind(label: str, bench: Bench) -> str:
    return "main" if label == PICTURE else "part" if bench.subject.trained else "control"


def _compared(benches: dict[str, Bench], silent: str | None) -> tuple[str | None, str]:
    """The head with sound and the one without that the first sentence compares: trained ones where there are both, or where no
    untrained head here hears; else the weighted sum, or the plain one."""
    hearing = [label for label, one in benches.items() if one.subject.trained and one.head().uses_audio]
    untrained = next((label for label in (WEIGHTED, SUM, SOUND) if label in benches), None)
    if hearing and (silent or untrained is None):
        return hearing[0], silent or PICTURE
    return untrained, PICTURE


def _in_words(section: Section, parts: list[Part], hears: str | None, without: str) -> str:
    """What sound brings, in one sentence."""
    if hears is None:
        return "Whether sound helps is not measured: no head here takes it"
    by_name = {part.name: part for part in parts}
    enough = WORDS in by_name and by_name[WORDS].captions.sum() >= ENOUGH
    part = by_name.get(WORDS if enough else NAMES)

    def change(of: Part) -> Estimate:
        return section.line(hears, _group(of)).values[CHANGE]

    to = "picture alone" if without == PICTURE else without
    unit = "points of text to video R@1"
    # Trained heads differ in more than in what they take.
    subject = f"Sound ({hears})" if without == PICTURE else f"The head with sound ({hears})"
    if part is None:
        return f"{subject} {_effect(change(parts[0]), unit)} on all {len(parts[0].captions):,} captions, compared with {to}."
    others = parts[parts.index(part) + 1]
    return (
        f"{subject} {_effect(change(part), unit)} on the {part.captions.sum():,} captions {NAMED[part.name]}, and "
        f"{_effect(change(others))} on the {others.captions.sum():,} others, compared with {to}."
    )


def _effect(change: Estimate, unit: str = "") -> str:
    """A change as a verb with its figure and interval; `may` where the interval holds 0."""
    sure = change.low is not None and change.high is not None and (change.low > 0 or change.high < 0)
    verb, shown = ("add", change) if change.value >= 0 else ("cost", _negative(change))
    words = f"{verb}s" if sure else f"may {verb}"
    return f"{words} {shown.text.removeprefix('' if verb == 'add' else '+')} ({shown.interval}){f' {unit}' if unit else ''}"


def _negative(change: Estimate) -> Estimate:
    """The cost that a negative change is."""
    low, high = (None if one is None else -one for one in (change.high, change.low))
    return Estimate(-change.value, low, high, signed=True)
