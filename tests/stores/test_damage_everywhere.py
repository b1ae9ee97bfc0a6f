"""A store that lost or changed anything is one line from whoever reads it, and never another value.

Each file of a small store is deleted, cut, lengthened and changed in turn. Then it is opened and read as an evaluation reads
it, and verified. Either all values are those that were written, or the damage is told.
"""

import gc
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gaid.cli import run as gaid_command
from gaid.errors import StoreCorrupt, StoreIncomplete, StoreInvalid
from gaid.stores import convert_store, iter_clips, open_store, verify_store
from tests.stores.toy import fill, make_plan
from tests.stores.toy_library import grow

LEFT_BY_OTHERS = ("._00000.json", "._zarr.json", ".DS_Store", "Thumbs.db", "desktop.ini", "._0")


def read(path: Path) -> dict[str, bytes]:
    """Everything that an evaluation, a search and `store info` make of a store."""
    store = open_store(path)
    found = {"census": json.dumps(store.census).encode(), "failures": json.dumps(store.failures).encode()}
    for protocol, parts in store.protocols.items():
        for part in parts:
            split = store.split(part, protocol)
            where = f"{protocol}/{part}"
            for name in ("visual", "audio", "audio_mask", "audio_state", "time", "duration", "text", "caption_video"):
                found[f"{where} {name}"] = getattr(split, name).tobytes()
            for name in ("video_ids", "caption_ids", "caption_texts"):
                found[f"{where} {name}"] = json.dumps(getattr(split, name)).encode()
    for rows, clips in iter_clips(store, 4):
        found[f"clips {rows.tolist()}"] = clips.visual.tobytes() + clips.audio_mask.tobytes()
    info = store.info()
    found["info"] = json.dumps([info["splits"], info["parts"], info["failures"], info["attributes"]]).encode()
    return found


def outcome(path: Path, whole: dict[str, bytes]) -> str:
    """`whole` where every value is as it was, else how the damage shows; anything but a line or a finding fails."""
    kind, said = "a line", str(path)
    try:
        values = read(path)
        kind = "whole" if values == whole else "other values"
    except (StoreCorrupt, StoreInvalid, StoreIncomplete) as error:  # the last for a marker that is not there
        said = str(error)
    assert len(said.splitlines()) == 1
    assert str(path) in said
    try:
        ok = verify_store(path).ok
    except StoreInvalid:
        ok = False
    if kind == "other values":  # a feature's bits: nothing else is read without being compared
        assert not ok, "other values, and verify finds nothing"
        changed = [name for name in whole if values.get(name) != whole[name]]
        assert all(name.endswith((" visual", " audio", " text")) or name.startswith("clips") for name in changed), (
            changed
        )
    elif kind == "a line":
        assert not ok
    return kind


def damages(data: bytes, random: np.random.Generator) -> dict[str, bytes | None]:
    at = int(random.integers(len(data))) if data else 0
    flipped = bytearray(data or b"\0")
    flipped[at] ^= 1 << int(random.integers(8))
    return {
        "deleted": None,
        "cut": data[: len(data) // 2],
        "emptied": b"",
        "longer": data + b"\0",
        "flipped": bytes(flipped),
    }


@pytest.mark.slow
def test_no_damage_to_a_folder_is_read_as_other_values(tmp_path):
    whole = fill(tmp_path / "s.zarr", make_plan(shard_rows=4, chunk_rows=2)).path
    values, random = read(whole), np.random.default_rng(3)
    files = sorted(file for file in whole.rglob("*") if file.is_file())
    assert len(files) > 40
    for file in files:
        if file.name == "failures.jsonl":  # for people: the markers hold what it says
            continue
        data = file.read_bytes()
        for kind, changed in damages(data, random).items():
            if changed == data:
                continue
            if changed is None:
                file.unlink()
            else:
                file.write_bytes(changed)
            found = outcome(whole, values)
            census = file.name == "census.json" and kind == "deleted"  # older stores have none
            features = kind == "flipped" and "/c/" in str(file)
            assert found == "a line" or census or features, f"{file.relative_to(whole)} {kind}: {found}"
            file.write_bytes(data)
    assert outcome(whole, values) == "whole"


@pytest.mark.slow
def test_no_damage_to_an_hdf5_file_is_read_as_other_values(tmp_path):
    whole = fill(tmp_path / "s.h5", make_plan(shard_rows=4, chunk_rows=2)).path
    values, data, random = read(whole), whole.read_bytes(), np.random.default_rng(4)
    kinds = []
    places = sorted({*np.linspace(0, len(data) - 1, 150).astype(int).tolist(), *range(0, 64, 3)})
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(random.integers(8))
        whole.write_bytes(flipped)
        kinds.append(outcome(whole, values))
        assert kinds[-1] != "other values", place
    for changed in (data[:-1], data[: len(data) // 2], data[:40], b"", data + b"\0", bytes(len(data))):
        whole.write_bytes(changed)
        assert outcome(whole, values) == "a line"
    assert kinds.count("a line") > len(kinds) // 2
    whole.write_bytes(data)
    assert outcome(whole, values) == "whole"


@pytest.mark.slow
def test_a_damaged_hdf5_file_is_left_at_once_and_its_good_copy_is_read(tmp_path):
    whole = fill(tmp_path / "s.h5", make_plan(shard_rows=4, chunk_rows=2)).path
    values, data = read(whole), whole.read_bytes()
    offsets = bytes(open_store(whole).arrays["captions/id_offsets"][...])
    place = data.index(offsets) + 8
    gc.collect()
    gc.disable()  # what only the collector closes is still open here
    try:
        whole.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert outcome(whole, values) == "a line"
        whole.write_bytes(data)
        assert outcome(whole, values) == "whole"
    finally:
        gc.enable()


@pytest.mark.slow
def test_what_others_leave_in_a_store_is_no_damage(tmp_path):
    whole = fill(tmp_path / "s.zarr")
    values = read(whole.path)
    for folder in [whole.path, *(place for place in whole.path.rglob("*") if place.is_dir())]:
        for name in LEFT_BY_OTHERS:
            (folder / name).write_bytes(b"\0\1left")
    assert outcome(whole.path, values) == "whole"
    assert convert_store(whole.path, tmp_path / "t.h5").content_digest() == whole.content_digest()
    fill(whole.path)  # the same extraction again


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["videos/valid/c/1", "videos/audio_mask/c/0/0", "captions/video/c/0", "splits/9k/test/c/0", "captions/video/zarr.json"]
)  # fmt: skip
def test_a_lost_file_ends_a_command_with_a_line_that_names_it(tmp_path, capfd, place):
    store = fill(tmp_path / "s.zarr", make_plan(shard_rows=4, chunk_rows=2)).path
    (store / place).unlink()
    for command in (
        ["store", "info", store],
        ["eval", "--store", store, "--preset", "mean-pool"],
        ["train-head", "--store", store, "--out", tmp_path / "run"],
        ["store", "convert", store, tmp_path / "t.h5"],
    ):
        assert gaid_command([str(word) for word in command]) == 3
        said = capfd.readouterr().err.strip().splitlines()[-1]
        assert f"{place}: is missing; `gaid store verify" in said
    assert gaid_command(["store", "verify", str(store)]) == 3
    assert f"{place}: is missing" in capfd.readouterr().err


def test_all_lost_files_are_listed_by_verify_and_one_shard_can_be_made_anew(tmp_path):
    plan = make_plan(shard_rows=4, chunk_rows=2)
    store = fill(tmp_path / "s.zarr", plan)
    digest = store.content_digest()
    for place in ("videos/valid/c/1", "videos/time/c/1/0"):
        (store.path / place).unlink()
    assert verify_store(store.path).problems == ["videos/time/c/1/0: is missing", "videos/valid/c/1: is missing"]
    with pytest.raises(StoreCorrupt, match=r"delete its shards/00001.json and extract again"):
        open_store(store.path)
    (store.path / "shards/00001.json").unlink()
    assert fill(store.path, plan).content_digest() == digest


@pytest.mark.slow
def test_a_store_of_before_the_census_had_a_marker_opens(tmp_path):
    store = fill(tmp_path / "s.zarr")
    values = read(store.path)
    (store.path / "shards/census.json").unlink()
    assert outcome(store.path, values) == "whole"


def test_a_file_that_goes_while_the_store_is_open_is_not_read_as_nothing(tmp_path):
    store = open_store(fill(tmp_path / "s.zarr", make_plan(shard_rows=4, chunk_rows=2)).path)
    shutil.rmtree(store.path / "videos/visual/c/1")
    with pytest.raises(StoreCorrupt, match="is missing"):
        store.whole("videos/visual")


@pytest.mark.slow
def test_no_damage_to_a_library_is_read_as_other_values(tmp_path):
    """One damage of each file of a store that has grown twice. Of the view before the current one, only verify finds it."""
    whole = fill(tmp_path / "s.zarr", make_plan(shard_rows=4, chunk_rows=2)).path
    grow(whole, ["x", "y", "z"], keep=[0, 1, 5])
    grow(whole, ["v"], keep=[0, 1, 2, 3, 4], seed=60)
    values, random = read(whole), np.random.default_rng(5)
    files = sorted(file for file in whole.rglob("*") if file.is_file())
    kinds = []
    for number, file in enumerate(files):
        if file.name in ("failures.jsonl",) or file.name.endswith(".lock"):
            continue
        data = file.read_bytes()
        kind, changed = list(damages(data, random).items())[number % 5]
        if changed == data:
            continue
        if changed is None:
            file.unlink()
        else:
            file.write_bytes(changed)
        found = outcome(whole, values)
        kinds.append(found)
        earlier, needless = "view-00001" in str(file), kind == "deleted" and file.parent.name == "shards"
        features = kind == "flipped" and "/c/" in str(file)  # and the marker of rows that are not live may go
        assert found == "a line" or earlier or needless or features, f"{file.relative_to(whole)} {kind}: {found}"
        assert found != "other values" or features
        if earlier and not needless and file.parent.name != "view-00001.zarr":
            assert not verify_store(whole).ok
        file.write_bytes(data)
    assert kinds.count("a line") > 60
    assert outcome(whole, values) == "whole"
