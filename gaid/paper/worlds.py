"""`gaid reproduce worlds`: which heads gain where captions mention sound, and which lose where no caption does.

The same heads in three demo worlds that differ in how many captions mention sound, each compared query by query with the two
heads without sound. It is no table of the paper. Stores and runs are the workshop's.
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
WITHOUT_SOUND = ("x-pool", "mean-pool")
# Fusing patches does not change what sound is worth, and takes a store of its own.
ROWS: tuple[TableRow, ...] = tuple(row for row in TABLES["table1"].rows if not row.needs_patches)
METRIC = "R@1"

_Difference = tuple[float, float, float]


@dataclass
class Worlds:
    """`results[world][preset]`: a head's figures, with its comparisons to the heads of WITHOUT_SOUND but itself, in that order."""

    results: dict[str, dict[str, Results]]

    def difference(self, world: str, preset: str, baseline: str, direction: str) -> _Difference | None:
        """Points over a head without sound, with the ends of the paired interval; None for that head itself."""
        others = [name for name in WITHOUT_SOUND if name != preset]
        if baseline not in others:
            return None
        one = self.results[world][preset].comparisons[others.index(baseline)]
        return one.difference[direction][METRIC], *one.intervals[direction][METRIC]

    def harmed(self, direction: str = "t2v") -> list[str]:
        """The heads that lie below a head without sound, by more than the interval, where no caption mentions sound."""
        return self._where(NEVER, direction, lambda found: any(high < 0 for _, _, high in found))

    def gaining(self, direction: str = "t2v") -> list[str]:
        """The heads that lie above both heads without sound, by more than the interval, where every caption mentions sound."""
        return self._where(ALWAYS, direction, lambda found: all(low > 0 for _, low, _ in found))

    def _where(self, world: str, direction: str, holds: Callable[[list[_Difference]], bool]) -> list[str]:
        found = []
        for preset in self.results[world]:
            differences = [self.difference(world, preset, baseline, direction) for baseline in WITHOUT_SOUND]
            if holds([one for one in differences if one is not None]):
                found.append(preset)
        return found

    def conclusion(self, direction: str = "t2v") -> str:
        """Who gains without harm, in a sentence per world."""
        gaining, harmed = self.gaining(direction), self.harmed(direction)
        both = [name for name in gaining if name not in harmed]
        return (
            f"Where every caption mentions sound ({ALWAYS}), {_names(gaining)} found more than {' and '.join(WITHOUT_SOUND)}, which "
            f"hear nothing. Where none does ({NEVER}), {_names(harmed)} found less than one of these two. So {_names(both)} "
            "gained without harm, as far as the paired 95 % intervals show."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        figures = {
            world: {name: one.to_dict() for name, one in results.items()} for world, results in self.results.items()
        }
        return {"conclusion": self.conclusion(), "harmed": self.harmed(), "gaining": self.gaining(), "worlds": figures}

    def __str__(self) -> str:
        parts = ["# Worlds in which captions never, mostly and always mention sound", self.conclusion()]
        for direction in ("t2v", "v2t"):
            parts.append(
                f"{DIRECTION_NAMES[direction]}, {METRIC} (95 % interval), and points over each head without sound"
            )
            parts.append("\n".join(self._table(direction)))
        parts.append("\n".join(f"* {heading(next(iter(of.values())))}" for of in self.results.values()))
        return "\n\n".join(parts) + "\n"

    def _table(self, direction: str) -> list[str]:
        columns = [cell for world in self.results for cell in (world, *(f"over {name}" for name in WITHOUT_SOUND))]
        lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
        for preset in next(iter(self.results.values())):
            cells = [cell for world in self.results for cell in self._cells(world, preset, direction)]
            lines.append(f"| {preset} | {' | '.join(cells)} |")
        return lines

    def _cells(self, world: str, preset: str, direction: str) -> list[str]:
        figures, metric = self.results[world][preset].figures[direction], BY_NAME[METRIC]
        cells = [f"{metric.text(figures.values[METRIC])} ({metric.interval_text(*figures.intervals[METRIC])})"]
        for baseline in WITHOUT_SOUND:
            found = self.difference(world, preset, baseline, direction)
            cells.append("" if found is None else f"{signed(found[0])} ({signed(found[1])} to {signed(found[2])})")
        return cells

    def records(self) -> list[dict[str, Any]]:
        """Lines of the CSV: one per world, head and direction."""
        lines = []
        for world, results in self.results.items():
            for preset, one in results.items():
                for direction, figures in one.figures.items():
                    low, high = figures.intervals[METRIC]
                    line = {"world": world, "head": preset, "direction": direction, METRIC: figures.values[METRIC]}
                    line |= {"low": low, "high": high, "queries": figures.queries, "gallery": figures.gallery}
                    for baseline in WITHOUT_SOUND:
                        found = self.difference(world, preset, baseline, direction) or ("", "", "")
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
    found: dict[str, dict[str, Results]] = {}
    for world in WORLDS:
        store = workshop.features(Setting(world))
        runs = {row.preset: workshop.run(store, row) for row in ROWS}
        workshop.say(f"{world}: evaluation")
        found[world] = {
            preset: evaluate(
                run,
                store=store,
                against=[runs[name] for name in WITHOUT_SOUND if name != preset],
                device=workshop.options.device,
            )
            for preset, run in runs.items()
        }
    return Worlds(found)


def _names(names: list[str]) -> str:
    return ", ".join(names) or "no head"
