"""`gaid eval`: how well a head retrieves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import gaid
from gaid.cli.common import Device, Json, as_json, chosen_page, flag, give, option, write_after
from gaid.console import show
from gaid.files import write_bytes
from gaid.runs import load_run
from gaid.runs.run import default_out
from gaid.settings import check_seed

if TYPE_CHECKING:
    from gaid.evaluation.results import Results


def evaluate(
    run: Annotated[Path | None, option("The folder of a run, of one seed or several.", "FOLDER")] = None,
    store: Annotated[
        Path | None, option("A store: with --preset for an untrained head, or in place of the run's own.", "PATH")
    ] = None,
    preset: Annotated[
        str | None, option("An untrained head, on --store; mean-pool gives the zero-shot figure.", "NAME")
    ] = None,
    split: Annotated[str, option("Which part: test, val or train.", "PART")] = "test",
    split_protocol: Annotated[
        str | None,
        option("Which split of the data set, such as 9k or all. Default: the run's, or the store's.", "NAME"),
    ] = None,
    index: Annotated[
        Literal["exact", "faiss"],
        option("exact scores all pairs; faiss finds candidates, then re-scores them exactly.", "exact|faiss"),
    ] = "exact",
    protocol: Annotated[
        str,
        option(
            "Whose caption a gallery video is conditioned on: the query's, or (published) its own; reports the leak.",
            "query|published",
        ),
    ] = "query",
    direction: Annotated[
        Literal["both", "t2v", "v2t"], option("Text to video (t2v), video to text (v2t), or both.", "both|t2v|v2t")
    ] = "both",
    memory: Annotated[
        str, option("Memory limit of scoring beside the features; auto is 1GiB, on a GPU up to 8GiB.", "SIZE")
    ] = "auto",
    candidates: Annotated[
        int | None,
        option("Videos re-scored per query with --index faiss. Default: depends on the gallery.", "N", min=1),
    ] = None,
    against: Annotated[
        list[str] | None,
        option("A run, or a preset for an untrained head, to compare with; may be repeated.", "RUN", "--against"),
    ] = None,
    save_ranks: Annotated[
        Path | None,
        option("Write each query's ranks and best videos: .csv, .jsonl, .npz, .trec (a TREC run), .mteb.json.", "FILE"),
    ] = None,
    report: Annotated[Path | None, option("Page to write, or none. Default: RUN/report.html.", "FILE")] = None,
    sense: Annotated[
        Literal["video", "sound"],
        option("sound compares texts with the audio alone (untrained heads only).", "video|sound"),
    ] = "video",
    subset: Annotated[
        Literal["all", "with-sound"],
        option(
            "with-sound takes only clips that have sound, and also reports figures over all clips.", "all|with-sound"
        ),
    ] = "all",
    dual_softmax: Annotated[
        Literal["published", "per-direction"] | None,
        option(
            "Also report figures with a dual softmax (DSL), over the texts both ways or over each direction's queries.",
            "published|per-direction",
        ),
    ] = None,
    first_caption: Annotated[
        bool,
        flag(
            "Only each video's first caption is a query, as published for VATEX; also reports all captions.",
            "--first-caption",
        ),
    ] = False,
    own_caption: Annotated[
        Literal["first", "same"],
        option(
            "Which own caption --protocol published conditions a video on: its first, or for k-th ones its k-th.",
            "first|same",
        ),
    ] = "first",
    noise: Annotated[
        Literal["pair", "text"] | None,
        option(
            "t-mass's random draws: one per pair (default under published) or per text (default under query).",
            "pair|text",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        option("Folder of the clips that the page shows. Default: where they were extracted from.", "PLACE"),
    ] = None,
    device: Device = "auto",
    seed: Annotated[
        int, option("Seed of the intervals and of the queries that the page shows.", "N", callback=check_seed)
    ] = 0,
    json: Json = False,
) -> None:
    """Evaluate a head: R@1, R@5, R@10, median and mean rank with 95 % intervals, in both directions, and a page with pictures.

    The figures and their provenance are written to RUN/results.json (for an untrained head to reports/).
    """
    from gaid.report import write_page
    from gaid.report.tables import print_results

    page = chosen_page(report, "--report")
    results = gaid.evaluate(run, store=store, preset=preset, split=split, split_protocol=split_protocol, index=index,
                    protocol=protocol, direction=direction, memory=memory, candidates=candidates, against=tuple(against or ()),
                    save_ranks=save_ranks, device=device, seed=seed, sense=sense,
                    subset=subset, dual_softmax=dual_softmax, first_caption=first_caption, own_caption=own_caption, noise=noise,
                    root=root)  # fmt: skip
    if report is None and run is not None:
        page = load_run(run).pages / ("report.html" if split == "test" else f"report-{split}.html")

    def tell_figures(file: Path | None) -> None:
        if not json:
            print_results(results)
            if file:
                show(f"figures: {file}")

        def tell_page(written: Path | None) -> None:
            if json:
                give(results.to_dict() | {"file": file, "report": written})
            elif written:
                show(f"page: {written}")

        write_after(page, lambda path: write_page(results, path), tell_page)

    write_after(_figures_file(results), lambda path: _write_figures(results, path), tell_figures)


def _figures_file(results: "Results") -> Path:
    """RUN/results.json, or reports/PRESET-DATASET/results.json of an untrained head; the name of another part than test is in the file's name."""
    basis = results.basis
    if basis.run is not None:
        folder = load_run(basis.run).pages
    else:
        sense = "" if results.sense == "video" else f"-{results.sense}"
        folder = Path("reports") / f"{default_out(basis.preset, basis.dataset).name}{sense}"
    return folder / ("results.json" if basis.split == "test" else f"results-{basis.split}.json")


def _write_figures(results: "Results", path: Path) -> Path:
    """The figures as `--json` prints them, before any page is drawn."""
    write_bytes(path, f"{as_json(results.to_dict())}\n".encode())
    return path
