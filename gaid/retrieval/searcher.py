"""A library that is open for search: its store, its head and its encoders, loaded once for any number of queries.

`search` is the command; a prompt and a server ask a `Searcher`. What a head makes of clips is `lens`'s.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaid.errors import DataMissing, GaidError, MediaError, OptionInvalid
from gaid.evaluation.basis import Basis, notes_of, overlap_notes
from gaid.evaluation.bench import Bench, open_bench
from gaid.evaluation.subject import own_encoder, zero_shot_preset
from gaid.extract.sources import ClipFiles, SentenceEncoder, load_sentence_encoder
from gaid.retrieval.candidates import FEW, Candidates
from gaid.retrieval.examples import ExampleFiles, example_of, find_example, head_for
from gaid.retrieval.filters import NO_FILTERS, ClipFacts, Filters
from gaid.retrieval.hits import hits_by_speech, hits_of, strip_of
from gaid.retrieval.index import SAMPLED, captions_as, captions_of
from gaid.retrieval.lens import MET, QUICK, SAMPLE, Background, Lens, Sense, best_clips
from gaid.retrieval.moments import Strip
from gaid.retrieval.queries import Query
from gaid.retrieval.results import Answer, Hit
from gaid.retrieval.rounds import Round
from gaid.retrieval.speech import Spoken, SpokenLibrary
from gaid.retrieval.threshold import UNRELATED, Threshold, captions_to_judge_by, find_threshold
from gaid.stores import open_store, valid_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaid.datasets.types import Video
    from gaid.heads import Head
    from gaid.heads.features import Features
    from gaid.runs import Run
    from gaid.stores import Store

# A threshold is found among so many clips, beside those of the captions that it is found on.
LIBRARY = 2000


class Searcher:
    """A library, open. Use `open`. It may be asked any number of times, by one thread at a time."""

    def __init__(
        self,
        bench: Bench,
        encode: Callable[[], SentenceEncoder],
        root: str | Path | None = None,
        index: str = "auto",
        engine: str | None = None,
    ) -> None:
        self.bench, self.store, self.root = bench, bench.store, root
        self.files = ClipFiles(self.store, root)
        self.examples = ExampleFiles(self.store, bench.device)
        self._encode = encode
        self.rows = valid_rows(self.store)
        if not len(self.rows):
            raise DataMissing(
                f"{self.store.path}: holds no clip with features (gaid store info {self.store.path} shows why)"
            )
        self._candidates = Candidates(self.store, len(self.rows), index, engine)
        self.seconds = {"load": 0.0, "text": 0.0, "score": 0.0}
        self._example_heads: dict[tuple[bool, bool], Head] = {}
        self.thresholds: dict[str, Threshold] = {}  # those that were found so far, by sense
        self._samples: dict[tuple[str, str, str, int], Features] = {}

    @classmethod
    def open(
        cls,
        run: "str | Path | Run | None" = None,
        *,
        store: "str | Path | Store | None" = None,
        preset: str | None = None,
        text: str | None = None,
        root: str | Path | None = None,
        device: str = "auto",
        memory: str | int = "auto",
        seed: int = 0,
        index: str = "auto",
        engine: str | None = None,
    ) -> "Searcher":
        """Opens a library. The arguments, and what it raises, are those of `search`."""
        started = time.perf_counter()
        if run is None and store is None:
            raise OptionInvalid("search where? Give a run (--run RUN), or a store (--store PATH)")
        if run is None and preset is None and store is not None:
            store = open_store(store) if isinstance(store, str | Path) else store
            preset = zero_shot_preset(store)
        bench = open_bench(
            run, store=store, preset=preset, split=None, seeds=1, memory=memory, device=device, seed=seed, met=MET
        )
        subject, opened = bench.subject, bench.store
        if subject.audio not in ("own", "silence", "none"):
            raise OptionInvalid(f"{run}: a control, trained with audio={subject.audio}; search by another run")
        head, own_name = bench.head(), text or own_encoder(subject.run, opened, "text")
        found = cls(
            bench,
            lambda: load_sentence_encoder(opened, bench.device, head.text_input, own_name, "--text"),
            root,
            index,
            engine,
        )
        found._candidates.open(found.lens())
        found.seconds["load"] = time.perf_counter() - started
        return found

    @cached_property
    def encoder(self) -> SentenceEncoder:
        """The encoders of sentences."""
        started = time.perf_counter()
        found = self._encode()
        self.seconds["load"] += time.perf_counter() - started
        return found

    @cached_property
    def basis(self) -> Basis:
        """What the answers rest on."""
        ids = [self.store.ids[row] for row in self.rows]
        return Basis.of_library(self.bench.subject, self.store, ids, self.bench.device)

    @property
    def notes(self) -> list[str]:
        """What a reader of the answers must know, with what is known so far of the indexes that they came from."""
        return [*self._notes, *self._candidates.notes]

    @cached_property
    def _notes(self) -> list[str]:
        notes = notes_of([self.basis]) + overlap_notes([self.basis])
        seeds = len(self.bench.subject.seeds)
        if seeds > 1:
            notes.append(f"a run of {seeds} seeds: the head of seed {self.basis.seeds[0]} searches")
        return notes

    @cached_property
    def facts(self) -> ClipFacts:
        """Folder, length and date of the clips, by which they are filtered."""
        return ClipFacts(self.store, self.rows, self.root)

    def prepare(self) -> None:
        """Opens the index that sentences need, where searches go through one, which the first of them would wait for."""
        lens = self.lens()
        if self._candidates.serve(lens.head):
            self._open_index(lens)

    # Asking

    def ask(
        self,
        queries: Sequence[Query],
        *,
        top: int = 10,
        sense: Sense = "all",
        rows: "NDArray[np.int64] | None" = None,
        filters: Filters = NO_FILTERS,
        threshold: bool = False,
    ) -> list[Answer]:
        """The best clips for each query, in the order of the queries.

        `rows`: of the clips that may be found, ascending; all by default. `filters`: those that let `rows` through, if it was these,
        so that an engine applies them, too. `threshold`: also says how many of them fit. Candidates are
        taken from an index, where searches go through one, for all queries that leave out nothing.
        """
        if top < 1:
            raise OptionInvalid(f"--top {top} must be at least 1")
        if rows is not None and not len(rows):
            return [Answer(query.label, []) for query in queries]
        rows = self.rows if rows is None else rows
        answers: dict[int, Answer] = {}
        if sense == "speech":
            return self._answer_by_speech(queries, min(top, len(rows)), rows, threshold)
        for asked in map(self._prepared, self._rounds(queries, sense)):
            least = self.threshold(sense) if threshold and not queries[asked.places[0]].is_example else None
            started = time.perf_counter()
            found, scores = self._best(asked, min(top, len(rows)), rows, self.facts.named(filters))
            for place, hits in zip(asked.places, hits_of(asked, self.store, found, scores), strict=True):
                fits = [least is not None and (hit.score >= least.score or hit.carried == "speech") for hit in hits]
                answers[place] = Answer(queries[place].label, hits, None if least is None else sum(fits))
            self.seconds["score"] += time.perf_counter() - started
        located = [hit for answer in answers.values() for hit in answer.hits]
        self._locate(located)
        return [answers[place] for place in range(len(queries))]

    def threshold(self, sense: Sense = "all") -> Threshold:
        """From which score on a clip is an answer to a sentence, found once per sense: on sentences that have nothing to do with the
        library and, where there are enough, on captions of its validation or training part."""
        if sense not in self.thresholds:
            if sense == "speech":
                best = self._spoken(UNRELATED, self._others).scores.max(axis=1, initial=0)
                return self.thresholds.setdefault(sense, find_threshold(best))
            unrelated = self._encoded(UNRELATED)
            started = time.perf_counter()
            some = self.rows[np.unique(np.linspace(0, len(self.rows) - 1, LIBRARY).astype(np.int64))]
            captions, own = captions_to_judge_by(self.store, self.rows)
            of_captions = None
            if len(captions):
                text = captions_as(self.bench.head(), self.store, captions)
                of_captions = self._best_scores(text, sense, np.union1d(some, own))
            self.thresholds[sense] = find_threshold(self._best_scores(unrelated, sense, some), of_captions)
            self.seconds["load"] += time.perf_counter() - started
        return self.thresholds[sense]

    def _best_scores(
        self, text: "NDArray[np.floating]", sense: Sense, rows: "NDArray[np.int64]"
    ) -> "NDArray[np.float32]":
        """For each sentence the score of the best of some clips."""
        return best_clips(self._lens(text, sense), self.store, 1, rows)[1][:, 0]

    def strip(self, query: Query, row: int, sense: Sense = "all") -> Strip:
        """How well each frame of a clip fits a query, and by what. Raises what `ask` raises."""
        (lens,) = (asked.lens.of([0]) for asked in self._rounds([query], "all" if sense == "speech" else sense))
        return strip_of(lens, self.store, row)

    # Which head answers which query

    def _rounds(self, queries: Sequence[Query], sense: Sense) -> Iterator[Round]:
        """Sentences together, by the library's head; examples by heads that compare the senses that they have."""
        by_senses: dict[tuple[bool, bool], list[tuple[int, NDArray[np.floating]]]] = {}
        for place, query in enumerate(queries):
            if query.is_example:
                if query.without:
                    raise OptionInvalid(f"{query.label}: nothing can be left out of a search by example")
                example = find_example(query, self.examples)
                by_senses.setdefault(example.senses, []).append((place, example.as_text(self.store)))
        sentences = [place for place, query in enumerate(queries) if not query.is_example]
        if sentences:
            phrases = [(owner, one) for owner, place in enumerate(sentences) for one in queries[place].without]
            asked = [*(queries[place].text for place in sentences), *(one for _, one in phrases)]
            text = self._encoded(asked)
            owners = [owner for owner, _ in phrases]
            lens = self._lens(text, sense)
            served = not owners and self._candidates.serve(lens.head)
            spoken = self._spoken(asked, text) if sense == "all" and self.speech else None
            yield self._round(sentences, owners, lens, lens if served else None, spoken)
        for senses, examples in by_senses.items():
            text = np.stack([vector for _, vector in examples])
            lens = self._lens(text, sense, self._example_head(senses))
            yield self._round([place for place, _ in examples], [], lens, self._finder(text, senses, sense))

    def _round(
        self, places: list[int], owners: list[int], lens: Lens, finder: Lens | None, spoken: Spoken | None = None
    ) -> Round:
        """A round, with its background where phrases are left out or it says which sense carried a clip."""
        compared = owners or spoken or (lens.both and lens.sense == "all")
        background = Background.of(lens, self._sample(lens, SAMPLE if finder is None else QUICK)) if compared else None
        return Round(places, owners, lens, background, finder, spoken)

    def _sample(self, lens: Lens, most: int) -> "Features":
        """Up to so many clips that stand for the library, read once for all questions to heads that take the same features."""
        key = lens.head.visual_input, lens.head.audio_input, lens.audio, most
        if key not in self._samples:
            self._samples[key] = lens.sample(self.store, self.rows, most)
        return self._samples[key]

    def _finder(self, text: "NDArray[np.floating]", senses: tuple[bool, bool], sense: Sense) -> Lens | None:
        """The lens by which candidates for examples are found, in the index that serves examples of all senses."""
        head = self._example_head((True, True))
        one: Sense = "all" if all(senses) else "picture" if senses[0] else "sound"
        return self._lens(text, one if sense == "all" else sense, head) if self._candidates.serve(head) else None

    def _example_head(self, senses: tuple[bool, bool]) -> "Head":
        if senses not in self._example_heads:
            self._example_heads[senses] = head_for(self.store, senses, self.bench.device)
        return self._example_heads[senses]

    def lens(self) -> Lens:
        """The library's head by all senses, without a query."""
        return self._lens(np.empty((0, 0), np.float16), "all")

    def _lens(self, text: "NDArray[np.floating]", sense: Sense, head: "Head | None" = None) -> Lens:
        bench = self.bench
        audio = bench.subject.audio if head is None else "own"
        vectors = torch.from_numpy(text).to(bench.device)
        return Lens(head or bench.head(), vectors, sense, audio, bench.device, bench.memory, bench.seed)

    def _encoded(self, sentences: Sequence[str]) -> "NDArray[np.float16]":
        encoder, started = self.encoder, time.perf_counter()
        found = encoder(sentences)
        self.seconds["text"] += time.perf_counter() - started
        both = self.bench.head().text_input == "both"
        return np.concatenate([found["text"], found["audio_text"]], axis=1) if both else found["text"]

    # Speech

    @cached_property
    def speech(self) -> SpokenLibrary | None:
        """What is said in the clips; None where the store has no speech."""
        started = time.perf_counter()
        found = self.store.speech
        library = None if found is None else SpokenLibrary(found)
        self.seconds["load"] += time.perf_counter() - started
        return library

    @cached_property
    def _others(self) -> "NDArray[np.floating]":
        """Sentences about other things, as the head takes them."""
        return self._encoded(UNRELATED)

    def _spoken(self, sentences: Sequence[str], vectors: "NDArray[np.floating]") -> Spoken:
        """How well what is said fits sentences, as the head takes them. Raises OptionInvalid where the store has no speech."""
        if self.speech is None:
            raise OptionInvalid(
                f"--sense speech: {self.store.path} has no speech; gaid extract --speech whisper:offline adds it"
            )
        dim = self.store.text_dim  # of the text encoder's vectors, which come first
        return self.speech.ask(sentences, vectors[:, :dim], self._others[:, :dim])

    def _answer_by_speech(
        self, queries: Sequence[Query], count: int, rows: "NDArray[np.int64]", threshold: bool
    ) -> list[Answer]:
        """The best clips by what is said alone."""
        if any(query.is_example for query in queries):
            raise OptionInvalid("--sense speech: an example is compared by its picture and sound; search by a sentence")
        least = self.threshold("speech") if threshold else None
        phrases = [(owner, one) for owner, query in enumerate(queries) for one in query.without]
        asked = [*(query.text for query in queries), *(one for _, one in phrases)]
        spoken = self._spoken(asked, self._encoded(asked))
        started = time.perf_counter()
        found = hits_by_speech(spoken, [owner for owner, _ in phrases], self.store, count, rows, len(queries))
        self.seconds["score"] += time.perf_counter() - started
        self._locate([hit for hits in found for hit in hits])
        return [
            Answer(query.label, hits, None if least is None else sum(hit.score >= least.score for hit in hits))
            for query, hits in zip(queries, found, strict=True)
        ]

    # Finding

    def _best(
        self, asked: Round, count: int, rows: "NDArray[np.int64]", filters: Filters
    ) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """Rows (queries, count) of the best clips among `rows`, best first, and their scores."""

        def score(some: "NDArray[np.int64]", best: int) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
            return best_clips(asked.lens, self.store, best, some, asked.ranked)

        more = min(len(rows), count + asked.lowered)
        if asked.finder is None or len(rows) <= FEW:
            found, scores = score(rows, more)
        else:
            found, scores = self._candidates.best(asked.lens, asked.finder, more, rows, filters)
        return asked.with_speech(found, scores, count, rows, lambda some: score(some, len(some)))

    def _prepared(self, asked: Round) -> Round:
        """The round, with the index open by which its candidates are found; without one where that can't be."""
        there = asked.finder is not None and self._open_index(asked.finder)
        return asked if there else replace(asked, finder=None)

    def _open_index(self, finder: Lens) -> bool:
        started = time.perf_counter()
        probes = self.probes if finder.head is self.bench.head() else self._example_probes
        there = self._candidates.prepare(finder, probes)
        self.seconds["load"] += time.perf_counter() - started
        return there

    def probes(self) -> "tuple[str, NDArray[np.floating]]":
        """Queries like those that sentences are, by which an index is measured."""
        if self.store.layout["captions"]:
            return captions_of(self.store, self.bench.head())
        return "sentences about other things", self._encoded(UNRELATED)

    def _example_probes(self) -> "tuple[str, NDArray[np.floating]]":
        rows = self.rows[np.unique(np.linspace(0, len(self.rows) - 1, SAMPLED).astype(np.int64))]
        return "clips", np.stack([example_of(self.store, row).as_text(self.store) for row in rows.tolist()])

    def _locate(self, hits: list[Hit]) -> None:
        """Where the clips' files are, as far as the data set is there."""
        try:
            known = self.files.find([hit.video for hit in hits])
        except (GaidError, OSError) as error:
            note = f"the clips' files are not listed: {error}; --root FOLDER says where they are"
            if note not in self._notes:
                self._notes.append(note)
            return
        for hit in hits:
            video = known.get(hit.video)
            if video is not None:
                hit.path, (hit.start, hit.end) = str(video.path), _times(video)


def _times(video: "Video") -> tuple[float | None, float | None]:
    """Where in its file a clip is."""
    if not video.may_be_whole:
        return video.start, video.end
    from gaid.media.decode import clip_times, probe

    try:
        return clip_times(video, probe(video.path).duration)
    except MediaError:
        return video.start, video.end
