"""`search`: the clips of a store that answer a sentence or an example, best first. It needs no captions and opens no clip.

A library that stays open is `searcher.Searcher`; this opens one, asks once, and says what the answer rests on. Pages and tables
are `report`'s and the command's.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gaid.paths import local_path
from gaid.retrieval.filters import NO_FILTERS, Filters
from gaid.retrieval.lens import Sense
from gaid.retrieval.queries import Query, read_queries
from gaid.retrieval.results import SearchResults
from gaid.retrieval.searcher import Searcher
from gaid.stores import open_store

if TYPE_CHECKING:
    from gaid.runs import Run
    from gaid.stores import Store


def search(
    query: str | Query | Sequence[str | Query] = (),
    *,
    run: "str | Path | Run | None" = None,
    store: "str | Path | Store | None" = None,
    preset: str | None = None,
    query_file: str | Path | Iterable[str | Path] = (),
    picture: str | Path | None = None,
    sound: str | Path | None = None,
    like: str | Path | None = None,
    top: int = 10,
    sense: Sense = "all",
    within: str | Path | None = None,
    longer: float | None = None,
    shorter: float | None = None,
    since: str | date | None = None,
    until: str | date | None = None,
    folder: str | Path | None = None,
    text: str | None = None,
    root: str | Path | None = None,
    device: str = "auto",
    memory: str | int = "auto",
    seed: int = 0,
    index: Literal["auto", "exact", "faiss"] = "auto",
    engine: str | None = None,
) -> SearchResults:
    """The best clips of a store for each query, by a run's head (its first seed's) or by an untrained one.

    Args:
        query: a sentence or several. A minus before a word or a quoted phrase leaves out clips that it describes: a crowd -music.
        query_file: files of more sentences, one per line; `-` is standard input.
        picture, sound, like: an example in place of a sentence: files (both are one example), or the id of a clip of the store, or
            a file with picture and sound.
        run: on its own store, or on `store`, which must hold features of the same backbones.
        store: features in place of the run's own, or for an untrained head.
        preset: the untrained head on `store`, which makes sense only where the backbones share a space. By default the one that
            compares every sense that shares a space with sentences: av-sum, mean-pool (pictures) or sound.
        top: clips per query.
        sense: `picture` ranks by the score without the clips' sounds, `sound` by what their sounds add to it, `speech` by what is said
            in them, which counts beside the others in `all` where the store has speech.
        within: a folder that the clips must lie in: a part of their paths (holidays, 2024/may), or a path on this machine.
        longer, shorter: seconds that the clips last at least and at most.
        since, until: when the clips' files were last changed, both inclusive: 2024-05-31, or 2024-05-31T18:30.
        folder: a folder of videos; what the store (by default stores/FOLDER.zarr) lacks of it is extracted first, in the way that it
            was begun.
        text: the encoder of the sentences, where the store's name for it does not load here.
        root: where the clips' files are. Default: where the store says they were. Only for paths and pictures.
        device: of the encoder and the head.
        memory: bound on what is held beside a block of features.
        seed: of an untrained head and of trials in scoring.
        index: `exact` scores every clip; `faiss` takes candidates from an index that is kept beside the store, made when it is
            first asked for and extended when the store has grown, and scores these; `auto` does so from 5,000 clips on.

        engine: address of the engine that candidates are taken from, in place of an index; `gaid index push` fills it.

    Raises OptionInvalid, DataMissing, StoreIncomplete, StoresDisagree, HeadMismatch, RunInvalid, BackboneUnavailable, RemoteFailed, and
    MediaError for an example that can't be read.
    """
    queries = read_queries(query, query_file, make_example(picture, sound, like))
    filters = Filters.parse(within, longer, shorter, since, until)
    searcher = open_library(
        folder, run=run, store=store, preset=preset, text=text, root=root, device=device, memory=memory, seed=seed,
        index=index, engine=engine,
    )  # fmt: skip
    return ask(searcher, queries, top=top, sense=sense, filters=filters)


def make_example(
    picture: str | Path | None = None, sound: str | Path | None = None, like: str | Path | None = None
) -> Query | None:
    """The query of an example; None where none is given."""
    if picture is sound is like is None:
        return None
    return Query(
        picture=None if picture is None else Path(picture),
        sound=None if sound is None else Path(sound),
        like=None if like is None else str(like),
    )


def open_library(
    folder: str | Path | None = None,
    *,
    store: "str | Path | Store | None" = None,
    device: str = "auto",
    **options: Any,
) -> Searcher:
    """A library, open: `Searcher.open` with its options, after what the store lacked of a folder was extracted."""
    if folder is not None:
        store = bring_up_to_date(folder, store, device)
    return Searcher.open(store=store, device=device, **options)


def open_to_serve(
    folder: str | Path | None = None, *, store: "str | Path | Store | None" = None, **options: Any
) -> tuple[Searcher, Callable[[], Searcher]]:
    """A library, open as by `open_library`, and what opens it once more, as it is then, without extracting."""
    searcher = open_library(folder, store=store, **options)
    return searcher, partial(open_library, store=searcher.store.address, **options)


def bring_up_to_date(folder: str | Path, store: "str | Path | Store | None", device: str) -> Path:
    """The store of a folder, after what it lacked was extracted in the way that it was begun. Raises what `extract` raises."""
    from gaid.extract import extract
    from gaid.extract.sources import options_of

    if store is None:
        store = Path("stores") / f"{Path(folder).resolve().name}.zarr"
    path = local_path(store if isinstance(store, str | Path) else str(store.path))
    options = options_of(open_store(path)) if path.exists() else {}
    extract("folder", root=folder, out=path, device=device, **options)
    return path


def ask(
    searcher: Searcher,
    queries: Sequence[Query],
    *,
    top: int = 10,
    sense: Sense = "all",
    filters: Filters = NO_FILTERS,
) -> SearchResults:
    """Answers from a library that is open, with what they rest on. `seconds` are those of all its answers so far."""
    rows, notes = searcher.facts.choose(filters) if filters else (None, [])
    answers = searcher.ask(queries, top=top, sense=sense, rows=rows, filters=filters, threshold=True)
    sentences = any(not query.is_example for query in queries)
    encoder = searcher.encoder if sentences else None
    return SearchResults(
        answers=answers,
        basis=searcher.basis,
        clips=len(searcher.rows if rows is None else rows),
        sense=sense,
        filters=filters,
        threshold=searcher.threshold(sense) if sentences and (rows is None or len(rows)) else None,
        text_backbone=encoder.text.name if encoder else None,
        audio_text_backbone=encoder.audio.name if encoder and encoder.audio else None,
        frames=searcher.store.frames,
        seconds=dict(searcher.seconds),
        notes=[*searcher.notes, *notes],
        opened=searcher.store,
        root=searcher.root,
    )
