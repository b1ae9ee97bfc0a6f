"""`gaid import-checkpoint`: published names and shapes in, a run out that the other commands take."""

import argparse
import json
import warnings
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gaid.backbones.weights import sha256_of
from gaid.heads import AvigateHead, load_published
from gaid.runs import import_checkpoint, load_run
from gaid.stores import StorePlan, StoreWriter, open_store
from tests.checkpoint_maker import (
    DIM,
    FRAMES,
    MODEL,
    head_weights,
    published_weights,
    register_small_clip,
    transformers_clip,
    write_checkpoint,
)
from tests.media_maker import tone, write_video

KINDS = ("gaid", "t-mass", "x-pool", "avigate", "clip4clip")
AVIGATE_AUDIO = 48


@pytest.fixture(scope="session", autouse=True)
def small(tmp_path_factory):
    return register_small_clip(tmp_path_factory.mktemp("open_clip"))


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return {kind: write_checkpoint(folder / f"{kind}.pth", kind) for kind in KINDS}


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(4)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    mask = torch.rand((6, FRAMES), generator=generator) > 0.3
    return draw(7, DIM), draw(6, FRAMES, DIM), draw(6, FRAMES, DIM), mask


def write_store(path: Path, audio_dim: int, backbones: dict) -> Path:
    rng = np.random.default_rng(0)
    plan = StorePlan(
        video_ids=[f"clip{number}" for number in range(8)],
        caption_ids=[f"caption{number}" for number in range(8)],
        caption_texts=[f"sentence {number}" for number in range(8)],
        caption_video=list(range(8)),
        token_offsets=[0] * 9,
        splits={"main": {"test": list(range(8))}},
        default_protocol="main",
        frames=FRAMES,
        visual_dim=DIM,
        audio_dim=audio_dim,
        text_dim=DIM,
        attrs={"dataset": {"name": "noise", "root": str(path.parent)}, "backbones": backbones},
        shard_rows=8,
        chunk_rows=8,
    )
    with StoreWriter.open(path, plan) as writer:
        for number in writer.pending_shards:
            writer.write_shard(
                number,
                {
                    "visual": rng.normal(size=(8, FRAMES, DIM)).astype(np.float16),
                    "audio": rng.normal(size=(8, FRAMES, audio_dim)).astype(np.float16),
                    "audio_mask": np.ones((8, FRAMES), bool),
                    "audio_state": np.zeros(8, np.uint8),
                    "time": np.zeros((8, FRAMES), np.float32),
                    "duration": np.ones(8, np.float32),
                    "valid": np.ones(8, bool),
                },
                [],
            )
        writer.write_captions(rng.normal(size=(8, DIM)).astype(np.float16), np.zeros((0, DIM), np.float16))
        writer.finish()
    return path


def named(visual="clip:ViT-B-32/openai", sha256="0" * 64):
    clip = {"name": visual, "sha256": sha256, "random_weights": False}
    return {"visual": clip, "audio": {"name": "clap"}, "text": clip}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_becomes_a_run_that_can_be_evaluated(gaid, checkpoints, kind):
    told = gaid("import-checkpoint", checkpoints[kind], "--kind", kind, "-o", "runs/theirs", "--json")
    assert told.code == 0, told.err
    preset = {"clip4clip": "mean-pool"}.get(kind, kind)
    assert told.json["preset"] == preset
    assert told.json["visual"] == f"clip:{MODEL}/runs/theirs/clip"
    run = load_run("runs/theirs")
    assert run.imported["sha256"] == sha256_of(checkpoints[kind])
    assert run.imported["clip_sha256"] == sha256_of(Path("runs/theirs/clip/open_clip_model.safetensors"))
    assert (run.imported["file"], run.imported["kind"]) == (f"{kind}.pth", kind)
    assert run.imported.get("epoch") == (None if kind in ("avigate", "clip4clip") else 4)
    assert run.protocol == ("published" if kind == "gaid" else "query")
    assert (run.log, run.finished, run.kept) == ([], True, ())
    assert run.head.config["logit_scale"] == pytest.approx(90.0)
    audio = AVIGATE_AUDIO if kind == "avigate" else DIM
    write_store(Path("other.zarr"), audio, named())
    told = gaid("eval", "--run", "runs/theirs", "--store", "other.zarr", "--report", "none", "--json")
    assert told.code == 0, told.err
    notes = " ".join(told.json["notes"])
    assert f"imported from {kind}.pth ({kind}), not trained here" in notes
    assert (
        "the store's visual features are of clip:ViT-B-32/openai (000000000000), not of the checkpoint's own CLIP"
        in notes
    )
    assert ("which sounds' encoder" in notes) == (kind in ("gaid", "avigate"))
    own = named(f"clip:{MODEL}/open_clip_model.safetensors", run.imported["clip_sha256"])
    write_store(Path("own.zarr"), audio, own)
    told = gaid("eval", "--run", "runs/theirs", "--store", "own.zarr", "--report", "none", "--json")
    assert "not of the checkpoint's own CLIP" not in " ".join(told.json["notes"])


@pytest.mark.parametrize("kind", ["gaid", "t-mass", "x-pool"])
def test_the_imported_head_scores_as_the_published_one(checkpoints, features, tmp_path, kind):
    expected = load_published(head_weights(kind))
    head = import_checkpoint(checkpoints[kind], kind, out=tmp_path / "run").run.head
    for own in ("query", "own_caption"):
        text, visual, audio, mask = features
        chosen = {"gate_by": own, "pool_by": own, "own_caption": torch.arange(6)} if own == "own_caption" else {}
        torch.manual_seed(0)
        found = head.score(text, visual, audio, mask, **chosen)
        torch.manual_seed(0)
        torch.testing.assert_close(found, expected.score(text, visual, audio, mask, **chosen), rtol=0, atol=0)
    assert found.std() > 1e-3


def test_the_published_modules_own_scores_come_out_of_an_imported_run(tmp_path):
    """tests/data/published_reference.npz: what the published modules gave for these weights, under both protocols."""
    with np.load(Path(__file__).parents[1] / "data" / "published_reference.npz") as arrays:
        numbers = {name: torch.as_tensor(arrays[name]) for name in arrays.files}
    names = {"gate.": "gate_fc.", "pool.": "pool_frames.", "radius.": "stochastic.std_branch.linear_proj."}
    weights = {
        f"module.{theirs}{name.removeprefix(ours)}": value
        for name, value in numbers.items()
        for ours, theirs in names.items()
        if name.startswith(ours)
    }
    file = write_checkpoint(tmp_path / "c.pth", "gaid", weights | {"module.stochastic.alpha": numbers["alpha"]})
    import_checkpoint(file, "gaid", out=tmp_path / "run")
    head = load_run(tmp_path / "run").head
    features = [numbers[name] for name in ("text", "visual", "audio")]
    for name, by in {"scores_query": "query", "scores_published": "own_caption"}.items():
        found = head.score(*features, gate_by=by, pool_by=by)
        torch.testing.assert_close(found, numbers[name], atol=1e-5, rtol=1e-5)


def test_avigates_projection_of_sound_comes_along_and_its_encoder_does_not(checkpoints, features, tmp_path):
    weights = head_weights("avigate")
    within = {name: value for name, value in weights.items() if not name.startswith("clip.")}
    expected = load_published(within)
    imported = import_checkpoint(checkpoints["avigate"], "avigate", out=tmp_path / "run")
    head = imported.run.head
    assert isinstance(head, AvigateHead)
    assert head.config["audio_dim"] == AVIGATE_AUDIO
    assert set(imported.unused) == {f"clip.audio.v.blocks.{number}.norm1.weight" for number in range(6)}
    text, visual, _, mask = features
    audio = torch.randn((6, FRAMES, AVIGATE_AUDIO), generator=torch.Generator().manual_seed(5))
    projected = audio @ weights["clip.audio_projection"]
    expected.logit_scale = head.config["logit_scale"]  # its score depends on it, and the checkpoint's CLIP tells it
    torch.testing.assert_close(
        head.score(text, visual, audio, mask), expected.score(text, visual, projected, mask), rtol=1e-5, atol=1e-6
    )


def test_clip4clip_is_the_mean_of_directions(checkpoints, features, tmp_path):
    text, visual, audio, mask = features
    head = import_checkpoint(checkpoints["clip4clip"], "clip4clip", out=tmp_path / "run").run.head
    mean = torch.nn.functional.normalize(visual, dim=-1).mean(1)
    expected = torch.nn.functional.normalize(text, dim=-1) @ torch.nn.functional.normalize(mean, dim=-1).T
    torch.testing.assert_close(head.score(text, visual, audio, mask), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "layout"), [("x-pool", "openai"), ("clip4clip", "transformers")])
def test_either_layout_of_clip_is_taken_for_every_kind_in_half_precision_and_from_parallel_training(
    tmp_path, kind, layout
):
    weights = {f"module.{name}": value.half() for name, value in published_weights(kind, layout).items()}
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / "flat.safetensors")
    found = import_checkpoint(tmp_path / "flat.safetensors", kind, out=tmp_path / "run")
    assert found.run.imported["clip_layout"] == layout
    assert {value.dtype for value in found.run.head.state_dict().values()} == {torch.float32}
    written = load_file(tmp_path / "run/clip/open_clip_model.safetensors")
    assert written["visual.proj"].dtype == torch.float32


def test_a_folder_of_videos_goes_the_whole_way_with_the_checkpoints_own_clip(gaid, checkpoints):
    """Extraction sees with the imported CLIP, its store says so, and eval and search find it without being told where."""
    for number in range(4):
        write_video(Path(f"mine/clip {number}.mp4"), frames=12, size=(64, 48), seed=number, sound=tone(0.5, 16000, 300.0),
                    sound_rate=16000)  # fmt: skip
    Path("mine/captions.csv").write_text("video,caption\n" + "".join(f"clip {n}.mp4,number {n}\n" for n in range(4)))
    assert gaid("import-checkpoint", checkpoints["t-mass"], "--kind", "t-mass").code == 0
    run = load_run("runs/t-mass-t-mass")
    told = gaid("extract", "--dataset", "folder", "--root", "mine", "--visual", run.visual, "--audio", "tiny",
                "--out", "own.zarr", "--workers", "1")  # fmt: skip
    assert told.code == 0, told.err
    store = open_store("own.zarr")
    for sense in ("visual", "text"):
        about = store.attrs["backbones"][sense]
        assert about["sha256"] == run.imported["clip_sha256"]
        assert (about["quick_gelu"], about["random_weights"]) == (True, False)
    theirs = transformers_clip()
    from open_clip import get_tokenizer

    with torch.inference_mode():
        read = theirs.text_projection(
            theirs.text_model(get_tokenizer(MODEL)(list(store["captions/text"][:]))).pooler_output
        )
    np.testing.assert_allclose(store["captions/embedding"][:], read.numpy(), atol=2e-3)  # kept in float16
    told = gaid("search", "number 2", "--run", run.path, "--store", "own.zarr", "--json")
    assert told.code == 0, told.err
    assert told.json["clips"] == 4
    assert not any("not of the checkpoint's own CLIP" in note for note in told.json["notes"])
    told = gaid("search", "number 2", "--run", run.path)
    assert (told.code, told.last_word) == (
        2, f"gaid: {run.path}: was imported and has no store of its own; give one (--store PATH)"
    )  # fmt: skip


def test_what_was_not_used_is_listed(gaid, tmp_path):
    weights = published_weights("t-mass") | {"clip.vision_model.embeddings.position_ids": torch.arange(5)[None]}
    weights |= {"teacher.weight": torch.zeros(2)} | {f"teacher.net.{n}.weight": torch.zeros(1) for n in range(9)}
    file = write_checkpoint(tmp_path / "best.pth", "t-mass", weights)
    told = gaid("import-checkpoint", file, "--kind", "t-mass", "-o", "run")
    assert told.code == 0
    lines = [line.removeprefix("not used: ") for line in told.err.splitlines() if line.startswith("not used")]
    assert lines == [
        "clip.vision_model.embeddings.position_ids", "stochastic.std_branch.learnable_scalar", "teacher.weight",
        "teacher.net.* (9 weights)",
    ]  # fmt: skip
    assert "not weights: epoch (4), optimizer (2 entries)" in told.err
    assert told.out.strip() == (
        f"run: t-mass is imported; now: gaid extract --dataset NAME --visual clip:{MODEL}/run/clip"
    )
    kept = json.loads(Path("run/imported.json").read_text())
    assert len(kept["unused"]) == 12
    assert kept["others"] == ["epoch (4)", "optimizer (2 entries)"]


def test_a_head_alone_is_a_run_without_a_clip(gaid, tmp_path):
    file = write_checkpoint(tmp_path / "head.pth", "x-pool", head_weights("x-pool"))
    told = gaid("import-checkpoint", file, "--kind", "x-pool", "-o", "run")
    assert told.code == 0
    assert "no CLIP was in it" in told.out
    write_store(Path("other.zarr"), 5, named())  # sounds of another size than a head that hears nothing was built for
    told = gaid("eval", "--run", "run", "--store", "other.zarr", "--report", "none", "--json")
    assert told.code == 0, told.err
    assert any("holds no CLIP" in note for note in told.json["notes"])


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
        ("clip4clip", {"cross.embeddings.position_embeddings.weight": (77, 64)}, "of CLIP4Clip only meanP is taken"),
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
        "text.pth": "no checkpoint that torch can read, or a damaged one",
        "empty.pth": "no checkpoint that torch can read, or a damaged one",
        "cut.pth": "no checkpoint that torch can read, or a damaged one",
        "text.safetensors": "no checkpoint that torch can read, or a damaged one",
        "list.pth": "holds no weights by name, but list",
        "none.pth": "holds no weights by name, but dict of epoch, net; expected a state dict, alone or under 'state_dict'",
        "resnet.pth": "of no published method that is known here (gaid, t-mass, x-pool, avigate, clip4clip)",
        "pickled.pth": "holds a fractions.Fraction, and reading that would run code; where you trust the file, keep its weights",
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
    assert told.last_word == "gaid: run: was imported, so there is no training to go on with; give another --out"
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
