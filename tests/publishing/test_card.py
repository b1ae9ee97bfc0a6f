"""What the card of a published head says, and that a hub can read it."""

import json
import re

import huggingface_hub as hub
import pytest
import yaml

import gaid
from gaid.backbones import licence_of
from gaid.publishing import publish
from gaid.publishing.licences import head_licence
from tests.cli.test_code_of_others import write_store

from .conftest import QUICK

RESEARCH = "clip:ViT-H-14-worldwide/metaclip2_worldwide"


@pytest.fixture(scope="module")
def card(published) -> str:
    return (published.model.path / "README.md").read_text()


@pytest.fixture(scope="module")
def figures(run):
    """Those of the head that is published, by direction."""
    return gaid.evaluate(run.members[0]).figures


@pytest.fixture(scope="module")
def front(card) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_front_matter_names_licence_tags_data_and_figures(figures, front):
    assert (front["license"], front["library_name"], front["datasets"]) == ("mit", "gaid", ["someone/noise"])
    assert {"gaid", "text-video-retrieval", "audio"} <= set(front["tags"])
    (index,) = front["model-index"]
    assert index["name"] == "my-head"
    for result, (way, own) in zip(index["results"], figures.items(), strict=True):
        assert result["task"]["type"] == {"t2v": "text-to-video", "v2t": "video-to-text"}[way] + "-retrieval"
        assert result["dataset"] == {"type": "someone/noise", "name": "noise (main)", "split": "test"}
        given = [metric["value"] for metric in result["metrics"]]
        assert given == [round(value, 2) for value in own.values.values()]
        low, high = own.intervals["R@1"]
        assert result["metrics"][0]["name"] == f"R@1 (95 % interval {low:.1f}–{high:.1f})"
        assert [metric["type"] for metric in result["metrics"]] == front["metrics"]


def test_the_hubs_client_reads_the_card_and_the_results(published, figures):
    wanted = [round(value, 2) for one in figures.values() for value in one.values.values()]
    found = hub.ModelCard.load(published.model.path / "README.md").data.eval_results
    assert [one.metric_value for one in found] == wanted
    (file,) = (published.model.path / ".eval_results").glob("*.yaml")
    entries = yaml.safe_load(file.read_text())
    if hasattr(hub, "parse_eval_result_entries"):  # since huggingface_hub 1.4
        assert [one.value for one in hub.parse_eval_result_entries(entries)] == wanted
    assert entries[0]["dataset"] == {"id": "someone/noise", "task_id": "t2v-recall_at_1"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", entries[0]["date"])
    assert "95 % interval" in entries[0]["notes"]


def test_the_card_opens_with_the_figure_and_gives_intervals_of_the_head_and_of_all_seeds(card, run, figures):
    assert f"For {figures['t2v'].values['R@1']:.1f} % of 10 texts, gaid puts the right one of 10 clips first" in card
    told = section(card, "Figures")
    for one in (figures["t2v"], gaid.evaluate(run).figures["t2v"]):
        low, high = one.intervals["R@1"]
        assert f"{one.values['R@1']:.1f} ({low:.1f}–{high:.1f})" in told
    assert "Of all 2 heads that were trained alike (seeds 0, 1)" in told
    assert "only 10 videos in the gallery" in told


def test_the_card_says_what_the_figures_rest_on(card, published):
    told = section(card, "What the figures rest on")
    assert published.facts.leak.answer in told
    assert "published less query, text to video R@1" in told
    assert "0 of 10 gallery clips lie in the part that the head was trained on" in told
    data = section(card, "Data")
    assert "| clips and captions | train | val | test |" in data
    assert "| captions | 10 | 10 | 10 |" in data
    assert published.facts.results.basis.gallery_hash in data


def test_the_card_documents_every_weight_and_file(card, run):
    told = section(card, "Files")
    for name, tensor in run.members[0].head.state_dict().items():
        shape = " x ".join(map(str, tensor.shape)) or "1"
        assert f"| `{name}` | {shape} | float32 |" in told
    assert "How much each frame listens to its audio" in told


def test_the_card_gives_the_commands_that_made_the_head(card):
    made = section(card, "How it was made")
    options = "--visual tiny --audio tiny --text tiny --frames 2 --pixels stored"  # what is as by default is left out
    assert f"gaid extract --dataset noise {options} --out STORE" in made
    assert f"gaid extract --dataset folder --root VIDEOS {options} --out STORE" in section(card, "Use")
    assert "gaid train-head --store STORE --config training.toml --seed 0 --out RUN" in made
    assert f"gaid {gaid.__version__} trained it" in made


def test_no_file_names_a_place_of_the_authors_machine(published, store):
    files = [file for file in published.model.path.rglob("*") if file.is_file()]
    assert len(files) == 5
    for file in files:
        assert str(store.parent).encode() not in file.read_bytes(), file
    assert "place-of-the-author" not in json.dumps(published.model.config)


@pytest.mark.parametrize(
    ("licences", "licence"),
    [
        (["MIT", "Apache-2.0"], "unknown"),  # the author's to choose
        (["MIT", "CC-BY-NC-4.0", "CC-BY-NC-4.0"], "cc-by-nc-4.0"),
        (["Apple AMLR (research only)", "unknown"], "apple-amlr"),
        (["CC-BY-NC-4.0", "Apple AMLR (research only)"], "other"),
    ],
)
def test_the_licence_of_a_head_follows_backbones_that_exclude_commercial_use(licences, licence):
    assert head_licence(licences) == licence


def test_licences_of_backbones_are_those_that_doctor_lists():
    assert licence_of(RESEARCH, "visual") == "CC-BY-NC-4.0"
    assert [licence_of("offline", kind) for kind in ("visual", "audio", "text")] == ["Apache-2.0", "unknown", "MIT"]
    assert licence_of("my_file.py:Mine", "visual") == "unknown"


def test_a_head_on_features_of_a_non_commercial_backbone_says_so(tmp_path):
    store = write_store(tmp_path / "store.zarr", text={"name": RESEARCH, "sha256": "0" * 64})
    run = gaid.train(store, "mean-pool", out=tmp_path / "run", set=QUICK, progress=False)
    found = publish(run, tmp_path / "head")
    card = (tmp_path / "head/README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == found.to_dict()["licence"] == "cc-by-nc-4.0"
    assert "non-commercial" in front["tags"]
    assert f"**Not for commercial use.** The head was trained on features of `{RESEARCH}` (CC-BY-NC-4.0)" in card
    assert "One seed was trained (0)" in card
    assert "hears nothing" in card
    # A licence that the author chooses changes the licence, not what the card says of the backbone.
    publish(run, tmp_path / "head", license="apache-2.0", overwrite=True)
    card = (tmp_path / "head/README.md").read_text()
    assert "license: apache-2.0" in card
    assert "**Not for commercial use.**" in card
