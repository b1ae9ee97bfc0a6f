"""`gaid reproduce worlds`: which heads gain where captions mention sound, and which lose where no caption does.

The same heads in three demo worlds that differ in how many captions mention sound, each compared query by query with the two
heads without sound, trained alike. Each is tested where it was trained, and those that were trained where captions name sounds
also where none does. It is no table of the paper. Stores and runs are the workshop's.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gaid.evaluation.evaluate import evaluate
from gaid.evaluation.ranks import signed
from gaid.evaluation.results import DIRECTION_NAMES, Results
from gaid.files import write_bytes
from gaid.metrics import BY_NAME
from gaid.paper.tables import TABLES, TableRow
from gaid.paper.workshop import PaperOptions, Setting, Workshop
from gaid.report.tables import csv_text, heading

NEVER, ALWAYS = "demo-deaf", "demo-ears"
WORLDS = (NEVER, "demo", ALWAYS)
MOVED = {world: f"{NEVER}, trained in {world}" for world in WORLDS if world != NEVER}
WITHOUT_SOUND = ("x-pool", "mean-pool")
# Fusing patches does not change what sound is worth, and takes a store of its own.
ROWS: tuple[TableRow, ...] = tuple(row for row in TABLES["table1"].rows if not row.needs_patches)
METRIC = "R@1"

_Difference = tuple[float, float, float]


@dataclass
class Worlds:
    """`results[test][preset]`: a head's figures, with its comparisons to the heads of WITHOUT_SOUND but itself, in that order.
    A test is a world, or the entry of MOVED for the world in which heads were trained that are tested in NEVER."""

    results: dict[str, dict[str, Results]]

    def difference(self, test: str, preset: str, baseline: str, direction: str) -> _Difference | None:
        """Points over a head without sound, with the ends of the paired interval; None for that head itself."""
        others = [name for name in WITHOUT_SOUND if name != preset]
        if baseline not in others:
            return None
        one = self.results[test][preset].comparisons[others.index(baseline)]
        return one.difference[direction][METRIC], *one.intervals[direction][METRIC]

    def harmed(self, test: str = NEVER, direction: str = "t2v") -> list[str]:
        """The heads that lie below a head without sound by more than the interval."""
        return self._where(test, direction, lambda found: any(high < 0 for _, _, high in found))

    def gaining(self, test: str = ALWAYS, direction: str = "t2v") -> list[str]:
        """The heads that lie above both heads without sound by more than the interval."""
        return self._where(test, direction, lambda found: all(low > 0 for _, low, _ in found))

    def _where(self, test: str, direction: str, holds: Callable[[list[_Difference]], bool]) -> list[str]:
        found = []
        for preset in self.results[test]:
            differences = [self.difference(test, preset, baseline, direction) for baseline in WITHOUT_SOUND]
            if holds([one for one in differences if one is not None]):
                found.append(preset)
        return found

    def conclusion(self) -> str:
        """Who gains and who is harmed, text to video, in a sentence per test."""
        lines = [
            f"Where every caption mentions sound ({ALWAYS}), {_names(self.gaining())} found more than both heads without sound "
            f"({' and '.join(WITHOUT_SOUND)}).",
            f"Where none does ({NEVER}), {_names(self.harmed())} found less than one of the two.",
            *(f"Trained in {world} and tested in {NEVER}, {_names(self.harmed(test))} did." for world, test in MOVED.items()),
        ]  # fmt: skip
        return " ".join(lines) + " (By more than the paired 95 % interval.)"

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        figures = {
            world: {name: one.to_dict() for name, one in results.items()} for world, results in self.results.items()
        }
        return {"conclusion": self.conclusion(), "harmed": self.harmed(), "gaining": self.gaining(), "tests": figures}

    def __str__(self) -> str:
        parts = ["# Worlds in which captions never, mostly and always mention sound", self.conclusion()]
        for direction in ("t2v", "v2t"):
            parts.append(
                f"{DIRECTION_NAMES[direction]}, {METRIC} (95 % interval), and points over each head without sound"
            )
            parts += ["\n".join(self._table(test, direction)) for test in self.results]
        parts.append("\n".join(f"* {heading(next(iter(of.values())))}" for of in self.results.values()))
        return "\n\n".join(parts) + "\n"

    def _table(self, test: str, direction: str) -> list[str]:
        columns = [test, *(f"over {name}" for name in WITHOUT_SOUND)]
        lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
        return lines + [f"| {name} | {' | '.join(self._cells(test, name, direction))} |" for name in self.results[test]]

    def _cells(self, test: str, preset: str, direction: str) -> list[str]:
        figures, metric = self.results[test][preset].figures[direction], BY_NAME[METRIC]
        cells = [f"{metric.text(figures.values[METRIC])} ({metric.interval_text(*figures.intervals[METRIC])})"]
        for baseline in WITHOUT_SOUND:
            found = self.difference(test, preset, baseline, direction)
            cells.append("" if found is None else f"{signed(found[0])} ({signed(found[1])} to {signed(found[2])})")
        return cells

    def records(self) -> list[dict[str, Any]]:
        """Lines of the CSV: one per test, head and direction."""
        lines = []
        for test, results in self.results.items():
            for preset, one in results.items():
                for direction, figures in one.figures.items():
                    low, high = figures.intervals[METRIC]
                    line = {"test": test, "head": preset, "direction": direction, METRIC: figures.values[METRIC]}
                    line |= {"low": low, "high": high, "queries": figures.queries, "gallery": figures.gallery}
                    for baseline in WITHOUT_SOUND:
                        found = self.difference(test, preset, baseline, direction) or ("", "", "")
                        line |= dict(
                            zip((f"over {baseline}", f"{baseline} low", f"{baseline} high"), found, strict=True)
                        )
                    lines.append(line)
        return lines

    def write(self, out: Path) -> list[Path]:
        """OUT/worlds.md and OUT/worlds.csv."""
        texts = {"worlds.md": str(self), "worlds.csv": csv_text(self.records())}
        for name, text in texts.items():
            write_bytes(out / name, text.encode())
        return [out / name for name in texts]


def make_worlds(options: PaperOptions) -> Worlds:
    """Extracts, trains and evaluates what is missing of the heads in the three worlds. Patches and audio tokens are
    left out unless they are asked for."""
    workshop = Workshop(replace(options, patches=bool(options.patches), audio_tokens=bool(options.audio_tokens)))
    runs, stores = {}, {}
    for world in WORLDS:
        stores[world] = workshop.features(Setting(world))
        runs[world] = {row.preset: workshop.run(stores[world], row) for row in ROWS}
    tests = [(world, world, world) for world in WORLDS] + [(test, world, NEVER) for world, test in MOVED.items()]
    found: dict[str, dict[str, Results]] = {}
    for test, trained, tested in tests:
        workshop.say(f"{test}: evaluation")
        found[test] = {
            preset: evaluate(
                run,
                store=stores[tested],
                against=[runs[trained][name] for name in WITHOUT_SOUND if name != preset],
                device=workshop.options.device,
            )
            for preset, run in runs[trained].items()
        }
    return Worlds(found)


def _names(names: list[str]) -> str:
    return ", ".join(names) or "no head"
