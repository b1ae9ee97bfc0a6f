"""`gaid eval`: how well a head retrieves."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gaid.cli.common import Device, Json, give


def evaluate(
    run: Annotated[Path | None, typer.Option(help="A run's folder, of one seed or several.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="A store: with --preset for an untrained head, or other features for --run.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="An untrained head on --store: mean-pool is the zero-shot figure.")
    ] = None,
    split: Annotated[str, typer.Option(help="Part: test, val or train.")] = "test",
    split_protocol: Annotated[
        str | None, typer.Option(help="Which of the data set's splits, as 9k or all. [its default]")
    ] = None,
    index: Annotated[
        Literal["exact", "faiss"], typer.Option(help="Score all pairs, or candidates from an index re-scored.")
    ] = "exact",
    protocol: Annotated[
        str,
        typer.Option(
            help="Whose text gates and pools: query; or published (each video's own caption), beside query's, with the leak."
        ),
    ] = "query",
    direction: Annotated[
        Literal["both", "t2v", "v2t"], typer.Option(help="Text to video, video to text, or both.")
    ] = "both",
    memory: Annotated[str, typer.Option(help="Bound on memory beyond the features, as 1GiB.")] = "1GiB",
    candidates: Annotated[int | None, typer.Option(min=1, help="Candidates a query with --index faiss.")] = None,
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="Another run in the same table; may be repeated.")
    ] = None,
    save_ranks: Annotated[
        Path | None, typer.Option(help="Write each query's rank and best videos: .csv, .jsonl or .npz.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the page of pictures here. [report.html in the run's folder]")
    ] = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="Of the bootstrap, of trials, and of the queries that the page shows.")] = 0,
    json: Json = False,
) -> None:
    """R@1/5/10, MdR, MnR with 95 % intervals, text to video and video to text, and a page of pictures."""
    from gaid.retrieval import evaluate as judge

    if report is None and run is not None:
        report = run / "report.html"
    results = judge(run, store=store, preset=preset, split=split, split_protocol=split_protocol, index=index,
                    protocol=protocol, direction=direction, memory=memory, candidates=candidates, against=tuple(against or ()),
                    save_ranks=save_ranks, report=report, device=device, seed=seed)  # fmt: skip
    if json:
        return give(results.to_dict())
    from gaid.report.tables import print_results

    print_results(results)
    return None
