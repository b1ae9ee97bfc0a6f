"""The command as a whole: what comes out, whatever goes in."""

import dataclasses
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from gaid.datasets.types import Dataset, Video
from gaid.errors import (
    DataInvalid,
    DataMissing,
    DependencyMissing,
    OptionInvalid,
    StoresDisagree,
)
from gaid.stores import StoreWriter, open_store
from tests.extract.stubs import AUDIO_TOKENS, NAMES, StubAudioTokens, StubText, StubVisual, run
from tests.extract.world import content


@pytest.mark.slow
def test_a_store_holds_what_the_backbones_gave_for_what_the_decoder_gave(world, reference):
    from gaid.media.clip import ClipRequest
    from gaid.media.decode import decode_clip
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


@pytest.mark.slow
def test_each_failure_is_told_in_one_line_and_counted(world, tmp_path, capsys):
    report = run(world, tmp_path / "store.zarr", progress=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("clip 002: ")]
    assert len(lines) == 1
    assert report.clips == 16
    assert report.done == 15
    assert [failure.video for failure in report.failed] == ["clip 002"]
    assert f"1 {report.failed[0].reason}" in str(report)


@pytest.mark.slow
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


@pytest.mark.slow
def test_how_sound_was_sampled_is_part_of_what_a_store_is(world, reference, tmp_path):
    aligned = open_store(reference)
    assert "audio_sampling" not in aligned.attrs["sampling"]  # older stores keep their fingerprint
    run(world, tmp_path / "s.zarr", audio_sampling="spread", limit=4)
    run(world, tmp_path / "a.zarr", limit=4)
    published, same = open_store(tmp_path / "s.zarr"), open_store(tmp_path / "a.zarr")
    assert published.attrs["sampling"]["audio_sampling"] == "spread"
    assert published.fingerprint != same.fingerprint
    with pytest.raises(StoresDisagree, match="sampling"):
        run(world, tmp_path / "s.zarr", limit=4)
    # Clips of two seconds fill the first of twelve bins of 2.5 s.
    heard = published["videos/audio_mask"][:]
    assert heard[:, 0].sum() == (same["videos/audio_mask"][:].any(axis=1)).sum() > 0
    assert not heard[:, 1:].any()


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_features_that_are_no_numbers_fail_their_clip_only(world, reference, tmp_path, value):
    StubVisual.spoil = {3: value}
    report = run(world, tmp_path / "store.zarr")
    assert [(one.video, one.reason) for one in report.failed][1:] == [("clip 004", "not finite")]
    store, whole = open_store(tmp_path / "store.zarr"), open_store(reference)
    assert not store["videos/visual"][4].any()
    assert not store["videos/valid"][4]
    np.testing.assert_array_equal(store["videos/visual"][5:], whole["videos/visual"][5:])


@pytest.mark.slow
def test_patches_are_kept_where_asked_for(world, reference, tmp_path):
    run(world, tmp_path / "store.zarr", patches=True)
    store = open_store(tmp_path / "store.zarr")
    assert store["videos/patches"].shape == (16, 12, 4, 3)
    np.testing.assert_array_equal(store["videos/patches"][:].reshape(16, 12, 12), store["videos/visual"][:])


@pytest.mark.slow
def test_audio_tokens_are_kept_where_asked_for_and_change_nothing_else(world, reference, tmp_path, monkeypatch):
    monkeypatch.setattr(StubAudioTokens, "calls", [])
    run(world, tmp_path / "store.zarr", audio=AUDIO_TOKENS, audio_tokens=True)
    store, whole = open_store(tmp_path / "store.zarr"), open_store(reference)
    tokens, mask = store["videos/audio_tokens"][:], store["videos/audio_mask"][:]
    assert tokens.shape == (16, 12, 4, 1)
    np.testing.assert_array_equal(tokens[..., 0], store["videos/audio"][:][..., :4])
    assert not tokens[~mask].any()
    for name in whole.names():
        if name.startswith("videos/"):
            np.testing.assert_array_equal(store[name][:], whole[name][:], err_msg=name)
    assert store.verify().ok
    with pytest.raises(StoresDisagree, match="audio_tokens"):
        run(world, tmp_path / "store.zarr", audio=AUDIO_TOKENS)


@pytest.mark.slow
def test_audio_tokens_that_are_no_numbers_fail_their_clip_only(world, tmp_path, monkeypatch):
    monkeypatch.setattr(StubAudioTokens, "calls", [])
    monkeypatch.setattr(StubAudioTokens, "spoil", {0: np.nan, 1: 1e6})
    report = run(world, tmp_path / "store.zarr", audio=AUDIO_TOKENS, audio_tokens=True)
    told = {one.video: one.message for one in report.failed if one.reason == "not finite"}
    assert len(told) == 2
    assert "audio token features" in " ".join(told.values())
    assert not open_store(tmp_path / "store.zarr")["videos/audio_tokens"][0].any()


def test_a_backbone_without_audio_tokens_is_refused_before_anything_is_written(world, tmp_path):
    with pytest.raises(OptionInvalid, match="no audio tokens to give; leave out --audio-tokens"):
        run(world, tmp_path / "store.zarr", audio_tokens=True)
    assert not (tmp_path / "store.zarr").exists()


def absent(world: Dataset, count: int) -> Dataset:
    videos = list(world.videos)
    for row in range(count):
        videos[row] = Video(videos[row].id, world.root / f"gone {row}.mp4")
    return dataclasses.replace(world, videos=tuple(videos), missing=tuple(video.id for video in videos[:count]))


@pytest.mark.slow
def test_some_missing_files_are_failures(world, tmp_path):
    report = run(absent(world, 1), tmp_path / "store.zarr")
    assert {failure.video: failure.reason for failure in report.failed}["clip 000"] == "missing"
    assert report.done == 14


@pytest.mark.slow
def test_many_missing_files_are_refused_with_the_option_that_lets_them_pass(world, tmp_path):
    lacking = absent(world, 5)
    with pytest.raises(DataMissing, match=r"5 of 16 videos.*clip 000.*--max-missing 0\.32"):
        run(lacking, tmp_path / "store.zarr")
    assert not (tmp_path / "store.zarr").exists()
    assert run(lacking, tmp_path / "store.zarr", max_missing=0.32).done == 11  # clip 002 is among the five


def test_nothing_at_all_is_refused_whatever_the_limit(world, tmp_path):
    with pytest.raises(DataMissing, match="none of the 16 videos"):
        run(absent(world, 16), tmp_path / "store.zarr", max_missing=1.0)


@pytest.mark.slow
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


@pytest.mark.slow
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
        ({"audio_sampling": "both"}, "--audio-sampling both"),
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

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DependencyMissing, match=r"pip install 'gaid\[dask\]'"):
        run(world, tmp_path / "store.zarr", scheduler="tcp://127.0.0.1:1")


@pytest.mark.slow
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
    from gaid.extract.encoder import Encoder
    from gaid.extract.rows import ShardRows, ShardShape
    from gaid.media.clip import ClipRequest
    from gaid.media.decode import decode_clip
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


def test_clips_are_encoded_side_by_side_where_the_backbones_allow_it(world, monkeypatch):
    from gaid.backbones import load_backbones
    from gaid.errors import MediaError
    from gaid.extract.encoder import Encoder
    from gaid.extract.rows import ShardRows, ShardShape
    from gaid.media.clip import ClipRequest
    from gaid.media.decode import decode_clip
    from tests.extract.stubs import StubAudio

    backbones = load_backbones(NAMES["visual"], NAMES["audio"], NAMES["text"])
    specs = (12, StubVisual.frame_spec, StubAudio.audio_spec, "pyav")
    clips = [decode_clip(ClipRequest(str(world.videos[row].path), None, None, None, *specs)) for row in (0, 1, 3, 4)]
    clips.insert(1, MediaError("empty", "nothing"))
    meeting = threading.Barrier(2)  # passed by two clips at a time only
    plain = StubVisual.encode_frames

    def together(backbone, frames):
        meeting.wait(20)
        return plain(backbone, frames)

    found = []
    for count in (1, 2):
        rows = [ShardRows(0, 3, ShardShape(12, 12, 5)), ShardRows(1, 2, ShardShape(12, 12, 5))]
        with Encoder(backbones, "cpu", 32, False, threads=count) as encoder:
            assert encoder.threads == count
            results = [encoder.add(rows[at // 3], at % 3, f"v{at}", clip) for at, clip in enumerate(clips)]
            results.append(encoder.flush())
        assert sum(map(len, results)) == 5
        assert all(shard.complete for shard in rows)
        found.append(rows)
        monkeypatch.setattr(StubVisual, "thread_safe", True, raising=False)
        monkeypatch.setattr(StubAudio, "thread_safe", True, raising=False)
        monkeypatch.setattr(StubVisual, "encode_frames", together)
    for alone, beside in zip(*found, strict=True):
        assert alone.listed() == beside.listed()
        for name, array in alone.arrays.items():
            np.testing.assert_array_equal(array, beside.arrays[name])


def test_a_device_without_memory_names_the_option(world):
    from gaid.extract.encoder import Encoder

    class OutOfMemoryError(RuntimeError):
        pass

    class Full:
        def encode_frames(self, frames):
            raise OutOfMemoryError

    encoder = Encoder(SimpleNamespace(visual=Full(), audio=None), "cuda:0", 1, False)
    clip = SimpleNamespace(frames=np.zeros((2, 4, 4, 3), np.uint8), audio_mask=np.zeros(2, bool), sources=())
    with pytest.raises(OptionInvalid, match="smaller --batch-size"):
        encoder.add(SimpleNamespace(sources={}), 0, "v", clip)
