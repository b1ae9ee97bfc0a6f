"""What a store is after damage, and after a writer that stopped anywhere: found, told, made good."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from gaid.errors import GaidError, StoreCorrupt, StoreInvalid
from gaid.stores import open_store
from gaid.stores.schema import digest_json
from tests.stores.toy import edit_attributes, fill, make_plan


def write_marker(file, marker):
    """A marker as a writer that means it would write it."""
    file.write_text(json.dumps({**marker, "digest": digest_json(marker)}))


def test_a_shape_without_bytes_behind_it_is_refused_before_it_is_allocated(tmp_path):
    store = fill(tmp_path / "s.zarr")
    marker = json.loads((store.path / "shards/plan.json").read_text())
    del marker["digest"]
    for name in ("videos/visual", "videos/audio"):
        file = store.path / name / "zarr.json"
        document = json.loads(file.read_text())
        document["shape"][0] = 10**12
        file.write_text(json.dumps(document))
        told = {"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        marker["files"][f"{name}/zarr.json"] = told
    with pytest.raises(StoreCorrupt, match=r"videos/visual/zarr.json: has|videos/audio/zarr.json: has"):
        open_store(store.path)
    write_marker(store.path / "shards/plan.json", marker)  # damage that was made to look like none
    with pytest.raises(StoreInvalid, match="expected"):
        open_store(store.path)
    edit_attributes(store.path, lambda attributes: attributes["layout"].update(videos=10**12))
    with pytest.raises(StoreCorrupt, match="its attributes are not those that were written"):
        open_store(store.path)
    marker["attributes"] = digest_json(
        {key: value for key, value in open_attributes(store.path).items() if key != "census"}
    )
    write_marker(store.path / "shards/plan.json", marker)
    with pytest.raises(GaidError):
        open_store(store.path)


def open_attributes(path):
    return json.loads((path / "zarr.json").read_text())["attributes"]


@pytest.mark.slow
def test_every_flipped_bit_is_found(tmp_path):
    whole = fill(tmp_path / "s.zarr").path
    files = sorted(file for file in whole.rglob("*") if file.is_file() and file.name != "failures.jsonl")
    random = np.random.default_rng(0)
    copy = tmp_path / "damaged.zarr"
    for file in files:
        for damage in ("flip", "truncate", "delete"):
            shutil.copytree(whole, copy, dirs_exist_ok=True)
            target = copy / file.relative_to(whole)
            data = bytearray(target.read_bytes())
            if damage == "flip":
                data[random.integers(len(data))] ^= 1 << int(random.integers(8))
                target.write_bytes(data)
            elif damage == "truncate":
                target.write_bytes(data[: random.integers(len(data))])
            else:
                target.unlink()
            try:
                found = open_store(copy, incomplete=True).verify().problems
            except GaidError as error:
                found = [str(error)]
            told_again = file.name == "census.json" and damage == "delete"  # zarr.json has the census as well
            assert found or told_again, f"{damage} of {file.relative_to(whole)}"
            shutil.rmtree(copy)


@pytest.mark.slow
def test_damage_to_hdf5_is_found(tmp_path):
    whole = fill(tmp_path / "s.h5").path
    data, random = whole.read_bytes(), np.random.default_rng(1)
    digest = open_store(whole).content_digest()
    quiet = 0
    for _ in range(60):
        damaged = bytearray(data)
        damaged[random.integers(len(data))] ^= 1 << int(random.integers(8))
        (tmp_path / "d.h5").write_bytes(damaged)
        try:
            store = open_store(tmp_path / "d.h5")
            if store.verify().ok:
                quiet += 1
                assert store.content_digest() == digest  # a bit that holds nothing
        except GaidError:
            pass
    assert quiet < 60


class Killed(BaseException):
    """Stands for the process's end: nothing after it runs, nothing catches it."""


@pytest.mark.slow
def test_a_kill_at_any_call_loses_no_finished_shard_and_is_made_good(tmp_path, monkeypatch):
    """The n-th call that makes a change last is never made, for n = 1, 6, 11, ... until a run passes untouched."""
    plan = make_plan(shard_rows=4, chunk_rows=4)
    wanted = fill(tmp_path / "whole.zarr", plan).content_digest()
    path = tmp_path / "s.zarr"
    for last in range(1, 2000, 5):
        calls = 0

        def counted(original, last=last):
            def call(*arguments, **options):
                nonlocal calls
                calls += 1
                if calls == last:
                    raise Killed
                return original(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            for module, name in ((os, "fsync"), (os, "rename"), (os, "replace")):
                patch.setattr(module, name, counted(getattr(module, name)))
            try:
                fill(path, plan)
                untouched = True
            except Killed:
                untouched = False
        if untouched:
            break
        finished = json.loads((path / "zarr.json").read_text()) if path.exists() else None
        done = sorted(file.name for file in path.glob("shards/*.json"))
        assert fill(path, plan).content_digest() == wanted, f"call {last}"
        assert open_store(path).verify().ok
        assert done == [name for name in done if (path / "shards" / name).exists()]
        assert finished is None or "gaid_schema" in finished["attributes"]
        shutil.rmtree(path)
    assert last > 20


def test_damage_to_a_marker_names_it(tmp_path):
    store = fill(tmp_path / "s.zarr")
    (store.path / "shards" / "00001.json").write_text("{}")
    with pytest.raises(StoreCorrupt, match="00001"):
        open_store(store.path).failures  # noqa: B018


def test_a_file_in_the_place_of_a_shard_that_has_none_is_found(tmp_path):
    """zarr would read it; `videos/short` of clips that are none of them short has no file."""
    store = fill(tmp_path / "s.zarr", make_plan(shard_rows=4, chunk_rows=4))
    place = store.path / "videos/short/c/1"
    assert not place.exists()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"\1" * 24)
    assert open_store(store.path).verify().problems == ["videos/short/c/1: was not written by gaid"]
