"""AVIGATE with its own audio encoder: imported, extracted with, and scored as a forward that is written out here."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

pytest.importorskip("transformers", reason="needs the extra 'ast'")

from gaid.errors import CheckpointInvalid
from gaid.imports import import_checkpoint
from gaid.runs import load_run
from gaid.stores import AUDIO_STATES, open_store
from tests.ast_maker import RATE, published_picture, sound_of, tower_tokens
from tests.checkpoint_maker import DIM, FRAMES, MODEL, published_weights, write_checkpoint
from tests.media_maker import write_video
from tests.noise_store import named, write_store

pytestmark = pytest.mark.usefixtures("checkpoints")  # open_clip knows the small CLIP

SCALE = 90.0  # the logit scale of the checkpoints' CLIP


def published_scores(weights, text, visual, tokens):
    """The cosines (texts, videos) that the published modules give: text (C, D), visual (V, F, D), tokens (V, N, Da)."""

    def attend(name, query, key):
        mixed = functional.multi_head_attention_forward(
            query.transpose(0, 1), key.transpose(0, 1), key.transpose(0, 1), DIM, DIM // 64,
            weights[f"{name}.in_proj_weight"], weights[f"{name}.in_proj_bias"], None, None, False, 0.0,
            weights[f"{name}.out_proj.weight"], weights[f"{name}.out_proj.bias"], training=False,
        )[0]  # fmt: skip
        return mixed.transpose(0, 1)

    def norm(name, x):
        return functional.layer_norm(x, (DIM,), weights[f"{name}.weight"], weights[f"{name}.bias"])

    def linear(name, x):
        return functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def gelu(x):
        return x * torch.sigmoid(1.702 * x)

    audio = tokens @ weights["clip.audio_projection"]
    heard = (weights["query_tokens"].T + weights["query_position_embeddings.weight"]).expand(len(audio), -1, -1)
    for n in range(2):
        at = f"transformer_Fusion.resblocks.{n}"
        inner = norm(f"{at}.ln_1", heard)
        heard = heard + attend(f"{at}.attn", inner, inner)
        heard = heard + attend(f"{at}.cross_attn", norm(f"{at}.ln_3", heard), norm(f"{at}.ln_3", audio))
        heard = heard + linear(f"{at}.mlp.c_proj", gelu(linear(f"{at}.mlp.c_fc", norm(f"{at}.ln_2", heard))))
    placed = visual + weights["frame_position_embeddings.weight"][:FRAMES]
    x = placed
    for n in range(2):
        at = f"transformerClip.resblocks.{n}"
        both = torch.cat([x.mean(1), heard.mean(1)], dim=-1)
        gate, mlp_gate = (
            torch.tanh(linear(f"{at}.{one}_gate.{short}_proj", gelu(linear(f"{at}.{one}_gate.{short}_fc", both))))
            for one, short in (("attn", "ag"), ("ff", "fg"))
        )
        x = x + gate[:, None] * attend(f"{at}.cross_attn", norm(f"{at}.ln_3", x), heard)
        fed = linear(f"{at}.cross_ff.cross_proj", gelu(linear(f"{at}.cross_ff.cross_fc", norm(f"{at}.ln_4", x))))
        x = x + mlp_gate[:, None] * fed
        inner = norm(f"{at}.ln_1", x)
        x = x + attend(f"{at}.attn", inner, inner)
        x = x + linear(f"{at}.mlp.c_proj", gelu(linear(f"{at}.mlp.c_fc", norm(f"{at}.ln_2", x))))
    fused = functional.normalize(0.95 * placed + 0.05 * x, dim=-1)
    text = functional.normalize(text, dim=-1)
    of_frames = torch.logsumexp(SCALE * torch.einsum("cd,vfd->cvf", text, fused), dim=-1) / SCALE
    return (of_frames + text @ functional.normalize(fused.mean(1), dim=-1).T) / 2


def loud_weights():
    """The checkpoint's weights, its gates and what attends to sound made larger: sound then moves scores by far more than the
    tolerance."""
    larger = ("gate", "cross")
    return {
        name: 3 * value if name.startswith("transformer") and any(one in name for one in larger) else value
        for name, value in published_weights("avigate").items()
    }


@pytest.mark.slow
def test_an_imported_avigate_scores_as_published_with_the_sound_of_its_own_encoder(gaid):
    """Sounds of 2.6 to 11 s in stereo, a silent one, and a clip without a track, whose gates stay open."""
    sounds = [np.stack([sound_of(s, k), -0.5 * sound_of(s, k + 3)]) for k, s in enumerate((2.6, 5.0, 11.0), 1)]
    sounds += [np.zeros((2, 3 * RATE), np.float32), None]
    seconds = [2.6, 5.0, 11.0, 3.0, 3.0]
    for number, (sound, length) in enumerate(zip(sounds, seconds, strict=True)):
        write_video(Path(f"mine/clip {number}.mkv"), frames=round(5 * length), rate=5, size=(64, 48), seed=number,
                    sound=sound, sound_rate=RATE, sound_codec="pcm_s16le", layout="stereo")  # fmt: skip
    lines = "".join(f"clip {n}.mkv,number {n}\n" for n in range(len(sounds)))
    Path("mine/captions.csv").write_text(f"video,caption\n{lines}")
    weights = loud_weights()
    write_checkpoint(Path("avigate.pth"), "avigate", weights)
    told = gaid("import-checkpoint", "avigate.pth", "--kind", "avigate", "-o", "run", "--json")
    assert told.code == 0, told.err
    assert (told.json["visual"], told.json["audio"]) == (f"clip:{MODEL}/run/clip", "ast:run/ast")
    told = gaid("extract", "--dataset", "folder", "--root", "mine", "--visual", told.json["visual"],
                "--audio", told.json["audio"], "--audio-clip-tokens", "--out", "own.zarr", "--workers", "1")  # fmt: skip
    assert told.code == 0, told.err
    assert "1,213 audio tokens of 48 numbers per clip: 0.1 MB each" in told.err

    store, run = open_store("own.zarr"), load_run("run")
    pictures = [np.zeros((1024, 128)) if sound is None else published_picture(sound) for sound in sounds]
    tokens = torch.stack([tower_tokens(weights, picture, heads=1) for picture in pictures])
    np.testing.assert_allclose(store["videos/audio_clip_tokens"][:], tokens, atol=5e-3)  # kept in float16
    assert [AUDIO_STATES[state] for state in store["videos/audio_state"][:]] == [*["sound"] * 3, "silent", "no track"]

    split = store.split("test", "all")
    text, visual = (torch.from_numpy(one.astype(np.float32)) for one in (split.text, split.visual))
    expected = published_scores(weights, text, visual, tokens).numpy()
    audio, mask = torch.from_numpy(split.audio_as("clip")), torch.from_numpy(split.audio_mask)
    found = run.head.score(text, visual, audio, mask).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    deaf = published_scores(weights, text, visual, torch.zeros_like(tokens)).numpy()
    assert np.abs(found - deaf).max(axis=0).min() > 1e-3  # what is heard matters, and so does that nothing is

    told = gaid("eval", "--run", "run", "--store", "own.zarr", "--split-protocol", "all", "--report", "none", "--json")
    assert told.code == 0, told.err
    assert told.json["audio_input"] == "clip"
    notes = " ".join(told.json["notes"])
    assert "not of the checkpoint's own" not in notes
    assert "which audio encoder" not in notes
    stress = ("stress", "run", "--store", "own.zarr", "--split-protocol", "all", "--fault", "noise", "--media")
    told = gaid(*stress, "--root", "mine", "--clips", "5", "--json", "-o", "stress")
    assert told.code == 0, told.err
    (points,) = told.json["faults"]["media-noise"]["curves"].values()
    assert points[0]["difference"]["MnR"] == 0


def test_the_encoder_is_a_folder_with_its_scale_and_a_store_of_another_is_noted(gaid, checkpoints):
    told = gaid("import-checkpoint", checkpoints["avigate"], "--kind", "avigate", "-o", "run")
    assert told.code == 0, told.err
    assert told.out.strip().endswith(f"--visual clip:{MODEL}/run/clip --audio ast:run/ast --audio-clip-tokens")
    assert "not used: clip.audio.v.head.weight" in told.err
    assert "blocks" not in told.err
    assert json.loads(Path("run/ast/preprocessor_config.json").read_text())["mean"] == -5.118
    assert json.loads(Path("run/ast/config.json").read_text())["layer_norm_eps"] == 1e-6
    head = load_run("run").head
    assert (head.audio_input, head.config["gates_without_audio"], head.config["audio_dim"]) == ("clip", "open", 48)
    write_store(Path("frames.zarr"), 48, named())
    told = gaid("eval", "--run", "run", "--store", "frames.zarr", "--report", "none")
    assert (told.code, "`gaid extract --audio-clip-tokens`" in told.last_word) == (2, True)
    assert any("own audio encoder" in one for one in load_run("run").doubts_about(open_store("frames.zarr")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clip.audio.v.norm.weight": None}, r"audio tower \(clip.audio.\*\) lacks 1 tensors \(layernorm.weight"),
        ({"clip.audio.v.blocks.0.mlp.fc1.weight": None}, "lacks 1 tensors"),
        ({"clip.audio.v.pos_embed": (1, 578, 48)}, "has 578 positions, expected 1214"),
        ({"clip.audio.v.blocks.0.mlp.fc3.weight": (2, 2)}, "has v.blocks.0.mlp.fc3.weight, which is no part of AST"),
        ({"clip.audio_projection": (768, DIM)}, "takes 768 numbers per audio token, its audio encoder gives 48"),
    ],
    ids=["no norm", "no layer", "other positions", "other layer", "other size"],
)
def test_an_audio_tower_that_is_incomplete_or_another_is_an_error(tmp_path, changes, said):
    weights = published_weights("avigate")
    for name, shape in changes.items():
        if shape is None:
            del weights[name]
        else:
            weights[name] = torch.zeros(shape)
    file = write_checkpoint(tmp_path / "c.pth", "avigate", weights)
    with pytest.raises(CheckpointInvalid, match=said):
        import_checkpoint(file, "avigate", out=tmp_path / "run")


def test_a_checkpoint_without_its_audio_tower_hears_embeddings_as_before(tmp_path):
    weights = {name: one for name, one in published_weights("avigate").items() if not name.startswith("clip.audio.")}
    found = import_checkpoint(write_checkpoint(tmp_path / "c.pth", "avigate", weights), "avigate", out=tmp_path / "run")
    assert found.audio is None
    assert (found.run.head.audio_input, found.run.head.config["audio_dim"]) == ("frames", 48)
