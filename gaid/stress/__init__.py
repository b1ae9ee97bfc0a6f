"""`gaid stress`: how the figures of a head change when sound, picture, captions or the head itself differ from training.

`stress` is the command of the same name. `faults` corrupts sound and frames, `captions` captions, `probes` the heads, `media`
the real files; `measure` ranks, `dasp` asks which queries DASP helps. Pages and tables are left to `report`.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gaid import console
from gaid.errors import GaidError, OptionInvalid
from gaid.evaluation.basis import notes_of, overlap_notes
from gaid.evaluation.bench import open_bench
from gaid.evaluation.subject import Subject, own_encoder
from gaid.extract.encoder import fixed_threads
from gaid.extract.sources import load_sentence_encoder
from gaid.runs import Run
from gaid.settings import nearest
from gaid.stress.captions import CAPTION_FAULTS
from gaid.stress.dasp import dasp_effect
from gaid.stress.faults import FAULTS
from gaid.stress.measure import StressTest
from gaid.stress.media import media_faults, open_files
from gaid.stress.results import StressResults

if TYPE_CHECKING:
    from gaid.stores import Store

__all__ = ["NAMES", "StressResults", "stress"]

PROBES = ("alpha", "direction", "gate")
NAMES = (*FAULTS, *CAPTION_FAULTS, *PROBES)


def stress(
    run: "str | Path | Run",
    *,
    against: "Iterable[str | Path | Run]" = (),
    store: "str | Path | Store | None" = None,
    split: str = "test",
    split_protocol: str | None = None,
    faults: Sequence[str] | None = None,
    media: bool = False,
    clips: int = 50,
    root: str | Path | None = None,
    memory: str | int = "auto",
    device: str = "auto",
    seed: int = 0,
    progress: bool = True,
) -> StressResults:
    """R@1 and the other metrics, text to video, of a run and of the runs beside it, under faults of growing strength.

    Args:
        run, against: runs trained on features of the same backbones; all their seeds count.
        store: in place of the run's own. split, split_protocol: as `evaluate` takes them.
        faults: names of `NAMES`; all by default.
        media: also corrupt the real files of `clips` clips (a sample of the gallery, drawn by `seed`), found under `root`
            or where the store says.
        memory, device: of scoring. seed: of all faults and intervals.

    Captions can be corrupted only where the store's text backbone is available; else a note says so. Raises OptionInvalid,
    DataMissing, StoreIncomplete, StoresDisagree, HeadMismatch, RunInvalid.
    """
    started = time.perf_counter()
    names = _names(faults)
    bench = open_bench(
        run, store=store, split=split, split_protocol=split_protocol, memory=memory, device=device, seed=seed,
        directions=("t2v",),
    )  # fmt: skip
    store, device = bench.store, bench.device
    benches = [bench, *(bench.beside(other) for other in against)]
    test = StressTest(dict(zip(_labels([one.subject for one in benches]), benches, strict=True)))
    for one in test.benches.values():
        one.features()  # refuses a head that does not fit, before the long work

    def say(line: str) -> None:
        if progress:
            console.say(f"stress: {line}")

    # Before the long work, so that missing files and backbones are reported at once.
    inputs = {one.head().audio_input for one in test.benches.values()}
    own = {sense: own_encoder(bench.run, store, sense) for sense in ("visual", "audio")}
    tokens = ("tokens" in inputs, "clip" in inputs)
    files = open_files(store, bench.split, root, clips, device, seed, own, *tokens) if media else None
    results = StressResults({label: one.basis for label, one in test.benches.items()}, seed)
    bases = list(results.heads.values())
    results.notes = notes_of(bases, list(results.heads)) + overlap_notes(bases)
    _measure(results, test, names, say, own_encoder(bench.run, store, "text"))
    if files is not None:
        results.media = files[1]
        results.findings += media_faults(test, files[0], names, say)
    results.seconds = time.perf_counter() - started
    return results


def _measure(
    results: StressResults,
    test: StressTest,
    names: Sequence[str],
    say: Callable[[str], None],
    text: str | None = None,
) -> None:
    """Every fault in `names`; `text` names the store's text backbone where it has another name here."""
    sounding = int(test.split.audio_mask.any(axis=1).sum())
    if sounding < 2 and any(FAULTS[name].touches == "audio" for name in names if name in FAULTS):
        results.notes.append(f"faults of the sound are left out: {sounding} of {results.basis.videos} clips have any")
    for name in names:
        if name in FAULTS and (sounding > 1 or FAULTS[name].touches != "audio"):
            say(FAULTS[name].title)
            results.findings.append(test.feature_fault(FAULTS[name]))
    spoken = [CAPTION_FAULTS[name] for name in names if name in CAPTION_FAULTS]
    if spoken:
        try:
            kinds = {one.head().text_input for one in test.benches.values()}
            kind = "both" if "both" in kinds else "text"
            encode = load_sentence_encoder(test.first.store, test.first.device, kind, text)
        except GaidError as error:
            results.notes.append(f"faults of the captions are left out, since they can't be encoded: {error}")
        else:
            for fault in spoken:
                say(fault.title)
                with fixed_threads(1):
                    results.findings.append(test.caption_fault(fault, encode))
    for name, measure in {"alpha": test.alpha, "direction": test.direction, "gate": test.gate}.items():
        if name in names:
            say(f"heads changed: {name}")
            results.findings.append(measure())
    if "alpha" in names:
        effects = [dasp_effect(label, one) for label, one in test.benches.items()]
        results.dasp = [one for one in effects if one is not None]


def _names(faults: Sequence[str] | None) -> list[str]:
    for name in faults or ():
        if name not in NAMES:
            raise OptionInvalid(f"--fault {name!r} does not exist; {nearest(name, NAMES)}")
    return [name for name in NAMES if not faults or name in faults]


def _labels(subjects: Sequence[Subject]) -> list[str]:
    """Each head's preset, with the folder of its run where two have the same preset."""
    presets = [subject.preset for subject in subjects]
    labels = []
    for number, subject in enumerate(subjects):
        label = subject.preset
        if presets.count(label) > 1 and subject.run is not None:
            label = f"{label} ({subject.run.path})"
        labels.append(label if label not in labels else f"{label} [{number + 1}]")
    return labels
