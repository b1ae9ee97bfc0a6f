"""`gaid search`: the clips that match a sentence."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import gaid
from gaid.cli.common import Device, Json, chosen_page, give, option, write_after
from gaid.console import print_table, say, show
from gaid.settings import check_seed


def search(
    query: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY]...", help="A sentence in quotes, or several.")
    ] = None,
    run: Annotated[Path | None, option("The folder of a run; its first seed's head searches.", "FOLDER")] = None,
    store: Annotated[
        Path | None, option("A store, for an untrained head, or in place of the run's own.", "PATH")
    ] = None,
    preset: Annotated[
        str | None,
        option(
            "An untrained head, on --store. Default: av-sum, mean-pool or sound, whatever its encoders allow.", "NAME"
        ),
    ] = None,
    query_file: Annotated[
        list[Path] | None,
        option("A file with one sentence per line, or - for standard input; may be repeated.", "FILE", "--query-file"),
    ] = None,
    top: Annotated[int, option("How many clips to list per sentence.", "N", "--top", "-k", min=1)] = 10,
    text: Annotated[
        str | None, option("Encoder of the sentence, if the store's own has another name on this machine.", "NAME")
    ] = None,
    root: Annotated[
        Path | None, option("Folder of the clips' files. Default: where they were extracted from.", "FOLDER")
    ] = None,
    html: Annotated[
        Path | None,
        option("Page to write, with pictures of the clips that were found.", "FILE", "--html", "-o", "--out"),
    ] = None,
    device: Device = "auto",
    memory: Annotated[
        str, option("Memory limit of scoring beside a block of features; auto is 1GiB, on a GPU up to 8GiB.", "SIZE")
    ] = "auto",
    seed: Annotated[int, option("Seed of an untrained head.", "N", callback=check_seed)] = 0,
    index: Annotated[
        Literal["exact", "faiss"],
        option("exact scores every clip; faiss takes candidates from an index kept beside the store.", "exact|faiss"),
    ] = "exact",
    json: Json = False,
) -> None:
    """Find the clips of a store that match a sentence, by picture and sound; the clips need no captions.

    All clips with features are searched, whichever part of the data set they belong to.
    """
    from gaid.report import write_page

    page = chosen_page(html, "--html")
    found = gaid.search(query or (), run=run, store=store, preset=preset, query_file=query_file or (), top=top, text=text,
                 root=root, device=device, memory=memory, seed=seed, index=index)  # fmt: skip
    if not json:
        _print_found(found)

    def tell(written: Path | None) -> None:
        if json:
            give(found.to_dict() | {"page": written})
        elif written:
            say(f"page: {written}")

    write_after(page, lambda path: write_page(found, path), tell)


def _print_found(found: Any) -> None:
    for note in found.notes:
        say(f"note: {note}")
    for answer in found.answers:
        _print(answer)
    took = found.seconds["text"] + found.seconds["score"]
    heard = f", which hears {found.basis.hears}," if found.basis.hears else ""
    say(
        f"{found.clips:,} clips compared by {found.basis.preset}{heard} in {took:.2f} s, after {found.seconds['load']:.1f} s to load"
    )


def _print(answer: Any) -> None:
    """One line per clip; empty columns are left out."""
    hits = answer.hits
    columns = {
        "place": [hit.place for hit in hits],
        "score": [f"{hit.score:.3f}" for hit in hits],
        "clip": [hit.video for hit in hits],
        "sound": ["" if hit.sound is None else f"{100 * hit.sound:.0f} %" for hit in hits],
        "by picture": [_found_by("picture", hit) for hit in hits],
        "by sound": [_found_by("sound", hit) for hit in hits],
        "seconds": [_seconds(hit) for hit in hits],
        "file": [hit.path or "" for hit in hits],
    }
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    show(answer.query)
    print_table("", list(kept), [list(row) for row in zip(*kept.values(), strict=True)])


def _found_by(sense: str, hit: Any) -> str:
    """What one sense has found, of the sound what is above the level of sounds; nothing where the clip has none."""
    from gaid.evaluation.ranks import signed

    if sense not in hit.senses or (sense == "sound" and hit.audio != "sound"):
        return ""
    return f"{hit.senses[sense]:.3f}" if sense == "picture" else signed(hit.senses[sense], 3)


def _seconds(hit: Any) -> str:
    """The clip's length, or its moments in a longer file."""
    if hit.start is None:
        return f"{hit.duration:.1f}"
    return f"{hit.start:.1f}–{hit.end:.1f}" if hit.end is not None else f"{hit.start:.1f}–"
