"""Search of what is said: by words and by meaning, with the words and their moment, beside what is seen and heard."""

import math
from collections import Counter

import numpy as np
import pytest

from gaid.backbones import load_text
from gaid.errors import OptionInvalid
from gaid.report import write_page
from gaid.retrieval.lens import best_clips
from gaid.retrieval.queries import Query
from gaid.retrieval.search import ask, search
from gaid.retrieval.searcher import Searcher
from gaid.retrieval.speech import LIFT, NARROW, WORDS, SpokenLibrary
from gaid.retrieval.threshold import UNRELATED
from gaid.retrieval.words import LENGTH, SATURATION, Words
from gaid.specs import Segment
from gaid.stores import open_store, reader
from gaid.stores.speech import Speech
from gaid.stores.speech_writer import write_piece
from tests.retrieval.test_searcher import CLIPS, looks, write_store

SAID = {
    7: [Segment("Good morning, everybody.", 0.0, 0.8), Segment("The parliament votes about fisheries.", 1.5, 2.5)],
    20: [Segment("We bake bread with rye flour.", 0.25, 1.75)],
    33: [Segment("Bread is cheap", 1.0, 2.0), Segment("and the parliament is closed today.", 2.0, 3.0)],
    40: [Segment("An old lighthouse keeper tells stories", 3.0, 3.5)],
}


def add_speech(path, said):
    """Gives the clips of a store what they say, by their rows."""
    store = open_store(path)
    clips = [said.get(row, []) for row in range(CLIPS)]
    texts = [segment.text for of_clip in clips for segment in of_clip]
    vectors = load_text("tiny").encode_text(texts).embedding
    write_piece(path, store.fingerprint, 0, Speech.of(clips, vectors, {"name": "tiny"}))
    return open_store(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("speaking") / "s.zarr"
    write_store(path)
    return add_speech(path, SAID)


@pytest.fixture(scope="module")
def library(store):
    with pytest.MonkeyPatch.context() as patch:  # tiny's senses count as sharing a space, as they do here
        patch.setattr(reader, "_SPACELESS", "none of them")
        searcher = Searcher.open(store=store)
        searcher.ask([Query("anything")], threshold=True)
        yield searcher


def first(library, text, **options):
    (answer,) = library.ask([Query.parse(text)], **options)
    return answer.hits[0]


def test_a_clip_is_found_by_what_is_said_in_it_and_when(library):
    for text, row, segment in (("votes in parliament", 7, 1), ("rye bread", 20, 0), ("lighthouse stories", 40, 0)):
        hit = first(library, text, sense="speech")
        said = SAID[row][segment]
        assert (hit.video, hit.words, hit.moment) == (f"clip {row:02d}", said.text, (said.start, said.end))
        assert hit.carried == "speech"


def test_by_speech_only_clips_are_found_that_say_something(library):
    (answer,) = library.ask([Query("bread")], top=CLIPS, sense="speech")
    assert {hit.video for hit in answer.hits} == {f"clip {row:02d}" for row in SAID}
    assert [hit.video for hit in answer.hits[:2]] == ["clip 33", "clip 20"]  # the shorter segment says more of it
    some = np.array([20, 21])
    (answer,) = library.ask([Query("bread")], sense="speech", rows=some)
    assert [hit.video for hit in answer.hits] == ["clip 20"]


def test_beside_what_is_seen_speech_finds_a_clip_and_says_so(library):
    hit = first(library, "fisheries and parliament votes")
    assert (hit.video, hit.carried, hit.words, hit.moment) == ("clip 07", "speech", SAID[7][1].text, (1.5, 2.5))
    assert set(hit.senses) == {"picture", "sound", "speech"}
    assert hit.score == pytest.approx(sum(hit.senses.values()), abs=1e-5)
    assert hit.to_dict()["words"] == SAID[7][1].text


def test_what_is_seen_is_found_as_without_speech(library, tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_SPACELESS", "none of them")
    deaf = Searcher.open(store=write_store(tmp_path / "deaf.zarr"))
    queries = [Query(looks(clip)) for clip in range(20)]
    with_speech, without = (one.ask(queries, top=8) for one in (library, deaf))
    for mine, other in zip(with_speech, without, strict=True):
        assert [(hit.video, hit.carried, hit.words, hit.moment) for hit in mine.hits] == [
            (hit.video, hit.carried, None, hit.moment) for hit in other.hits
        ]


def test_the_best_clips_are_those_of_the_sum_of_both(library, store):
    """All clips scored one by one: the head's score, and for what is said its distance above chance, in the head's spreads."""
    text = "a red car, bread and the parliament"
    vectors = load_text("tiny").encode_text([text, *UNRELATED]).embedding.astype(np.float16).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    segments = store.speech.embedding.astype(np.float32)
    segments /= np.linalg.norm(segments, axis=1, keepdims=True)
    scores = segments @ vectors[0] + WORDS * Words(store.speech.texts).find(text)
    of_clip = {row: scores[store.speech.offsets[row] : store.speech.offsets[row + 1]].max() for row in SAID}
    chance = np.array([*of_clip.values(), *(vectors[1:] @ vectors[0])])
    low, middle, high = np.quantile(chance, [0.25, 0.5, 0.75])
    spread = max((high - low) / 1.349, NARROW)
    level = middle + spread * math.sqrt(2 * math.log(len(chance)))
    lens = library._lens(library._encoded([text]), "all")
    names, heads = best_clips(lens, store, CLIPS)
    sample = lens.scores(library._sample(lens, 512))[0]
    expected = dict(zip(names[0].tolist(), heads[0].tolist(), strict=True))
    for row, score in of_clip.items():
        expected[row] += sample.std() * LIFT * max(score - level, 0) / (1 + WORDS - level)
    ranked = sorted(expected, key=lambda row: -expected[row])[:10]
    (answer,) = library.ask([Query(text)], top=10)
    assert [hit.video for hit in answer.hits] == [f"clip {row:02d}" for row in ranked]
    np.testing.assert_allclose([hit.score for hit in answer.hits], [expected[row] for row in ranked], atol=1e-4)
    assert any("speech" in hit.senses for hit in answer.hits)


@pytest.mark.parametrize("sense", ["all", "speech"])
def test_what_is_left_out_is_not_said(library, sense):
    assert first(library, "parliament bread", sense=sense).video == "clip 33"
    (answer,) = library.ask([Query.parse("parliament -bread")], sense=sense, top=CLIPS)
    names = [hit.video for hit in answer.hits]
    assert names.index("clip 07") < names.index("clip 33")


def test_speech_that_only_leaves_out_lowers_a_clip_that_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_SPACELESS", "none of them")
    path = tmp_path / "s.zarr"
    write_store(path)
    plain = Searcher.open(store=open_store(path))
    (before,) = plain.ask([Query(looks(0))], top=3)
    row = int(before.hits[0].video.split()[1])
    talking = Searcher.open(store=add_speech(path, {row: [Segment("vote for parliament", 0, 1)]}))
    (after,) = talking.ask([Query.parse(f"{looks(0)} -parliament")], top=CLIPS)
    (between,) = plain.ask([Query.parse(f"{looks(0)} -parliament")], top=CLIPS)
    scores = [{hit.video: hit.score for hit in answer.hits} for answer in (after, between)]
    assert scores[0][before.hits[0].video] < scores[1][before.hits[0].video] - 1e-3
    assert len(after.hits) == CLIPS


def test_nothing_fits_what_nobody_says(library):
    results = ask(library, [Query("parliament votes about fisheries"), Query("zebras on the moon")], sense="speech")
    assert [answer.nothing_fits for answer in results.answers] == [False, True]
    assert results.threshold is not None
    said = ask(library, [Query("the lighthouse keeper tells old stories")]).answers[0]
    assert said.hits[0].carried == "speech"
    assert said.fitting


def test_a_store_without_speech_and_an_example_are_refused(library, tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_SPACELESS", "none of them")
    with pytest.raises(OptionInvalid, match="has no speech; gaid extract --speech"):
        search("a word", store=write_store(tmp_path / "deaf.zarr"), sense="speech")
    with pytest.raises(OptionInvalid, match="an example is compared by its picture and sound"):
        library.ask([Query(like="clip 03")], sense="speech")


def test_a_page_has_the_words(library, tmp_path):
    found = ask(library, [Query("votes in parliament")], top=2)
    page = write_page(found, tmp_path / "page.html").read_text()
    assert "“The parliament votes about fisheries.”" in page
    assert "found by its speech" in page


def test_a_strip_of_a_search_by_speech_is_that_of_all_senses(library):
    spoken, every = (library.strip(Query("votes in parliament"), 7, sense) for sense in ("speech", "all"))
    np.testing.assert_array_equal(spoken.scores, every.scores)


# Words

TEXTS = ["The dogs bark at the dog.", "a dog", "", "Cats and dogs and birds sing, sing, sing", "birds"]


def test_words_are_scored_by_bm25_divided_by_its_bound():
    stems = [["dog", "bark", "dog"], ["dog"], [], ["cat", "dog", "bird", "sing", "sing", "sing"], ["bird"]]
    mean = sum(map(len, stems)) / len(stems)

    def rarity(stem):
        found = sum(stem in text for text in stems)
        return math.log(1 + (len(stems) - found + 0.5) / (found + 0.5))

    def score(text, query):
        counts = Counter(text)
        total = 0.0
        for stem in query:
            usual = SATURATION * (1 - LENGTH + LENGTH * len(text) / mean)
            total += rarity(stem) * counts[stem] / (counts[stem] + usual)
        return total / sum(map(rarity, query))

    table = Words(TEXTS)
    for query, asked in (
        ("barking dogs", ["bark", "dog"]),
        ("sing", ["sing"]),
        ("the dog's elephant", ["dog", "elephant"]),
    ):
        np.testing.assert_allclose(table.find(query), [score(text, asked) for text in stems], rtol=1e-5)
    assert not table.find("and the of").any()
    assert Words([]).find("dog").shape == (0,)


def test_a_segment_is_found_by_its_meaning_where_no_word_is_the_same():
    clips = [[Segment("alpha", 0, 1), Segment("beta", 1, 2)], [], [Segment("gamma", 0, 1)]]
    vectors = np.eye(4)[[0, 1, 2]]
    library = SpokenLibrary(Speech.of(clips, vectors, {}))
    spoken = library.ask(["delta"], np.array([[0.1, 0.9, 0.2, 0]]), np.eye(4)[[3]])
    assert spoken.scores.argmax() == 0
    assert spoken.said(0, 0).words == "beta"
    assert library.rows.tolist() == [0, 2]
