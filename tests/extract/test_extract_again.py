"""An extraction that was stopped, or is asked for again: going on, leaving alone, refusing, replacing."""

import dataclasses
import shutil
import signal

import pytest

from gaid.errors import (
    ExtractInterrupted,
    StoreIncomplete,
    StoreInvalid,
    StoresDisagree,
)
from gaid.stores import StoreWriter, open_store
from tests.extract.stubs import StubVisual, run
from tests.extract.world import content


def test_a_full_disk_ends_the_run_in_a_line(world, tmp_path, monkeypatch):
    def write(self, *arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StoreWriter, "write_shard", write)
    with pytest.raises(StoreIncomplete, match=r"No space left.*the same command resumes"):
        run(world, tmp_path / "store.zarr")
    assert len(StubVisual.calls) <= 4  # and not the whole world first


@pytest.mark.slow
def test_ctrl_c_finishes_the_shard_at_hand_and_the_same_call_goes_on(world, reference, tmp_path):
    out = tmp_path / "store.zarr"
    StubVisual.shout = {6: 1}  # encoded clips come two a shard, but for the one that fails
    with pytest.raises(ExtractInterrupted, match="the same command resumes"):
        run(world, out, workers=1)
    assert not open_store(out, incomplete=True).complete
    encoded = len(StubVisual.calls)
    assert encoded in (7, 8)
    report = run(world, out)
    assert len(StubVisual.calls) == 15  # no clip twice
    assert report.extracted == 16 - encoded - 1
    assert content(open_store(out)) == content(open_store(reference))


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(world, reference, tmp_path):
    out = tmp_path / "store.zarr"
    StubVisual.shout = {5: 2}
    with pytest.raises(ExtractInterrupted, match="of 8 shards"):
        run(world, out, workers=1)
    assert len(StubVisual.calls) == 6
    run(world, out)
    assert content(open_store(out)) == content(open_store(reference))


def test_the_handlers_of_signals_come_back(world, tmp_path):

    before = signal.getsignal(signal.SIGINT)
    StubVisual.shout = {3: 1}
    with pytest.raises(ExtractInterrupted):
        run(world, tmp_path / "store.zarr")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_store_is_left_as_it_is(world, reference, capsys):
    report = run(world, reference, progress=True)
    assert report.already_complete
    assert report.extracted == 0
    assert report.done == 15
    assert StubVisual.calls == []
    told = capsys.readouterr().err
    assert "--overwrite" in told
    assert told.count("clip 002: ") == 1  # a failure is told again, whichever run met it


@pytest.mark.slow
def test_overwriting_extracts_again(world, tmp_path):
    run(world, tmp_path / "store.zarr")
    calls = len(StubVisual.calls)
    report = run(world, tmp_path / "store.zarr", overwrite=True)
    assert len(StubVisual.calls) == 2 * calls
    assert not report.already_complete


def test_overwriting_spares_what_is_no_store(world, tmp_path):
    mine = tmp_path / "thesis.zarr"
    mine.mkdir()
    (mine / "chapter1.txt").write_text("years of work")
    with pytest.raises(StoreInvalid):
        run(world, mine, overwrite=True)
    assert (mine / "chapter1.txt").read_text() == "years of work"


@pytest.mark.slow
def test_other_weights_are_refused_and_change_nothing(world, tmp_path):
    out = tmp_path / "store.zarr"
    run(world, out)
    before = content(open_store(out))
    StubVisual.version = 2
    with pytest.raises(StoresDisagree, match=r"--overwrite|another"):
        run(world, out)
    assert content(open_store(out)) == before


@pytest.mark.slow
@pytest.mark.parametrize("change", ["caption", "cut", "frames"])
def test_another_data_set_or_sampling_is_refused(world, tmp_path, change):
    out = tmp_path / "store.zarr"
    run(world, out)
    options = {}
    if change == "caption":
        first = dataclasses.replace(world.captions[0], text="something else")
        world = dataclasses.replace(world, captions=(first, *world.captions[1:]))
    elif change == "cut":
        first = dataclasses.replace(world.videos[0], start=0.5)
        world = dataclasses.replace(world, videos=(first, *world.videos[1:]))
    else:
        options["frames"] = 6
    with pytest.raises(StoresDisagree):
        run(world, out, **options)


@pytest.mark.slow
def test_hdf5_is_the_same_store(world, reference, tmp_path):
    report = run(world, tmp_path / "store.h5")
    assert report.store == tmp_path / "store.h5"
    assert report.store.is_file()
    assert content(open_store(report.store)) == content(open_store(reference))
    assert run(world, tmp_path / "store.h5").already_complete


@pytest.mark.slow
def test_hdf5_goes_on_after_ctrl_c(world, reference, tmp_path):
    StubVisual.shout = {6: 1}
    with pytest.raises(ExtractInterrupted):
        run(world, tmp_path / "store.h5")
    run(world, tmp_path / "store.h5")
    assert len(StubVisual.calls) == 15
    assert content(open_store(tmp_path / "store.h5")) == content(open_store(reference))


@pytest.mark.slow
def test_hdf5_that_was_killed_while_it_was_written_is_written_again(world, reference, tmp_path, monkeypatch):
    def killed(source, target):
        target.with_name(f".{target.name}.0123abcd.part").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gaid.stores.writer.write_hdf5", killed)
        with pytest.raises(ExtractInterrupted, match="8 of 8 shards"):
            run(world, tmp_path / "store.h5")
    report = run(world, tmp_path / "store.h5")
    assert report.extracted == 0
    assert not report.already_complete
    assert content(open_store(tmp_path / "store.h5")) == content(open_store(reference))


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_hdf5_that_was_killed_while_its_shards_were_deleted_is_complete(world, reference, tmp_path, whole):
    out = tmp_path / "store.h5"
    run(world, tmp_path / "store.zarr")
    run(world, out)
    leftover = tmp_path / "store.h5.shards.zarr"
    (tmp_path / "store.zarr").rename(leftover)
    if not whole:
        shutil.rmtree(leftover / "videos")
    assert run(world, out).already_complete
    assert content(open_store(out)) == content(open_store(reference))
    assert not leftover.exists()
