"""`gaid index`: put a library into an engine, and say what an engine holds."""

from typing import Annotated

import typer

from gaid.cli.common import Device, Json, flag, give, option
from gaid.cli.library import HeadSeed, OfStore, Preset, Root, Run, ScoringMemory
from gaid.console import say, show

app = typer.Typer(help="Put a library into an engine, for gaid search --engine.", no_args_is_help=True)
Address = Annotated[
    str, option("Folder or address (s3://bucket/folder, gs://, az://) of a LanceDB database.", "URI", "--engine")
]


@app.command("push")
def push(
    engine: Address,
    run: Run = None,
    store: OfStore = None,
    preset: Preset = None,
    overwrite: Annotated[
        bool, flag("Replace what is there, even if another store or head was pushed.", "--overwrite")
    ] = False,
    root: Root = None,
    device: Device = "auto",
    memory: ScoringMemory = "auto",
    seed: HeadSeed = 0,
    json: Json = False,
) -> None:
    """Bring what an engine holds of a library up to date: a vector per clip and sense, its folder, length and date.

    Clips that are there and unchanged are not sent again, and clips that are gone are removed. After an interruption, the same
    command resumes.
    """
    from gaid.retrieval.engines import open_engine
    from gaid.retrieval.engines.push import push as bring_up_to_date
    from gaid.retrieval.searcher import Searcher

    opened = open_engine(engine)
    searcher = Searcher.open(
        run, store=store, preset=preset, root=root, device=device, memory=memory, seed=seed, index="exact"
    )
    report = bring_up_to_date(searcher, opened, overwrite, progress=not json)
    if json:
        return give(report.to_dict())
    show(str(report))
    return None


@app.command("info")
def info(engine: Address, json: Json = False) -> None:
    """Show what an engine holds: of which data set, by which head, and how many candidates a search takes."""
    from gaid.errors import DataMissing
    from gaid.retrieval.engines import open_engine
    from gaid.retrieval.engines.collection import tell_measure

    opened = open_engine(engine)
    about = opened.about()
    if not about:
        raise DataMissing(f"--engine {engine}: no library was pushed there; gaid index push does so")
    if json:
        return give({"engine": opened.uri, **about})
    head = ", ".join(f"{name} {value}" for name, value in about["head"].items() if name != "class")
    show(f"{opened.uri}: {about['clips']:,} clips of {about['dataset']}")
    show(f"head: {about['head']['class']} ({head}); vectors of {', '.join(about['vectors'])}")
    for measure in about["measures"].values():
        show(tell_measure(measure))
    if not about["clips"]:
        say("the first push has not finished; gaid index push resumes it")
    return None
