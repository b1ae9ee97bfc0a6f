"""Clips that are decoded again for a page are sampled as the store's were, moments of them at equal distances."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gaid.errors import MediaError
from gaid.extract import extract
from gaid.media.clip import ClipRequest, Sampling
from gaid.media.pool import DecodePool
from gaid.report.thumbnails import MOMENT, MOMENT_SIZE, load_clips, load_moments
from gaid.retrieval.results import Hit
from gaid.specs import AudioSpec
from gaid.stores import open_store
from tests.media_maker import read_number, write_video

TINY = {"visual": "tiny", "audio": "tiny", "text": "tiny"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Of one clip of 5 s with sound throughout, extracted with the published sampling of its sound."""
    root = tmp_path_factory.mktemp("clips")
    write_video(root / "a.mp4", frames=25, rate=5, size=(64, 48), sound_rate=16000)
    (root / "a.txt").write_text("a tone\n")
    out = root / "s.zarr"
    extract("folder", root=root, out=out, workers=0, audio_sampling="spread", pixels="stored", progress=False, **TINY)
    return open_store(out)


def test_the_sound_drawn_is_the_sound_that_the_store_was_made_of(store):
    clips, absent = load_clips(store, store.ids, AudioSpec(16000, 0.01, 1e6))
    assert absent is None
    # Twelve bins of 2.5 s over the 30 s to which the published code pads: the clip's 5 s fill two of them.
    assert clips["a"].audio.shape == (12, 40000)
    np.testing.assert_array_equal(clips["a"].audio_mask, [True, True] + [False] * 10)
    np.testing.assert_array_equal(clips["a"].audio_mask, store["videos/audio_mask"][0])


def test_a_store_made_with_the_other_decoder_is_read_with_it_again(store, monkeypatch):
    asked: list[ClipRequest] = []

    def fail(pool, requests):
        asked.extend(requests)
        return iter([MediaError("unreadable", "not looked at")])

    other = open_store(store.path)
    other.attrs["sampling"]["decoder"] = "ffmpeg"
    monkeypatch.setattr(DecodePool, "map", fail)
    assert load_clips(other, other.ids, AudioSpec(16000, 0.01, 1e6))[0] == {}
    assert [one.decoder for one in asked] == ["ffmpeg"]
    assert [one.pixels for one in asked] == ["stored"]
    assert Sampling.of_store(other) == Sampling(12, "ffmpeg", "spread", "stored")


def test_a_store_says_how_its_clips_were_decoded_and_an_older_one_took_pixels_as_stored(store):
    assert {name: store.attrs["sampling"][name] for name in ("pixels", "rules")} == {"pixels": "stored", "rules": 2}
    older = open_store(store.path)
    for name in ("pixels", "rules"):
        del older.attrs["sampling"][name]
    assert Sampling.of_store(older).pixels == "stored"


def test_the_frames_of_a_moment_lie_within_it(store):
    file = str(Path(store.attrs["dataset"]["root"]) / "a.mp4")
    hits = [
        Hit(1, "a", 0.5, path=file, moment=(1.0, 3.4)),  # seconds of the clip, which begins with its file
        Hit(1, "a", 0.5, path=file, moment=(1.0, 3.4), start=1.2),  # and which begins later: it replaces the first
        Hit(2, "a", 0.4, path=file),
        Hit(3, "b", 0.3, moment=(0.0, 1.0)),
    ]
    for some, offset in ((hits[:1], 0.0), (hits, 1.2)):
        pictures = load_moments(store, some)
        assert list(pictures) == [("a", (1.0, 3.4))]
        data = base64.b64decode(pictures["a", (1.0, 3.4)].partition(",")[2])
        strip = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert strip.shape == (MOMENT_SIZE, MOMENT * MOMENT_SIZE, 3)
        numbers = [read_number(one) for one in np.split(strip, MOMENT, axis=1)]
        middles = offset + 1.0 + 2.4 * (np.arange(MOMENT) + 0.5) / MOMENT
        assert numbers == np.floor(middles * 5 + 1e-6).astype(int).tolist()  # the picture on screen, 5 per second
