"""What training learns and which head it keeps."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gaid import train
from gaid.errors import (
    OptionInvalid,
)
from gaid.metrics import retrieval_metrics

from .planted import SMALL, score, write_store


@pytest.mark.slow
def test_training_learns(store, tmp_path):
    run = train(store, "x-pool", out=tmp_path / "x", set=[*SMALL, "epochs=15"], progress=False)
    scores, owner = score(run.head, store, "test")
    assert retrieval_metrics(scores, owner)["R@1"] > 40  # chance is 8


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_scoring_on_validation_keeps_to_the_memory_that_was_asked_for(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("modest_head_of_a_test.py").write_text(
        "from pathlib import Path\nfrom gaid.heads import HeadBase\nclass Modest(HeadBase):\n"
        "    def __init__(self, **sizes):\n        super().__init__(**sizes)\n"
        "    def loss(self, *inputs, same=None): raise AssertionError\n"
        "    def score(self, text, visual, audio, audio_mask=None, *, memory, **_):\n"
        "        Path('asked').write_text(str(memory))\n"
        "        return text.float() @ visual.float().mean(1)[:, :8].T\n"
    )
    for memory, size in (("64MiB", 64 * 2**20), ("1GiB", 2**30)):
        train(store, "modest_head_of_a_test:Modest", out=memory, memory=memory, progress=False)
        assert Path("asked").read_text() == str(size)
