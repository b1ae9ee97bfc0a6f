"""Results in the form of MTEB's `TaskResult`, computed by trec_eval's own code (pytrec-eval-terrier, which MTEB uses too).

MTEB's text-video tasks have pools of their own. A result has a task's name only where the number and the lengths of the
captions are those that MTEB publishes for the task (`POOLS`); any other pool gets a name that MTEB does not know. Figures
are fractions, as in MTEB, for the first seed's head; MTEB's nAUC figures are not computed.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid.errors import DependencyMissing
from gaid.evaluation.trec import Lists
from gaid.files import write_json

if TYPE_CHECKING:
    from gaid.evaluation.results import Results
    from gaid.stores import Split

SUFFIX = ".mteb.json"
# AbsTaskRetrieval.k_values, and the measures of calculate_retrieval_scores.
PLACES = (1, 3, 5, 10, 20, 100, 1000)
MEASURES = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P", "hit_rate": "success"}


@dataclass(frozen=True)
class Pool:
    """MTEB's descriptive statistics of a pool: clips (one caption each), and the captions' lengths in characters.

    `total` has two values where the statistics of a task's two directions differ by white space.
    """

    task: str
    revision: str
    clips: int
    total: tuple[int, ...]
    shortest: int
    longest: int


# mteb/descriptive_stats/Image/Any2AnyRetrieval/*.json and mteb/tasks/retrieval/eng/{msr_vtt,didemo_retrieval,vatex_retrieval}.py
# of embeddings-benchmark/mteb at a905523d (22 August 2026). `{}` is T2V, T2VA, V2T or VA2T.
POOLS = {
    "msrvtt": Pool("MSRVTT{}", "4661603cee25c1fd370e5478a2953203cf37155b", 879, (43882,), 16, 163),
    "didemo": Pool("DiDeMo{}Retrieval", "746689f644b66022540a9a39136e842bee164e6b", 999, (154627, 154625), 17, 396),
    "vatex": Pool("VATEX{}Retrieval", "0d2e86e6d36927f4676ee6127c4e38e3867ce0ce", 1000, (74253,), 37, 209),
}


def same_pool(pool: Pool, split: "Split") -> str | None:
    """None where the number and lengths of a split's captions are MTEB's; else the difference in words."""
    lengths = [len(text) for text in split.caption_texts]
    if len(lengths) != len(split.video_ids):
        return f"MTEB has one caption per clip, here are {len(lengths)} of {len(split.video_ids)} clips"
    if len(lengths) != pool.clips:
        return f"MTEB's has {pool.clips} clips, here are {len(lengths)}"
    found = (sum(lengths) in pool.total, min(lengths) == pool.shortest, max(lengths) == pool.longest)
    if not all(found) or len(set(split.caption_texts)) != len(lengths):
        return f"of as many clips, but the captions' lengths ({sum(lengths)} characters in all) are not MTEB's"
    return None


def name_task(split: "Split", dataset: str, direction: str, uses_audio: bool) -> tuple[str, str, str | None]:
    """(task, revision of its data, None or the reason why it is not one of MTEB's)."""
    videos = "VA" if uses_audio else "V"
    way = f"T2{videos}" if direction == "t2v" else f"{videos}2T"
    pool = POOLS.get(dataset)
    reason = "MTEB has no task on it" if pool is None else same_pool(pool, split)
    if pool is not None and reason is None:
        return pool.task.format(way), pool.revision, None
    return f"gaid-{dataset}-{split.protocol}-{split.part}-{way}", f"gallery-{split.gallery_hash}", reason


def judge(lists: Lists, memory: int) -> dict[str, float]:
    """trec_eval's measures of ranked lists, means over the queries, under MTEB's names. Raises DependencyMissing."""
    trec_eval = _load_evaluator()
    wanted = {f"{name}.{','.join(map(str, PLACES))}" for name in MEASURES.values()}
    sums: dict[str, float] = defaultdict(float)
    for rows, best, scores, right in lists.blocks(memory // 8, max(PLACES)):
        names = [str(row) for row in range(rows.start, rows.stop)]
        qrels = {name: {lists.documents[row]: 1 for row in answers} for name, answers in zip(names, right, strict=True)}
        run = {
            name: {lists.documents[row]: float(score) for row, score in zip(of_query, of_scores, strict=True)}
            for name, of_query, of_scores in zip(names, best, scores, strict=True)
        }
        for found in trec_eval.RelevanceEvaluator(qrels, wanted).evaluate(run).values():
            for measure, value in found.items():
                sums[measure] += value
        for of_query, answers in zip(best, right, strict=True):
            places = np.flatnonzero(np.isin(of_query, answers))
            for k in PLACES:  # trec_eval's recip_rank knows no k
                sums[f"mrr_{k}"] += 1 / (places[0] + 1) if len(places) and places[0] < k else 0.0
    means = {name: total / len(lists.queries) for name, total in sums.items()}
    named = {f"{name}_at_{k}": round(means[f"{of}_{k}"], 5) for name, of in MEASURES.items() for k in PLACES}
    return named | {f"mrr_at_{k}": round(means[f"mrr_{k}"], 5) for k in PLACES} | {"accuracy": named["recall_at_1"]}


def write_result(
    path: Path, lists: Lists, results: "Results", split: "Split", direction: str, uses_audio: bool, memory: int
) -> str | None:
    """Writes a TaskResult to `path`; returns a line for the reader where its task is not one of MTEB's."""
    task, revision, reason = name_task(split, results.basis.dataset, direction, uses_audio)
    scores = judge(lists, memory)
    write_json(
        path,
        {
            "dataset_revision": revision,
            "task_name": task,
            "mteb_version": None,  # not made by MTEB
            "scores": {
                split.part: [
                    {
                        **scores,
                        "main_score": scores["ndcg_at_10"],
                        "hf_subset": "default",
                        "languages": ["eng-Latn"],
                    }
                ]
            },
            "evaluation_time": round(results.seconds, 3),
            "kg_co2_emissions": None,
            "gaid": {  # MTEB's reader ignores what it does not know
                **results.basis.to_dict("preset", "trained", "run"),
                "seed": results.basis.seeds[0],
                **results.basis.to_dict("backbones", "random_weights"),
                "protocol": "query",
                "ties": "against the query",
                "queries": len(lists.queries),
                "documents": len(lists.documents),
                "gallery_hash": split.gallery_hash,
                "pool_differs": reason,
            },
        },
    )
    return None if reason is None else f"{path.name}: {task} is not a task of MTEB's: {reason} (docs/mteb.md)"


def _load_evaluator() -> Any:
    try:
        import pytrec_eval
    except ImportError as error:
        raise DependencyMissing(f"{SUFFIX} needs pytrec-eval-terrier: pip install 'gaid[ranking]'") from error
    return pytrec_eval


def require() -> None:
    """Raises DependencyMissing where the extra is not installed, before any work."""
    _load_evaluator()
