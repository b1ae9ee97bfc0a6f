"""`gaid stress`: under which faults a head fails."""

from pathlib import Path
from typing import Annotated

import typer

from gaid.cli.common import Device, Json, flag, give, option, write_after
from gaid.files import check_folder
from gaid.runs import load_run
from gaid.settings import check_seed


def stress(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, of one seed or several.")],
    against: Annotated[
        list[str] | None, option("A run to compare with under the same faults; may be repeated.", "RUN", "--against")
    ] = None,
    store: Annotated[Path | None, option("A store in place of the run's own.", "PATH")] = None,
    split: Annotated[str, option("Which part: test, val or train.", "PART")] = "test",
    split_protocol: Annotated[str | None, option("Which split of the data set. Default: the run's.", "NAME")] = None,
    fault: Annotated[
        list[str] | None,
        option("Only this fault, such as noise, late, typos or gate; may be repeated.", "NAME", "--fault"),
    ] = None,
    media: Annotated[
        bool, flag("Repeat the faults of audio and frames on the media files of some clips.", "--media")
    ] = False,
    clips: Annotated[int, option("How many clips --media uses, drawn by the seed.", "N", min=2)] = 50,
    root: Annotated[Path | None, option("Folder of the data set's files, if they were moved.", "FOLDER")] = None,
    memory: Annotated[
        str, option("Memory limit of scoring beside the features; auto is 1GiB, on a GPU up to 8GiB.", "SIZE")
    ] = "auto",
    device: Device = "auto",
    seed: Annotated[int, option("Seed of the faults and intervals.", "N", callback=check_seed)] = 0,
    out: Annotated[
        Path | None, option("Folder of the page, figures and tables. Default: RUN/stress.", "FOLDER", "--out", "-o")
    ] = None,
    json: Json = False,
) -> None:
    """Corrupt audio, pictures, captions and the head itself, and measure what each fault costs, with 95 % intervals."""
    import gaid.stress
    from gaid.report.stress import print_files, print_stress, write_files

    if out is not None:
        check_folder(out, "--out")
    results = gaid.stress.stress(run, against=tuple(against or ()), store=store, split=split, split_protocol=split_protocol,
                      faults=fault, media=media, clips=clips, root=root, memory=memory, device=device, seed=seed)  # fmt: skip
    if not json:
        print_stress(results)

    def tell(written: list[Path] | None) -> None:
        if json:
            give(results.to_dict() | {"files": written or []})
        else:
            print_files(written or [])

    write_after(out or load_run(run).pages / "stress", lambda folder: write_files(results, folder), tell)
