"""The command as a whole: what comes out, whatever goes in, however often it was stopped."""

import dataclasses
import shutil
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from gaid.datasets.types import Dataset, Video
from gaid.errors import (
    DataInvalid,
    DataMissing,
    DependencyMissing,
    ExtractInterrupted,
    OptionInvalid,
    StoreIncomplete,
    StoreInvalid,
    StoresDisagree,
)
from gaid.extract import extract
from gaid.stores import StoreWriter, open_store
from tests.extract.stubs import NAMES, StubText, StubVisual
from tests.extract.world import content, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "clips")


@pytest.fixture(scope="module")
def reference(world, tmp_path_factory):
    StubVisual.reset()
    out = tmp_path_factory.mktemp("reference") / "store.zarr"
    extract(world, out=out, progress=False, **NAMES)
    return out


@pytest.fixture(autouse=True)
def fresh_stubs():
    StubVisual.reset()
    yield
    StubVisual.reset()
    StubText.extra = 0


def run(world, out, **options):
    return extract(world, out=out, **{"progress": False, "workers": 0, **NAMES, **options})


def test_a_store_holds_what_the_backbones_gave_for_what_the_decoder_gave(world, reference):
    from gaid.extract.media import ClipRequest, decode_clip
    from tests.extract.stubs import StubAudio

    store = open_store(reference)
    assert store.complete
    assert list(store.ids) == [video.id for video in world.videos]
    row = 4
    clip = decode_clip(
        ClipRequest(
            str(world.videos[row].path), None, None, None, 12, StubVisual.frame_spec, StubAudio.audio_spec, "pyav"
        )
    )
    expected = clip.frames.reshape(12, 2, 16, 2, 16, 3).mean(axis=(2, 4)).reshape(12, 12) / 255
    np.testing.assert_allclose(store["videos/visual"][row], expected, atol=1e-3)
    np.testing.assert_array_equal(store["videos/time"][row], clip.times)
    assert store["videos/duration"][row] == np.float32(clip.duration)
    loud = np.abs(clip.audio[0, : clip.audio.shape[1] // 4]).mean()
    np.testing.assert_allclose(store["videos/audio"][row, 0, 0], loud, atol=2e-3)


def test_the_audio_of_a_clip_without_sound_is_zero_and_masked(reference):
    store = open_store(reference)
    assert not store["videos/audio_mask"][1].any()
    assert not store["videos/audio"][1].any()
    assert store["videos/audio_mask"][0].all()
    assert store["videos/audio"][0].all(axis=0).any()


def test_captions_keep_their_own_tokens(world, reference):
    store = open_store(reference)
    offsets = store["captions/token_offsets"][:]
    words = [len(caption.text.split()) for caption in world.captions]
    np.testing.assert_array_equal(np.diff(offsets), words)
    tokens = store["captions/tokens"][offsets[3] : offsets[4]]
    np.testing.assert_array_equal(tokens, StubText().encode_text([world.captions[3].text]).tokens[0])


def test_a_file_that_is_no_video_is_one_failure_and_spoils_nothing_else(world, reference, capsys):
    store = open_store(reference)
    assert [one["id"] for one in store.failures] == ["clip 002"]
    assert np.flatnonzero(~np.asarray(store["videos/valid"][:])).tolist() == [2]
    assert not store["videos/visual"][2].any()


def test_each_failure_is_told_in_one_line_and_counted(world, tmp_path, capsys):
    report = run(world, tmp_path / "store.zarr", progress=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("clip 002: ")]
    assert len(lines) == 1
    assert report.clips == 16
    assert report.done == 15
    assert [failure.video for failure in report.failed] == ["clip 002"]
    assert f"1 {report.failed[0].reason}" in str(report)


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 3, "batch_size": 7}])
def test_the_store_does_not_depend_on_workers_or_batch_size(world, reference, tmp_path, options):
    run(world, tmp_path / "store.zarr", **options)
    assert content(open_store(tmp_path / "store.zarr")) == content(open_store(reference))


def test_the_store_says_where_it_came_from(world, reference):
    attrs = open_store(reference).attrs
    assert attrs["dataset"]["name"] == "world"
    assert attrs["backbones"]["visual"]["weights"] == "v1"
    assert attrs["sampling"]["frames"] == 12
    assert attrs["random_weights"] is False
    assert {"gaid", "torch", "zarr", "h5py", "av", "ffmpeg"} <= set(attrs["versions"])
    assert attrs["created"]


def test_a_shard_is_written_while_the_next_is_in_work(world, tmp_path, monkeypatch):
    next_is_in_work = threading.Event()
    encode, write = StubVisual.encode_frames, StoreWriter.write_shard

    def encode_and_tell(self, frames):
        if len(self.calls) == 2:  # the first clip of the second shard
            next_is_in_work.set()
        return encode(self, frames)

    def write_late(self, *arguments):
        assert next_is_in_work.wait(20), "nothing goes on while a shard is written"
        return write(self, *arguments)

    monkeypatch.setattr(StubVisual, "encode_frames", encode_and_tell)
    monkeypatch.setattr(StoreWriter, "write_shard", write_late)
    assert run(world, tmp_path / "store.zarr").done == 15


def test_a_full_disk_ends_the_run_in_a_line(world, tmp_path, monkeypatch):
    def write(self, *arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StoreWriter, "write_shard", write)
    with pytest.raises(StoreIncomplete, match=r"No space left.*the same command goes on"):
        run(world, tmp_path / "store.zarr")
    assert len(StubVisual.calls) <= 4  # and not the whole world first


def test_ctrl_c_finishes_the_shard_at_hand_and_the_same_call_goes_on(world, reference, tmp_path):
    out = tmp_path / "store.zarr"
    StubVisual.shout = {6: 1}  # encoded clips come two a shard, but for the one that fails
    with pytest.raises(ExtractInterrupted, match="the same command goes on"):
        run(world, out, workers=1)
    assert not open_store(out, incomplete=True).complete
    encoded = len(StubVisual.calls)
    assert encoded in (7, 8)
    report = run(world, out)
    assert len(StubVisual.calls) == 15  # no clip twice
    assert report.extracted == 16 - encoded - 1
    assert content(open_store(out)) == content(open_store(reference))


def test_a_second_ctrl_c_stops_at_once(world, reference, tmp_path):
    out = tmp_path / "store.zarr"
    StubVisual.shout = {5: 2}
    with pytest.raises(ExtractInterrupted, match="of 8 shards"):
        run(world, out, workers=1)
    assert len(StubVisual.calls) == 6
    run(world, out)
    assert content(open_store(out)) == content(open_store(reference))


def test_the_handlers_of_signals_come_back(world, tmp_path):
    import signal

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


def test_other_weights_are_refused_and_change_nothing(world, tmp_path):
    out = tmp_path / "store.zarr"
    run(world, out)
    before = content(open_store(out))
    StubVisual.version = 2
    with pytest.raises(StoresDisagree, match=r"--overwrite|another"):
        run(world, out)
    assert content(open_store(out)) == before


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


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_features_that_are_no_numbers_fail_their_clip_only(world, reference, tmp_path, value):
    StubVisual.spoil = {3: value}
    report = run(world, tmp_path / "store.zarr")
    assert [(one.video, one.reason) for one in report.failed][1:] == [("clip 004", "not finite")]
    store, whole = open_store(tmp_path / "store.zarr"), open_store(reference)
    assert not store["videos/visual"][4].any()
    assert not store["videos/valid"][4]
    np.testing.assert_array_equal(store["videos/visual"][5:], whole["videos/visual"][5:])


def test_hdf5_is_the_same_store(world, reference, tmp_path):
    report = run(world, tmp_path / "store.h5")
    assert report.store == tmp_path / "store.h5"
    assert report.store.is_file()
    assert content(open_store(report.store)) == content(open_store(reference))
    assert run(world, tmp_path / "store.h5").already_complete


def test_hdf5_goes_on_after_ctrl_c(world, reference, tmp_path):
    StubVisual.shout = {6: 1}
    with pytest.raises(ExtractInterrupted):
        run(world, tmp_path / "store.h5")
    run(world, tmp_path / "store.h5")
    assert len(StubVisual.calls) == 15
    assert content(open_store(tmp_path / "store.h5")) == content(open_store(reference))


def test_hdf5_that_was_killed_while_it_was_written_is_written_again(world, reference, tmp_path, monkeypatch):
    def killed(source, target):
        target.with_name(f".{target.name}.writing").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gaid.stores.writer.convert_store", killed)
        with pytest.raises(ExtractInterrupted, match="8 of 8 shards"):
            run(world, tmp_path / "store.h5")
    report = run(world, tmp_path / "store.h5")
    assert report.extracted == 0
    assert not report.already_complete
    assert content(open_store(tmp_path / "store.h5")) == content(open_store(reference))


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


def test_patches_are_kept_where_asked_for(world, reference, tmp_path):
    run(world, tmp_path / "store.zarr", patches=True)
    store = open_store(tmp_path / "store.zarr")
    assert store["videos/patches"].shape == (16, 12, 4, 3)
    np.testing.assert_array_equal(store["videos/patches"][:].reshape(16, 12, 12), store["videos/visual"][:])


def absent(world: Dataset, count: int) -> Dataset:
    videos = list(world.videos)
    for row in range(count):
        videos[row] = Video(videos[row].id, world.root / f"gone {row}.mp4")
    return dataclasses.replace(world, videos=tuple(videos), missing=tuple(video.id for video in videos[:count]))


def test_some_missing_files_are_failures(world, tmp_path):
    report = run(absent(world, 1), tmp_path / "store.zarr")
    assert {failure.video: failure.reason for failure in report.failed}["clip 000"] == "missing"
    assert report.done == 14


def test_many_missing_files_are_refused_with_the_option_that_lets_them_pass(world, tmp_path):
    lacking = absent(world, 5)
    with pytest.raises(DataMissing, match=r"5 of 16 videos.*clip 000.*--max-missing 0\.32"):
        run(lacking, tmp_path / "store.zarr")
    assert not (tmp_path / "store.zarr").exists()
    assert run(lacking, tmp_path / "store.zarr", max_missing=0.32).done == 11  # clip 002 is among the five


def test_nothing_at_all_is_refused_whatever_the_limit(world, tmp_path):
    with pytest.raises(DataMissing, match="none of the 16 videos"):
        run(absent(world, 16), tmp_path / "store.zarr", max_missing=1.0)


def test_a_data_set_without_captions_is_extracted(world, tmp_path):
    bare = dataclasses.replace(world, captions=(), splits={"all": {}})
    report = run(bare, tmp_path / "store.zarr")
    assert report.captions == 0
    assert open_store(tmp_path / "store.zarr")["captions/embedding"].shape == (0, 12)


def test_a_limit_takes_clips_from_every_part(world, tmp_path):
    report = run(world, tmp_path / "store.zarr", limit=4)
    store = open_store(tmp_path / "store.zarr")
    assert report.clips == 4
    assert list(store.ids) == ["clip 000", "clip 004", "clip 008", "clip 012"]
    assert len(store.split("test").video_ids) == 2
    assert len(store.split("train").video_ids) == 2


def test_a_text_backbone_that_miscounts_is_told(world, tmp_path):
    StubText.extra = 1
    with pytest.raises(OptionInvalid, match="count_tokens must agree"):
        run(world, tmp_path / "store.zarr")


def test_a_caption_without_finite_features_is_named(world, tmp_path, monkeypatch):
    def encode(self, texts, original=StubText.encode_text):
        features = original(self, texts)
        features.embedding[7] = np.nan
        return features

    monkeypatch.setattr(StubText, "encode_text", encode)
    with pytest.raises(DataInvalid, match="clip 003/1"):
        run(world, tmp_path / "store.zarr")


def test_a_fault_of_a_backbone_names_the_clip(world, tmp_path, monkeypatch):
    def encode(self, frames):
        raise RuntimeError("oh")

    monkeypatch.setattr(StubVisual, "encode_frames", encode)
    with pytest.raises(RuntimeError) as caught:
        run(world, tmp_path / "store.zarr")
    assert caught.value.__notes__ == ["while encoding clip 000"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"frames": 0}, "--frames 0"),
        ({"workers": -1}, "--workers -1"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"decoder": "magic"}, "--decoder magic"),
        ({"max_missing": 3}, "--max-missing 3"),
        ({"limit": 0}, "--limit 0"),
        ({"scheduler": "tcp://198.51.100.7:8786"}, "tls://"),
        ({"scheduler": "http://127.0.0.1:1"}, "tcp://HOST:PORT"),
    ],
)
def test_an_option_that_cannot_be_is_named_before_anything_is_written(world, tmp_path, options, text):
    with pytest.raises(OptionInvalid) as caught:
        run(world, tmp_path / "store.zarr", **options)
    assert text in str(caught.value)
    assert not (tmp_path / "store.zarr").exists()


def test_dask_that_is_not_there_is_told_in_a_line(world, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DependencyMissing, match=r"pip install 'gaid\[dask\]'"):
        run(world, tmp_path / "store.zarr", scheduler="tcp://127.0.0.1:1")


def test_torch_has_its_threads_back(world, tmp_path):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        run(world, tmp_path / "store.zarr")
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_batches_on_a_gpu_give_each_clip_its_own_features_and_end_with_the_shard(world):
    """The device is a name here: what is tested is who gets which row."""
    from gaid.backbones import load_backbones
    from gaid.errors import MediaError
    from gaid.extract.media import ClipRequest, decode_clip
    from gaid.extract.shard import Encoder, ShardRows, ShardShape
    from tests.extract.stubs import StubAudio

    backbones = load_backbones(NAMES["visual"], NAMES["audio"], NAMES["text"])
    specs = (12, StubVisual.frame_spec, StubAudio.audio_spec, "pyav")
    clips = [
        decode_clip(ClipRequest(str(world.videos[row].path), None, None, None, *specs)) for row in (0, 1, 3, 4, 5, 6)
    ]
    clips.insert(2, MediaError("empty", "nothing"))
    StubVisual.spoil = {1: np.nan}  # in the second call: the fifth clip
    found = []
    for device in ("cuda:0", "cpu"):
        rows = ShardRows(0, 7, ShardShape(12, 12, 5))
        encoder = Encoder(backbones, device, batch_size=3, patches=False)
        results = [len(encoder.add(rows, row, f"v{row}", clip)) for row, clip in enumerate(clips)]
        left = encoder.flush()
        found.append((rows, results, left))
        if device.startswith("cuda"):
            assert StubVisual.calls == [3, 3]
            assert results == [0, 0, 1, 3, 0, 0, 3]
            assert left == []
            StubVisual.calls, StubVisual.spoil = [], {3: np.nan}
    (batched, *_), (single, *_) = found
    assert StubVisual.calls == [1] * 6
    assert batched.arrays["valid"].tolist() == [True, True, False, True, False, True, True]
    assert batched.listed() == single.listed()
    for name, array in batched.arrays.items():
        np.testing.assert_array_equal(array, single.arrays[name])


def test_a_device_without_memory_names_the_option(world):
    from gaid.extract.shard import Encoder

    class OutOfMemoryError(RuntimeError):
        pass

    class Full:
        def encode_frames(self, frames):
            raise OutOfMemoryError

    encoder = Encoder(SimpleNamespace(visual=Full()), "cuda:0", 1, False)
    clip = SimpleNamespace(frames=np.zeros((2, 4, 4, 3), np.uint8), audio_mask=np.zeros(2, bool))
    with pytest.raises(OptionInvalid, match="smaller --batch-size"):
        encoder.add(None, 0, "v", clip)
