"""Speech in a store: ragged arrays that follow the rows of clips wherever these go."""

import shutil

import numpy as np
import pytest

from gaid.errors import StoreCorrupt
from gaid.specs import Segment
from gaid.stores import convert_store, open_store, verify_store
from gaid.stores.speech import Speech, join
from gaid.stores.speech_writer import drop_piece, write_piece
from tests.stores.toy import fill

SAID = [
    [Segment("a red fox", 0.5, 1.5), Segment("Füchse – schlau", 2.0, 3.0)],
    [],
    [Segment("the end", 0.0, 0.25)],
    [Segment("", 1.0, 1.0)],
]
BY = {"name": "someone", "version": 1}


def speech_of(clips: list[list[Segment]], first: int = 0) -> Speech:
    count = sum(map(len, clips))
    return Speech.of(clips, np.arange(first, first + 3 * count, dtype=np.float32).reshape(count, 3), BY)


def as_lists(speech: Speech) -> list[list[tuple[str, float, float, list[float]]]]:
    """The segments of each clip, read one by one."""
    found = []
    for first, last in zip(speech.offsets[:-1].tolist(), speech.offsets[1:].tolist(), strict=True):
        segments = [(speech.segment(number), speech.embedding[number].tolist()) for number in range(first, last)]
        found.append([(one.text, one.start, one.end, vector) for one, vector in segments])
    return found


def test_segments_are_read_as_they_were_given():
    speech = speech_of(SAID)
    assert [[Segment(*one[:3]) for one in of_clip] for of_clip in as_lists(speech)] == SAID
    assert speech.texts == [one.text for of_clip in SAID for one in of_clip]
    assert speech.clips.tolist() == [0, 0, 2, 3]


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [2], [], [3, 0, 0, 1], [1, 1]])
def test_taken_rows_have_their_own_segments(rows):
    speech = speech_of(SAID)
    every = as_lists(speech)
    assert as_lists(speech.take(np.array(rows, np.int64))) == [every[row] for row in rows]


def test_joined_pieces_follow_one_another():
    pieces = [speech_of(SAID), speech_of([[], []]), speech_of(SAID[::-1], first=50)]
    assert as_lists(join(pieces)) == [of_clip for piece in pieces for of_clip in as_lists(piece)]


@pytest.fixture
def spoken(tmp_path):
    """A store of several shards with speech, and the speech of each of its clips."""
    store = fill(tmp_path / "toy.zarr")
    size, videos = store.layout["shard_rows"], len(store.ids)
    clips = [[Segment(f"{name} says {n}", n, n + 0.5) for n in range(row % 3)] for row, name in enumerate(store.ids)]
    for number in store.shards:
        mine = clips[number * size : (number + 1) * size]
        vectors = np.full((sum(map(len, mine)), store.text_dim), number + 1.0)
        write_piece(store.path, store.fingerprint, number, Speech.of(mine, vectors, BY))
    assert len(store.shards) > 1
    assert len(clips) == videos
    return store.path, clips


def words_of(store) -> list[list[Segment]]:
    speech = store.speech
    ends = zip(speech.offsets[:-1].tolist(), speech.offsets[1:].tolist(), strict=True)
    return [[speech.segment(number) for number in range(*of_clip)] for of_clip in ends]


def test_a_store_has_the_speech_that_was_written_and_its_fingerprint_stays(spoken, tmp_path):
    path, clips = spoken
    store = open_store(path)
    assert words_of(store) == clips
    assert store.attrs["transcriber"] == BY
    assert store["speech/embedding"].shape == (len(store.speech), store.text_dim)
    assert verify_store(path).ok
    without = fill(tmp_path / "without.zarr")
    assert without.fingerprint == store.fingerprint
    assert without.speech is None
    assert not [name for name in without.names() if name.startswith("speech")]
    assert without.content_digest() != store.content_digest()


def test_both_formats_hold_the_same(spoken, tmp_path):
    path, clips = spoken
    for name in ("copy.h5", "again.zarr"):
        copy = convert_store(path, tmp_path / name)
        assert words_of(copy) == clips
        assert copy.content_digest() == open_store(path).content_digest()
        assert verify_store(tmp_path / name).ok
        path = tmp_path / name


def test_a_store_some_of_whose_shards_were_not_heard_has_no_speech_and_reads_as_before(spoken):
    path, _ = spoken
    drop_piece(path, 1)
    store = open_store(path)
    assert store.speech is None
    assert "speech/start" not in store.names()
    assert verify_store(path).ok


def test_speech_by_two_transcribers_is_none(spoken):
    path, _ = spoken
    store = open_store(path)
    mine = store.speech.take(np.arange(store.layout["shard_rows"]))
    other = Speech(**{name.removeprefix("speech/"): values for name, values in mine.arrays.items()},
                   transcriber={"name": "another"})  # fmt: skip
    write_piece(path, store.fingerprint, 0, other)
    assert open_store(path).speech is None


def test_a_shard_that_is_made_anew_loses_its_speech(spoken):
    from gaid.stores import StoreWriter
    from gaid.stores.convert import copy_captions, copy_rows, plan_of

    path, _ = spoken
    shutil.copytree(path, path.with_name("source.zarr"))
    for number in range(len(open_store(path).shards)):
        drop_piece(path.with_name("source.zarr"), number)
    source = open_store(path.with_name("source.zarr"))
    with StoreWriter.open(path, plan_of(source)) as writer:
        assert not writer.pending_shards
        writer.reopen([0])
        copy_rows(source, writer, np.arange(len(source.ids)))
        if not writer.captions_done:
            copy_captions(source, writer, np.arange(source.layout["captions"]))
    assert open_store(path).speech is None


@pytest.mark.parametrize("array", ["offsets", "text_bytes", "embedding"])
def test_damage_to_speech_is_found(spoken, array):
    path, _ = spoken
    (file,) = [one for one in (path / "speech" / "00000" / array / "c").rglob("*") if one.is_file()]
    raw = bytearray(file.read_bytes())
    raw[0] ^= 1
    file.write_bytes(raw)
    report = verify_store(path)
    assert [problem for problem in report.problems if f"speech/00000/{array}" in problem]
    if array != "embedding":  # the bytes of vectors are compared by verify alone, as those of features
        with pytest.raises(StoreCorrupt, match="its bytes are not those that were written"):
            _ = open_store(path).speech
    file.unlink()
    with pytest.raises(StoreCorrupt, match="is missing"):
        open_store(path)
