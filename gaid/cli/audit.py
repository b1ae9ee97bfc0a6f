"""`gaid audit` and `gaid compare`: how much of a figure is real, and whether one run is better than another."""

from pathlib import Path
from typing import Annotated

import typer

from gaid.cli.common import Device, Json, chosen_page, flag, give, option, write_after
from gaid.console import say, show
from gaid.runs import load_run
from gaid.settings import check_seed

Seed = Annotated[
    int,
    option("Seed of intervals, noise, other clips' sound and groups of queries.", "N", callback=check_seed),
]
Memory = Annotated[
    str, option("Memory limit of scoring beside the features; auto is 1GiB, on a GPU up to 8GiB.", "SIZE")
]
Part = Annotated[str, option("Which part: test, val or train.", "PART")]
SplitProtocol = Annotated[
    str | None, option("Which split of the data set, such as 9k or all. Default: the run's.", "NAME")
]


def audit(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, of one seed or several.")],
    store: Annotated[Path | None, option("A store in place of the run's own, of the same backbones.", "PATH")] = None,
    split: Part = "test",
    split_protocol: SplitProtocol = None,
    against: Annotated[
        list[str] | None, option("Another run on the same store, to compare with; may be repeated.", "RUN", "--against")
    ] = None,
    only: Annotated[
        list[str] | None,
        option("Only this question, such as leak or dual-softmax; may be repeated.", "QUESTION", "--only"),
    ] = None,
    retrain: Annotated[
        bool,
        flag(
            "Also train controls: one that keeps every evaluation, one with other clips' sound, one without sound.",
            "--retrain",
        ),
    ] = False,
    work: Annotated[Path | None, option("Folder of these trainings. Default: RUN/audit.", "FOLDER")] = None,
    published_sampling: Annotated[
        Path | None, option("A store of the same clips, extracted with --audio-sampling published or spread.", "PATH")
    ] = None,
    seeds: Annotated[int | None, option("Use only the first N seeds of every run. Default: all.", "N", min=1)] = None,
    out: Annotated[
        Path | None, option("Page to write, or none. Default: RUN/audit.html.", "FILE", "--out", "-o")
    ] = None,
    memory: Memory = "auto",
    device: Device = "auto",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure how much of a run's figure is real.

    Questions: leak, selection, dual softmax, alignment, pool and ties, seeds, audio, captions, senses, protocol. Each figure has an interval.
    """  # fmt: skip
    import gaid.audit
    from gaid.report import write_page
    from gaid.report.audit import print_audit

    page = chosen_page(out, "--out")
    found = gaid.audit.audit(run, store=store, split=split, split_protocol=split_protocol, against=tuple(against or ()), only=tuple(only or ()),
                retrain=retrain, work=work, published_sampling=published_sampling, seeds=seeds, memory=memory, device=device,
                seed=seed, progress=say)  # fmt: skip
    if out is None:
        page = load_run(run).pages / "audit.html"
    if not json:
        print_audit(found)

    def tell(written: Path | None) -> None:
        if json:
            give(found.to_dict() | {"page": written})
        elif written:
            show(f"page: {written}")

    write_after(page, lambda path: write_page(found, path), tell)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="The run that it is compared with.")],
    store: Annotated[Path | None, option("A store for both, in place of their own.", "PATH")] = None,
    split: Part = "test",
    split_protocol: SplitProtocol = None,
    memory: Memory = "auto",
    device: Device = "auto",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compare two runs query by query: paired intervals, McNemar's test, and whether seeds reverse the ranking."""

    import gaid.audit

    found = gaid.audit.compare(
        first, second, store=store, split=split, split_protocol=split_protocol, memory=memory, device=device, seed=seed
    )
    if json:
        return give(found.to_dict())
    from gaid.report.audit import print_compared

    print_compared(found)
    return None
