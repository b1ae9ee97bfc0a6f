"""Filters of a search: which clips may be found, by their folder, their length and the date of their file."""

import os
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest

from gaid.backbones import load_text
from gaid.errors import DataMissing, OptionInvalid
from gaid.report import write_page
from gaid.retrieval.filters import NO_FILTERS, ClipFacts, Filters
from gaid.retrieval.queries import Query
from gaid.retrieval.search import ask, search
from gaid.retrieval.searcher import Searcher
from gaid.source_files import Source
from gaid.stores import StorePlan, StoreWriter, open_store

DIM, FRAMES = 256, 2
# (clip, seconds, day on which its file was changed as the store keeps it, or None)
CLIPS = [
    ("holidays/2023/beach", 4.0, date(2023, 7, 1)),
    ("holidays/2023/hotel", 12.0, date(2023, 7, 2)),
    ("holidays/2024/lake", 30.0, date(2024, 8, 9)),
    ("Work/talk", 600.0, date(2024, 5, 31)),
    ("work/notes/talk", 60.0, None),
    ("alone", 8.0, date(2020, 1, 1)),
]
IDS = [clip for clip, _, _ in CLIPS]


def at(day, hour=12):
    """Seconds since 1970 at an hour of a day here."""
    return datetime(day.year, day.month, day.day, hour).astimezone().timestamp()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    text = load_text("tiny")
    place = tmp_path_factory.mktemp("filters") / "s.zarr"
    plan = StorePlan(
        video_ids=IDS, caption_ids=[], caption_texts=[], caption_video=[], token_offsets=[0], splits={},
        default_protocol="main", frames=FRAMES, visual_dim=DIM, audio_dim=DIM, text_dim=DIM,
        attrs={
            "dataset": {"name": "folder", "root": str(place.parent)},
            "backbones": {"visual": {"name": "tiny"}, "audio": {"name": "tiny"}, "text": text.provenance},
        },
        shard_rows=len(IDS), chunk_rows=len(IDS),
    )  # fmt: skip
    rng, count = np.random.default_rng(0), len(IDS)
    with StoreWriter.open(place, plan) as writer:
        arrays = {
            "visual": rng.normal(size=(count, FRAMES, DIM)).astype(np.float16),
            "audio": np.zeros((count, FRAMES, DIM), np.float16), "audio_mask": np.zeros((count, FRAMES), bool),
            "audio_state": np.full(count, 2, np.uint8), "valid": np.ones(count, bool),
            "time": np.tile(np.arange(FRAMES, dtype=np.float32), (count, 1)),
            "duration": np.array([seconds for _, seconds, _ in CLIPS], np.float32),
        }  # fmt: skip
        sources = [[day and Source(1, int(at(day) * 1e9), "sha256:0")] for _, _, day in CLIPS]
        writer.write_shard(0, arrays, sources=sources)
        writer.write_captions(np.zeros((0, DIM), np.float16), np.zeros((0, DIM), np.float16))
        writer.finish()
    return open_store(place)


def passing(store, **given):
    """The clips that pass."""
    rows, _ = ClipFacts(store, np.arange(len(IDS)), None).choose(Filters.parse(**given))
    return [IDS[row] for row in rows]


def test_a_folder_is_a_part_of_the_path_at_any_depth(store):
    assert passing(store, within="holidays") == IDS[:3]
    assert passing(store, within="2023/") == IDS[:2]
    assert passing(store, within="holidays/2024") == IDS[2:3]
    assert passing(store, within="WORK") == IDS[3:5]
    assert passing(store, within=store.path.parent / "holidays") == IDS[:3]
    assert passing(store, within=store.path.parent) == IDS
    for wanted in ("holi", "2023/holidays", "beach", "holidays/2023/beach"):
        with pytest.raises(DataMissing, match=r"no clip of .* lies in such a folder; there are Work, holidays/2023"):
            passing(store, within=wanted)
    with pytest.raises(OptionInvalid, match="is not below"):
        passing(store, within="/nowhere")


def test_lengths_are_inclusive(store):
    assert passing(store, longer=12, shorter=60) == ["holidays/2023/hotel", "holidays/2024/lake", "work/notes/talk"]
    assert passing(store, shorter="4.5") == ["holidays/2023/beach"]
    assert passing(store, longer=601) == []


def test_days_are_inclusive_and_a_time_is_the_minute(store):
    assert passing(store, since="2024-05-31", until="2024-05-31") == ["Work/talk"]
    assert passing(store, since="2024-05-31T13:00") == ["holidays/2024/lake"]
    assert passing(store, until=date(2023, 7, 1)) == ["holidays/2023/beach", "alone"]
    assert passing(store, until=datetime(2023, 7, 1, 11)) == ["alone"]


def test_a_date_that_the_store_does_not_keep_is_the_files_or_is_said_to_be_unknown(store, tmp_path):
    rows, notes = ClipFacts(store, np.arange(len(IDS)), tmp_path).choose(Filters.parse(since="2000-01-01"))
    assert IDS.index("work/notes/talk") not in rows
    assert len(notes) == 1
    assert notes[0].startswith("1 clip is left out by date")
    file = tmp_path / "work" / "notes" / "talk.mp4"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"any")
    os.utime(file, (at(date(2022, 2, 2)),) * 2)
    rows, notes = ClipFacts(store, np.arange(len(IDS)), tmp_path).choose(
        Filters.parse(since="2022-02-02", until="2022-02-02")
    )
    assert ([IDS[row] for row in rows], notes) == (["work/notes/talk"], [])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"longer": "long"}, "--longer long: seconds are a number"),
        ({"shorter": -1}, "--shorter -1.0: seconds are a number"),
        ({"longer": float("nan")}, "--longer nan"),
        ({"longer": 5, "shorter": 2}, "exclude every clip; swap the two"),
        ({"since": "yesterday"}, "a date is written 2024-05-31"),
        ({"since": "2024-06-01", "until": "2024-05-31"}, "exclude every clip"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(given, words):
    with pytest.raises(OptionInvalid, match=words):
        Filters.parse(**given)


def test_a_search_finds_among_the_clips_that_pass_alone(store):
    found = search("a lake", store=store, preset="mean-pool", within="holidays", longer=10)
    assert {hit.video for hit in found.answers[0].hits} == {"holidays/2023/hotel", "holidays/2024/lake"}
    assert found.clips == 2
    assert found.to_dict()["filters"] == {"within": "holidays", "longer": 10.0}
    whole = {hit.video: hit.score for hit in search("a lake", store=store, preset="mean-pool").answers[0].hits}
    assert all(hit.score == pytest.approx(whole[hit.video], abs=1e-6) for hit in found.answers[0].hits)


def test_where_no_clip_passes_nothing_is_found_and_a_page_says_so(store, tmp_path):
    searcher = Searcher.open(store=store, preset="mean-pool")
    found = ask(searcher, [Query.parse("a lake"), Query(like="alone")], filters=Filters.parse(longer=601))
    assert [answer.hits for answer in found.answers] == [[], []]
    assert found.clips == 0
    page = write_page(found, tmp_path / "page.html").read_text()
    assert page.count("No clip passes the filters.") == 2
    assert "pass --longer 601.0" in page


def test_a_line_of_a_prompt_may_name_filters():
    sentence, filters = NO_FILTERS.read('a dog --within "my films" -cats --longer=2')
    assert sentence.split() == ["a", "dog", "-cats"]
    assert filters == Filters(within="my films", longer=2.0)
    assert filters.read("a cat --longer 3") == ("a cat", Filters(within="my films", longer=3.0))
    assert filters.read("a cat --fast") == ("a cat --fast", filters)


def test_the_folders_of_a_library_are_listed(store):
    facts = ClipFacts(store, np.arange(len(IDS)), None)
    assert facts.folders == ["", "Work", "holidays/2023", "holidays/2024", "work/notes"]
    assert Path(facts.folders[2]).name == "2023"
