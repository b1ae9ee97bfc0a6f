"""Run folders: what is one, what is not, and what their files hold."""

import json
from pathlib import Path

import pytest
import torch

from gaid.errors import CodeRefused, DataMissing, HeadMismatch, OptionInvalid, RunInvalid
from gaid.heads import build_head
from gaid.runs import Run, list_runs, load_run, resolve_head
from gaid.runs.factory import find_class, head_options
from gaid.runs.files import read_checkpoint, write_checkpoint
from gaid.runs.opening import clear_run
from gaid.runs.run import default_out

SIZES = {"visual_dim": 6, "audio_dim": 5, "text_dim": 4, "frames": 3}


@pytest.fixture
def run(tmp_path):
    """A run as training writes it, made by hand."""
    return make_run(tmp_path / "runs" / "mine")


def make_run(path, preset="gaid", head=None, described=None, config=""):
    if head is None:
        head, described = resolve_head(preset, **SIZES)
    path.mkdir(parents=True)
    (path / "config.toml").write_text(f"preset = '{preset}'\nseed = 0\nstore = 'stores/s.zarr'\n{config}")
    store = {"fingerprint": "f" * 64, "backbones": {}}
    description = {"head": described, "store": store}
    write_checkpoint(path / "checkpoints/best.safetensors", head.state_dict(), description)
    return load_run(path)


def test_a_head_comes_back_with_its_weights_and_its_parts(tmp_path):
    torch.manual_seed(1)
    head, described = resolve_head("gaid", **SIZES, options={"dim": 7, "support_loss_weight": 0.8})
    run = make_run(tmp_path / "run", head=head, described=described)
    assert run.head.config == head.config
    assert run.head.config["support_loss_weight"] == 0.8
    assert not run.head.training
    for name, value in run.head.state_dict().items():
        assert torch.equal(value, head.state_dict()[name])
    assert run.members == (run,)
    assert run.fingerprint == "f" * 64


def test_weights_of_another_head_are_refused(tmp_path):
    head, _ = resolve_head("gaid", **SIZES)
    other = build_head("mean-pool", **SIZES)
    run = make_run(tmp_path / "run", head=head, described={"preset": "mean-pool", "arguments": other.config})
    with pytest.raises(HeadMismatch, match=r"weights don't fit the head 'mean-pool'") as caught:
        run.load_head()
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_run_is_one_line(run, tmp_path):
    with pytest.raises(DataMissing, match=r"runs/mime: no such run; did you mean 'mine'\?"):
        load_run(run.path.parent / "mime")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunInvalid, match="not a run"):
        load_run(tmp_path / "empty")
    (tmp_path / "empty" / "config.toml").write_text("preset = 'gaid'\n")
    with pytest.raises(RunInvalid, match="seed, store missing"):
        load_run(tmp_path / "empty")
    (tmp_path / "empty" / "config.toml").write_text("preset = \n")
    with pytest.raises(RunInvalid, match="the run is damaged"):
        load_run(tmp_path / "empty")


def test_a_checkpoint_that_is_not_there_or_cut_short_is_one_line(run):
    with pytest.raises(RunInvalid, match=r"last.safetensors: no such checkpoint"):
        run.load_head("last")
    file = run.path / "checkpoints/best.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RunInvalid, match="or a damaged one"):
        run.load_head()


def test_a_pickle_under_a_checkpoints_name_is_not_opened(run):
    class Bomb:
        def __reduce__(self):
            return (Path.write_text, (run.path / "exploded", ""))

    torch.save(Bomb(), run.path / "checkpoints/best.safetensors")
    with pytest.raises(RunInvalid):
        run.load_head()
    assert not (run.path / "exploded").exists()


def test_code_within_a_run_is_not_run_unasked(run, tmp_path):
    code = tmp_path / "runs" / "mine" / "head.py"
    code.write_text("raise SystemExit('ran')\n")
    head, _ = resolve_head("gaid", **SIZES)
    path = run.path / "checkpoints/best.safetensors"
    described = {"preset": f"{code}:Head", "arguments": {}}
    write_checkpoint(path, head.state_dict(), {"head": described, "store": {}})
    with pytest.raises(CodeRefused, match=r"head.py: is code within the run"):
        load_run(run.path).load_head()


def test_metrics_that_are_not_json_are_one_line(run):
    assert run.metrics == {}
    (run.path / "metrics.json").write_text("{")
    with pytest.raises(RunInvalid, match=r"metrics.json: can't be read"):
        _ = run.metrics


def test_a_run_of_several_seeds_has_members_and_no_head_of_its_own(tmp_path):
    out = tmp_path / "many"
    for seed in (4, 5):
        make_run(out / f"seed-{seed}")
    (out / "config.toml").write_text("preset = 'gaid'\nseed = 4\nseeds = 2\nstore = 's'\n")
    run = load_run(out)
    assert run.seeds == (4, 5)
    assert [member.path for member in run.members] == [out / "seed-4", out / "seed-5"]
    with pytest.raises(RunInvalid, match="holds 2 seeds"):
        run.load_head()


def test_runs_are_listed_by_name(run):
    make_run(run.path.parent / "also")
    (run.path.parent / "other").mkdir()
    assert [path.name for path in list_runs(run.path.parent)] == ["also", "mine"]
    assert list_runs(run.path / "nowhere") == []


def test_load_run_takes_a_run_too(run):
    assert load_run(run) is run
    assert isinstance(run, Run)


def test_clearing_a_run_leaves_what_others_put_there(run):
    (run.path / "notes.txt").write_text("mine")
    (run.path / "metrics.json").write_text("{}")
    clear_run(run.path)
    assert [file.name for file in run.path.iterdir()] == ["notes.txt"]
    with pytest.raises(RunInvalid, match="not a run"):
        clear_run(run.path)


def test_tied_weights_and_views_are_written_as_they_read(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"one": base, "two": base, "turned": base.T, "scalar": torch.tensor(2.0)}
    write_checkpoint(tmp_path / "c.safetensors", tensors, {"words": "ä"})
    found, description = read_checkpoint(tmp_path / "c.safetensors")
    assert description == {"words": "ä"}
    for name, value in tensors.items():
        assert torch.equal(found[name], value)


OWN = """
from torch import nn
class Own(nn.Module):
    def __init__(self, visual_dim, audio_dim, text_dim, dim, frames, bend=1):
        super().__init__()
        self.bend, self.dim = bend, dim
    def loss(self, *inputs, same=None): ...
    def score(self, *inputs, **how): ...
"""


def test_a_class_is_found_by_file_and_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own_class_of_test_runs.py").write_text(OWN)
    for preset in (
        "own_class_of_test_runs:Own",
        "own_class_of_test_runs.py:Own",
        f"{tmp_path}/own_class_of_test_runs.py:Own",
    ):
        head, described = resolve_head(preset, **SIZES, options={"bend": 3})
        assert (head.bend, head.dim) == (3, 4)  # texts' size, where none is given
        assert json.loads(json.dumps(described)) == {
            "preset": preset,
            "arguments": {**SIZES, "dim": 4, "bend": 3},
        }
    with pytest.raises(OptionInvalid, match=r"head.bent is no option of .*; did you mean 'bend'\?"):
        resolve_head("own_class_of_test_runs.py:Own", **SIZES, options={"bent": 3})
    with pytest.raises(OptionInvalid, match=r"no torch.nn.Module 'Owm'; did you mean 'Own'\?"):
        find_class("own_class_of_test_runs.py:Owm")


def test_options_of_a_head_are_those_of_its_class():
    kinds = head_options("gaid")
    assert kinds["dropout"] is float
    assert set(kinds).isdisjoint(SIZES)
    assert head_options("torch.nn:Sequential")  # of whatever class
    assert head_options("gaid.heads:HeadBase") is None  # takes anything


def test_code_that_fails_while_it_is_imported_is_named_with_its_reason(tmp_path):
    (tmp_path / "bad.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(OptionInvalid, match=r"bad.py can't be imported \(ModuleNotFoundError: No module named"):
        find_class(f"{tmp_path}/bad.py:Own")


@pytest.mark.parametrize(
    ("preset", "name"), [("gaid", "gaid-demo"), ("a.b:My_Head", "My_Head-demo"), ("x/y z.py:H", "H-demo")]
)
def test_the_default_folder_is_named_after_the_head_and_the_data(preset, name):
    assert default_out(preset, "demo") == Path("runs") / name
