"""What `gaid import-checkpoint` refuses, each in one line that names it, and what it does with a file it can't trust."""

import argparse
import warnings
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from gaid.runs import load_run
from tests.checkpoint_maker import DIM, KINDS, head_weights, published_weights, write_checkpoint
from tests.noise_store import named, write_store

pytestmark = pytest.mark.usefixtures("checkpoints")  # open_clip knows the small CLIP


@pytest.mark.parametrize("made", KINDS)
def test_the_wrong_kind_is_told_the_right_one(gaid, checkpoints, made):
    asked = "x-pool" if made != "x-pool" else "gaid"
    told = gaid("import-checkpoint", checkpoints[made], "--kind", asked, "-o", "run")
    assert told.code == 2
    assert told.last_word.endswith(f"not of {asked}; import it with --kind {made}")
    assert not Path("run").exists()


def broken(weights, kind):
    name = {"gaid": "gate_fc.bias", "t-mass": "stochastic.std_branch.linear_proj.bias",
            "x-pool": "pool_frames.layer_norm3.bias", "avigate": "transformer_Fusion.resblocks.1.ln_3.bias",
            "clip4clip": "clip.ln_final.bias"}[kind]  # fmt: skip
    return {other: value for other, value in weights.items() if other != name}, name


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_lacks_a_weight_is_one_line_that_names_it(gaid, tmp_path, kind):
    weights, name = broken(published_weights(kind), kind)
    told = gaid("import-checkpoint", write_checkpoint(tmp_path / "c.pth", kind, weights), "--kind", kind, "-o", "run")
    ours = {"gate_fc.bias": "gate.linear.bias", "pool_frames.layer_norm3.bias": "pooling.norm_pooled.bias",
            "stochastic.std_branch.linear_proj.bias": "perturbation.deviation.linear.bias",
            "transformer_Fusion.resblocks.1.ln_3.bias": "resampler.1.norm_cross.bias",
            "clip.ln_final.bias": "ln_final.bias"}[name]  # fmt: skip
    assert told.code == 2
    assert len(told.err.strip().splitlines()) == 1
    assert "lacks weights of" in told.err
    assert ours in told.err
    assert not Path("run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "more", "word"),
    [
        (
            "gaid",
            {"linear.weight": (64, 96), "linear.bias": (64,)},
            "has linear.*, a linear layer of the sound with a bias",
        ),
        (
            "clip4clip",
            {"transformerClip.resblocks.0.ln_1.bias": (64,)},
            "CLIP4Clip's seqTransf, which no head here computes",
        ),
        ("clip4clip", {"lstm_visual.weight_ih_l0": (64, 64)}, "seqLSTM"),
        (
            "clip4clip",
            {"cross.embeddings.position_embeddings.weight": (77, 64)},
            "of CLIP4Clip only meanP can be imported",
        ),
        ("x-pool", {"pool_frames.linear_proj.weight": (64, 32)}, "has shape (64, 32), expected (64, 64)"),
        ("avigate", {"transformerClip.resblocks.0.ln_1.bias": (3,)}, "has shape (3,), expected (64,)"),
    ],
)
def test_layers_that_no_head_has_and_wrong_shapes_are_refused(gaid, tmp_path, kind, more, word):
    weights = published_weights(kind) | {name: torch.zeros(shape) for name, shape in more.items()}
    told = gaid("import-checkpoint", write_checkpoint(tmp_path / "c.pth", kind, weights), "--kind", kind)
    assert told.code == 2
    assert word in told.last_word


def test_a_head_and_a_clip_of_different_sizes_are_refused(gaid, tmp_path):
    weights = {n: v for n, v in published_weights("x-pool").items() if n.startswith("clip.")} | head_weights(
        "x-pool", dim=32
    )
    told = gaid("import-checkpoint", write_checkpoint(tmp_path / "c.pth", "x-pool", weights), "--kind", "x-pool")
    assert (told.code, told.last_word) == (2, f"gaid: {tmp_path}/c.pth: its head takes 32 numbers, its CLIP gives 64")


class Config:
    """A class of a training loop's own."""


def test_files_that_are_no_checkpoint_are_one_line_each(gaid, tmp_path):
    weights = head_weights("x-pool")
    Path("text.pth").write_text("not a checkpoint\n")
    Path("empty.pth").write_bytes(b"")
    torch.save(weights, "whole.pth")
    Path("cut.pth").write_bytes(Path("whole.pth").read_bytes()[:2000])
    Path("text.safetensors").write_text("not one either\n")
    torch.save([1, 2], "list.pth")
    torch.save({"epoch": 3, "net": {"a": 1}}, "none.pth")
    torch.save({"layer.weight": torch.zeros(2)}, "resnet.pth")
    torch.save({"state_dict": weights, "config": Fraction(1, 2)}, "pickled.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit goes, its archives stay: OpenAI's own CLIP is one
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), "script.pt")
    for file, word in {
        "nowhere.pth": "no such file",
        "text.pth": "not a checkpoint that torch can read, or a damaged one",
        "empty.pth": "not a checkpoint that torch can read, or a damaged one",
        "cut.pth": "not a checkpoint that torch can read, or a damaged one",
        "text.safetensors": "not a checkpoint that torch can read, or a damaged one",
        "list.pth": "holds no weights by name, but list",
        "none.pth": "holds no weights by name, but dict of epoch, net; expected a state dict, alone or under 'state_dict'",
        "resnet.pth": "not of a published method known here (gaid, t-mass, x-pool, avigate, clip4clip)",
        "pickled.pth": "holds a fractions.Fraction, and reading that would run code; if you trust the file, save its weights",
        "script.pt": "a TorchScript archive, which is code",
    }.items():
        told = gaid("import-checkpoint", file, "--kind", "x-pool", "-o", "run")
        assert told.code == 2, (file, told.err)
        assert len(told.err.strip().splitlines()) == 1, told.err
        assert told.last_word.startswith(f"gaid: {file}: ")
        assert word in told.last_word
    assert gaid("import-checkpoint", tmp_path, "--kind", "x-pool").last_word.endswith(
        "is a folder; name the checkpoint in it"
    )
    assert "did you mean 't-mass'?" in gaid("import-checkpoint", "whole.pth", "--kind", "tmass").last_word


def test_code_in_a_checkpoint_is_not_run(gaid, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.write_text, (tmp_path / "exploded", ""))

    torch.save({"state_dict": head_weights("x-pool"), "args": Bomb()}, "bomb.pth")
    assert gaid("import-checkpoint", "bomb.pth", "--kind", "x-pool").code == 2
    assert not (tmp_path / "exploded").exists()


def test_arguments_of_a_training_loop_are_only_values(gaid):
    """argparse.Namespace is a bag of values and common; what is in it is held to the same rule."""
    weights = OrderedDict(head_weights("x-pool"))
    torch.save({"state_dict": weights, "args": argparse.Namespace(lr=1e-6, out=["a"])}, "theirs.pth")
    told = gaid("import-checkpoint", "theirs.pth", "--kind", "x-pool", "-o", "run")
    assert told.code == 0, told.err
    assert "not weights: args (Namespace)" in told.err
    torch.save({"state_dict": weights, "args": argparse.Namespace(of=Fraction(1, 2))}, "theirs.pth")
    assert "fractions.Fraction" in gaid("import-checkpoint", "theirs.pth", "--kind", "x-pool", "-o", "other").last_word


@pytest.mark.slow
def test_a_run_that_is_there_is_kept_unless_told(gaid, checkpoints):
    assert gaid("import-checkpoint", checkpoints["x-pool"], "--kind", "x-pool", "-o", "run").code == 0
    again = ("import-checkpoint", checkpoints["t-mass"], "--kind", "t-mass", "-o", "run")
    told = gaid(*again)
    assert (told.code, told.last_word) == (
        2, "gaid: run: holds a run already; replace it (--overwrite) or choose another place (--out)"
    )  # fmt: skip
    assert load_run("run").preset == "x-pool"
    assert gaid(*again, "--overwrite", "--prior", "normal").code == 0
    assert load_run("run").preset == "t-mass"
    assert load_run("run").head.config["prior"] == "normal"
    write_store(Path("s.zarr"), DIM, named())
    told = gaid("train-head", "--store", "s.zarr", "--preset", "t-mass", "--out", "run", "--resume")
    assert told.last_word == "gaid: run: was imported, so there is no training to resume; give another --out"
    told = gaid("audit", "run", "--store", "s.zarr", "--retrain")
    assert told.last_word == "gaid: run: was imported, so there is no training to repeat; leave out --retrain"
    file = Path("run.txt")
    file.write_text("")
    assert "is a file; a run needs a folder" in gaid(*again[:-1], file).last_word


def test_options_that_the_weights_contradict_are_refused(gaid, checkpoints):
    told = gaid("import-checkpoint", checkpoints["gaid"], "--kind", "gaid", "--frames", "8")
    assert told.last_word.endswith("its weights are for 12 frames a video, not for --frames 8")
    told = gaid("import-checkpoint", checkpoints["gaid"], "--kind", "gaid", "--prior", "normal")
    assert told.last_word == "gaid: --prior is T-MASS's noise; gaid has none"
    told = gaid(
        "import-checkpoint", checkpoints["avigate"], "--kind", "avigate", "--frames", "20", "-o", "run", "--json"
    )
    assert told.json["head"]["frames"] == 20


def test_weights_that_are_not_finite_are_refused_and_named(gaid, tmp_path):
    weights = published_weights("gaid")
    weights["gate_fc.bias"][0] = float("nan")
    told = gaid(
        "import-checkpoint", write_checkpoint(tmp_path / "c.pth", "gaid", weights), "--kind", "gaid", "-o", "run"
    )
    assert told.code == 2
    assert "weights that are not finite (NaN or infinite): gate_fc.bias; its training diverged" in told.last_word
    assert not Path("run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_names_of_a_compiled_or_parallel_training_are_the_same_names(gaid, tmp_path, wrapper):
    weights = published_weights("gaid")
    wrapped = {f"{wrapper}{name}": value for name, value in weights.items()}
    for name, given in (("plain", weights), ("wrapped", wrapped)):
        file = write_checkpoint(tmp_path / f"{name}.pth", "gaid", given)
        assert gaid("import-checkpoint", file, "--kind", "gaid", "-o", name).code == 0
    plain, again = (load_run(name).head.state_dict() for name in ("plain", "wrapped"))
    assert all(torch.equal(value, again[name]) for name, value in plain.items())
