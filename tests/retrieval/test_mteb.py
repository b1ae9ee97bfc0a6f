"""A head as MTEB runs it: the same scores and figures as in gaid's own evaluation, on a task made of files here."""

from pathlib import Path

import numpy as np
import pytest
import torch

import gaid
from gaid.datasets import Caption, Dataset, Video
from gaid.errors import OptionInvalid
from gaid.evaluation.bench import open_bench
from gaid.publishing import publish
from gaid.stores import open_store
from tests import media_maker

datasets = pytest.importorskip("datasets", reason="the extra `mteb` is not installed")
mteb = pytest.importorskip("mteb", reason="the extra `mteb` is not installed")

PARTS = {"train": range(4), "val": range(4, 6), "test": range(6, 12)}
TINY = {"visual": "tiny", "audio": "tiny", "text": "tiny"}
METADATA = {
    "description": "Clips made by a test.", "dataset": {"path": "none", "revision": "0"}, "type": "Any2AnyRetrieval",
    "eval_langs": ["eng-Latn"], "eval_splits": ["test"], "main_score": "ndcg_at_10", "reference": None, "date": None,
    "domains": None, "task_subtypes": None, "license": None, "annotations_creators": None, "dialect": None,
    "sample_creation": None, "bibtex_citation": "", "prompt": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Twelve clips of half a second, each with a sentence, most with a sound beside."""
    root = tmp_path_factory.mktemp("clips")
    videos, captions = [], []
    for number in range(12):
        video = media_maker.write_video(root / f"{number}.mp4", frames=12, seed=number)
        sound = root / f"{number}.wav"
        if number % 5:
            media_maker.write_sound(sound, media_maker.tone(0.48, 16000, 200.0 + 90 * number), 16000)
        videos.append(Video(f"clip {number}", video, audio_path=sound if number % 5 else None))
        captions.append(Caption(f"c{number}", f"clip {number}", f"a red circle and tone number {number}"))
    return Dataset(
        "here", root, tuple(videos), tuple(captions), {"main": {p: tuple(r) for p, r in PARTS.items()}}, "main"
    )


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    gaid.extract(clips, out=folder / "store.zarr", frames=4, **TINY, progress=False)
    return gaid.train(
        folder / "store.zarr", "gaid", out=folder / "run", set=["epochs=1", "head.dim=8", "threads=1"], progress=False
    )


def columns(clips, *names):
    """The test part's clips or sentences, as MTEB's tasks hand them over."""
    rows = PARTS["test"]
    places = {
        "video": [clips.videos[row].path for row in rows],
        "audio": [clips.videos[row].audio_path for row in rows],
    }
    found = {"id": [str(row) for row in rows], "text": [clips.captions[row].text for row in rows]} | {
        name: [{"path": str(one), "bytes": None} if one else None for one in files] for name, files in places.items()
    }
    made = datasets.Dataset.from_dict({name: found[name] for name in ("id", *names)})
    for name in places.keys() & set(names):
        made = made.cast_column(name, {"video": datasets.Video(), "audio": datasets.Audio()}[name])
    return made


def task_of(clips, name, queries, corpus):
    """An MTEB task on the test part."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata

    short = {"text": "t", "video": "v", "audio": "a"}
    category = "2".join("".join(short[one] for one in sorted(side, reverse=True)) for side in (queries, corpus))

    class Here(AbsTaskRetrieval):
        metadata = TaskMetadata(name=name, category=category, modalities=[*queries, *corpus], **METADATA)

        def load_data(self, num_proc=None, **_):
            ids = [str(row) for row in PARTS["test"]]
            self.dataset = {"default": {"test": RetrievalSplitData(
                queries=columns(clips, *queries), corpus=columns(clips, *corpus),
                relevant_docs={one: {one: 1} for one in ids}, top_ranked=None,
            )}}  # fmt: skip
            self.data_loaded = True

    return Here()


def judged(model, task):
    """MTEB's figures."""
    (result,) = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False).task_results
    return result.scores["test"][0]


@pytest.fixture(scope="module")
def model(run):
    from gaid.retrieval.mteb import MTEBHead

    return MTEBHead(run)


def test_it_is_what_mteb_calls_a_search_model(model):
    from mteb.models import EncoderProtocol, SearchProtocol

    assert isinstance(model, SearchProtocol)
    assert not isinstance(model, EncoderProtocol)  # there is no vector per clip: exact scores by the head
    meta = model.mteb_model_meta
    assert (meta.name, meta.modalities) == ("gaid/run", ["text", "video", "audio"])


@pytest.mark.slow
def test_figures_of_texts_that_ask_videos_with_sound_are_gaids_own(model, run, clips):
    own = gaid.evaluate(run).figures["t2v"]
    found = judged(model, task_of(clips, "HereT2VA", ["text"], ["video", "audio"]))
    assert [found[f"recall_at_{k}"] for k in (1, 5, 10)] == rounded(own)
    assert found["mrr_at_1000"] == pytest.approx(mean_reciprocal_rank(run, "t2v"), abs=1e-5)


@pytest.mark.slow
def test_figures_of_videos_with_sound_that_ask_texts_are_gaids_own(model, run, clips):
    own = gaid.evaluate(run).figures["v2t"]
    found = judged(model, task_of(clips, "HereVA2T", ["video", "audio"], ["text"]))
    assert [found[f"recall_at_{k}"] for k in (1, 5, 10)] == rounded(own)
    assert found["mrr_at_1000"] == pytest.approx(mean_reciprocal_rank(run, "v2t"), abs=1e-5)


def rounded(figures):
    """R@1, R@5 and R@10 as fractions; MTEB keeps five decimals."""
    return pytest.approx([figures.values[f"R@{k}"] / 100 for k in (1, 5, 10)], abs=1e-5)


def mean_reciprocal_rank(run, direction) -> float:
    return float(np.mean(1 / gaid.evaluate(run).ranks[direction]))


class Metadata:
    name = "Here"


ASKED = {"task_metadata": Metadata, "hf_split": "test", "hf_subset": "default"}


def ask(model, queries, corpus, top_k=100, **more):
    model.index(corpus, **ASKED)
    return model.search(queries, top_k=top_k, **ASKED, **more)


def as_matrix(found, rows=PARTS["test"]):
    return np.array([[found[str(query)][str(document)] for document in rows] for query in rows], np.float32)


def test_scores_are_the_heads_to_the_bit_and_sound_is_heard_only_where_the_task_gives_it(model, run, clips):
    bench = open_bench(run)
    text, heard, seen = columns(clips, "text"), columns(clips, "video", "audio"), columns(clips, "video")
    assert np.array_equal(as_matrix(ask(model, text, heard)), bench.scores(0))
    split = open_store(run.store_path).split("test")
    silent = torch.zeros(split.audio_mask.shape, dtype=torch.bool)
    parts = (torch.from_numpy(one) for one in (split.text, split.visual, split.audio))
    without = run.head.score(*parts, silent).detach().numpy()
    assert np.array_equal(as_matrix(ask(model, seen, text)), without.T)
    assert not np.array_equal(without, bench.scores(0))


@pytest.mark.slow
def test_a_published_head_needs_no_store_and_gives_the_same(model, run, clips, tmp_path):
    from gaid.retrieval.mteb import MTEBHead

    published = MTEBHead(publish(run, tmp_path / "head").model.path, name="someone/head")
    text, heard = columns(clips, "text"), columns(clips, "video", "audio")
    assert ask(published, text, heard) == ask(model, text, heard)
    assert published.mteb_model_meta.name == "someone/head"
    assert len(published.mteb_model_meta.revision) == 16


def test_only_the_best_are_given_and_only_those_that_a_task_names(model, clips):
    text, heard = columns(clips, "text"), columns(clips, "video", "audio")
    every, best = ask(model, text, heard), ask(model, text, heard, top_k=3)
    assert best == {query: dict(list(scores.items())[:3]) for query, scores in every.items()}
    assert all(list(scores.values()) == sorted(scores.values(), reverse=True) for scores in every.values())
    named = {str(row): ["8", "11", "elsewhere"] for row in PARTS["test"]}
    for query, scores in ask(model, text, heard, top_ranked=named).items():
        assert scores == {one: every[query][one] for one in scores}
        assert set(scores) == {"8", "11"}


def test_files_may_lie_within_the_data_set_and_a_broken_one_is_in_no_list(model, run, clips, tmp_path):
    rows = columns(clips, "video").cast_column("video", datasets.Video(decode=False)).to_list()
    for row in rows:
        place = Path(row["video"]["path"])
        row["video"] = {"bytes": place.read_bytes() if row["id"] != "9" else b"not a video", "path": place.name}
    within = datasets.Dataset.from_list(rows).cast_column("video", datasets.Video())
    text = columns(clips, "text")
    expected = {query: {one: score for one, score in scores.items() if one != "9"}
                for query, scores in ask(model, text, columns(clips, "video")).items()}  # fmt: skip
    from gaid.retrieval.mteb import MTEBHead

    again = MTEBHead(run, work=tmp_path / "work")
    assert ask(again, text, within) == expected
    assert ask(again, within, text)["9"] == {}  # as a query it counts as a miss


def test_tasks_that_are_not_between_text_and_video_are_refused(model, clips):
    with pytest.raises(
        OptionInvalid, match="Here: its queries have video and its documents audio; a head compares texts with"
    ):
        ask(model, columns(clips, "video"), columns(clips, "audio"))
    with pytest.raises(OptionInvalid, match="its queries have text and video"):
        ask(model, columns(clips, "text", "video"), columns(clips, "video"))
    decoded = columns(clips, "text").add_column("video", [[0.0]] * len(PARTS["test"]))
    with pytest.raises(OptionInvalid, match=r"'video' is .*, not datasets.Video"):
        ask(model, columns(clips, "text"), decoded.remove_columns("text"))
