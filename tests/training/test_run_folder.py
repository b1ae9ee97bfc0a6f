"""What a training writes into its run folder, logs and reports."""

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
from gaid.metrics import retrieval_metrics
from gaid.training.validation import notes_on_choice

from .planted import SIZES, SMALL, score

pytestmark = pytest.mark.slow


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


def test_several_seeds_are_one_run_with_members(store, tmp_path):
    run = train(store, "mean-pool", out=tmp_path / "run", seed=3, seeds=2, set=[*SMALL, "epochs=2"], progress=False)
    assert [member.seed for member in run.members] == [3, 4]
    assert [member.path.name for member in run.members] == ["seed-3", "seed-4"]
    each = [member.metrics["best"]["t2v"]["MnR"] for member in run.members]
    assert run.metrics["best"]["t2v"]["MnR"] == pytest.approx(np.mean(each))
    alone = train(store, "mean-pool", out=tmp_path / "alone", seed=4, set=[*SMALL, "epochs=2"], progress=False)
    for name, value in run.members[1].head.state_dict().items():
        assert torch.equal(value, alone.head.state_dict()[name])


def test_out_is_named_after_preset_and_data_set(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = train(store, "mean-pool", set=["epochs=0"], progress=False)
    assert run.path == Path("runs/mean-pool-planted")


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
    from gaid.heads import training_defaults

    assert run.config["batch_size"] == training_defaults("x-pool")["batch_size"]


def test_tensorboard_gets_the_log(store, tmp_path):
    pytest.importorskip("tensorboard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tensorboard's own
        train(store, "mean-pool", out=tmp_path / "run", set=[*SMALL, "epochs=2", "tensorboard=true"], progress=False)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    logged = [entry["t2v"]["R@1"] for entry in load_run(tmp_path / "run").log]
    assert [event.value for event in events.Scalars("t2v/R@1")] == pytest.approx(logged)


def test_progress_goes_to_stderr_and_nothing_to_stdout(store, tmp_path, capsys):
    train(store, "mean-pool", out=tmp_path / "run", set=[*SMALL, "epochs=1"])
    out, err = capsys.readouterr()
    assert out == ""
    assert "mean-pool seed 0: best after epoch" in err


def test_no_checkpoint_is_a_pickle(run):
    for file in (run.path / "checkpoints").glob("*.safetensors"):
        with safe_open(file, "pt") as content:
            assert json.loads(content.metadata()["gaid"])["seed"] == 0
    assert not [name for _, _, files in os.walk(run.path) for name in files if name.endswith((".pt", ".pkl", ".pth"))]


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
