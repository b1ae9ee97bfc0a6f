"""Audio and alignment: how much of a figure is due to the sound, and what it costs to hear it at another moment."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from gaid.audit.results import Line, Section
from gaid.evaluation.bench import Bench, Condition, same_queries
from gaid.evaluation.ranks import Ranks
from gaid.runs import Run

if TYPE_CHECKING:
    from gaid.stores import Store

CONTROLS = {
    "shuffled": "another clip's sound",
    "silence": "zeros that count as sound (as the published code feeds a missing track)",
    "none": "no sound (mask false everywhere)",
}
TEST, TRAINED = "changed at test only", "trained and tested so"


def audio(bench: Bench, others: list[Bench], retrain: Callable[..., Run] | None) -> Section:
    """The run's own sound replaced at test, and, with `retrain`, in training too."""
    section = Section("audio", "Audio", "How much of the figure is the sound, how much the parameters that take it in?")
    if not bench.head().uses_audio:
        section.unmeasured = f"{bench.label} takes no audio: there is no sound to replace"
        return section
    section.lines.append(Line("its own sound", bench.ranks.values(seed=bench.seed), "main", TEST))
    for name, label in CONTROLS.items():
        found = ranks_with_sound(bench, name)
        section.lines.append(Line(label, found.values(bench.ranks, bench.seed), "control", TEST))
    silent = [other for other in others if not other.head().uses_audio]
    for other in silent:
        line = Line(
            f"{other.label}, which takes no audio", other.ranks.values(bench.ranks, bench.seed), "baseline", TEST
        )
        section.lines.append(line)
    if retrain is None:
        section.notes.append("trained controls (shuffled sound, no sound) are not measured: ask with --retrain")
        return section
    trained: dict[str, Ranks] = {}
    for name in ("shuffled", "none"):
        one = bench.beside(retrain(name, {"audio": name}), len(bench.members))
        trained[name] = one.ranks
        section.lines.append(Line(CONTROLS[name], one.ranks.values(bench.ranks, bench.seed), "control", TRAINED))
    of_sound = _gain(bench.ranks, trained["shuffled"], bench.seed)
    section.findings.append(
        f"own sound less another clip's, both trained so: {of_sound} points of text to video R@1 that are the sound's"
    )
    for other in silent:
        section.findings.append(
            f"of {_gain(bench.ranks, other.ranks, bench.seed)} points over {other.label}, the head trained with another clip's "
            f"sound has {_gain(trained['shuffled'], other.ranks, bench.seed)}: these are its parameters'"
        )
    return section


def alignment(bench: Bench, published: "Store | None", retrain: Callable[..., Run] | None) -> Section:
    """Frames paired with sound of another moment: moved in time at test, and a store of the published sampling."""
    section = Section("alignment", "Alignment", "What does it cost to pair a frame with the sound of another moment?")
    if not bench.head().uses_audio:
        section.unmeasured = f"{bench.label} takes no audio: there is no sound to align"
        return section
    section.lines.append(Line("as extracted (aligned)", bench.ranks.values(seed=bench.seed), "main"))
    moved = ranks_with_sound(bench, "moved")
    section.lines.append(
        Line("each clip's own sound, moved in time at test", moved.values(bench.ranks, bench.seed), "control")
    )
    section.findings.append(
        f"own sound at other moments, at test only: {section.lines[-1].values['change t2v R@1']} points of text to video R@1"
    )
    if published is None:
        section.notes.append(
            "the published pairing of sounds and frames is not measured: extract a second store with --audio-sampling published "
            "(whisper) or spread (any other encoder: its windows over 30 s, with the padding masked) and name it with --published-sampling"
        )
        return section
    bench.run.check_store(published)
    part = published.split(bench.split.part, bench.split.protocol)
    same_queries(bench.split, part, str(published.path))
    found = bench.on(part).measure()[0]
    section.lines.append(Line("published sampling, at test only", found.values(bench.ranks, bench.seed), "leak"))
    if retrain is not None:
        other = retrain("published-sampling", {}, published)
        one = replace(bench, store=published).on(part).beside(other, len(bench.members))
        section.lines.append(
            Line("published sampling, trained and tested so", one.ranks.values(bench.ranks, bench.seed), "leak")
        )
    section.findings.append(f"{section.lines[-1].label}: {section.lines[-1].values['change t2v R@1']} points")
    return section


def ranks_with_sound(bench: Bench, name: str) -> Ranks:
    """Ranks with other sound at test, drawn anew for each member; `name` is one of `stores.with_audio`."""
    features = {member: bench.features(audio=name, seed=bench.seed + member) for member in bench.members}
    return bench.measure(condition=Condition(features=features.__getitem__))[0]


def _gain(one: Ranks, other: Ranks, seed: int) -> str:
    return str(one.values(other, seed)["change t2v R@1"])
