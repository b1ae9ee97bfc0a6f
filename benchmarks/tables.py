"""Findings as JSON under reports/bench/ and as tables between markers in docs/performance.md."""

import json
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.harness import Findings, Options, cores
from gaid.training.environment import describe_environment

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
REPORTS = Path("reports") / "bench"
PACKAGES = (
    "torch", "numpy", "av", "torchcodec", "eva-decord", "ffmpeg-python", "zarr", "zarrs", "h5py", "webdataset", "faiss-cpu",
    "open_clip_torch",
)  # fmt: skip
# In the order in which they stand on the page.
ORDER = ("decode", "extract", "captions", "score", "search", "train", "store", "library", "growth", "serve")
# With a table of their own on another page; asked for by name.
ELSEWHERE = ("engines",)
ON_A_GPU = ("extract", "score", "search", "train")


def describe_machine(options: Options) -> dict[str, Any]:
    """What the figures were taken on: `device` is `cpu`, or the name of the GPU."""
    about = describe_environment("cpu")
    device = describe_environment(options.device)["device_name"] if options.on_a_gpu else "cpu"
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "device": device,
        "processor": about["device_name"],
        "cores": cores(),
        "threads": options.threads,
        "python": platform.python_version(),
        "versions": versions,
        "commit": about["commit"],
        "seed": options.seed,
    }


def save(findings: Findings, options: Options, reports: Path = REPORTS) -> Path:
    """Writes NAME.json, of a GPU NAME-gpu.json; the quick form's beside the others, in a folder of its own."""
    folder = reports / "quick" if options.quick else reports
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{findings.name}{'-gpu' if options.on_a_gpu else ''}.json"
    whole = {"machine": describe_machine(options), **findings.to_dict()}
    file.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n")
    return file


def table(found: dict[str, Any]) -> str:
    """One benchmark's findings in Markdown."""
    machine = found["machine"]
    on_a_gpu = machine.get("device", "cpu") != "cpu"
    lines = [
        (f"{machine['device']}, torch {machine['versions']['torch']}; " if on_a_gpu else "")
        + f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; seed {machine['seed']}; "
        f"`python -m benchmarks {found['name']}{' --device cuda' if on_a_gpu else ''}`",
        "",
        "| what | who | seconds: min / median / max | times ours | memory, MiB | ours over the limit | differs by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in found["cases"]:
        rows = [(case["ours"], case["timings"][case["ours"]])]
        rows += [(who, timing) for who, timing in case["timings"].items() if who != case["ours"]]
        for place, (who, timing) in enumerate(rows):
            spread = timing["seconds"]
            seconds = " / ".join(digits(spread[part]) for part in ("min", "median", "max"))
            if timing["share_measured"] < 1:
                seconds += f" (scaled from {100 * timing['share_measured']:.2g} %)"
            ratio = case["times_faster"].get(who)
            times = (
                ""
                if ratio is None
                else f"{digits(ratio['median'])} ({digits(ratio['low'])} to {digits(ratio['high'])})"
            )
            over = case["limit"]["ours_over_it"]
            limit = (
                ""
                if place or over is None
                else f"{digits(over)} ({digits(case['limit']['seconds'])} s: {case['limit']['of']})"
            )
            error = "" if place or case["error"] is None else f"{case['error']:.1e}"
            name = case["name"] if not place else ""
            shown = f"**{who}**" if not place else who
            note = f"; {timing['note']}" if timing["note"] else ""
            lines.append(
                f"| {name} | {shown}{note} | {seconds} | {times} | {timing['peak_bytes'] / 2**20:,.0f} | {limit} | {error} |"
            )
    lines += ["", *(f"* {note}" for note in found["notes"])]
    return "\n".join(lines).rstrip()


def goals(all_found: list[dict[str, Any]]) -> str:
    """What was wished for and what was found, over all benchmarks."""
    lines = ["| benchmark | goal | found | met |", "| --- | --- | --- | --- |"]
    for found in all_found:
        for goal in found["goals"]:
            lines.append(
                f"| {found['name']} | {goal['text']} | {goal['found']} | {'yes' if goal['met'] else '**no**'} |"
            )
    return "\n".join(lines)


def write_page(page: Path = PAGE, reports: Path = REPORTS) -> None:
    """Puts the saved findings into the page; what was not run stays as it stands there."""
    text = page.read_text()
    for name in [f"{name}-gpu" for name in ON_A_GPU]:
        if (reports / f"{name}.json").exists():
            one = json.loads((reports / f"{name}.json").read_text())
            text = put(text, name, "\n\n".join([table(one), goals([one])]))
    files = [reports / f"{name}.json" for name in ORDER]
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    for one in found:
        text = put(text, one["name"], table(one))
    if len(found) == len(ORDER):
        text = put(text, "goals", goals(found))
    page.write_text(text)


def put(text: str, name: str, block: str) -> str:
    """`text` with what stands between a block's markers replaced. Raises ValueError where there are no such markers."""
    begin, end = f"<!-- bench {name} -->", f"<!-- end of bench {name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"the page has no place for {name}: {begin} ... {end}")
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{block}\n{end}", text, flags=re.DOTALL)


def digits(value: float) -> str:
    """Three digits that count, without powers of ten."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.2g}"
