"""A published head is the head: the same scores to the bit, from a folder of which only the description and weights are read."""

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

import gaid
from gaid.errors import CodeRefused, DataMissing, HeadMismatch, OptionInvalid, RunInvalid, StoresDisagree
from gaid.files import sha256_of
from gaid.plugins import TRUST
from gaid.publishing import publish
from gaid.retrieval.search import search
from gaid.runs.files import read_checkpoint, write_checkpoint
from gaid.stores import open_store
from tests.cli.test_code_of_others import write_store

OWN_HEAD = """
from gaid.heads import PRESETS
class Own(PRESETS["mean-pool"].kind):
    training_defaults = {}
"""


def scores(run, store) -> torch.Tensor:
    """All captions of the test part with all its clips."""
    split = open_store(store).split("test")
    features = (torch.from_numpy(one) for one in (split.text, split.visual, split.audio, split.audio_mask))
    return run.head.score(*features).detach()


def test_a_published_head_scores_as_the_runs_to_the_bit(run, store, published):
    assert torch.equal(scores(gaid.load(published.model.path), store), scores(run.members[0], store))
    assert not torch.equal(scores(run.members[1], store), scores(run.members[0], store))


def test_evaluation_and_search_take_the_folder_in_the_place_of_a_run(run, store, published):
    model = gaid.load(published.model.path)
    own, theirs = gaid.evaluate(run.members[0]), gaid.evaluate(model, store=store)
    assert all(np.array_equal(theirs.ranks[way], own.ranks[way]) for way in own.ranks)
    assert (theirs.basis.notes, theirs.training_overlap[0].videos) == (own.basis.notes, 0)
    found, expected = (search("about clip3", run=one, store=store).answers[0].hits for one in (model, run.members[0]))
    assert [(hit.video, hit.score) for hit in found] == [(hit.video, hit.score) for hit in expected]


def test_a_published_head_has_no_store_and_refuses_one_of_other_backbones(store, published, tmp_path):
    model = gaid.load(published.model.path)
    with pytest.raises(OptionInvalid, match="was published and has no store of its own"):
        gaid.evaluate(model)
    other = write_store(tmp_path / "other.zarr", text={"name": "clip:ViT-B-32/openai", "sha256": "0" * 64})
    wrong = r"trained on text features of tiny \(\w+\), but .*other.zarr holds those of clip:ViT-B-32/openai"
    with pytest.raises(StoresDisagree, match=wrong):
        gaid.evaluate(model, store=other)
    with pytest.raises(StoresDisagree, match=wrong):
        model.check_store(open_store(other))
    model.check_store(open_store(store))


def rewrite(folder: Path, change) -> None:
    """Changes the weights and writes the description anew, so that nothing but the weights themselves is wrong."""
    tensors, described = read_checkpoint(folder / "head.safetensors")
    write_checkpoint(folder / "head.safetensors", change(tensors), described)
    about = json.loads((folder / "config.json").read_text())
    about["sha256"] = sha256_of(folder / "head.safetensors")
    (folder / "config.json").write_text(json.dumps(about))


WRONG_WEIGHTS = {
    "half precision": (lambda found: {name: one.half() for name, one in found.items()}, "is torch.float16"),
    "a further one": (lambda found: {**found, "more": torch.zeros(2)}, "Unexpected key.*more"),
    "one less": (lambda found: dict(list(found.items())[1:]), "Missing key"),
    "another shape": (lambda found: {name: one[None] for name, one in found.items()}, "size mismatch"),
}


@pytest.mark.parametrize(("change", "said"), WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
def test_weights_that_are_not_the_heads_are_refused(folder, change, said):
    rewrite(folder, change)
    with pytest.raises(HeadMismatch, match=f"head.safetensors: .*{said}"):
        _ = gaid.load(folder).head


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "truncated weights": ("head.safetensors", cut, "another SHA-256"),
    "a flipped bit": ("head.safetensors", flip, "another SHA-256"),
    "no weights": ("head.safetensors", Path.unlink, "never from a pickle"),
    "truncated description": ("config.json", cut, "can't be read"),
    "no description": ("config.json", Path.unlink, "can't be read"),
    "a description of another program": ("config.json", lambda file: file.write_text('{"a": 1}'), "gaid publish"),
}


@pytest.mark.parametrize(("name", "damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_refused(folder, name, damage, said):
    damage(folder / name)
    with pytest.raises(RunInvalid, match=f"{name}: .*{said}"):
        gaid.load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "format 2, and this version of gaid reads 1; update gaid"),
        ({"run": None}, "run missing"),
        ({"run": {"preset": "gaid"}}, "seed missing"),
        ({"checkpoint": {}}, "describes another head"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, change, said):
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | change))
    with pytest.raises(RunInvalid, match=said):
        gaid.load(folder)


class Explosive:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was read')",))


def test_pickles_and_settings_in_the_folder_are_not_read(folder, store):
    for name in ("pytorch_model.bin", "head.pkl", "head.pt", "training_args.bin"):
        (folder / name).write_bytes(pickle.dumps(Explosive()))
    about = json.loads((folder / "config.json").read_text())
    about["run"] |= {"seeds": 3, "store": "/etc/passwd", "imported": {"file": "x"}}
    (folder / "config.json").write_text(json.dumps(about))
    model = gaid.load(folder)
    assert (model.members, model.config["store"], model.imported) == ((model,), "", {})
    assert scores(model, store).shape == (10, 10)


@pytest.fixture
def own_head(store, tmp_path, monkeypatch):
    """The published head of a class in a file of the author's, which is gone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TRUST, raising=False)
    Path("mine.py").write_text(OWN_HEAD)
    run = gaid.train(store, "mine.py:Own", out="own-run", set=["epochs=1", "threads=1"], progress=False)
    expected = scores(run, store)
    found = publish(run, tmp_path / "own")
    Path("mine.py").unlink()
    return found, expected


def test_the_code_of_a_head_of_ones_own_goes_along_and_runs_only_where_it_is_trusted(own_head, store, monkeypatch):
    found, expected = own_head
    assert (found.model.path / "head.py").read_text() == OWN_HEAD
    with pytest.raises(CodeRefused, match=r"its head is code of its author's own \(head.py\).*GAID_TRUST_CODE=1"):
        _ = gaid.load(found.model.path).head
    monkeypatch.setenv(TRUST, "1")
    assert torch.equal(scores(gaid.load(found.model.path), store), expected)


def test_a_name_of_the_hub_is_found_in_the_local_cache_and_nowhere_else(published, store, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("GAID_DOWNLOAD", raising=False)
    with pytest.raises(DataMissing, match=r"someone/my-head: .*`hf download someone/my-head` fetches it"):
        gaid.load("someone/my-head")
    repository, commit = tmp_path / "models--someone--my-head", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    shutil.copytree(published.model.path, repository / "snapshots" / commit)
    assert torch.equal(scores(gaid.load("someone/my-head"), store), scores(published.model, store))


def test_a_place_that_holds_something_is_left_alone(run, folder, tmp_path):
    with pytest.raises(OptionInvalid, match="holds a published head; replace it"):
        publish(run, folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("mine")
    with pytest.raises(OptionInvalid, match="holds other files"):
        publish(run, tmp_path / "full", overwrite=True)


def test_only_a_finished_training_of_ones_own_is_published(run, folder, tmp_path):
    with pytest.raises(OptionInvalid, match="is a published head already"):
        publish(folder, tmp_path / "again")
    unfinished = Path(shutil.copytree(run.path, tmp_path / "unfinished"))
    metrics = json.loads((unfinished / "metrics.json").read_text())
    (unfinished / "metrics.json").write_text(json.dumps({**metrics, "finished": False}))
    with pytest.raises(RunInvalid, match="its training is not over"):
        publish(unfinished, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_publishing_again_replaces_what_was_published_and_keeps_the_rest(run, store, folder):
    (folder / "figure.png").write_bytes(b"mine")
    publish(run.members[1], folder, overwrite=True)
    assert torch.equal(scores(gaid.load(folder), store), scores(run.members[1], store))
    assert (folder / "figure.png").read_bytes() == b"mine"


def test_the_training_can_be_repeated_from_the_folder(published, run, store, tmp_path):
    again = gaid.train(store, out=tmp_path / "again", config=published.model.path / "training.toml", progress=False)
    weights = [load_file(one.path / "checkpoints/best.safetensors") for one in (again, run.members[0])]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert again.preset == "gaid"


def test_the_block_of_the_page_runs(published, store, capsys):
    page = (Path(__file__).parents[2] / "docs/publishing.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    places = {"published/gaid-demo": published.model.path, "stores/demo-tiny.zarr": store}
    for place, here in places.items():
        block = block.replace(place, str(here))
    exec(compile(block, "publishing.md", "exec"), {})
    figure, clip = capsys.readouterr().out.split()
    assert 0 <= float(figure) <= 100
    assert clip.startswith("clip")
