"""Following a folder: its library is brought up to date whenever files in the folder change, until Ctrl-C."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gaid.console import StopWish, say, stop_on_signal
from gaid.errors import DependencyMissing, ExtractInterrupted, GaidError, OptionInvalid
from gaid.extract.driver import Extraction
from gaid.extract.library import growing_spec
from gaid.extract.options import Options
from gaid.extract.report import ExtractReport
from gaid.paths import shown_path, whole_path

if TYPE_CHECKING:
    from gaid.backbones import Backbones

LOOK_MS = 1000  # how often Ctrl-C is looked for


def follow(options: Options) -> ExtractReport:
    """Extracts, and again after every change in the folder; returns the last report when Ctrl-C ends it.

    The first extraction has to succeed. Later, a folder that can't be extracted as it is, such as one whose captions are
    being written, is reported, and tried again after the next change. Raises OptionInvalid, DependencyMissing, and
    ExtractInterrupted for Ctrl-C during an extraction.
    """
    _check(options)
    from watchfiles import watch

    first = Extraction(options)
    report = first.run()
    again = replace(options, overwrite=False, out=report.store)
    folders, store = _folders(report), whole_path(report.store)

    def concerns(_: object, path: str) -> bool:
        """Hidden files are no part of the folder, nor is the library where it lies in there."""
        return not Path(path).name.startswith(".") and not whole_path(path).is_relative_to(store)

    looked = False
    with stop_on_signal() as stop:
        for changes in watch(*folders, watch_filter=concerns, rust_timeout=LOOK_MS, yield_on_timeout=True):
            if stop:
                break
            if looked and not changes:
                continue
            report = _again(again, first.backbones, stop) or report
            if not looked:  # from here on nothing is missed between two looks
                say(f"following {', '.join(map(shown_path, folders))}; Ctrl-C ends it")
                looked = True
    return report


def _again(options: Options, backbones: "Backbones", stop: StopWish) -> ExtractReport | None:
    """Brings the library up to date; nothing where the folder can't be extracted as it is."""
    extraction = Extraction(options, backbones)
    try:
        report = extraction.run()
    except ExtractInterrupted:
        raise
    except GaidError as error:
        say(str(error))
        return None
    finally:
        stop.asked = stop.asked or extraction.stop_asked  # Ctrl-C as it ended
    if not report.already_complete:
        say(str(report))
    return report


def _check(options: Options) -> None:
    if growing_spec(replace(options, overwrite=False)) is None:
        raise OptionInvalid("--watch follows a folder that grows: it takes --dataset folder, without --limit")
    if options.out is not None and Path(options.out).suffix != ".zarr":
        raise OptionInvalid(f"--watch: --out {options.out} can't grow; a store that grows ends in .zarr")
    try:
        import watchfiles  # noqa: F401
    except ImportError as error:
        raise DependencyMissing(
            "--watch needs watchfiles, which is not installed: pip install 'gaid[watch]'"
        ) from error


def _folders(report: ExtractReport) -> Sequence[Path]:
    """The folders that the library says it is of."""
    from gaid.stores import open_store

    about = open_store(report.store).attrs["dataset"]
    return [Path(about[name]) for name in ("root", "audio_root") if name in about]
