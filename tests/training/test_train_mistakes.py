"""What training refuses, and what it says where a loss, a feature or an argument is wrong."""

from pathlib import Path

import numpy as np
import pytest

from gaid import load_run, open_store, train
from gaid.errors import (
    DataMissing,
    DependencyMissing,
    GaidError,
    OptionInvalid,
    StoreIncomplete,
    StoresDisagree,
    TrainingDiverged,
)

from .planted import SMALL, write_store


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"set": ["epoks=3", "lr=fast"]},
            r"--set: epoks is not a setting; did you mean 'epochs'\?; --set: lr = 'fast' should be a valid number",
        ),
        ({"set": ["epoks=3", "head.dims=3"]}, r"'epochs'\?; --set: head.dims is not a setting; did you mean 'dim'\?"),
        ({"set": ["head.fusion=oval"]}, r"head.fusion = 'oval' should be 'none', 'sample'.*'frame'"),
        ({"set": ["head.dim=wide"]}, "head.dim = 'wide' should be a valid integer"),
        ({"set": ["head.frames=3"]}, "head.frames is not a setting"),
        ({"set": ["epochs"]}, "not of the form name=value"),
        ({"preset": "x-poll"}, "preset 'x-poll' is unknown; did you mean 'x-pool'"),
        ({"preset": "no_such_module:Head"}, "no module 'no_such_module' is here"),
        ({"preset": "gaid.heads:Nothing"}, "gaid.heads has no torch.nn.Module 'Nothing'"),
        ({"preset": "torch.nn:Linear"}, "must take"),
        ({"preset": "torch.nn:Identity"}, "Identity is not a head: it has no `loss`"),
        ({"preset": "gone.py:Head"}, "no file gone.py"),
        ({"memory": "lots"}, "--memory 'lots' is no size; write it as 512MiB or 1GiB, or auto"),
        ({"device": "cuda:97"}, "device 'cuda:97' can't be used here"),
        ({"split_protocol": "full"}, "no protocol 'full'"),
        ({"resume": True, "overwrite": True}, "choose one of them"),
        ({"preset": "gaid", "config": {"preset": "x-pool"}}, "is for preset 'x-pool', but 'gaid' was asked for"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(store, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionInvalid, match=words) as caught:
        train(store, out=tmp_path / "run", progress=False, **arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_trained_over_unasked(store, tmp_path):
    out = tmp_path / "run"
    train(store, "mean-pool", out=out, set=[*SMALL, "epochs=0"], progress=False)
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(OptionInvalid, match=r"holds a run already; resume it \(--resume\)"):
        train(store, "mean-pool", out=out, progress=False)
    again = train(store, "x-pool", out=out, set=[*SMALL, "epochs=0"], overwrite=True, progress=False)
    assert (again.preset, len(again.log)) == ("x-pool", 1)
    assert (out / "mine.txt").read_text() == "keep me"


def test_a_mistake_beside_overwrite_keeps_the_run(store, tmp_path):
    out = tmp_path / "run"
    train(store, "mean-pool", out=out, set=[*SMALL, "epochs=0"], progress=False)
    with pytest.raises(OptionInvalid):
        train(store, "mean-pool", out=out, set=["head.dims=3"], overwrite=True, progress=False)
    assert load_run(out).finished


def test_a_file_is_no_place_for_a_run(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionInvalid, match="is a file"):
        train(store, out=tmp_path / "file", progress=False)


def test_an_unfinished_store_is_refused_unless_allowed(tmp_path):
    path = write_store(tmp_path / "s.zarr", shards=(0, 2))
    with pytest.raises(StoreIncomplete):
        train(path, "mean-pool", out=tmp_path / "run", progress=False)
    with pytest.raises(StoreIncomplete):
        train(open_store(path, incomplete=True), "mean-pool", out=tmp_path / "run", progress=False)
    run = train(
        path, "mean-pool", out=tmp_path / "run", set=[*SMALL, "epochs=1"], allow_incomplete=True, progress=False
    )
    assert run.describe()["store"]["missing_shards"] == ["00001", "00003"]


def test_a_head_is_not_evaluated_on_features_of_another_kind(run, tmp_path):
    other = {"visual": {"name": "lens", "sha256": "abc"}, "audio": {"name": "ear", "dim": 6}, "text": {"name": "word"}}
    with pytest.raises(StoresDisagree, match=r"visual features of eye, but .* holds those of lens"):
        run.check_store(open_store(write_store(tmp_path / "other.zarr", backbones=other)))
    run.check_store(open_store(write_store(tmp_path / "same.zarr", seed=1)))  # other data, the same backbones


def broken(what):
    return (
        "import torch\nfrom gaid.heads import HeadBase, LossParts\n"
        "class Broken(HeadBase):\n"
        "    def __init__(self, **sizes):\n"
        "        super().__init__(**sizes)\n"
        "        self.weight = torch.nn.Parameter(torch.ones(2, 2))\n"
        "        self.calls = 0\n"
        "    def score(self, text, visual, audio, audio_mask=None, **_):\n"
        "        return torch.zeros(len(text), len(visual)) * self.weight.sum()\n"
        "    def loss(self, text, *rest, same=None):\n"
        "        self.calls += 1\n"
        "        total = self.weight.sum()\n"
        f"        return LossParts({what} if self.calls == 5 else total)\n"
    )


@pytest.mark.parametrize(
    ("what", "name"), [("total * float('nan')", "loss"), ("(total - 4) .abs().sqrt() + total * 0", "gradient")]
)
def test_a_loss_or_gradient_that_is_no_number_stops_with_its_place(store, tmp_path, monkeypatch, what, name):
    monkeypatch.chdir(tmp_path)
    Path("head.py").write_text(broken(what))
    options = ["batch_size=16", "epochs=9", "lr=1e-30", "weight_decay=0"]  # the weights' sum stays 4
    with pytest.raises(TrainingDiverged) as caught:
        train(store, "head.py:Broken", out="run", set=options, progress=False)
    text = str(caught.value)
    assert f"the {name} is NaN or infinite at step 5 (epoch 2, batch 2 of 3: clip" in text
    assert "lower the learning rate" in text
    assert len(text.splitlines()) == 1
    assert load_run("run").metrics["last"]["epoch"] == 1  # what was good before is kept


def test_features_that_are_no_numbers_are_named_as_the_cause(store, tmp_path):
    opened = open_store(store)
    split = opened.split

    def spoilt(part, protocol=None):
        found = split(part, protocol)
        if part == "train":
            found.visual[7, 1, 2] = np.nan
        return found

    opened.split = spoilt
    with pytest.raises(TrainingDiverged, match=r"the visual features of clip007 are not finite: try gaid store verify"):
        train(opened, "mean-pool", out=tmp_path / "run", set=SMALL, progress=False)


def test_tensorboard_that_is_not_there_is_one_line(store, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DependencyMissing, match=r"gaid\[tensorboard\]"):
        train(store, "mean-pool", out=tmp_path / "run", set=[*SMALL, "tensorboard=true"], progress=False)


def test_a_store_without_training_videos_is_one_line(tmp_path):
    path = write_store(tmp_path / "s.zarr", parts={"test": 10})
    with pytest.raises((OptionInvalid, DataMissing), match="train") as caught:
        train(path, out=tmp_path / "run", progress=False)
    assert isinstance(caught.value, GaidError)


def test_published_training_of_a_head_without_gates_by_caption_is_refused(store, tmp_path):
    with pytest.raises(OptionInvalid, match="gates no video by a caption"):
        train(
            store,
            str(Path(__file__).parents[2] / "examples" / "own_head.py:OwnHead"),
            out=tmp_path / "run",
            protocol="published",
            progress=False,
        )
