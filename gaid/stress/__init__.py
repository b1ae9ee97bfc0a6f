"""`gaid stress`: what becomes of a head when sound, picture, caption or the head itself is not as it was in training.

`stress` is the command of the same name. `faults` and `captions` spoil what is looked at, listened to and read, `probes` the
heads, `media` the real files; `measure` scores, `dasp` asks which queries DASP helps. Pages and tables are `report`'s.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gaid import console
from gaid.devices import pick_device
from gaid.errors import GaidError, OptionInvalid
from gaid.evaluation.basis import notes_of, overlap_notes
from gaid.evaluation.scoring import parse_memory
from gaid.evaluation.subject import Subject, open_for, own_clip, split_of
from gaid.runs import Run, load_run
from gaid.settings import check_seed, nearest
from gaid.stress.captions import CAPTION_FAULTS
from gaid.stress.dasp import dasp_effect
from gaid.stress.faults import FAULTS
from gaid.stress.measure import Bench, Contender
from gaid.stress.media import encode_texts, load_text_of, media_faults, open_files
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
    memory: str | int = "1GiB",
    device: str = "auto",
    seed: int = 0,
    progress: bool = True,
) -> StressResults:
    """R@1 and the rest, text to video, of a run and of those that it stands against, under growing faults.

    Args:
        run, against: runs trained on features of the same backbones; all their seeds count.
        store: in place of the run's own. split, split_protocol: as `evaluate` takes them.
        faults: names of `NAMES`; all by default.
        media: also spoil the real files of `clips` clips (a sample of the gallery, drawn by `seed`), found under `root`
            or where the store says.
        memory, device: of scoring. seed: of all faults and intervals.

    Captions can only be spoilt where the store's text backbone is at hand; else a note says so. Raises OptionInvalid,
    DataMissing, StoreIncomplete, StoresDisagree, HeadMismatch, RunInvalid.
    """
    started = time.perf_counter()
    names = _names(faults)
    budget, device = parse_memory(memory), pick_device(device)
    check_seed(seed)
    loaded = load_run(run)
    opened = open_for(loaded, store)
    subjects = [Subject.of_run(loaded, opened, device)]
    subjects += [Subject.of_run(load_run(other), opened, device) for other in against]
    part = split_of(loaded, opened, split, split_protocol)

    def say(line: str) -> None:
        if progress:
            console.say(f"stress: {line}")

    contenders = [
        Contender.of(subject, opened, part, device, label)
        for subject, label in zip(subjects, _labels(subjects), strict=True)
    ]
    # Before the long work: files and backbones that are not there are found out at once.
    tokens = any(one.listens_to == "tokens" for one in contenders)
    files = (
        open_files(opened, part, root, clips, device, seed, own_clip(loaded, opened, "visual"), tokens)
        if media
        else None
    )
    bench = Bench(contenders, part, budget, device, seed)
    results = StressResults({one.label: one.basis for one in contenders}, seed)
    bases = list(results.heads.values())
    results.notes = notes_of(bases, list(results.heads)) + overlap_notes(bases)
    _measure(results, bench, opened, names, say, own_clip(loaded, opened, "text"))
    if files is not None:
        results.media = files[1]
        results.findings += media_faults(bench, files[0], names, say)
    results.seconds = time.perf_counter() - started
    return results


def _measure(
    results: StressResults,
    bench: Bench,
    store: "Store",
    names: Sequence[str],
    say: Callable[[str], None],
    text: str | None = None,
) -> None:
    """Every fault in `names`; `text` names the store's text backbone where it is called otherwise here."""
    sounding = int(bench.split.audio_mask.any(axis=1).sum())
    if sounding < 2 and any(FAULTS[name].touches == "audio" for name in names if name in FAULTS):
        results.notes.append(f"faults of the sound are left out: {sounding} of {results.basis.videos} clips have any")
    for name in names:
        if name in FAULTS and (sounding > 1 or FAULTS[name].touches != "audio"):
            say(FAULTS[name].title)
            results.findings.append(bench.feature_fault(FAULTS[name]))
    spoken = [CAPTION_FAULTS[name] for name in names if name in CAPTION_FAULTS]
    if spoken:
        try:
            backbone = load_text_of(store, bench.device, text)
        except GaidError as error:
            results.notes.append(f"faults of the captions are left out, since they can't be encoded: {error}")
        else:
            for fault in spoken:
                say(fault.title)
                results.findings.append(bench.caption_fault(fault, lambda texts: encode_texts(backbone, texts)))
    for name, measure in {"alpha": bench.alpha, "direction": bench.direction, "gate": bench.gate}.items():
        if name in names:
            say(f"heads changed: {name}")
            results.findings.append(measure())
    if "alpha" in names:
        effects = [dasp_effect(bench, one) for one in bench.contenders]
        results.dasp = [one for one in effects if one is not None]


def _names(faults: Sequence[str] | None) -> list[str]:
    for name in faults or ():
        if name not in NAMES:
            raise OptionInvalid(f"--fault {name!r} does not exist; {nearest(name, NAMES)}")
    return [name for name in NAMES if not faults or name in faults]


def _labels(subjects: Sequence[Subject]) -> list[str]:
    """Each head's preset; with the folder of its run where two have the same."""
    presets = [subject.preset for subject in subjects]
    labels = []
    for number, subject in enumerate(subjects):
        label = subject.preset
        if presets.count(label) > 1 and subject.run is not None:
            label = f"{label} ({subject.run.path})"
        labels.append(label if label not in labels else f"{label} [{number + 1}]")
    return labels
