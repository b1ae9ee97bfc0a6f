"""Search by a sentence: exact, over all clips with features, with the store's own text backbone or not at all."""

import io
import json

import numpy as np
import pytest

from gaid import evaluate
from gaid.backbones import load_text
from gaid.errors import BackboneUnavailable, DataMissing, HeadMismatch, OptionInvalid, StoresDisagree
from gaid.report import write_page
from gaid.retrieval.search import search
from gaid.stores import StorePlan, StoreWriter, iter_clips, open_store, read_clips, valid_rows

DIM, FRAMES, CHUNK = 256, 3, 3
ADJECTIVES = ("red", "green", "blue", "yellow", "orange", "pink", "black")
NOUNS = ("circle", "square", "star")
TEXTS = [f"a {adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS]
BROKEN = (0, 5, 6, 7, 8, 9)  # a whole chunk is lost among them


def write_store(path, *, captions=True, text=None, patches=None, broken=BROKEN):
    """A clip for every text of TEXTS that looks as its text reads, some without features; captions or none."""
    encoder = load_text("tiny")
    words = encoder.encode_text(TEXTS).embedding
    videos, texts = len(TEXTS), TEXTS if captions else []
    valid = np.array([row not in broken for row in range(videos)])
    rows = np.flatnonzero(valid).tolist()
    plan = StorePlan(
        video_ids=[f"clip {row:02d}" for row in range(videos)],
        caption_ids=[f"caption {row}" for row in range(len(texts))],
        caption_texts=texts,
        caption_video=list(range(len(texts))),
        token_offsets=[0] * (len(texts) + 1),
        splits={"main": {"test": rows}} if captions else {},
        default_protocol="main",
        frames=FRAMES,
        visual_dim=DIM,
        audio_dim=DIM,
        text_dim=DIM,
        patches=patches,
        attrs={
            "dataset": {"name": "words", "root": "nowhere"},
            "backbones": {
                "visual": {"name": "tiny"},
                "audio": {"name": "tiny"},
                "text": encoder.provenance if text is None else text,
            },
        },
        shard_rows=videos,
        chunk_rows=CHUNK,
    )
    rng = np.random.default_rng(0)
    seen = words[:, None] + 2 * rng.normal(size=(videos, FRAMES, DIM))
    arrays = {
        "visual": np.where(valid[:, None, None], seen, 0).astype(np.float16),
        "audio": rng.normal(size=(videos, FRAMES, DIM)).astype(np.float16) * valid[:, None, None],
        "audio_mask": np.broadcast_to(valid[:, None], (videos, FRAMES)).copy(),
        "audio_state": np.where(valid, 0, 3).astype(np.uint8),
        "valid": valid,
        "time": np.tile(np.arange(FRAMES, dtype=np.float32), (videos, 1)),
        "duration": np.where(valid, FRAMES, 0).astype(np.float32),
        "short": np.zeros(videos, bool),
    }
    if patches:
        arrays["patches"] = rng.normal(size=(videos, FRAMES, *patches)).astype(np.float16) * valid[:, None, None, None]
    with StoreWriter.open(path, plan) as writer:
        failures = [
            {"id": f"clip {row:02d}", "reason": "unreadable", "message": "broken"} for row in np.flatnonzero(~valid)
        ]
        writer.write_shard(0, arrays, failures)
        embedded = encoder.encode_text(texts).embedding if texts else np.zeros((0, DIM))
        writer.write_captions(embedded.astype(np.float16), np.zeros((0, DIM), np.float16))
        writer.finish()
    return open_store(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("words") / "words.zarr")


@pytest.mark.parametrize("preset", ["mean-pool", "gaid"])
def test_a_caption_as_a_query_finds_what_an_evaluation_finds(store, preset):
    results = evaluate(store=store, preset=preset, direction="t2v", seed=3)
    found = search(results.bench.split.caption_texts, store=store, preset=preset, seed=3, top=5)
    ids = np.array(results.bench.split.video_ids)
    for row, answer in enumerate(found.answers):
        assert [hit.video for hit in answer.hits] == ids[results.best_rows[row]].tolist()
        assert [hit.score for hit in answer.hits] == pytest.approx(results.best_scores[row], abs=2e-6)
        assert [hit.place for hit in answer.hits] == [1, 2, 3, 4, 5]


def test_a_sentence_finds_the_clip_that_it_describes(store):
    found = search("  A yellow   STAR ", store=store, preset="mean-pool", top=3)
    assert found.answers[0].query == "A yellow STAR"
    assert found.answers[0].hits[0].video == f"clip {TEXTS.index('a yellow star'):02d}"
    assert found.clips == len(TEXTS) - len(BROKEN)


def test_clips_without_features_are_never_found(store):
    found = search(TEXTS, store=store, preset="mean-pool", top=1000)
    assert {len(answer.hits) for answer in found.answers} == {len(TEXTS) - len(BROKEN)}
    assert not {f"clip {row:02d}" for row in BROKEN} & {hit.video for answer in found.answers for hit in answer.hits}


def test_a_store_without_captions_is_searched_as_one_with(store, tmp_path):
    bare = write_store(tmp_path / "bare.zarr", captions=False)
    ours, theirs = (search(TEXTS[:4], store=one, preset="gaid", top=4) for one in (bare, store))
    assert ours.to_dict()["answers"] == theirs.to_dict()["answers"]


def test_reading_clips_in_blocks_gives_each_valid_clip_once(store):
    rows, clips = zip(*iter_clips(store, CHUNK), strict=True)
    assert len(rows) > 2
    assert np.concatenate(rows).tolist() == valid_rows(store).tolist()
    assert max(map(len, rows)) <= CHUNK
    wanted = valid_rows(store)
    assert (np.concatenate([one.visual for one in clips]) == store["videos/visual"][:][wanted]).all()
    assert [name for one in clips for name in one.video_ids] == [store.ids[row] for row in wanted]
    some = read_clips(store, wanted[[0, 3, -1]])
    assert (some.audio == store["videos/audio"][:][wanted[[0, 3, -1]]]).all()


def test_little_memory_changes_nothing(store, monkeypatch):
    whole = search(TEXTS[:3], store=store, preset="gaid", top=6).to_dict()["answers"]
    blocks = []
    original = iter_clips
    monkeypatch.setattr(
        "gaid.retrieval.lens.iter_clips", lambda s, count, rows: blocks.append(count) or original(s, 1, rows)
    )
    assert search(TEXTS[:3], store=store, preset="gaid", top=6, memory="16MiB").to_dict()["answers"] == whole
    assert blocks[0] <= 16 * 2**20 // 4 // (4 * FRAMES * 2 * DIM)


def test_a_head_of_patches_reads_the_clips_patches(tmp_path):
    patched = write_store(tmp_path / "patched.zarr", patches=(2, DIM), broken=(1,))
    rows = valid_rows(patched)
    assert (read_clips(patched, rows).visual_as("patches") == patched["videos/patches"][:][rows]).all()
    found = search("a red star", store=patched, preset="gaid-token", top=2)
    assert len(found.answers[0].hits) == 2


def test_the_share_of_the_sound_is_told_where_the_head_hears(store):
    hearing = search("a red circle", store=store, preset="gaid", top=3).answers[0].hits
    deaf = search("a red circle", store=store, preset="x-pool", top=3).answers[0].hits
    assert all(0 < hit.sound < 1 for hit in hearing)
    assert all(hit.frames["sound_weight"].sum() == pytest.approx(hit.sound) for hit in hearing)
    assert all(hit.sound is None and hit.frames["attention"].shape == (FRAMES,) for hit in deaf)


def test_queries_come_from_files_and_standard_input_too(store, tmp_path, monkeypatch):
    (tmp_path / "one.txt").write_text("a red star\n\n  a blue circle \n", encoding="utf-8")
    (tmp_path / "two.txt").write_text("a pink square", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("a black star\n"))
    files = [tmp_path / "one.txt", tmp_path / "two.txt", "-"]
    found = search("a green star", store=store, preset="mean-pool", query_file=files, top=1)
    expected = ["a green star", "a red star", "a blue circle", "a pink square", "a black star"]
    assert [answer.query for answer in found.answers] == expected


def test_mistakes_name_the_remedy(store, tmp_path):
    chosen = {"store": store, "preset": "mean-pool"}
    with pytest.raises(OptionInvalid, match="search for what"):
        search(**chosen)
    with pytest.raises(OptionInvalid, match="The sentence is empty"):
        search(" ", **chosen)
    with pytest.raises(DataMissing, match=r"no such file; one sentence per line"):
        search(query_file=tmp_path / "none.txt", **chosen)
    with pytest.raises(OptionInvalid, match="search where"):
        search("a dog")
    with pytest.raises(OptionInvalid, match="--preset NAME"):
        search("a dog", store=store)
    with pytest.raises(OptionInvalid, match="--top 0"):
        search("a dog", top=0, **chosen)


def test_a_text_backbone_that_is_not_the_stores_own_is_refused(tmp_path):
    theirs = load_text("tiny").provenance
    unknown = write_store(tmp_path / "unknown.zarr", text={"name": "ours:Lost"})
    with pytest.raises(BackboneUnavailable, match=r"'ours:Lost' can't be loaded .* --text"):
        search("a dog", store=unknown, preset="mean-pool")
    assert isinstance(unknown.attrs["backbones"]["text"], dict)
    other = write_store(tmp_path / "other.zarr", text=theirs | {"sha256": "0" * 64})
    with pytest.raises(StoresDisagree, match=r"another tiny than the one that is here \(sha256"):
        search("a dog", store=other, preset="mean-pool")


def test_a_text_backbone_of_another_size_is_refused(make_store):
    with pytest.raises(HeadMismatch, match=r"vectors of 64 numbers, tiny gives 256"):
        search("a dog", store=make_store(videos=4), preset="mean-pool", text="tiny")


def test_a_store_without_any_features_is_said_to_have_none(tmp_path):
    empty = write_store(tmp_path / "empty.zarr", captions=False, broken=range(len(TEXTS)))
    with pytest.raises(DataMissing, match="holds no clip with features"):
        search("a dog", store=empty, preset="mean-pool")


def test_what_was_found_is_json(store):
    told = json.loads(json.dumps(search(TEXTS[:2], store=store, preset="gaid", top=2).to_dict()))
    assert told["answers"][1]["hits"][0].keys() >= {"place", "video", "score", "sound", "path", "duration"}
    assert any("files are not listed" in note for note in told["notes"])


def test_the_page_shows_sentences_as_text_and_says_that_pictures_are_absent(store, tmp_path):
    found = search("<script>a red star</script>", store=store, preset="gaid", top=2)
    page = write_page(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;a red star" in page
    assert "<script" not in page
    assert "the media are not at hand" in page
    assert page.count('class="weight"') == 2


def test_what_the_head_heard_is_told_where_it_has_a_choice(store, tmp_path):
    found = search("a red star", store=store, preset="avigate", top=2)
    assert found.to_dict()["audio_input"] == "frames"
    assert "avigate (untrained), hears one embedding per frame" in write_page(found, tmp_path / "page.html").read_text(
        encoding="utf-8"
    )
    assert search("a red star", store=store, preset="gaid", top=2).to_dict()["audio_input"] is None
