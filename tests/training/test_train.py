"""Training as a user meets it: what it writes, what it keeps, what it refuses."""

import json
import os
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

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
from gaid.metrics import retrieval_metrics
from gaid.training.validation import notes_on_choice

from .planted import SIZES, write_store

SMALL = ("epochs=4", "head.dim=8", "batch_size=16", "lr=0.01", "threads=1")


def score(head, store, part):
    split = open_store(store).split(part)
    tensors = (torch.from_numpy(a) for a in (split.text, split.visual, split.audio, split.audio_mask))
    with torch.inference_mode():
        return head.score(*tensors).numpy(), split.caption_video


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    return train(store, "gaid", out=tmp_path_factory.mktemp("runs") / "gaid", set=SMALL, progress=False)


def test_a_run_folder_says_what_was_done(run, store):
    tables = tomllib.loads((run.path / "config.toml").read_text())
    assert (tables["preset"], tables["epochs"], tables["split_protocol"]) == ("gaid", 4, "main")
    assert tables["head"]["dim"] == 8
    assert tables["head"]["fusion"] == "frame"  # decided by the preset, written all the same
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__.split("+")[0]
    assert environment["threads"] == 1
    assert str(Path.home()) not in (run.path / "environment.json").read_text()
    assert [entry["epoch"] for entry in run.log] == [0, 1, 2, 3, 4]
    assert run.finished
    assert run.metrics["stopped"] == "epochs"
    assert run.fingerprint == open_store(store).fingerprint
    names = {str(file.relative_to(run.path)) for file in run.path.rglob("*") if file.is_file()}
    checkpoints = {f"checkpoints/{name}" for name in ("best.safetensors", "best.json", "last.safetensors", "last.json")}
    assert names == {"config.toml", "environment.json", "log.jsonl", "metrics.json", *checkpoints}


def test_the_best_checkpoint_gives_again_what_was_logged(run, store):
    scores, owner = score(run.load_head("best"), store, "val")
    found = {way: retrieval_metrics(scores, owner, way) for way in ("t2v", "v2t")}
    assert found == {way: run.metrics["best"][way] for way in ("t2v", "v2t")}
    assert run.describe("best")["step"] == run.metrics["best"]["step"]
    best = max(entry["t2v"]["R@1"] for entry in run.log)
    assert run.metrics["best"]["t2v"]["R@1"] == best
    assert run.describe("last")["epoch"] == 4
    sidecar = json.loads((run.path / "checkpoints/best.json").read_text())
    assert sidecar == run.describe("best")
    assert sidecar["store"]["fingerprint"] == run.fingerprint
    assert sidecar["config"]["head"]["dim"] == 8


def test_training_learns(store, tmp_path):
    run = train(store, "x-pool", out=tmp_path / "x", set=[*SMALL, "epochs=15"], progress=False)
    scores, owner = score(run.head, store, "test")
    assert retrieval_metrics(scores, owner)["R@1"] > 40  # chance is 8


@pytest.mark.parametrize("preset", ["mean-pool", "t-mass", "gaid-sample"])
def test_every_preset_trains_and_loads(preset, store, tmp_path):
    run = train(store, preset, out=tmp_path / "run", set=[*SMALL, "epochs=1"], progress=False)
    scores, _ = score(run.head, store, "test")
    assert np.isfinite(scores).all()


def test_the_untrained_head_is_kept_where_training_only_harms(store, contrary, tmp_path):
    run = train(store, contrary, out=tmp_path / "run", set=[*SMALL, "lr=0.5"], progress=False)
    assert run.log[0]["t2v"]["R@1"] > 90
    assert run.log[-1]["t2v"]["R@1"] < 10
    assert run.metrics["best"]["epoch"] == 0
    assert run.head.state_dict()["weight"] == 1


def test_it_stops_when_nothing_gets_better_for_long_enough(store, contrary, tmp_path):
    run = train(
        store, contrary, out=tmp_path / "run", set=[*SMALL, "lr=0.5", "patience=2", "epochs=50"], progress=False
    )
    assert run.metrics["stopped"] == "patience"
    assert [entry["epoch"] for entry in run.log] == [0, 1, 2]
    assert run.metrics["steps"] == 150


def test_evaluations_come_every_so_many_epochs_and_at_the_end(store, tmp_path):
    run = train(store, "mean-pool", out=tmp_path / "run", set=[*SMALL, "epochs=5", "evaluate_every=2"], progress=False)
    assert [entry["epoch"] for entry in run.log] == [0, 2, 4, 5]


def test_the_average_of_weights_is_what_is_judged_and_kept(store, noisy, tmp_path):
    plain = train(store, noisy, out=tmp_path / "plain", set=SMALL, progress=False)
    averaged = train(store, noisy, out=tmp_path / "average", set=[*SMALL, "ema=0.9"], progress=False)
    one, two = plain.load_head("last").state_dict(), averaged.load_head("last").state_dict()
    assert not torch.equal(one["text.weight"], two["text.weight"])
    scores, owner = score(averaged.load_head("last"), store, "val")
    assert retrieval_metrics(scores, owner) == averaged.metrics["last"]["t2v"]


def test_several_seeds_are_one_run_with_members(store, tmp_path):
    run = train(store, "mean-pool", out=tmp_path / "run", seed=3, seeds=2, set=[*SMALL, "epochs=2"], progress=False)
    assert [member.seed for member in run.members] == [3, 4]
    assert [member.path.name for member in run.members] == ["seed-3", "seed-4"]
    each = [member.metrics["best"]["t2v"]["MnR"] for member in run.members]
    assert run.metrics["best"]["t2v"]["MnR"] == pytest.approx(np.mean(each))
    alone = train(store, "mean-pool", out=tmp_path / "alone", seed=4, set=[*SMALL, "epochs=2"], progress=False)
    for name, value in run.members[1].head.state_dict().items():
        assert torch.equal(value, alone.head.state_dict()[name])


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(store, noisy, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    runs = [train(store, noisy, out=tmp_path / str(n), seed=n // 2, set=SMALL, progress=False) for n in range(3)]
    assert torch.equal(torch.get_rng_state(), before)  # the caller's random numbers are not disturbed
    first, again, other = (run.load_head("last").state_dict()["text.weight"] for run in runs)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_callers_threads_come_back(store, tmp_path):
    before = torch.get_num_threads()
    train(store, "mean-pool", out=tmp_path / "run", set=[*SMALL, "epochs=0", "threads=3"], progress=False)
    assert torch.get_num_threads() == before


def test_a_head_of_ones_own_enters_by_its_file(store, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    name = "examples/own_head.py:OwnHead"
    run = train(store, name, out=tmp_path / "run", set=[*SMALL, "head.sound=0.3", "epochs=8"], progress=False)
    assert run.preset == name
    assert run.head.config["sound"] == 0.3
    scores, owner = score(run.head, store, "test")
    assert retrieval_metrics(scores, owner)["R@1"] > 30  # chance is 8
    assert (run.path / "head.py").read_text() == Path("examples/own_head.py").read_text()


def test_a_head_without_weights_is_only_evaluated(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bare_head_of_a_test.py").write_text(
        "from gaid.heads import HeadBase\nclass Bare(HeadBase):\n"
        "    def __init__(self, **sizes):\n        super().__init__(**sizes)\n"
        "    def loss(self, *inputs, same=None): raise AssertionError\n"
        "    def score(self, text, visual, audio, audio_mask=None, **_):\n"
        "        return text.float() @ visual.float().mean(1)[:, :8].T\n"
    )
    run = train(store, "bare_head_of_a_test:Bare", out="run", set=["epochs=2"], progress=False)
    assert [entry["step"] for entry in run.log] == [0]


def test_without_a_validation_part_some_training_videos_are_held_out(tmp_path):
    path = write_store(tmp_path / "s.zarr", parts={"train": 40, "test": 10})
    run = train(path, "mean-pool", out=tmp_path / "run", set=[*SMALL, "epochs=1", "holdout=0.25"], progress=False)
    assert len(run.log) == 2
    with pytest.raises(OptionInvalid, match=r"validation=dev: .* has no such part; it has .*train"):
        train(path, "mean-pool", out=tmp_path / "other", set=["validation=dev"], progress=False)


def test_the_config_of_a_run_trains_the_same_again(run, store, tmp_path):
    again = train(store, config=run.path / "config.toml", out=tmp_path / "again", progress=False)
    assert again.preset == "gaid"
    for name, value in again.load_head("last").state_dict().items():
        assert torch.equal(value, run.load_head("last").state_dict()[name])


def test_options_win_over_the_file_and_the_file_over_the_preset(store, tmp_path):
    (tmp_path / "c.toml").write_text('preset = "x-pool"\nepochs = 7\nlr = 0.5\n[head]\ndim = 4\n')
    run = train(store, config=tmp_path / "c.toml", out=tmp_path / "run", set=["epochs=0"], progress=False)
    assert run.preset == "x-pool"
    assert (run.config["epochs"], run.config["lr"], run.config["head"]["dim"]) == (0, 0.5, 4)
    from gaid.heads import head_defaults

    assert run.config["batch_size"] == head_defaults("x-pool")["batch_size"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"set": ["epoks=3", "lr=fast"]},
            r"--set: epoks is no setting; did you mean 'epochs'\?; --set: lr = 'fast' is no",
        ),
        ({"set": ["epoks=3", "head.dims=3"]}, r"'epochs'\?; --set: head.dims is no setting; did you mean 'dim'\?"),
        ({"set": ["head.fusion=oval"]}, r"head.fusion = 'oval' is no none\|sample\|frame"),
        ({"set": ["head.dim=wide"]}, "head.dim = 'wide' is no whole number"),
        ({"set": ["head.frames=3"]}, "head.frames is no setting"),
        ({"set": ["epochs"]}, "not of the form name=value"),
        ({"preset": "x-poll"}, "preset 'x-poll' is unknown; did you mean 'x-pool'"),
        ({"preset": "no_such_module:Head"}, "no module 'no_such_module' is here"),
        ({"preset": "gaid.heads:Nothing"}, "gaid.heads has no torch.nn.Module 'Nothing'"),
        ({"preset": "torch.nn:Linear"}, "must take"),
        ({"preset": "torch.nn:Identity"}, "Identity is not a head: it has no `loss`"),
        ({"preset": "gone.py:Head"}, "no file gone.py"),
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
    with pytest.raises(OptionInvalid, match=r"holds a run already; go on with it \(--resume\)"):
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


def test_out_is_named_after_preset_and_data_set(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = train(store, "mean-pool", set=["epochs=0"], progress=False)
    assert run.path == Path("runs/mean-pool-planted")


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
    assert f"the {name} is not a number at step 5 (epoch 2, batch 2 of 3: clip" in text
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


def test_tensorboard_gets_the_log(store, tmp_path):
    pytest.importorskip("tensorboard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tensorboard's own
        train(store, "mean-pool", out=tmp_path / "run", set=[*SMALL, "epochs=2", "tensorboard=true"], progress=False)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    logged = [entry["t2v"]["R@1"] for entry in load_run(tmp_path / "run").log]
    assert [event.value for event in events.Scalars("t2v/R@1")] == pytest.approx(logged)


def test_tensorboard_that_is_not_there_is_one_line(store, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DependencyMissing, match=r"gaid\[tensorboard\]"):
        train(store, "mean-pool", out=tmp_path / "run", set=[*SMALL, "tensorboard=true"], progress=False)


def test_progress_goes_to_stderr_and_nothing_to_stdout(store, tmp_path, capsys):
    train(store, "mean-pool", out=tmp_path / "run", set=[*SMALL, "epochs=1"])
    out, err = capsys.readouterr()
    assert out == ""
    assert "mean-pool seed 0: best after epoch" in err


def test_a_store_without_training_videos_is_one_line(tmp_path):
    path = write_store(tmp_path / "s.zarr", parts={"test": 10})
    with pytest.raises((OptionInvalid, DataMissing), match="train") as caught:
        train(path, out=tmp_path / "run", progress=False)
    assert isinstance(caught.value, GaidError)


def test_no_checkpoint_is_a_pickle(run):
    for file in (run.path / "checkpoints").glob("*.safetensors"):
        with safe_open(file, "pt") as content:
            assert json.loads(content.metadata()["gaid"])["seed"] == 0
    assert not [name for _, _, files in os.walk(run.path) for name in files if name.endswith((".pt", ".pkl", ".pth"))]


def test_published_training_gates_by_the_own_caption_and_the_run_says_so(store, tmp_path):
    runs = {
        protocol: train(store, "gaid", out=tmp_path / protocol, protocol=protocol, set=SMALL, progress=False)
        for protocol in ("query", "published")
    }
    assert [run.protocol for run in runs.values()] == ["query", "published"]
    query, published = (run.load_head("last").gate.linear.weight for run in runs.values())
    assert not torch.equal(query, published)
    from gaid import evaluate

    assert any("published protocol" in note for note in evaluate(runs["published"], split="val").notes)
    assert not any("published protocol" in note for note in evaluate(runs["query"], split="val").notes)


def test_published_training_of_a_head_without_gates_by_caption_is_refused(store, tmp_path):
    with pytest.raises(OptionInvalid, match="gates no video by a caption"):
        train(
            store,
            str(Path(__file__).parents[2] / "examples" / "own_head.py:OwnHead"),
            out=tmp_path / "run",
            protocol="published",
            progress=False,
        )


def test_a_run_of_avigate_loads_again(store, tmp_path):
    run = train(
        store,
        "avigate",
        out=tmp_path / "run",
        set=("epochs=1", "batch_size=16", "head.dim=8", "head.layers=1"),
        progress=False,
    )
    assert type(run.load_head()).__name__ == "AvigateHead"
    assert run.load_head().config["layers"] == 1
    scores, _ = score(run.load_head(), store, "val")
    assert np.isfinite(scores).all()


def test_a_run_that_keeps_its_untrained_head_says_so_with_the_number_of_validation_clips(
    store, contrary, tmp_path, capsys
):
    run = train(store, contrary, out=tmp_path / "run", set=["epochs=3", "batch_size=8"])
    assert run.metrics["best"]["epoch"] == 0
    assert run.metrics["untrained"]
    assert run.untrained
    assert run.metrics["validation_clips"] == SIZES["val"]
    assert run.training_notes == run.metrics["notes"]
    kept, few = run.training_notes
    assert kept == "the untrained head was kept: none of the 3 epochs was better on validation"
    assert f"{SIZES['val']} validation clips are too few to choose" in few
    assert "6.2 points" in few  # 100 / 16
    told = capsys.readouterr().err
    assert kept in told
    assert few in told


def test_notes_of_several_seeds_name_the_seeds_that_they_are_about(store, contrary, tmp_path):
    run = train(
        store, contrary, out=tmp_path / "run", seeds=2, set=["epochs=1", "batch_size=8"],
        progress=False,
    )  # fmt: skip
    assert run.untrained
    file = tmp_path / "run" / "seed-1" / "metrics.json"
    metrics = json.loads(file.read_text())
    file.write_text(json.dumps(metrics | {"notes": metrics["notes"][1:], "untrained": False}))
    kept, few = load_run(tmp_path / "run").training_notes
    assert kept.startswith("seed 0: the untrained head was kept")
    assert few.startswith("16 validation clips")
    assert not load_run(tmp_path / "run").untrained


def test_a_head_with_nothing_to_train_has_no_choice_to_doubt():
    first = {"step": 0, "epoch": 0}
    assert notes_on_choice(3, first, first) == []
    assert len(notes_on_choice(100, first, {"step": 40, "epoch": 4})) == 1
    assert notes_on_choice(100, {"step": 20, "epoch": 2}, {"step": 40, "epoch": 4}) == []
