"""`gaid stress --media`: faults of real files. The clips are written here, by the project's own tiny backbones extracted."""

import json
import shutil

import numpy as np
import pytest

from gaid.errors import DataMissing, StoresDisagree
from gaid.extract import extract
from gaid.extract.sources import load_encoder, load_sentence_encoder
from gaid.media.sound import SILENCE
from gaid.stores import open_store
from gaid.stress import stress
from gaid.stress.faults import FAULTS, INF, dropped, generator, repeated
from gaid.stress.media import Mixing, open_files
from tests.media_maker import tone, write_video
from tests.stress.test_stress import write_run

pytestmark = pytest.mark.slow

CLIPS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips of two seconds, each of its own tone and picture; the last one has no sound."""
    root = tmp_path_factory.mktemp("media") / "clips"
    lines = []
    for number in range(CLIPS):
        sound = tone(2, 16000, 200 + 300 * number) if number < CLIPS - 1 else None
        write_video(root / f"{number}.mkv", frames=24, rate=12, size=(64, 48), gop=12, sound=sound, sound_rate=16000,
                    sound_codec="pcm_s16le", seed=number)  # fmt: skip
        lines.append(
            json.dumps({"video": str(number), "caption": f"A picture of a thing and number {number} of a tone."})
        )
    (root / "captions.jsonl").write_text("\n".join(lines))
    return root


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "s.zarr"
    extract(
        "folder", root=folder, out=out, visual="tiny", audio="tiny", text="tiny", frames=6, workers=0, progress=False
    )
    return open_store(out)


@pytest.fixture(scope="module")
def split(store):
    return store.split("test", "all")


@pytest.fixture(scope="module")
def files(store, split):
    return open_files(store, split, None, 50, "cpu", 0)[0]


def test_undisturbed_clips_give_the_cached_features_again(store, split):
    files, sample = open_files(store, split, None, 4, "cpu", 1)
    assert (sample.clips, sample.of, sample.queries, sample.failed) == (4, CLIPS, 4, [])
    assert sample.greatest_difference == 0
    rows = [split.video_ids.index(video) for video in files.split.video_ids]
    assert files.split.visual.tobytes() == split.visual[rows].tobytes()
    assert files.split.audio.tobytes() == split.audio[rows].tobytes()
    assert files.split.gallery_hash != split.gallery_hash


@pytest.mark.parametrize(
    "name", ["noise", "noise-frames", "other", "other-frames", "late", "dropped", "black", "repeated"]
)
def test_a_real_fault_changes_no_bit_at_first_and_its_own_sense_at_last(files, name):
    fault = FAULTS[name]
    clean, worst = files.spoil(fault, fault.clean), files.spoil(fault, fault.strengths[-1])
    for sense in ("visual", "audio", "audio_mask"):
        assert getattr(clean, sense).tobytes() == getattr(files.split, sense).tobytes()
    other, own = ("visual", "audio") if fault.touches == "audio" else ("audio", "visual")
    assert getattr(worst, other).tobytes() == getattr(files.split, other).tobytes()
    assert getattr(worst, own).tobytes() != getattr(files.split, own).tobytes()
    again = files.spoil(fault, fault.strengths[-1])
    assert getattr(again, own).tobytes() == getattr(worst, own).tobytes()
    assert not worst.audio_mask[-1].any()  # a clip without a track gets none


def test_black_is_what_the_backbone_makes_of_black(files):
    black = files.spoil(FAULTS["black"], 1.0).visual
    picture = np.zeros_like(files.clips[0].frames[:1])
    np.testing.assert_array_equal(black[0, 0], files.visual.encode_frames(picture[None])[0, 0].astype(np.float16))
    assert (black == black[0, 0]).all()


@pytest.mark.parametrize("sampling", ["aligned", "published"])
def test_a_backbone_that_hears_the_whole_sound_meets_the_same_faults(folder, tmp_path, sampling):
    out = tmp_path / "whole.zarr"
    extract("folder", root=folder, out=out, visual="tiny", audio="tests.extract.stubs:StubLoudness", text="tiny", frames=6,
            audio_sampling=sampling, workers=0, progress=False)  # fmt: skip
    store = open_store(out)
    files, sample = open_files(store, store.split("test", "all"), None, 50, "cpu", 0)
    assert sample.greatest_difference == 0
    for name in ("noise", "noise-frames", "other", "other-frames", "late"):
        fault = FAULTS[name]
        clean, worst = files.spoil(fault, fault.clean), files.spoil(fault, fault.strengths[-1])
        assert clean.audio.tobytes() == files.split.audio.tobytes()
        assert worst.audio.tobytes() != files.split.audio.tobytes()
        assert not worst.audio_mask[-1].any()  # a clip without a track gets none
    late = files.spoil(FAULTS["late"], 1.0)  # of 2 s: three of six frames
    expected = [True] * 6 if sampling == "published" else [False] * 3 + [True] * 3
    np.testing.assert_array_equal(late.audio_mask[0], expected)


def test_the_frames_that_move_are_those_that_move_in_the_cache(files):
    for name, places_of in (("dropped", dropped), ("repeated", repeated)):
        spoilt = files.spoil(FAULTS[name], 0.5)
        places = places_of(files.split.audio_mask.shape, 0.5, generator(files.seed, name))
        for row, clip in enumerate(files.clips):
            moved = files.visual.encode_frames(clip.frames[places[row]][None])[0]
            np.testing.assert_array_equal(spoilt.visual[row], moved.astype(np.float16))


def test_a_late_sound_begins_with_silence_and_keeps_the_rest(files):
    late = files.spoil(FAULTS["late"], 1.0)  # of 2 s: three of six frames
    np.testing.assert_array_equal(late.audio_mask[0], [False] * 3 + [True] * 3)
    assert not files.spoil(FAULTS["late"], 3.0).audio_mask.any()


def test_noise_comes_at_the_ratio_that_was_asked_for(files):
    seeds = np.random.default_rng(0).integers(2**63, size=len(files.clips))
    clip = files.clips[0]
    changed = Mixing(None, seeds, 6.0, None).mix(files.clips, 0)
    mixed, mask = changed.audio, changed.audio_mask
    assert mask.all()
    own = (mixed * clip.audio).sum() / np.square(clip.audio).sum() * clip.audio
    assert 10 * np.log10(np.square(own).mean() / np.square(mixed - own).mean()) == pytest.approx(6, abs=0.5)
    alone = Mixing(None, seeds, -INF, None).mix(files.clips, 0).audio
    level = np.sqrt(np.square(alone).mean())
    assert level == pytest.approx(np.sqrt(np.square(clip.audio).mean()), rel=0.05)
    assert level > SILENCE


def test_curves_of_real_files_stand_beside_those_of_the_cache(store, tmp_path):
    run = write_run(tmp_path / "gaid", store, "gaid", listen=0.0)
    results = stress(
        run, split_protocol="all", faults=["noise", "black", "typos", "missing"], media=True, progress=False
    )
    assert [one.name for one in results.findings] == [
        "noise", "missing", "black", "typos", "media-noise", "media-black",
    ]  # fmt: skip
    assert results.media.clips == CLIPS
    media = results.finding("media-black")
    assert media.kind == "media"
    assert "goes through the backbone" in media.how
    assert media.curves[0].points[0].difference["MnR"] == 0


def test_tokens_of_real_sounds_are_those_of_the_cache_and_suffer_with_them(folder, tmp_path):
    extract("folder", root=folder, out=tmp_path / "t.zarr", visual="tiny", audio="tiny", text="tiny", frames=6, workers=0,
            progress=False, audio_tokens=True)  # fmt: skip
    store = open_store(tmp_path / "t.zarr")
    split = store.split("test", "all")
    files = open_files(store, split, None, 50, "cpu", 0, tokens=True)[0]
    assert files.split.audio_as("tokens").tobytes() == split.audio_as("tokens").tobytes()
    fault = FAULTS["noise"]
    clean, worst = (files.spoil(fault, one) for one in (fault.clean, fault.strengths[-1]))
    assert clean.audio_as("tokens").tobytes() == split.audio_as("tokens").tobytes()
    assert worst.audio_as("tokens").tobytes() != split.audio_as("tokens").tobytes()
    assert not worst.audio_as("tokens")[-1].any()
    assert files.spoil(FAULTS["black"], 1.0).audio_as("tokens").tobytes() == split.audio_as("tokens").tobytes()
    run = write_run(tmp_path / "avigate", store, "avigate", audio_dim=store.audio_token_shape[1], audio_input="tokens")
    results = stress(run, split_protocol="all", faults=["noise"], media=True, progress=False)
    assert [one.name for one in results.findings] == ["noise", "media-noise"]
    assert results.finding("media-noise").curves[0].points[0].difference["MnR"] == 0


def test_tokens_of_real_whole_sounds_are_those_of_the_cache_and_suffer_with_them(folder, tmp_path):
    extract("folder", root=folder, out=tmp_path / "t.zarr", visual="tiny", audio="tests.extract.stubs:StubClip", text="tiny",
            frames=6, workers=0, progress=False, audio_clip_tokens=True)  # fmt: skip
    store = open_store(tmp_path / "t.zarr")
    split = store.split("test", "all")
    files = open_files(store, split, None, 50, "cpu", 0, clip_tokens=True)[0]
    own = split.audio_as("clip")
    assert files.split.audio_as("clip").tobytes() == own.tobytes()
    sounding = split.audio_mask.any(axis=1)
    for name in ("noise", "other", "noise-frames", "late"):
        fault = FAULTS[name]
        clean, worst = (files.spoil(fault, one).audio_as("clip") for one in (fault.clean, fault.strengths[-1]))
        assert clean.tobytes() == own.tobytes(), name
        changed = (worst != own).any(axis=(1, 2))
        assert changed[sounding].all(), name
        assert not changed[~sounding].any(), name
    assert files.spoil(FAULTS["black"], 1.0).audio_as("clip").tobytes() == own.tobytes()
    run = write_run(
        tmp_path / "avigate", store, "avigate", audio_dim=store.audio_clip_token_shape[1], audio_input="clip"
    )
    results = stress(run, split_protocol="all", faults=["noise"], media=True, progress=False)
    assert results.finding("media-noise").curves[0].points[0].difference["MnR"] == 0


# Captions, whose backbone is at hand here


def test_captions_are_encoded_as_the_store_has_them(store, split):
    found = load_sentence_encoder(store, "cpu", "both")(split.caption_texts)
    assert found["text"].tobytes() == split.text.tobytes()
    assert found["audio_text"].tobytes() == split.audio_text.tobytes()
    assert "audio_text" not in load_sentence_encoder(store, "cpu")(split.caption_texts[:1])


def test_a_backbone_that_is_another_by_now_is_refused(store, monkeypatch):
    backbone = load_encoder(store, "text", "cpu")
    monkeypatch.setattr(backbone, "provenance", {**backbone.provenance, "version": 99})
    with pytest.raises(StoresDisagree, match=r"another tiny than the one that is here \(version .*, here 99"):
        load_encoder(store, "text", "cpu")


def test_files_that_are_gone_are_one_line(store, split, folder, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    shutil.copy(folder / "0.mkv", few / "0.mkv")
    with pytest.raises(DataMissing, match="say with --root where its files are"):
        open_files(store, split, few, 5, "cpu", 0)
