"""`gaid import-checkpoint`: published names and shapes in, a run out that the other commands take."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, get_tokenizer
from safetensors.torch import load_file, save_file

from gaid.backbones import load_text, load_visual
from gaid.files import sha256_of
from gaid.heads import AvigateHead, load_published
from gaid.imports import import_checkpoint
from gaid.runs import load_run
from gaid.stores import open_store
from tests.checkpoint_maker import (
    DIM,
    FRAMES,
    KINDS,
    MODEL,
    head_weights,
    published_weights,
    transformers_clip,
    write_checkpoint,
)
from tests.media_maker import tone, write_video
from tests.noise_store import named, write_store

pytestmark = pytest.mark.usefixtures("checkpoints")  # open_clip knows the small CLIP

AVIGATE_AUDIO = 48


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(4)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    mask = torch.rand((6, FRAMES), generator=generator) > 0.3
    return draw(7, DIM), draw(6, FRAMES, DIM), draw(6, FRAMES, DIM), mask


@pytest.mark.slow
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
    clip_tokens = 7 if kind == "avigate" else 0
    write_store(Path("other.zarr"), audio, named(), clip_tokens)
    told = gaid("eval", "--run", "runs/theirs", "--store", "other.zarr", "--report", "none", "--json")
    assert told.code == 0, told.err
    notes = " ".join(told.json["notes"])
    assert f"imported from {kind}.pth ({kind}), not trained here" in notes
    assert (
        "the store's visual features are of clip:ViT-B-32/openai (000000000000), not of the checkpoint's own CLIP"
        in notes
    )
    assert ("which audio encoder" in notes) == (kind == "gaid")
    assert ("not of the checkpoint's own audio encoder" in notes) == (kind == "avigate")
    own = named(f"clip:{MODEL}/open_clip_model.safetensors", run.imported["clip_sha256"])
    write_store(Path("own.zarr"), audio, own, clip_tokens)
    told = gaid("eval", "--run", "runs/theirs", "--store", "own.zarr", "--report", "none", "--json")
    assert "not of the checkpoint's own CLIP" not in " ".join(told.json["notes"])


@pytest.mark.slow
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


def test_avigates_projection_of_sound_comes_along_without_its_encoder_too(features, tmp_path):
    weights = {name: one for name, one in published_weights("avigate").items() if not name.startswith("clip.audio.")}
    within = {name: value for name, value in weights.items() if not name.startswith("clip.")}
    expected = load_published(within)
    file = write_checkpoint(tmp_path / "c.pth", "avigate", weights)
    imported = import_checkpoint(file, "avigate", out=tmp_path / "run")
    head = imported.run.head
    assert isinstance(head, AvigateHead)
    assert head.config["audio_dim"] == AVIGATE_AUDIO
    assert imported.unused == ()
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    with torch.inference_mode():
        read = theirs.text_projection(
            theirs.text_model(get_tokenizer(MODEL)(list(store["captions/text"][:]))).pooler_output
        )
    np.testing.assert_allclose(store["captions/embedding"][:], read.numpy(), atol=2e-3)  # kept in float16
    told = gaid("search", "number 2", "--run", run.path, "--store", "own.zarr", "--json")
    assert told.code == 0, told.err
    assert told.json["clips"] == 4
    assert not any("not of the checkpoint's own CLIP" in note for note in told.json["notes"])
    stress = (
        "stress",
        run.path,
        "--store",
        "own.zarr",
        "--fault",
        "typos",
        "--fault",
        "black",
        "--media",
        "--clips",
        "2",
    )
    told = gaid(*stress, "--root", "mine", "--json", "-o", "stress")
    assert told.code == 0, told.err
    assert not any("left out" in note for note in told.json["notes"])
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
    assert "without a CLIP in it" in told.out
    write_store(Path("other.zarr"), 5, named())  # sounds of another size than a head that hears nothing was built for
    told = gaid("eval", "--run", "run", "--store", "other.zarr", "--report", "none", "--json")
    assert told.code == 0, told.err
    assert any("holds no CLIP" in note for note in told.json["notes"])


@pytest.mark.slow
def test_vit_b_32_at_its_real_size_sees_and_reads_as_transformers_does(gaid):
    """X-Pool over ViT-B/32 in full: 600 MB that a test builds, imports and encodes with; about 15 s on one core."""
    sizes = {
        "dim": 512,
        "vision": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
        "text": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
    }
    theirs = transformers_clip(**sizes)
    weights = {f"clip.{name}": value for name, value in theirs.state_dict().items()} | head_weights("x-pool", dim=512)
    write_checkpoint("model_best.pth", "x-pool", weights)
    told = gaid("import-checkpoint", "model_best.pth", "--kind", "x-pool", "-o", "run", "--json")
    Path("model_best.pth").unlink()
    assert told.code == 0, told.err
    assert told.json["visual"] == "clip:ViT-B-32/run/clip"
    frames = np.random.default_rng(0).integers(0, 256, (1, 2, 224, 224, 3), dtype=np.uint8)
    texts = ["a dog barks at a red car", "two people talk"]
    visual, text = load_visual(told.json["visual"]), load_text(told.json["visual"])
    scaled = torch.from_numpy(frames[0]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    with torch.inference_mode():
        seen = theirs.visual_projection(theirs.vision_model((scaled - mean) / std).pooler_output)
        read = theirs.text_projection(theirs.text_model(get_tokenizer("ViT-B-32")(texts)).pooler_output)
    # The weights are wide, so values reach 6: measured 7e-6 and 6e-6.
    np.testing.assert_allclose(visual.encode_frames(frames)[0], seen, atol=5e-5)
    np.testing.assert_allclose(text.encode_text(texts).embedding, read, atol=5e-5)
    Path("run/clip/open_clip_model.safetensors").unlink()
