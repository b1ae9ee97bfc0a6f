"""The model card of a published head, as markdown. What it says is `facts`'; its front matter is `hub`'s."""

import json
from collections.abc import Iterable

from torch import nn

import gaid
from gaid.evaluation.basis import overlap_notes
from gaid.heads import Head
from gaid.publishing.facts import Facts
from gaid.publishing.hub import as_yaml, front_matter
from gaid.publishing.licences import UNKNOWN
from gaid.report.evaluation import headline
from gaid.report.tables import census_items, escape_markdown, markdown
from gaid.runs.files import HEAD_SOURCE, MODEL, WEIGHTS
from gaid.versions import version_of

HOME = "https://arxiv.org/abs/2508.01711"


def card(facts: Facts) -> str:
    """README.md: the front matter, then the card."""
    parts = [
        f"# {escape_markdown(facts.name)}",
        headline(facts.results),
        _what_it_is(facts),
        *_section("Use", _use(facts)),
        *_section("The features that it takes", _features(facts)),
        *_section("Figures", _figures(facts)),
        *_section("What the figures rest on", _leak(facts)),
        *_section("Data", _data(facts)),
        *_section("Licence", _licence(facts)),
        *_section("How it was made", _made(facts)),
        *_section("Files", _files(facts)),
    ]
    return f"---\n{as_yaml(front_matter(facts))}---\n\n" + facts.without_places("\n\n".join(parts)) + "\n"


def _section(title: str, parts: Iterable[str]) -> list[str]:
    return [f"## {title}", *parts]


def _what_it_is(facts: Facts) -> str:
    return (
        f"A head of gaid (preset `{facts.preset}`; the method GAID is {HOME}): a small model that scores how well a sentence fits a "
        "video. It takes the features of frozen encoders, which are not in this folder."
    )


def _use(facts: Facts) -> list[str]:
    trust = (
        [
            f"The head is a class of its author's own, in `{HEAD_SOURCE}`. Read that file; gaid runs it only with `GAID_TRUST_CODE=1`."
        ]
        if ":" in facts.preset
        else []
    )
    return [
        *trust,
        "```python\n"
        "import gaid\n\n"
        'head = gaid.load("THIS_FOLDER")  # or the name of its repository: OWNER/NAME\n'
        'gaid.search("a dog barks at the sea", run=head, store="stores/videos.zarr")\n'
        'gaid.evaluate(head, store="stores/videos.zarr")  # a store of other backbones is refused\n'
        "```",
        "A store with the features of your own videos:",
        _commands([facts.extract_command("--dataset", "folder", "--root", "VIDEOS")]),
    ]


def _features(facts: Facts) -> list[str]:
    rows = [
        [one.kind, f"`{one.name}`", one.sha256[:12] or "none", one.licence + (" (non-commercial)" if one.restricted else "")]
        for one in facts.backbones
    ]  # fmt: skip
    return [
        _table(["features", "backbone", "SHA-256 of its weights", "licence of the backbone"], rows),
        f"{facts.store.frames} frames per clip. The head {_hears(facts)}.",
    ]


def _hears(facts: Facts) -> str:
    if not facts.head.uses_audio or facts.member.audio in ("none", "silence"):
        return "hears nothing: it compares frames with sentences"
    hears = facts.results.basis.hears or "one embedding per frame"
    control = " (a control: trained with the sound of other clips)" if facts.member.audio != "own" else ""
    return f"hears the clip's sound, as {hears}{control}"


def _figures(facts: Facts) -> list[str]:
    parts = ["Of the head in this folder:", markdown(facts.results).strip()]
    if facts.over_seeds is not None:
        seeds = ", ".join(str(seed) for seed in facts.over_seeds.basis.seeds)
        parts += [
            f"Of all {len(facts.over_seeds.basis.seeds)} heads that were trained alike (seeds {seeds}), as means; this folder holds "
            f"the first:",
            markdown(facts.over_seeds).strip(),
        ]
    else:
        parts.append(f"One seed was trained ({facts.member.seed}), so how much seeds differ is not known.")
    return parts


def _leak(facts: Facts) -> list[str]:
    findings = [line for section in facts.leak.sections for line in section.findings]
    notes = overlap_notes([facts.results.basis]) or [_overlap(facts)]
    return [
        f"**{escape_markdown(facts.leak.answer)}** (`gaid audit --only leak`)",
        "\n".join(f"* {escape_markdown(line)}" for line in [*findings, *notes]),
    ]


def _overlap(facts: Facts) -> str:
    found = facts.results.basis.training_overlap
    assert found is not None
    return f"{found.videos} of {found.gallery} gallery clips lie in the part that the head was trained on"


def _data(facts: Facts) -> list[str]:
    basis = facts.results.basis
    counted = {part: dict(census_items(one)) for part, one in facts.census.items()}
    names = list(dict.fromkeys(name for one in counted.values() for name in one))
    rows = [[name, *(str(one.get(name, 0)) for one in counted.values())] for name in names]
    return [
        f"Data set `{basis.dataset}`, split `{basis.split_protocol}`: trained on `train`, chosen on `{facts.settings.get('validation', 'val')}`, "
        f"judged on `{basis.split}`.",
        _table(["clips and captions", *counted], rows),
        f"SHA-256 of the ids of the gallery: `{basis.gallery_hash}`.",
    ]


def _licence(facts: Facts) -> list[str]:
    parts = []
    restricted = [one for one in facts.backbones if one.restricted]
    if restricted:
        named = ", ".join(f"`{one.name}` ({one.licence})" for one in restricted)
        parts.append(
            f"**Not for commercial use.** The head was trained on features of {named}, whose licence excludes commercial use, and it "
            "is of no use without them."
        )
    unknown = sorted({f"`{one.name}` ({one.kind})" for one in facts.backbones if one.licence == UNKNOWN})
    if unknown:
        parts.append(f"The licence of {', '.join(unknown)} is not known to gaid; look it up before you use the head.")
    chosen = (
        "Its author has not chosen a licence for the weights in this folder."
        if facts.licence == UNKNOWN
        else f"Licence of the weights in this folder: `{facts.licence}`."
    )
    return [chosen, *parts, "gaid itself is under Apache-2.0."]


def _made(facts: Facts) -> list[str]:
    torch_version = version_of("torch") or "?"
    metrics = facts.member.metrics
    return [
        _commands(facts.commands),
        f"`training.toml` in this folder holds the settings. Training took {metrics.get('steps', '?')} steps and "
        f"{metrics.get('seconds', 0):.0f} s; the kept head is that of step {facts.checkpoint['step']}, the best on validation. "
        f"gaid {facts.checkpoint['gaid']} trained it; gaid {gaid.__version__} with torch {torch_version} judged it and wrote this card.",
    ]


def _files(facts: Facts) -> list[str]:
    rows, above = [], ""
    for name, tensor in facts.head.state_dict().items():
        part = _part_of(facts.head, name)
        shape, kind = " x ".join(map(str, tensor.shape)) or "1", str(tensor.dtype).removeprefix("torch.")
        rows.append([f"`{name}`", shape, kind, "" if part == above else part])
        above = part
    return [
        f"`{MODEL}` describes the head and the features that it takes (JSON); `{WEIGHTS}` holds its weights; `.eval_results/` holds the "
        "figures for a hub. No file is a pickle, and gaid reads none.",
        _table([f"name in `{WEIGHTS}`", "shape", "type", "part of the head (from this line on)"], rows),
        f"Arguments of the head: `{json.dumps(facts.checkpoint['head']['arguments'])}`",
    ]


def _part_of(head: Head, name: str) -> str:
    """The first line of the docstring of the innermost part that is the head's own, not one of torch's layers."""
    path = name.split(".")[:-1]
    for depth in range(len(path), -1, -1):
        part: nn.Module = head.get_submodule(".".join(path[:depth]))
        if not type(part).__module__.startswith("torch.") and type(part).__doc__:
            return escape_markdown(str(type(part).__doc__).strip().splitlines()[0])
    return ""


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _commands(lines: list[str]) -> str:
    return "```bash\n" + "\n".join(lines) + "\n```"
