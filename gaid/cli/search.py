"""`gaid search`: the clips that match a sentence or an example."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import gaid
from gaid.cli.common import Device, Json, chosen_page, give, option, write_after
from gaid.cli.library import (
    EngineAddress,
    Folder,
    HeadSeed,
    Index,
    OfStore,
    Preset,
    Root,
    Run,
    ScoringMemory,
    TextEncoder,
)
from gaid.console import print_table, say, show

if TYPE_CHECKING:
    from gaid.retrieval.lens import Sense
    from gaid.retrieval.results import Answer, Hit, SearchResults

LONGEST = 60  # characters of what is said in a table


def search(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUERY]...", help="A sentence in quotes, or several; -WORD leaves out what it describes."
        ),
    ] = None,
    run: Run = None,
    store: OfStore = None,
    preset: Preset = None,
    query_file: Annotated[
        list[Path] | None,
        option("A file with one sentence per line, or - for standard input; may be repeated.", "FILE", "--query-file"),
    ] = None,
    picture: Annotated[Path | None, option("Find clips that look like this picture or video.", "FILE")] = None,
    sound: Annotated[Path | None, option("Find clips that sound like this file.", "FILE")] = None,
    like: Annotated[
        str | None, option("Find clips that look and sound like this clip of the store, or this file.", "ID|FILE")
    ] = None,
    sense: Annotated[
        Literal["all", "picture", "sound", "speech"],
        option(
            "picture ranks clips without their sounds, sound by what these add, speech by what is said.",
            "all|picture|sound|speech",
        ),
    ] = "all",
    within: Annotated[
        str | None, option("Only clips in this folder: a part of their paths, such as 2024/may, or a path.", "FOLDER")
    ] = None,
    longer: Annotated[float | None, option("Only clips of at least so many seconds.", "SECONDS")] = None,
    shorter: Annotated[float | None, option("Only clips of at most so many seconds.", "SECONDS")] = None,
    since: Annotated[
        str | None, option("Only clips whose file was last changed on this day or later: 2024-05-31.", "DATE")
    ] = None,
    until: Annotated[
        str | None, option("Only clips whose file was last changed on this day or earlier.", "DATE")
    ] = None,
    folder: Folder = None,
    top: Annotated[int, option("How many clips to list per sentence.", "N", "--top", "-k", min=1)] = 10,
    text: TextEncoder = None,
    root: Root = None,
    html: Annotated[
        Path | None,
        option("Page to write, with pictures of the clips that were found.", "FILE", "--html", "-o", "--out"),
    ] = None,
    device: Device = "auto",
    memory: ScoringMemory = "auto",
    seed: HeadSeed = 0,
    index: Index = "auto",
    engine: EngineAddress = None,
    json: Json = False,
) -> None:
    """Find the clips of a store that match a sentence, by picture, sound and speech; the clips need no captions.

    All clips with features are searched, whichever part of the data set they belong to. Without a query on a terminal, the store
    stays open and asks for one sentence after the other.
    """
    from gaid.report import write_page

    page = chosen_page(html, "--html")
    filters: dict[str, Any] = {"within": within, "longer": longer, "shorter": shorter, "since": since, "until": until}
    examples = (picture, sound, like)
    if not (query or query_file or any(examples) or json or page) and sys.stdin.isatty():
        return _stay(top, sense, filters, folder, device, run=run, store=store, preset=preset, text=text, root=root,
                     memory=memory, seed=seed, index=index, engine=engine)  # fmt: skip
    found = gaid.search(query or (), run=run, store=store, preset=preset, query_file=query_file or (), picture=picture,
                 sound=sound, like=like, top=top, sense=sense, folder=folder, text=text, root=root, device=device, memory=memory,
                 seed=seed, index=index, engine=engine, **filters)  # fmt: skip
    if not json:
        _print_found(found)

    def tell(written: Path | None) -> None:
        if json:
            give(found.to_dict() | {"page": written})
        elif written:
            say(f"page: {written}")

    return write_after(page, lambda path: write_page(found, path), tell)


def _stay(top: int, sense: "Sense", filters: dict[str, Any], folder: Path | None, device: str, **library: Any) -> None:
    """Answers sentences from the terminal until the input ends. A line may name filters of its own."""
    from gaid.errors import GaidError
    from gaid.retrieval.filters import Filters
    from gaid.retrieval.queries import Query
    from gaid.retrieval.search import ask, open_library

    of_all = Filters.parse(**filters)
    searcher = open_library(folder, **library, device=device)
    _ = searcher.encoder  # loaded before the first question
    show(
        f"{len(searcher.rows):,} clips of {searcher.store.path}. A line may name filters, such as --longer 10; an empty one ends."
    )
    for note in searcher.notes:
        say(f"note: {note}")
    while True:
        try:
            line = input("search: ").strip()
        except EOFError:
            line = ""
        if not line:
            return
        try:
            sentence, of_line = of_all.read(line)
            found = ask(searcher, [Query.parse(sentence)], top=top, sense=sense, filters=of_line)
            for note in found.notes[len(searcher.notes) :]:
                say(f"note: {note}")
            for answer in found.answers:
                _print(answer)
        except GaidError as error:
            say(str(error))


def _print_found(found: "SearchResults") -> None:
    for note in found.notes:
        say(f"note: {note}")
    for answer in found.answers:
        _print(answer)
    if found.threshold and any(answer.nothing_fits for answer in found.answers):
        say(f"a clip fits from {found.threshold}")
    took = found.seconds["text"] + found.seconds["score"]
    heard = f", which hears {found.basis.hears}," if found.basis.hears else ""
    say(
        f"{found.clips:,} clips compared by {found.basis.preset}{heard} in {took:.2f} s, after {found.seconds['load']:.1f} s to load"
    )


def _print(answer: "Answer") -> None:
    """One line per clip; empty columns are left out."""
    hits = answer.hits
    if not hits:
        return show(f"{answer.query}: no clip passes the filters")
    columns: dict[str, list[Any]] = {
        "place": [hit.place for hit in hits],
        "score": [f"{hit.score:.3f}" for hit in hits],
        "clip": [hit.video for hit in hits],
        "sound": ["" if hit.sound is None else f"{100 * hit.sound:.0f} %" for hit in hits],
        "by picture": [_found_by("picture", hit) for hit in hits],
        "by sound": [_found_by("sound", hit) for hit in hits],
        "by speech": [_found_by("speech", hit) for hit in hits],
        "moment": [_moment(hit) for hit in hits],
        "found by": [hit.carried or "" for hit in hits],
        "words": [_cut(hit.words or "") for hit in hits],
        "seconds": [_seconds(hit) for hit in hits],
        "file": [hit.path or "" for hit in hits],
    }
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    show(f"{answer.query}: nothing fits; the nearest clips are" if answer.nothing_fits else answer.query)
    print_table("", list(kept), [list(row) for row in zip(*kept.values(), strict=True)])


def _found_by(sense: str, hit: "Hit") -> str:
    """What one sense adds to the score; nothing where the clip has none, or where `sound` shows its share."""
    from gaid.evaluation.ranks import signed

    if sense not in hit.senses or len(hit.senses) == 1 or (sense == "sound" and hit.audio != "sound"):
        return ""
    if hit.sound is not None and sense != "speech":
        return ""
    return f"{hit.senses[sense]:.3f}" if sense == "picture" else signed(hit.senses[sense], 3)


def _cut(words: str) -> str:
    """What is said, in quotes, up to LONGEST characters."""
    shown = words if len(words) <= LONGEST else f"{words[: LONGEST - 1].rstrip()}…"
    return f"“{shown}”" if words else ""


def _moment(hit: "Hit") -> str:
    """The seconds of the clip, or of its file, that fit best."""
    if hit.moment is None:
        return ""
    start, end = (one + (hit.start or 0.0) for one in hit.moment)
    return f"{start:.1f}–{end:.1f}"


def _seconds(hit: "Hit") -> str:
    """The clip's length, or its moments in a longer file."""
    if hit.start is None:
        return f"{hit.duration:.1f}"
    return f"{hit.start:.1f}–{hit.end:.1f}" if hit.end is not None else f"{hit.start:.1f}–"
