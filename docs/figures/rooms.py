"""The rooms of the package and who imports whom, counted from its source: `python docs/figures/rooms.py [FILE.svg]`.

A room is a package or a module directly under `gaid`; the top level itself, a door that imports lazily, is none. A circle is a set of modules, or of rooms, each of which reaches the others
by imports; imports that only a type checker sees count as well. The rows of the picture are the layers of pyproject.toml.
"""

import sys
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import grimp

PACKAGE = "gaid"


@dataclass(frozen=True)
class House:
    """`lines` by room, `arrows` between rooms, and the circles among rooms and among modules."""

    lines: dict[str, int]
    arrows: dict[str, set[str]]
    room_circles: list[set[str]]
    module_circles: list[set[str]]

    @property
    def shares(self) -> dict[str, float]:
        """Each room's share of all lines, the largest first."""
        total = sum(self.lines.values())
        return {room: count / total for room, count in sorted(self.lines.items(), key=lambda item: -item[1])}


def survey(package_folder: Path) -> House:
    """Counts the package whose source lies in `package_folder`; it must be the one that `import gaid` finds."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    arrows: dict[str, set[str]] = {}
    for module, imported in imports.items():
        if room := room_of(module):
            arrows.setdefault(room, set()).update({room_of(one) for one in imported} - {room, ""})
    lines: dict[str, int] = {}
    for file in package_folder.rglob("*.py"):
        room = room_of(".".join([PACKAGE, *file.relative_to(package_folder).with_suffix("").parts]))
        lines[room] = lines.get(room, 0) + len(file.read_text(encoding="utf-8").splitlines())
    return House(lines, arrows, circles(arrows, arrows.__getitem__), circles(imports, imports.__getitem__))


def room_of(module: str) -> str:
    """The room of a dotted module; "" for the top level."""
    parts = module.split(".")
    return "" if len(parts) == 1 or parts[1].startswith("__") else parts[1]


def circles(nodes: Iterable[str], next_to: Callable[[str], Iterable[str]]) -> list[set[str]]:
    """The strongly connected sets of more than one node (Tarjan)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for other in next_to(node):
            if other not in order:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], order[other])
        if lowest[node] == order[node]:
            ring = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            if len(ring) > 1:
                found.append(ring)

    for node in nodes:
        if node not in order:
            visit(node)
    return found


def layers(pyproject: Path) -> list[list[str]]:
    """The rooms of each layer, the highest first."""
    contracts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    names = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip().removeprefix(f"{PACKAGE}.") for name in row.replace(":", "|").split("|")] for row in names]


def draw(house: House, rows: list[list[str]], file: Path) -> None:
    """Boxes whose area is a room's lines, an arrow per import between rooms; darker the further it reaches down."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, Rectangle

    figure = Figure(figsize=(11, 1.15 * len(rows)), layout="tight")
    axis = figure.add_subplot()
    biggest = max(house.lines.values())
    centre: dict[str, tuple[float, float]] = {}
    for depth, row in enumerate(rows):
        for place, room in enumerate(row):
            x, y = (place + 0.5) / len(row) * 10, -float(depth)
            side = 0.35 + 0.65 * (house.lines.get(room, 0) / biggest) ** 0.5
            centre[room] = (x, y)
            axis.add_patch(
                Rectangle(
                    (x - side * 0.8, y - 0.22), side * 1.6, 0.44, facecolor="#dfe8f2", edgecolor="#44607c", zorder=2
                )
            )
            axis.text(x, y, f"{room}\n{house.lines.get(room, 0):,}", ha="center", va="center", fontsize=8, zorder=3)
    for room, others in house.arrows.items():
        for other in others:
            if room in centre and other in centre:
                axis.add_patch(
                    FancyArrowPatch(
                        centre[room], centre[other], arrowstyle="-|>", mutation_scale=7, shrinkA=16, shrinkB=16,
                        color="#8a8a8a" if centre[room][1] > centre[other][1] else "#c0392b", linewidth=0.6, alpha=0.5, zorder=1,
                        connectionstyle="arc3,rad=0.06",
                    )
                )  # fmt: skip
    axis.set_xlim(0, 10)
    axis.set_ylim(-len(rows) + 0.5, 0.5)
    axis.axis("off")
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main(arguments: list[str]) -> int:
    root = Path.cwd()
    house = survey(root / PACKAGE)
    print(f"{len(house.lines)} rooms, {sum(house.lines.values()):,} lines; the largest:")
    for room, share in list(house.shares.items())[:5]:
        print(f"  {room:12} {house.lines[room]:6,} lines  {share:5.1%}")
    for name, found in (("rooms", house.room_circles), ("modules", house.module_circles)):
        print(f"circles among {name}: {len(found)}" + "".join(f"\n  {', '.join(sorted(ring))}" for ring in found))
    if arguments:
        draw(house, layers(root / "pyproject.toml"), Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
