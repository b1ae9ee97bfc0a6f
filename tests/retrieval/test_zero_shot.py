"""Search without training over a store whose senses share a space with sentences: a clip is found by its sound, too."""

import numpy as np
import pytest

from gaid.backbones import load_audio, load_text
from gaid.errors import OptionInvalid
from gaid.report import write_page
from gaid.retrieval.search import search
from gaid.stores import StorePlan, StoreWriter, open_store, reader

DIM, FRAMES = 256, 3
LOOKS = ["a red circle", "a blue square", "a green star", "a yellow cross", "a pink moon", "a black ring"]
SOUNDS = ["birds sing", "a drum beats", "a siren wails", "bells ring", None, None]  # the last two clips have no sound


def write_store(path, audio_text=True):
    """A clip for each of LOOKS, whose sound is that of SOUNDS; every clip's features are those of the sentences about it."""
    text, audio = load_text("tiny"), load_audio("tiny")
    rng = np.random.default_rng(0)
    count, heard = len(LOOKS), np.array([one is not None for one in SOUNDS])
    seen = text.encode_text(LOOKS).embedding[:, None] + rng.normal(size=(count, FRAMES, DIM))
    sounds = audio.encode_text([one or "" for one in SOUNDS])[:, None] + rng.normal(size=(count, FRAMES, DIM))
    plan = StorePlan(
        video_ids=[f"clip {row}" for row in range(count)],
        caption_ids=[], caption_texts=[], caption_video=[], token_offsets=[0], splits={}, default_protocol="main",
        frames=FRAMES, visual_dim=DIM, audio_dim=DIM, text_dim=DIM, audio_text=audio_text,
        attrs={
            "dataset": {"name": "words", "root": "nowhere"},
            "backbones": {"visual": {"name": "tiny"}, "audio": audio.provenance, "text": text.provenance},
        },
        shard_rows=count, chunk_rows=count,
    )  # fmt: skip
    with StoreWriter.open(path, plan) as writer:
        arrays = {
            "visual": seen.astype(np.float16),
            "audio": np.where(heard[:, None, None], sounds, 0).astype(np.float16),
            "audio_mask": np.broadcast_to(heard[:, None], (count, FRAMES)).copy(),
            "audio_state": np.where(heard, 0, 2).astype(np.uint8),
            "valid": np.ones(count, bool),
            "time": np.tile(np.arange(FRAMES, dtype=np.float32), (count, 1)),
            "duration": np.full(count, FRAMES, np.float32),
        }
        writer.write_shard(0, arrays)
        empty = np.zeros((0, DIM), np.float16)
        writer.write_captions(empty, empty, empty if audio_text else None)
        writer.finish()
    return open_store(path)


@pytest.fixture
def shared(monkeypatch):
    """`tiny` counts as a backbone whose senses share a space with sentences, as its sentences and features do here."""
    monkeypatch.setattr(reader, "_SPACELESS", "none of them")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("heard") / "heard.zarr")


@pytest.mark.usefixtures("shared")
def test_a_clip_is_found_by_its_picture_and_by_its_sound(store, tmp_path):
    found = search([*LOOKS, *filter(None, SOUNDS)], store=store, top=6)
    assert found.basis.preset == "av-sum"
    assert [answer.hits[0].video for answer in found.answers] == [f"clip {row}" for row in (*range(6), *range(4))]
    siren = found.answers[len(LOOKS) + 2]
    by_sound = {hit.video: hit.senses["sound"] for hit in siren.hits}
    assert by_sound["clip 2"] > 0.3
    assert by_sound["clip 4"] == by_sound["clip 5"] == 0.0  # without sound: neither a bonus nor a loss
    for hit in siren.hits:
        assert hit.score == pytest.approx(hit.senses["picture"] + hit.senses["sound"], abs=1e-5)
    plain = found.to_dict()
    assert (plain["text_backbone"], plain["audio_text_backbone"]) == ("tiny", "tiny")
    page = write_page(found, tmp_path / "page.html").read_text()
    assert "sound +0." in page


@pytest.mark.usefixtures("shared")
def test_pictures_alone_are_deaf(store):
    found = search([one for one in SOUNDS if one], store=store, preset="mean-pool", top=1)
    assert [answer.hits[0].video for answer in found.answers] != [f"clip {row}" for row in range(4)]
    assert found.audio_text_backbone is None
    assert found.answers[0].hits[0].senses == {}


@pytest.mark.usefixtures("shared")
def test_a_store_without_such_captions_is_searched_by_pictures(tmp_path):
    found = search("a red circle", store=write_store(tmp_path / "deaf.zarr", audio_text=False), top=1)
    assert found.basis.preset == "mean-pool"
    assert found.answers[0].hits[0].video == "clip 0"


def test_senses_that_share_no_space_are_not_searched_unasked(store):
    with pytest.raises(OptionInvalid, match="share no space with sentences, so an untrained head finds by chance"):
        search("a red circle", store=store)
    found = search("a red circle", store=store, preset="av-sum")
    assert any("shares no space with sentences" in note for note in found.notes)
