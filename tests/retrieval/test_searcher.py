"""A library that is open for search: which sense found a clip and when, examples, what is left out, and that nothing fits."""

import numpy as np
import pytest

from gaid.backbones import load_audio, load_text
from gaid.errors import DataMissing, OptionInvalid
from gaid.report import write_page
from gaid.retrieval.queries import Query
from gaid.retrieval.search import ask, search
from gaid.retrieval.searcher import Searcher
from gaid.retrieval.threshold import UNRELATED, find_threshold
from gaid.stores import StorePlan, StoreWriter, open_store, reader

DIM, FRAMES, CLIPS = 256, 4, 60
LOOKS = [
    f"a {colour} {thing}"
    for colour in ("red", "blue", "green", "white")
    for thing in ("car", "dog", "house", "tree", "boat")
]
SOUNDS = ["birds sing", "a drum beats", "a siren wails", "bells ring", "a crowd cheers"]


def looks(clip):
    return LOOKS[clip % len(LOOKS)]


def sounds(clip):
    """Every third clip has no sound."""
    return None if clip % 3 == 2 else SOUNDS[clip % len(SOUNDS)]


def write_store(path, captions=0, seed=0):
    """Clips that show what `looks` says in their second and third frame and something else in the others, and sound as `sounds`
    says."""
    text, audio = load_text("tiny"), load_audio("tiny")
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(CLIPS, FRAMES, DIM))
    seen[:, 1:3] += 4 * text.encode_text([looks(clip) for clip in range(CLIPS)]).embedding[:, None]
    heard = np.array([sounds(clip) is not None for clip in range(CLIPS)])
    sound = audio.encode_text([sounds(clip) or "" for clip in range(CLIPS)])[:, None] + 0.5 * rng.normal(
        size=(CLIPS, FRAMES, DIM)
    )
    texts = [looks(clip) for clip in range(captions)]
    plan = StorePlan(
        video_ids=[f"clip {clip:02d}" for clip in range(CLIPS)],
        caption_ids=[f"c{row}" for row in range(captions)], caption_texts=texts, caption_video=list(range(captions)),
        token_offsets=[0] * (captions + 1), splits={"main": {"train": list(range(captions))}} if captions else {},
        default_protocol="main", frames=FRAMES, visual_dim=DIM, audio_dim=DIM, text_dim=DIM, audio_text=True,
        attrs={
            "dataset": {"name": "words", "root": "nowhere"},
            "backbones": {"visual": {"name": "tiny"}, "audio": audio.provenance, "text": text.provenance},
        },
        shard_rows=CLIPS, chunk_rows=10,
    )  # fmt: skip
    with StoreWriter.open(path, plan) as writer:
        arrays = {
            "visual": seen.astype(np.float16), "audio": np.where(heard[:, None, None], sound, 0).astype(np.float16),
            "audio_mask": np.broadcast_to(heard[:, None], (CLIPS, FRAMES)).copy(),
            "audio_state": np.where(heard, 0, 2).astype(np.uint8), "valid": np.ones(CLIPS, bool),
            "time": np.tile(np.arange(FRAMES, dtype=np.float32) + 0.5, (CLIPS, 1)),
            "duration": np.full(CLIPS, FRAMES, np.float32),
        }  # fmt: skip
        writer.write_shard(0, arrays)
        embedded = text.encode_text(texts).embedding.astype(np.float16) if texts else np.zeros((0, DIM), np.float16)
        of_sound = audio.encode_text(texts).astype(np.float16) if texts else np.zeros((0, DIM), np.float16)
        writer.write_captions(embedded, np.zeros((0, DIM), np.float16), of_sound)
        writer.finish()
    return open_store(path)


@pytest.fixture(autouse=True)
def shared(monkeypatch):
    """`tiny` counts as a backbone whose senses share a space with sentences, as its sentences and features do here."""
    monkeypatch.setattr(reader, "_SPACELESS", "none of them")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("library") / "library.zarr")


@pytest.fixture
def searcher(store):
    return Searcher.open(store=store)


def first(searcher, *queries, **options):
    """The best clip of each query."""
    answers = searcher.ask([one if isinstance(one, Query) else Query.parse(one) for one in queries], **options)
    return [int(answer.hits[0].video.split()[1]) for answer in answers]


def test_the_moment_is_that_of_the_frames_that_show_it(searcher):
    (answer,) = searcher.ask([Query.parse("a red dog")], top=3, sense="picture")
    for hit in answer.hits:
        assert looks(int(hit.video.split()[1])) == "a red dog"
        assert hit.moment == (1.0, 3.0)


def test_a_clip_says_which_sense_carried_it(searcher):
    seen, heard = searcher.ask([Query.parse("a white boat"), Query.parse("a siren wails")], top=3)
    assert {looks(int(hit.video.split()[1])) for hit in seen.hits} == {"a white boat"}
    assert {hit.carried for hit in seen.hits} == {"picture"}
    assert {sounds(int(hit.video.split()[1])) for hit in heard.hits} == {"a siren wails"}
    assert {hit.carried for hit in heard.hits} == {"sound"}


def test_one_sense_alone_ranks(searcher):
    (answer,) = searcher.ask([Query.parse("bells ring")], top=CLIPS, sense="sound")
    right = sum(sounds(clip) == "bells ring" for clip in range(CLIPS))
    assert {sounds(int(hit.video.split()[1])) for hit in answer.hits[:right]} == {"bells ring"}
    without = [hit for hit in answer.hits if hit.audio == "no track"]
    assert {round(hit.score, 6) for hit in without} == {0.0}
    with pytest.raises(OptionInvalid, match="--sense sound: this head does not use it"):
        search("bells", store=searcher.store, preset="mean-pool", sense="sound")


def test_a_clip_that_fits_what_is_left_out_is_ranked_lower(searcher):
    cars = [clip for clip in range(CLIPS) if looks(clip) == "a red car"]
    assert [sounds(clip) for clip in cars] == ["birds sing", None, "birds sing"]
    query = Query.parse('a red car -"birds sing"')
    assert (query.text, query.without) == ("a red car", ("birds sing",))
    plain, less = searcher.ask([Query.parse("a red car"), query], top=CLIPS)
    assert less.query == 'a red car -"birds sing"'
    before, after = ({hit.video: hit.score for hit in answer.hits} for answer in (plain, less))
    lost = [before[name] - after[name] for name in (f"clip {clip:02d}" for clip in cars)]
    assert min(lost[0], lost[2]) > lost[1] + 0.05
    assert all(after[name] <= before[name] + 1e-6 for name in before)
    assert less.hits[0].video == f"clip {cars[1]:02d}"


@pytest.mark.parametrize(
    ("typed", "text", "without"),
    [
        ("a crowd -music", "a crowd", ("music",)),
        ("a well-known t-shirt", "a well-known t-shirt", ()),
        ("minus -5 degrees", "minus -5 degrees", ()),
        ('dogs -"loud  music" -cats', "dogs", ("loud music", "cats")),
    ],
)
def test_a_minus_before_a_word_leaves_it_out(typed, text, without):
    assert Query.parse(typed) == Query(text, without)


def test_only_leaving_out_is_no_search():
    with pytest.raises(OptionInvalid, match="only says what to leave out"):
        Query.parse("-music")


def test_a_clip_finds_itself_and_those_that_look_and_sound_like_it(searcher):
    (answer,) = searcher.ask([Query(like="clip 06")], top=3)
    assert answer.query == "like the clip clip 06"
    assert answer.hits[0].video == "clip 06"
    assert answer.fitting is None  # how near an example must be is not known
    (deaf,) = searcher.ask([Query(like="clip 08")], top=3)  # it has no sound: pictures alone are compared
    assert deaf.hits[0].video == "clip 08"
    assert deaf.hits[0].senses == {}


def test_mistakes_with_examples(searcher, tmp_path):
    with pytest.raises(DataMissing, match=r"neither the id of a clip .* nor a file"):
        searcher.ask([Query(like="nothing")])
    with pytest.raises(DataMissing, match="no such file"):
        searcher.ask([Query(picture=tmp_path / "none.png")])
    with pytest.raises(OptionInvalid, match="not by several"):
        searcher.ask([Query("a dog", like="clip 06")])


def test_some_rows_alone_are_searched(searcher):
    rows = np.flatnonzero([looks(clip) != "a red car" for clip in range(CLIPS)]).astype(np.int64)
    (answer,) = searcher.ask([Query.parse("a red car")], top=CLIPS, rows=rows)
    assert len(answer.hits) == len(rows)
    assert "a red car" not in {looks(int(hit.video.split()[1])) for hit in answer.hits}


def test_unrelated_sentences_fit_nothing_and_right_ones_fit(searcher, tmp_path):
    found = ask(searcher, [Query.parse("a green house"), *map(Query.parse, UNRELATED)], top=5)
    assert found.threshold.found is None
    assert not found.answers[0].nothing_fits
    assert np.mean([answer.nothing_fits for answer in found.answers[1:]]) >= 0.85
    page = write_page(found, tmp_path / "page.html").read_text()
    assert "Nothing fits: these are the nearest clips." in page
    assert "30 sentences about other things" in page


def test_captions_of_the_training_part_set_the_threshold(tmp_path):
    searcher = Searcher.open(store=write_store(tmp_path / "captioned.zarr", captions=40))
    found = ask(searcher, [*map(Query.parse, LOOKS), *map(Query.parse, UNRELATED)], top=5)
    assert found.threshold.captions == 40
    assert found.threshold.found > 0.9
    assert found.to_dict()["threshold"]["captions"] == 40
    fitting = [not answer.nothing_fits for answer in found.answers]
    assert np.mean(fitting[: len(LOOKS)]) > 0.9
    assert np.mean(fitting[len(LOOKS) :]) == pytest.approx(found.threshold.unrelated)


def test_thresholds_tell_sentences_with_an_answer_from_those_without():
    found = find_threshold(np.array([0.5, 2.0, 0.1, 0.2]), np.array([3.0, 4.0, 5.0, 1.0]))
    assert (found.score, found.unrelated, found.captions, found.found) == (1.0, 0.25, 4, 1.0)
    found = find_threshold(np.arange(10.0))
    assert found.score == pytest.approx(8.1)
    assert (found.unrelated, found.captions, found.found) == (pytest.approx(0.1), 0, None)
