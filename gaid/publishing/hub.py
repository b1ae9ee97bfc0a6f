"""The forms in which a hub reads figures: the front matter of a model card with its `model-index`, and `.eval_results/*.yaml`."""

from datetime import UTC, datetime
from typing import Any

import yaml

from gaid.evaluation.figures import Figures
from gaid.evaluation.results import DIRECTION_NAMES
from gaid.metrics import BY_NAME
from gaid.publishing.facts import Facts

# gaid's figures, and what the hub calls them.
METRICS = {"R@1": "recall_at_1", "R@5": "recall_at_5", "R@10": "recall_at_10", "MdR": "median_rank", "MnR": "mean_rank"}


def front_matter(facts: Facts) -> dict[str, Any]:
    """The metadata of the card."""
    basis = facts.results.basis
    tags = ["gaid", "text-video-retrieval", facts.preset.rpartition(":")[2]]
    tags += ["audio"] if facts.head.uses_audio else []
    tags += ["non-commercial"] if any(one.restricted for one in facts.backbones) else []
    return {
        "license": facts.licence,
        **({"license_name": "see-the-section-licence"} if facts.licence == "other" else {}),
        "library_name": "gaid",
        "tags": list(dict.fromkeys(tags)),
        "datasets": [facts.dataset_id or basis.dataset],
        "metrics": list(METRICS.values()),
        "model-index": [{"name": facts.name, "results": [_result(facts, way) for way in facts.results.figures]}],
    }


def eval_results(facts: Facts) -> list[dict[str, Any]]:
    """Every figure as an entry of `.eval_results/*.yaml`."""
    basis = facts.results.basis
    dataset = facts.dataset_id or basis.dataset
    return [
        {
            "dataset": {"id": dataset, "task_id": f"{way}-{METRICS[name]}"},
            "value": round(value, 2),
            "date": datetime.now(UTC).date().isoformat(),
            "notes": f"{_interval(figures, name)}; split {basis.split} ({basis.split_protocol}), {figures.queries} queries, gallery of "
            f"{figures.gallery} clips, protocol query, seed {basis.seeds[0]}",
        }
        for way, figures in facts.results.figures.items()
        for name, value in figures.values.items()
    ]


def as_yaml(value: Any) -> str:
    """YAML in the order given."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
    return text


def _result(facts: Facts, way: str) -> dict[str, Any]:
    basis, figures = facts.results.basis, facts.results.figures[way]
    return {
        "task": {
            "type": f"{DIRECTION_NAMES[way].replace(' ', '-')}-retrieval",
            "name": f"{DIRECTION_NAMES[way].capitalize()} retrieval",
        },
        "dataset": {
            "type": facts.dataset_id or basis.dataset,
            "name": f"{basis.dataset} ({basis.split_protocol})",
            "split": basis.split,
        },
        "metrics": [
            {"type": METRICS[name], "value": round(value, 2), "name": f"{name} ({_interval(figures, name)})"}
            for name, value in figures.values.items()
        ],
    }


def _interval(figures: Figures, name: str) -> str:
    return f"95 % interval {BY_NAME[name].interval_text(*figures.intervals[name])}"
