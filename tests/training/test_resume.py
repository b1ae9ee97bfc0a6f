"""A training that was stopped and goes on ends as one that never was: the same weights, bit for bit, and the same log."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from gaid import files, load_run, train
from gaid.errors import OptionInvalid, RunInvalid, StoresDisagree
from gaid.runs import files as run_files
from gaid.training import loop as loop_module

from .planted import write_store

# Everything that has a memory: optimiser, average, dropout and noise (the head), order of videos and captions, patience.
OPTIONS = ("epochs=4", "head.dim=8", "batch_size=16", "lr=0.01", "ema=0.8", "patience=9", "threads=1")
STEPS = 12  # 40 videos in batches of 16 at most: 3 an epoch


def begin(store, head, out, **more):
    return train(store, head, out=out, set=OPTIONS, progress=False, **more)


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    head = f"{os.path.dirname(__file__)}/planted.py:Noisy"  # noqa: PTH120
    return begin(store, head, tmp_path_factory.mktemp("whole") / "run")


def assert_same(run, whole):
    for name in ("best", "last"):
        one, one_says = run_files.read_checkpoint(run.path / f"checkpoints/{name}.safetensors")
        two, two_says = run_files.read_checkpoint(whole.path / f"checkpoints/{name}.safetensors")
        assert one.keys() == two.keys()
        for key in one:
            assert torch.equal(one[key], two[key]), f"{name} {key}"
        assert one_says == two_says
    strip = [{key: value for key, value in entry.items() if key != "seconds"} for entry in run.log]
    assert strip == [{key: value for key, value in entry.items() if key != "seconds"} for entry in whole.log]
    assert run.metrics["best"] == whole.metrics["best"]
    assert run.finished
    assert not (run.path / "checkpoints/resume.safetensors").exists()
    assert not list(run.path.rglob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "number"), [*((step, signal.SIGINT) for step in (1, 3, 5, 8, STEPS)), (8, signal.SIGTERM)]
)
def test_after_a_signal_at_any_step_it_goes_on_to_the_same(store, noisy, whole, tmp_path, monkeypatch, step, number):
    out = tmp_path / "run"
    taken = loop_module.Loop._step

    def interrupted(self, *batch):
        taken(self, *batch)
        if self.state.step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(loop_module.Loop, "_step", interrupted)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        begin(store, noisy, out)
    assert signal.getsignal(number) is before
    monkeypatch.setattr(loop_module.Loop, "_step", taken)
    assert not load_run(out).finished
    assert run_files.read_checkpoint(out / "checkpoints/resume.safetensors")[1]["step"] == step
    torch.manual_seed(step)  # whatever the process drew meanwhile
    assert_same(begin(store, noisy, out, resume=True), whole)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["before", "after"])
def test_killed_before_or_after_any_file_it_goes_on_to_the_same(store, noisy, whole, tmp_path, monkeypatch, phase):
    written = files.write_bytes
    calls, at = 0, 0

    def killing(path, content):
        nonlocal calls
        calls += 1
        if calls == at and phase == "before":
            raise Killed
        written(path, content)
        if calls == at:
            raise Killed

    for module in (files, run_files):
        monkeypatch.setattr(module, "write_bytes", killing)
    # Of the 33 files that a training writes: all of its start, then some of every kind.
    for at in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 33):
        out, calls = tmp_path / f"{at}", 0
        with pytest.raises(Killed):
            begin(store, noisy, out)
        calls = -1000
        assert_same(begin(store, noisy, out, resume=True), whole)


@pytest.mark.slow
def test_a_kill_for_good_loses_no_finished_epoch(store, noisy, whole, tmp_path):
    out = tmp_path / "run"
    script = (
        "import time\nfrom gaid.training import loop\nfrom gaid import train\n"
        "taken = loop.Loop._step\n"
        "def slow(self, *batch):\n    time.sleep(0.2)\n    taken(self, *batch)\n"
        "loop.Loop._step = slow\n"
        f"train({str(store)!r}, {noisy!r}, out={str(out)!r}, set={OPTIONS!r})\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    try:
        log = out / run_files.LOG
        begun = time.monotonic()
        # metrics.json is the last file of an evaluation: the kill comes in the pause of the next step.
        while not log.exists() or load_run(out).metrics.get("last", {}).get("epoch", 0) < 2:
            assert child.poll() is None
            assert time.monotonic() - begun < 120
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait()
    assert not load_run(out).finished
    assert_same(begin(store, noisy, out, resume=True), whole)


def test_a_finished_run_is_left_alone(store, noisy, whole):
    before = {file: file.stat().st_mtime_ns for file in (whole.path / "checkpoints").iterdir()}
    assert begin(store, noisy, whole.path, resume=True).finished
    assert {file: file.stat().st_mtime_ns for file in (whole.path / "checkpoints").iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["mean-pool", "x-pool", "t-mass", "avigate", "gaid-sample", "gaid"])
def test_every_preset_goes_on_with_the_settings_that_it_began_with(store, tmp_path, preset):
    """Also those with an option that is the word "none", which in a file stands for no value as well."""
    options = {"out": tmp_path / "run", "set": ["epochs=1", "head.dim=16"], "progress": False}
    assert train(store, preset, **options).finished
    assert train(store, preset, **options, resume=True).finished


@pytest.mark.slow
def test_a_run_of_before_weights_could_be_chosen_resumes_with_the_published_ones(store, tmp_path, monkeypatch):
    """Its config.toml does not name them."""
    options = {"set": [*OPTIONS, "head.positive_weights=published"], "progress": False}
    straight = train(store, "gaid", out=tmp_path / "straight", **options)
    stop_after(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        train(store, "gaid", out=tmp_path / "run", **options)
    monkeypatch.undo()
    config = tmp_path / "run" / run_files.CONFIG
    config.write_text(config.read_text().replace('positive_weights = "published"\n', ""))
    assert "positive_weights" not in config.read_text()
    assert_same(train(store, out=tmp_path / "run", resume=True, progress=False), straight)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["gaid", "avigate"])
def test_decay_toward_the_start_and_left_out_sounds_go_on_as_they_would_have(store, tmp_path, monkeypatch, preset):
    """The start is the head as it was built, not as it was when the training stopped."""
    options = {"set": [*OPTIONS, "decay_to=start", "weight_decay=5", "sound_dropout=0.5"], "progress": False}
    straight = train(store, preset, out=tmp_path / "straight", **options)
    stop_after(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        train(store, preset, out=tmp_path / "run", **options)
    monkeypatch.undo()
    assert_same(train(store, out=tmp_path / "run", resume=True, progress=False), straight)
    without = train(store, preset, out=tmp_path / "zero", set=[*options["set"], "decay_to=zero"], progress=False)
    name = "visual_proj.weight"
    assert not torch.equal(without.load_head("last").state_dict()[name], straight.load_head("last").state_dict()[name])


def test_resume_with_nothing_there_starts(store, noisy, whole, tmp_path):
    assert_same(begin(store, noisy, tmp_path / "run", resume=True), whole)


def test_preset_and_settings_need_not_be_said_again(store, noisy, whole, tmp_path, monkeypatch):
    stop_after(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        begin(store, noisy, tmp_path / "run")
    monkeypatch.undo()
    assert_same(train(store, out=tmp_path / "run", resume=True, progress=False), whole)


def stop_after(monkeypatch, step, seed=0):
    taken = loop_module.Loop._step

    def interrupted(self, *batch):
        taken(self, *batch)
        if (self.state.step, self.config.seed) == (step, seed):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop_module.Loop, "_step", interrupted)


@pytest.mark.slow
def test_of_several_seeds_the_finished_ones_are_kept_and_the_rest_goes_on(store, noisy, tmp_path, monkeypatch):
    straight = begin(store, noisy, tmp_path / "straight", seeds=3)
    stop_after(monkeypatch, 4, seed=1)
    with pytest.raises(KeyboardInterrupt):
        begin(store, noisy, tmp_path / "run", seeds=3)
    monkeypatch.undo()
    assert load_run(tmp_path / "run/seed-0").finished
    again = begin(store, noisy, tmp_path / "run", seeds=3, resume=True)
    for member, other in zip(again.members, straight.members, strict=True):
        assert_same(member, other)


@pytest.mark.slow
def test_a_metric_that_a_finished_seed_lacks_is_left_out_of_the_mean(store, noisy, tmp_path):
    run = begin(store, noisy, tmp_path / "run", seeds=2)
    of_first = run.path / "seed-0/metrics.json"
    found = json.loads(of_first.read_text())
    del found["best"]["t2v"]["MnR"]
    of_first.write_text(json.dumps(found))
    mean = begin(store, noisy, run.path, seeds=2, resume=True).metrics["best"]["t2v"]
    assert "MnR" not in mean
    assert mean["R@1"] == run.metrics["best"]["t2v"]["R@1"]


def test_patience_is_counted_on(store, contrary, tmp_path, monkeypatch):
    options = ["epochs=50", "patience=3", "lr=0.5", "batch_size=16", "threads=1"]
    stop_after(monkeypatch, 7)  # after two evaluations that were no better than the first
    with pytest.raises(KeyboardInterrupt):
        train(store, contrary, out=tmp_path / "run", set=options, progress=False)
    monkeypatch.undo()
    run = train(store, out=tmp_path / "run", resume=True, progress=False)
    assert [entry["epoch"] for entry in run.log] == [0, 1, 2, 3]
    assert run.metrics["stopped"] == "patience"


def test_the_best_weights_are_in_the_state_too(store, noisy, whole, tmp_path, monkeypatch):
    stop_after(monkeypatch, STEPS)
    with pytest.raises(KeyboardInterrupt):
        begin(store, noisy, tmp_path / "run")
    monkeypatch.undo()
    (tmp_path / "run/checkpoints/best.safetensors").unlink()
    assert_same(begin(store, noisy, tmp_path / "run", resume=True), whole)


def test_two_trainings_do_not_write_into_one_run(store, noisy, tmp_path, monkeypatch):
    taken, refused = loop_module.Loop._step, []

    def with_another(self, *batch):
        taken(self, *batch)
        if self.state.step == 2:
            with pytest.raises(RunInvalid, match="another training writes into it"):
                begin(store, noisy, tmp_path / "run", resume=True)
            refused.append(True)

    monkeypatch.setattr(loop_module.Loop, "_step", with_another)
    begin(store, noisy, tmp_path / "run")
    assert refused == [True]


@pytest.mark.slow
def test_other_settings_or_another_store_are_refused(store, noisy, tmp_path, monkeypatch):
    stop_after(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        begin(store, noisy, tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(OptionInvalid, match=r"but epochs was 4 and is now 9; head.rate was None and is now 0.5"):
        train(store, out=tmp_path / "run", set=["epochs=9", "head.rate=0.5"], resume=True, progress=False)
    with pytest.raises(OptionInvalid, match=r"is a run of preset .*:Noisy', not 'x-pool'"):
        train(store, "x-pool", out=tmp_path / "run", resume=True, progress=False)
    other = write_store(tmp_path / "other.zarr", seed=1)
    with pytest.raises(StoresDisagree, match=r"began on the store .* is another"):
        train(other, out=tmp_path / "run", resume=True, progress=False)


def test_a_damaged_state_is_one_line(store, noisy, tmp_path, monkeypatch):
    stop_after(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        begin(store, noisy, tmp_path / "run")
    monkeypatch.undo()
    file = tmp_path / "run/checkpoints/resume.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RunInvalid, match=r"resume.safetensors: not a checkpoint of a run, or a damaged one"):
        train(store, out=tmp_path / "run", resume=True, progress=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_trains_stops_and_goes_on_and_its_head_loads_on_the_cpu(store, tmp_path, monkeypatch):
    stop_after(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        begin(store, "x-pool", tmp_path / "run", device="cuda")
    monkeypatch.undo()
    run = train(store, out=tmp_path / "run", resume=True, device="cuda", progress=False)
    straight = begin(store, "x-pool", tmp_path / "straight", device="cuda")
    for name, value in run.load_head("last").state_dict().items():
        torch.testing.assert_close(value, straight.load_head("last").state_dict()[name], rtol=1e-3, atol=1e-5)
