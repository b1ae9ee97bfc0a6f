"""`gaid store`: look at, check and convert a store."""

from pathlib import Path
from typing import Annotated

import typer

from gaid.cli.common import Json, give, human_bytes, say, table

app = typer.Typer(help="Look at, check and convert a store.", no_args_is_help=True)
Place = Annotated[Path, typer.Argument(help="The store: a .zarr folder or an .h5 file.")]


@app.command("info")
def info(path: Place, json: Json = False) -> None:
    """Shapes, provenance, sizes on disk, completeness."""
    from gaid.stores import open_store

    told = open_store(path, incomplete=True).info()
    if json:
        return give(told)
    rows = [
        [name, one["dtype"], "x".join(map(str, one["shape"])), human_bytes(one["bytes"])]
        for name, one in told["arrays"].items()
    ]
    whole = "complete" if told["complete"] else f"{len(told['missing_shards'])} parts are not extracted yet"
    table(
        f"{path} ({told['format']}, {human_bytes(told['bytes'])} in {told['files']} files, {whole})",
        ["array", "type", "shape", "on disk"],
        rows,
    )
    attributes = told["attributes"]
    for kind, one in attributes.get("backbones", {}).items():
        print(f"{kind}: {one.get('name')}{' (random weights)' if one.get('random_weights') else ''}")
    for name in ("dataset", "sampling", "versions", "created", "fingerprint"):
        if name in attributes:
            print(f"{name}: {attributes[name]}")
    print("census: " + ", ".join(f"{count} {name}" for name, count in attributes["census"].items()))
    return None


@app.command("verify")
def verify(path: Place, json: Json = False) -> int:
    """Read every byte against its checksum, and every array against the schema."""
    from gaid.stores import open_store

    report = open_store(path, incomplete=True).verify()
    if json:
        give({"ok": report.ok, "files": report.files, "bytes": report.bytes, "problems": report.problems})
    else:
        for problem in report.problems:
            say(f"  {problem}")
        print(
            f"{path}: {'sound' if report.ok else f'{len(report.problems)} problems'}; {report.files} files, {human_bytes(report.bytes)} read"
        )
    return 0 if report.ok else 3


@app.command("convert")
def convert(
    path: Place,
    target: Annotated[Path, typer.Argument(help="The new store: ends in .zarr, .h5 or .hdf5.")],
    json: Json = False,
) -> None:
    """The same store in the other format; nothing is lost."""
    from gaid.stores import convert_store

    store = convert_store(path, target)
    if json:
        return give({"path": str(store.path), "fingerprint": store.fingerprint})
    print(f"{store.path}: {len(store.ids)} videos, the same fingerprint {store.fingerprint[:12]}")
    return None
