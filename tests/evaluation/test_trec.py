"""Our figures held against trec_eval's (pytrec-eval-terrier), and the files that carry our rankings to others."""

import json
import re

import numpy as np
import pytest

from gaid import evaluate, metrics
from gaid.errors import DependencyMissing, OptionInvalid
from gaid.evaluation import mteb
from gaid.evaluation import trec as ranking
from gaid.stores import Split

pytrec_eval = pytest.importorskip("pytrec_eval", reason="the extra `ranking` is not installed")

MEMORY = 2**14  # a few queries a block


def make_split(owner, texts=None, dataset="x"):
    owner = np.asarray(owner)
    videos, captions = int(owner.max()) + 1, len(owner)
    features = np.zeros((videos, 2, 3), np.float16)
    return Split(
        part="test",
        protocol="all",
        video_ids=[f"{dataset} clip {row}" for row in range(videos)],
        visual=features,
        audio=features,
        audio_mask=np.ones((videos, 2), bool),
        audio_state=np.zeros(videos, np.uint8),
        time=np.zeros((videos, 2), np.float32),
        duration=np.ones(videos, np.float32),
        caption_ids=[f"caption {row}" for row in range(captions)],
        caption_texts=[f"sentence {row}" for row in range(captions)] if texts is None else texts,
        text=np.zeros((captions, 3), np.float16),
        caption_video=owner.astype(np.int64),
        store_fingerprint="none",
        gallery_hash="0" * 64,
    )


def uneven_owner(videos, rng):
    return rng.permutation(np.repeat(np.arange(videos), rng.integers(1, 5, videos)))


def judged(run_file, qrels_file):
    """trec_eval's means of the two files."""
    run, qrels = {}, {}
    for line in run_file.read_text().splitlines():
        query, _, document, _, score, _ = line.split()
        run.setdefault(query, {})[document] = float(score)
    for line in qrels_file.read_text().splitlines():
        query, _, document, relevance = line.split()
        qrels.setdefault(query, {})[document] = int(relevance)
    found = pytrec_eval.RelevanceEvaluator(qrels, {"success.1,5,10", "recip_rank"}).evaluate(run)
    assert found.keys() == qrels.keys()
    return {name: np.mean([one[name] for one in found.values()]) for name in next(iter(found.values()))}


@pytest.mark.parametrize("step", [None, 0.5, 10.0], ids=["no ties", "many ties", "all tied"])
@pytest.mark.parametrize("direction", ["t2v", "v2t"])
def test_recalls_and_reciprocal_ranks_are_those_of_trec_eval(tmp_path, direction, step):
    rng = np.random.default_rng(3)
    split = make_split(uneven_owner(40, rng))
    owner = split.caption_video
    scores = rng.normal(size=(len(owner), 40)).astype(np.float32)
    scores[np.arange(len(owner)), owner] += 1.5
    if step:
        scores = (np.round(scores / step) * step).astype(np.float32)
    lists = ranking.text_to_video(scores, split) if direction == "t2v" else ranking.video_to_text(scores, split, MEMORY)
    ranking.write_trec(tmp_path / "ours.trec", lists, tag="a head", memory=MEMORY)
    theirs = judged(tmp_path / "ours.trec", tmp_path / "ours.qrels")
    ranks = metrics.ranks(scores, owner, direction)
    ours = metrics.metrics_of_ranks(ranks)
    for k in (1, 5, 10):
        assert ours[f"R@{k}"] == pytest.approx(100 * theirs[f"success_{k}"], abs=1e-9)
    assert np.mean(1 / ranks) == pytest.approx(theirs["recip_rank"], abs=1e-9)
    if step != 10.0:
        assert 5 < ours["R@1"] < 95  # the comparison had something to find


@pytest.mark.parametrize("step", [None, 0.5], ids=["no ties", "many ties"])
def test_captions_as_documents_are_ranked_by_the_captions_of_other_videos(step):
    rng = np.random.default_rng(4)
    split = make_split(uneven_owner(30, rng))
    scores = rng.normal(size=(len(split.caption_ids), 30)).astype(np.float32)
    if step:
        scores = (np.round(scores / step) * step).astype(np.float32)
    told = mteb.judge(ranking.by_caption(scores, split), memory=2**20)
    own = [scores[split.caption_video == video, video].max() for video in range(30)]
    others = [scores[split.caption_video != video, video] for video in range(30)]
    ranks = np.array([1 + (found >= best).sum() for best, found in zip(own, others, strict=True)])
    for k in (1, 3, 5, 10):
        assert told[f"hit_rate_at_{k}"] == pytest.approx(np.mean(ranks <= k), abs=1e-5)
    assert told["mrr_at_1000"] == pytest.approx(np.mean(1 / ranks), abs=1e-5)


def test_ndcg_with_one_right_answer_is_the_discount_of_its_rank():
    rng = np.random.default_rng(5)
    split = make_split(np.arange(50))
    scores = rng.normal(size=(50, 50)).astype(np.float32)
    told = mteb.judge(ranking.text_to_video(scores, split), memory=2**20)
    ranks = metrics.ranks(scores, split.caption_video)
    assert told["ndcg_at_10"] == pytest.approx(np.mean((ranks <= 10) / np.log2(1 + ranks)), abs=1e-5)
    assert told["recall_at_1"] == told["accuracy"] == pytest.approx(np.mean(ranks == 1), abs=1e-5)


def test_a_list_is_cut_at_its_depth_and_keeps_its_best():
    split = make_split(np.arange(30))
    scores = np.random.default_rng(6).normal(size=(30, 30)).astype(np.float32)
    for rows, best, falling, right in ranking.text_to_video(scores, split).blocks(MEMORY, depth=7):
        assert best.shape[1] == falling.shape[1] == 7
        assert (best == np.argsort(-scores[rows], axis=1)[:, :7]).all()
        assert (np.diff(falling) < 0).all()
        assert right == [[row] for row in range(rows.start, rows.stop)]


def test_equal_scores_are_written_a_float_apart():
    falling = ranking.part_ties(np.array([[2, 2, 2, 1.5, 1.5, 0, 0]], np.float32))
    assert (np.diff(falling) < 0).all()
    assert np.abs(falling - [[2, 2, 2, 1.5, 1.5, 0, 0]]).max() < 1e-6


def test_white_space_in_a_name_is_escaped_and_two_names_stay_two():
    rng = np.random.default_rng(7)
    split = make_split(np.arange(4))
    split.video_ids[:] = ["a b", "a%20b", "日本\n", "\udce9"]
    lists = ranking.text_to_video(rng.normal(size=(4, 4)).astype(np.float32), split)
    assert lists.documents[:2] == ["a%20b", "a%2520b"]
    assert len(set(lists.documents)) == 4
    assert not any(re.search(r"\s", name) for name in lists.documents)


def test_evaluate_writes_a_run_whose_success_is_the_figure_that_it_prints(make_store, heads, tmp_path):
    store = make_store(videos=40, captions=2, signal=0.4)
    results = evaluate(store=store, preset=f"{heads}:Mean", save_ranks=tmp_path / "ranks.trec")
    for direction, name in (("t2v", "ranks"), ("v2t", "ranks.v2t")):
        theirs = judged(tmp_path / f"{name}.trec", tmp_path / f"{name}.qrels")
        for k in (1, 5, 10):
            assert results.figures[direction].values[f"R@{k}"] == pytest.approx(100 * theirs[f"success_{k}"], abs=1e-9)
    assert 0 < results.figures["t2v"].values["R@1"] < 100


def test_evaluate_writes_results_in_mtebs_structure_under_a_name_of_its_own(make_store, heads, tmp_path):
    store = make_store(videos=40, captions=2, signal=0.4)
    results = evaluate(store=store, preset=f"{heads}:Mean", save_ranks=tmp_path / "result.mteb.json")
    told = json.loads((tmp_path / "result.mteb.json").read_text())
    # What TaskResult demands (mteb/results/task_result.py): these fields, and these keys in every entry of scores.
    assert {"dataset_revision", "task_name", "mteb_version", "scores", "evaluation_time"} <= told.keys()
    (entry,) = told["scores"]["test"]
    assert {"main_score", "hf_subset", "languages"} <= entry.keys()
    assert entry["main_score"] == entry["ndcg_at_10"]
    assert 100 * entry["recall_at_5"] == pytest.approx(results.figures["t2v"].values["R@5"], abs=1e-3)
    assert told["task_name"] == "gaid-noise-main-test-T2VA"
    assert told["gaid"]["pool_differs"] == "MTEB has no task on it"
    assert any("is not a task of MTEB's" in note for note in results.notes)
    assert json.loads((tmp_path / "result.v2t.mteb.json").read_text())["task_name"] == "gaid-noise-main-test-VA2T"


def test_a_task_of_mtebs_is_named_only_where_the_captions_are_as_many_and_as_long():
    lengths = [16, 163] + [50] * 730 + [49] * 147
    assert (len(lengths), sum(lengths)) == (879, 43882)
    texts = [f"{row:04d}".ljust(length, ".") for row, length in enumerate(lengths)]
    split = make_split(np.arange(879), texts)
    assert mteb.name_task(split, "msrvtt", "t2v", uses_audio=True)[::2] == ("MSRVTTT2VA", None)
    assert mteb.name_task(split, "msrvtt", "v2t", uses_audio=False)[::2] == ("MSRVTTV2T", None)
    split.caption_texts[3] += "."
    task, revision, reason = mteb.name_task(split, "msrvtt", "t2v", uses_audio=True)
    assert (task, revision) == ("gaid-msrvtt-all-test-T2VA", f"gallery-{'0' * 64}")
    assert "lengths" in reason
    assert "879 clips, here are 5" in mteb.name_task(make_split(np.arange(5)), "msrvtt", "t2v", True)[2]
    assert "one caption per clip" in mteb.name_task(make_split([0, 0, 1]), "vatex", "t2v", True)[2]


def test_mistakes_are_told_before_anything_is_scored(tmp_path, monkeypatch):
    with pytest.raises(OptionInvalid, match=r"the suffix must be one of .*\.trec, \.run, \.mteb\.json"):
        evaluate("no such run", save_ranks=tmp_path / "ranks.txt")
    monkeypatch.setitem(__import__("sys").modules, "pytrec_eval", None)
    with pytest.raises(DependencyMissing, match=r"pip install 'gaid\[ranking\]'"):
        evaluate("no such run", save_ranks=tmp_path / "ranks.mteb.json")
