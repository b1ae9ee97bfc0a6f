"""What is said in the clips of a store: added when it is asked for, without decoding a picture, and kept up to date."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gaid.backbones.tones import TinySpeech
from gaid.errors import BackboneUnavailable, ExtractInterrupted, OptionInvalid, StoresDisagree
from gaid.extract import extract
from gaid.extract.join import join_stores
from gaid.media.pool import DecodePool
from gaid.stores import convert_store, open_store, prune_store, verify_store
from tests.speech_maker import write_speaker

SAID = {
    "a": [("apple", 0.5)],
    "b": [("bridge", 1.0), ("candle", 2.5)],
    "c": [],
    "d": [("dragon", 0.5), ("engine", 1.0)],
}
TEXTS = {"a": ["apple"], "b": ["bridge", "candle"], "c": [], "d": ["dragon engine"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of clips in which words are said, and its store without speech."""
    folder = tmp_path_factory.mktemp("speakers")
    for number, (name, words) in enumerate(SAID.items()):
        write_speaker(folder / "clips" / f"{name}.mkv", *words, seed=number)
    run(folder)
    return folder


@pytest.fixture
def here(made, tmp_path):
    shutil.copytree(made, tmp_path / "here")
    run(tmp_path / "here")
    return tmp_path / "here"


def run(here, out="s.zarr", **options):
    given = {"visual": "tiny", "audio": "tiny", "text": "tiny", "max_missing": 1.0, "progress": False, "workers": 0}
    return extract("folder", root=here / "clips", out=here / out, **{**given, **options})


def said(path):
    """The texts of each clip by its id."""
    store = open_store(path)
    speech = store.speech
    texts, ends = speech.texts, speech.offsets.tolist()
    return {name: texts[a:b] for name, a, b in zip(store.ids, ends[:-1], ends[1:], strict=True)}


def forbid_pictures(monkeypatch):
    monkeypatch.setattr(DecodePool, "map", lambda *_: pytest.fail("pictures were decoded"))


def test_without_the_option_nothing_is_written(here):
    store = open_store(here / "s.zarr")
    assert store.speech is None
    assert not (here / "s.zarr/speech").exists()


def test_speech_is_added_later_without_decoding_pictures_and_equals_a_fresh_extraction(here, monkeypatch):
    fresh = run(here, "fresh.zarr", speech="tiny")
    assert fresh.transcribed == len(SAID)
    before = open_store(here / "s.zarr")
    forbid_pictures(monkeypatch)
    report = run(here, speech="tiny")
    assert (report.transcribed, report.extracted, report.already_complete) == (len(SAID), 0, False)
    assert said(here / "s.zarr") == TEXTS
    store, other = open_store(here / "s.zarr"), open_store(here / "fresh.zarr")
    assert store.content_digest() == other.content_digest()
    assert store.fingerprint == before.fingerprint
    assert store.attrs["transcriber"] == TinySpeech().provenance
    assert verify_store(here / "s.zarr").ok


def test_segments_have_times_and_the_text_encoders_vectors(here):
    from gaid.backbones import load_text

    run(here, speech="tiny")
    speech = open_store(here / "s.zarr").speech
    np.testing.assert_allclose(speech.start, [0.5, 1.0, 2.5, 0.5], atol=0.06)
    np.testing.assert_allclose(speech.end, [0.8, 1.3, 2.8, 1.3], atol=0.06)
    expected = load_text("tiny").encode_text(speech.texts).embedding.astype(np.float16)
    np.testing.assert_array_equal(speech.embedding, expected)


def test_a_second_run_has_nothing_to_do_and_a_stopped_one_resumes(here, monkeypatch):
    heard = []
    listen = TinySpeech.transcribe

    def stop_at_the_third(self, sound):
        heard.append(len(heard))
        if len(heard) == 3:
            raise KeyboardInterrupt
        return listen(self, sound)

    monkeypatch.setattr(TinySpeech, "transcribe", stop_at_the_third)
    with pytest.raises((KeyboardInterrupt, ExtractInterrupted)):
        run(here, speech="tiny")
    assert open_store(here / "s.zarr").speech is None
    assert verify_store(here / "s.zarr").ok
    left = run(here, speech="tiny").transcribed
    assert 0 < left < len(SAID)
    assert said(here / "s.zarr") == TEXTS
    count = len(heard)
    assert run(here, speech="tiny").already_complete
    assert run(here).already_complete
    assert len(heard) == count


KILLED = """
import sys, time
from gaid.backbones.tones import TinySpeech
from gaid.extract import extract

hear = TinySpeech.transcribe
TinySpeech.transcribe = lambda *given: time.sleep(0.1) or hear(*given)
extract("folder", root=sys.argv[1], out=sys.argv[2], visual="tiny", audio="tiny", text="tiny", speech="tiny", workers=0,
        max_missing=1.0, progress=False)
"""


def pieces(store):
    return {int(file.stem.removeprefix("speech-")) for file in store.glob("shards/speech-*.json")}


@pytest.mark.slow
def test_a_killed_extraction_keeps_the_speech_that_is_written(tmp_path):
    for number in range(24):
        write_speaker(tmp_path / "clips" / f"{number:02d}.mkv", *SAID["abd"[number % 3]], seed=number)
    out = tmp_path / "s.zarr"
    for _ in range(2):
        before = len(pieces(out))
        process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "clips", out], start_new_session=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        end = time.monotonic() + 120
        while len(pieces(out)) < before + 2 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        assert process.poll() is None, "ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert open_store(out).speech is None  # half of it counts as none
    rows = open_store(out).layout["shard_rows"]
    done = sum(min(rows, 24 - number * rows) for number in pieces(out))
    assert 0 < done < 24
    assert run(tmp_path, speech="tiny").transcribed == 24 - done
    run(tmp_path, "fresh.zarr", speech="tiny")
    assert open_store(out).content_digest() == open_store(tmp_path / "fresh.zarr").content_digest()
    assert verify_store(out).ok


def test_a_library_that_grows_keeps_its_speech_and_hears_only_what_is_new(here, monkeypatch):
    run(here, speech="tiny", overwrite=True)
    (here / "clips/a.mkv").rename(here / "clips/renamed.mkv")
    (here / "clips/b.mkv").unlink()
    write_speaker(here / "clips/d.mkv", ("forest", 1.0), seed=8)
    write_speaker(here / "clips/e.mkv", ("garden", 1.0), seed=9)
    assert run(here).transcribed == 2
    expected = {"c": [], "d": ["forest"], "e": ["garden"], "renamed": ["apple"]}
    assert said(here / "s.zarr") == expected
    run(here, "fresh.zarr", speech="tiny")
    grown, fresh = open_store(here / "s.zarr").speech, open_store(here / "fresh.zarr").speech
    for name, values in fresh.arrays.items():
        np.testing.assert_array_equal(grown.arrays[name], values)
    prune_store(here / "s.zarr")
    assert said(here / "s.zarr") == expected
    assert verify_store(here / "s.zarr").ok
    convert_store(here / "s.zarr", here / "s.h5")
    assert said(here / "s.h5") == expected


def test_a_clip_that_was_gone_while_speech_was_added_is_heard_when_it_is_back(here):
    (here / "clips/b.mkv").rename(here / "b.mkv")
    run(here)
    assert run(here, speech="tiny").transcribed == 3
    (here / "b.mkv").rename(here / "clips/b.mkv")
    report = run(here)
    assert report.extracted == 0
    assert said(here / "s.zarr") == TEXTS


def test_another_transcriber_does_all_of_it_again_and_none_leaves_it(here):
    run(here, speech="tiny")
    (here / "clips/a.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nGood morning.\n")
    assert run(here, speech="none").transcribed == 0
    assert said(here / "s.zarr") == TEXTS
    assert run(here, speech="subtitles").transcribed == len(SAID)
    assert said(here / "s.zarr") == {"a": ["Good morning."], "b": [], "c": [], "d": []}


def test_another_version_of_the_stores_transcriber_is_refused_unless_it_is_named(here, monkeypatch):
    run(here, speech="tiny")
    write_speaker(here / "clips/e.mkv", ("garden", 1.0), seed=9)
    other = TinySpeech()
    other.provenance = {**other.provenance, "sha256": "another"}
    monkeypatch.setattr("gaid.backbones.load_speech", lambda *_: other)
    with pytest.raises(StoresDisagree, match=r"by another tiny than the one that is here \(sha256 differ\)"):
        run(here)
    assert run(here, speech="tiny").transcribed == len(SAID) + 1


def test_a_transcriber_that_is_not_here_any_more_is_named(here, monkeypatch):
    monkeypatch.setattr(TinySpeech, "name", "parrot")
    parrot = TinySpeech()
    parrot.provenance = {**parrot.provenance, "name": "parrot"}
    monkeypatch.setattr("gaid.backbones.load_speech", lambda *_: parrot)
    run(here, speech="parrot")
    monkeypatch.undo()
    write_speaker(here / "clips/e.mkv", ("garden", 1.0), seed=9)
    with pytest.raises(BackboneUnavailable, match=r"'parrot', can't be loaded here .*name it with --speech"):
        run(here)
    assert run(here, speech="none").already_complete


def test_an_hdf5_store_has_speech_from_the_first_or_not_at_all(here):
    run(here, "s.h5", speech="tiny")
    assert said(here / "s.h5") == TEXTS
    assert run(here, "s.h5", speech="tiny").already_complete
    with pytest.raises(OptionInvalid, match="HDF5 store is never extended"):
        run(here, "s.h5", speech="subtitles")


def test_a_file_that_can_not_be_read_any_more_has_no_speech(here):
    (here / "clips/a.mkv").rename(here / "a.mkv")
    shutil.copy(here / "a.mkv", here / "clips/a.mkv")
    path = here / "clips/a.mkv"
    path.write_bytes(b"no video" * (path.stat().st_size // 8))
    store = open_store(here / "s.zarr")
    from gaid.backbones import load_text
    from gaid.console import StopWish
    from gaid.datasets import load_dataset
    from gaid.extract.options import Options
    from gaid.extract.speech import add_speech

    given = dict.fromkeys(Options.__dataclass_fields__)
    options = Options(**{**given, "workers": 0, "batch_size": 1, "clip_seconds": 60.0, "progress": False})
    videos = load_dataset("folder", here / "clips").videos
    assert add_speech(store, TinySpeech(), load_text("tiny"), videos, options, "cpu", StopWish()) == len(SAID)
    assert said(here / "s.zarr") == {**TEXTS, "a": []}


def test_joined_libraries_have_the_speech_of_both(here, tmp_path):
    run(here, speech="tiny")
    other = tmp_path / "other"
    write_speaker(other / "clips/z.mkv", ("pepper", 1.0), seed=11)
    run(other, speech="tiny")
    join_stores(here / "s.zarr", other / "s.zarr", tmp_path / "both.zarr")
    assert said(tmp_path / "both.zarr") == {**TEXTS, "z": ["pepper"]}


def test_a_name_that_is_no_transcriber_is_refused(here):
    with pytest.raises(OptionInvalid, match="transcribes no speech; those that do"):
        run(here, speech="clip")
