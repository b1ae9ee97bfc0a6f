"""`gaid store`: inspect, verify, convert, prune and join stores."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gaid.cli.common import Json, give, human_bytes, option, show_features
from gaid.console import print_table, say, show
from gaid.paths import shown_path

DAMAGED = 3

app = typer.Typer(help="Inspect, verify, convert, prune and join stores.", no_args_is_help=True)
Place = Annotated[Path, typer.Argument(metavar="STORE", help="A .zarr folder or an .h5 file made by gaid extract.")]


CENSUS = ("asked", "found", "unreadable", "valid", "sound", "silent", "no track", "short", "captions", "duplicate captions")  # fmt: skip


@app.command("info")
def info(path: Place, json: Json = False) -> None:
    """Show what a store holds: splits, shapes, sizes on disk, how the features look, where they come from, which clips failed."""
    from gaid.stores import examine_features, open_store

    store = open_store(path, incomplete=True)
    told = store.info()
    failures = store.failures
    features = examine_features(store)
    if json:
        return give(told | {"features": features.to_dict(), "failed": failures})
    whole = (
        "complete" if told["complete"] else f"not complete: {len(told['missing_shards'])} parts are not extracted yet"
    )
    show(f"{store.path}: {told['format']}, {human_bytes(told['bytes'])} in {told['files']} files, {whole}")
    if told["parts"]:
        rows = [[name, part, *(one[entry] for entry in CENSUS), one["gallery_hash"][:12]]
                for name, parts in told["parts"].items() for part, one in parts.items()]  # fmt: skip
        print_table("Splits, counted", ["protocol", "part", *CENSUS, "gallery"], rows)
    elif told["splits"]:
        rows = [[name, part, count] for name, parts in told["splits"].items() for part, count in parts.items()]
        print_table("Splits", ["protocol", "part", "captions"], rows)
    rows = [[name, one["dtype"], " x ".join(map(str, one["shape"])), human_bytes(one["bytes"])]
            for name, one in told["arrays"].items()]  # fmt: skip
    print_table("Arrays", ["array", "type", "shape", "on disk"], rows)
    show_features(features)
    for line in _provenance(told["attributes"]):
        show(line)
    if grown := told.get("library"):
        unused = f"{grown['superseded']:,} replaced and {grown['vanished']:,} gone, which gaid store prune deletes"
        show(f"library: {grown['live']:,} live rows in {grown['parts']} parts; {unused}")
    if said := told["speech"]:
        show(f"speech: {said['segments']:,} segments in {said['clips']:,} clips, by {said['transcriber']}")
    recorded = told["sources_recorded"]
    show(f"source files: {f'size, time and digest of {recorded:,} clips' if recorded else 'not recorded'}")
    for failure in failures[:20]:
        show(f"failed: {failure['id']}: {failure['reason']}: {failure['message']}")
    if len(failures) > 20:
        show(f"failed: ... and {len(failures) - 20} more (--json lists all)")
    return None


def _provenance(attributes: dict[str, Any]) -> list[str]:
    lines = []
    for kind, one in attributes.get("backbones", {}).items():
        size = f", {one['dim']} numbers" if "dim" in one else ""
        lines.append(f"{kind}: {one.get('name')}{size}{' (RANDOM WEIGHTS)' if one.get('random_weights') else ''}")
    sampling = attributes.get("sampling", {})
    if sampling:
        lines.append(
            f"sampling: {sampling.get('frames')} frames per clip ({sampling.get('frame_sampling', 'even')}), decoded by {sampling.get('decoder')} under version "
            f"{sampling.get('rules', 1)} of the rules, pixels {sampling.get('pixels', 'stored')}, "
            f"sound {sampling.get('audio_sampling', 'aligned')}"
        )
    lines += [f"data set: {one['name']} from {shown_path(one['root'])}" for one in (attributes.get("dataset"),) if one]
    lines.append("census: " + ", ".join(f"{name} {count:,}" for name, count in attributes["census"].items()))
    versions = ", ".join(f"{name} {version}" for name, version in attributes.get("versions", {}).items())
    lines.append(f"made {attributes.get('created')} with {versions}")
    lines.append(f"fingerprint: {attributes['fingerprint']}")
    return lines


@app.command("verify")
def verify(path: Place, json: Json = False) -> int:
    """Check every byte against its checksum and every array against the format; exit code 3 if something is wrong."""
    from gaid.stores import verify_store

    report = verify_store(path)
    if json:
        give({"path": path, "ok": report.ok, "files": report.files, "bytes": report.bytes, "problems": report.problems})
    else:
        for problem in report.problems:
            say(f"{path}: {problem}")
        state = "intact" if report.ok else f"{len(report.problems)} problems"
        show(f"{path}: {state}; {report.files} files, {human_bytes(report.bytes)} read")
    return 0 if report.ok else DAMAGED


@app.command("convert")
def convert(
    path: Place,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The new store, ending in .zarr, .h5 or .hdf5.")],
    json: Json = False,
) -> None:
    """Write the same store in the other format, zarr or HDF5, without loss."""
    from gaid.stores import convert_store

    store = convert_store(path, target)
    if json:
        return give({"path": store.path, "fingerprint": store.fingerprint, "videos": len(store.ids)})
    show(f"{store.path}: {len(store.ids):,} videos, the same fingerprint {store.fingerprint[:12]}")
    return None


@app.command("prune")
def prune(path: Place, json: Json = False) -> None:
    """Delete what a library of a folder keeps of clips that are gone or were replaced."""
    from gaid.stores import prune_store

    report = prune_store(path)
    if json:
        return give({"path": path, "rows": report.rows, "bytes": report.bytes})
    show(
        f"{path}: {report.rows:,} clips that are gone or were replaced deleted, {human_bytes(report.bytes)} taken back"
    )
    return None


@app.command("join")
def join(
    first: Place,
    second: Annotated[
        Path, typer.Argument(metavar="STORE", help="Another library, of the same encoders and sampling.")
    ],
    out: Annotated[Path, option("The new library, ending in .zarr.", "PATH", "--out", "-o")],
    json: Json = False,
) -> None:
    """Write the clips and captions of two libraries of folders into a new one; clips that are in both are taken once."""
    from gaid.extract.join import join_stores

    report = join_stores(first, second, out)
    if json:
        return give({"path": report.store, "videos": report.clips, "twice": report.twice})
    show(f"{report.store}: {report.clips:,} videos; {len(report.twice):,} of {second} are in {first} as well")
    for name, there in report.twice.items():
        say(f"{name}: is {there} in {first}" if name != there else f"{name}: is in both")
    return None
