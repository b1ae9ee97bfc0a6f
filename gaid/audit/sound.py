"""Audio and alignment: how much of a figure the sound brings, and what it costs to hear it at another moment."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gaid.audit.ground import Condition, Ground, same_queries
from gaid.audit.results import Line, Ranks, Section
from gaid.runs import Run
from gaid.stores import with_audio

if TYPE_CHECKING:
    from gaid.stores import Store

CONTROLS = {
    "shuffled": "another clip's sound",
    "silence": "zeros that count as sound (as the published code feeds a missing track)",
    "none": "no sound (mask false everywhere)",
}
TEST, TRAINED = "changed at test only", "trained and tested so"


def audio(ground: Ground, others: list[Ground], retrain: Callable[..., Run] | None) -> Section:
    """The run's own sound taken away at test, and, with `retrain`, from training on."""
    section = Section("audio", "Audio", "How much of the figure is the sound, how much the parameters that hear it?")
    if not ground.hears:
        section.unmeasured = f"{ground.label} hears nothing: there is no sound to take away"
        return section
    section.lines.append(Line("its own sound", ground.query.values(seed=ground.seed), "main", TEST))
    for name, label in CONTROLS.items():
        found = heard_as(ground, name)
        section.lines.append(Line(label, found.values(ground.query, ground.seed), "control", TEST))
    deaf = [other for other in others if not other.hears]
    for other in deaf:
        line = Line(
            f"{other.label}, which hears nothing", other.query.values(ground.query, ground.seed), "baseline", TEST
        )
        section.lines.append(line)
    if retrain is None:
        section.notes.append("trained controls (shuffled sound, no sound) are not measured: ask with --retrain")
        return section
    trained: dict[str, Ranks] = {}
    for name in ("shuffled", "none"):
        one = _trained(ground, retrain(name, {"audio": name}))
        trained[name] = one.query
        section.lines.append(Line(CONTROLS[name], one.query.values(ground.query, ground.seed), "control", TRAINED))
    of_sound = _gain(ground.query, trained["shuffled"], ground.seed)
    section.findings.append(
        f"own sound less another clip's, both trained so: {of_sound} points of text to video R@1 that are the sound's"
    )
    for other in deaf:
        section.findings.append(
            f"of {_gain(ground.query, other.query, ground.seed)} points over {other.label}, the head trained with another clip's "
            f"sound has {_gain(trained['shuffled'], other.query, ground.seed)}: these are its parameters'"
        )
    return section


def alignment(ground: Ground, published: "Store | None", retrain: Callable[..., Run] | None) -> Section:
    """Frames paired with sound of another moment: turned in time at test, and a store of the published sampling."""
    section = Section("alignment", "Alignment", "What does it cost to pair a frame with the sound of another moment?")
    if not ground.hears:
        section.unmeasured = f"{ground.label} hears nothing: there is no sound to align"
        return section
    section.lines.append(Line("as extracted (aligned)", ground.query.values(seed=ground.seed), "main"))
    moved = heard_as(ground, "moved")
    section.lines.append(
        Line("each clip's own sound, moved in time at test", moved.values(ground.query, ground.seed), "control")
    )
    section.findings.append(
        f"own sound at other moments, at test only: {section.lines[-1].values['change t2v R@1']} points of text to video R@1"
    )
    if published is None:
        section.notes.append(
            "the published pairing (F bins of 30 s; here encoded one by one, with the padding masked) is not measured: extract a second store with "
            "--audio-sampling published and name it with --published-sampling"
        )
        return section
    ground.run.check_store(published)
    part = published.split(ground.split.part, ground.split.protocol)
    same_queries(ground.split, part, str(published.path))
    features = ground.features(part)
    found = ground.measure(condition=Condition(features=lambda _: features))[0]
    section.lines.append(Line("published sampling, at test only", found.values(ground.query, ground.seed), "leak"))
    if retrain is not None:
        other = retrain("published-sampling", {}, published)
        one = Ground.of(other, published, part, memory=ground.memory, device=ground.measurement.device,
                        seeds=len(ground.members), seed=ground.seed)  # fmt: skip
        section.lines.append(
            Line("published sampling, trained and tested so", one.query.values(ground.query, ground.seed), "leak")
        )
    section.findings.append(f"{section.lines[-1].label}: {section.lines[-1].values['change t2v R@1']} points")
    return section


def heard_as(ground: Ground, name: str) -> Ranks:
    """Ranks with other sound at test; another draw a member."""
    parts = {member: ground.features(with_audio(ground.split, name, ground.seed + member)) for member in ground.members}
    return ground.measure(condition=Condition(features=parts.__getitem__))[0]


def _trained(ground: Ground, run: Run) -> Ground:
    return Ground.of(run, ground.store, ground.split, memory=ground.memory, device=ground.measurement.device,
                     seeds=len(ground.members), seed=ground.seed)  # fmt: skip


def _gain(one: Ranks, other: Ranks, seed: int) -> str:
    return str(one.values(other, seed)["change t2v R@1"])
