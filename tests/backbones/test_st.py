"""Models of sentence-transformers as encoders: what each kind is given and gives, and the ways in which such models were
wrong for others without a word."""

import json
import shutil
import subprocess
import sys
import textwrap
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

transformers = pytest.importorskip("transformers", reason="needs the extra 'st'")
pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra 'st'")

from sentence_transformers import SentenceTransformer  # noqa: E402

from gaid.backbones import FrameSpec, load_audio, load_text, load_visual  # noqa: E402
from gaid.backbones.st.encoders import frame_spec_of  # noqa: E402
from gaid.errors import BackboneUnavailable, DependencyMissing, OptionInvalid  # noqa: E402
from gaid.files import sha256_of  # noqa: E402
from tests.backbones.conftest import put_into_hub  # noqa: E402
from tests.backbones.small_models import (  # noqa: E402
    change_config,
    save_st_clap,
    save_st_clip,
    save_st_omni,
    save_st_text,
    without_a_tensor,
)

TEXTS = ["a dog barks at night", "two people talk about the red car", ""]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with a text model, a CLIP and a CLAP."""
    folder = tmp_path_factory.mktemp("st")
    save_st_text(folder / "text")
    save_st_clip(folder / "clip")
    save_st_clap(folder / "clap")
    return folder


def frames_of(clips: int, frames: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (clips, frames, 32, 32, 3), dtype=np.uint8)


def windows_of(seconds: float, frames: int = 3, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((frames, round(seconds * 48_000)))).astype(np.float32)


def test_a_text_is_a_query_whose_tokens_are_pooled_after_the_last_norm(models):
    """Two traps: the prompt of documents, and pooling before the norm, which cost others nine points."""
    backbone = load_text(f"st:{models / 'text'}")
    model = transformers.ModernBertModel.from_pretrained(models / "text").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(models / "text")

    def pooled(text: str, norm: bool) -> np.ndarray:
        before = []
        model.layers[-1].register_forward_hook(lambda module, given, out: before.append(out))
        with torch.inference_mode():
            after = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        vector = (after if norm else before[0].reshape(after.shape)).mean(dim=0).numpy()
        return vector / np.linalg.norm(vector)

    found = backbone.encode_text(TEXTS)
    for text, embedding, tokens in zip(TEXTS, found.embedding, found.tokens, strict=True):
        expected = pooled(f"query : {text}", norm=True)
        np.testing.assert_allclose(embedding, expected, atol=1e-5)
        np.testing.assert_allclose(tokens.mean(axis=0), embedding, atol=1e-5)
        for other in (pooled(text, True), pooled(f"document : {text}", True), pooled(f"query : {text}", False)):
            assert np.abs(expected - other).max() > 0.01
    assert [len(one) for one in found.tokens] == backbone.count_tokens(TEXTS)
    assert backbone.provenance["prompt"] == "query : "


def test_frames_are_pictures_with_their_channels_last(models):
    """The trap: a model that was handed channels first gave nearly one vector for everything, for months."""
    backbone, frames = load_visual(f"st:{models / 'clip'}"), frames_of(2)
    assert backbone.frame_spec == FrameSpec(32, "crop", "bicubic")
    mean, std = np.array(backbone.provenance["mean"]), np.array(backbone.provenance["std"])
    pixels = ((frames.reshape(6, 32, 32, 3) / 255 - mean) / std).transpose(0, 3, 1, 2)
    model = transformers.CLIPModel.from_pretrained(models / "clip").eval()
    with torch.inference_mode():
        expected = model.get_image_features(torch.from_numpy(pixels).float()).pooler_output.numpy()
    found = backbone.encode_frames(frames)
    assert found.shape == (2, 3, 24)
    np.testing.assert_allclose(found.reshape(6, 24), expected, atol=1e-5)
    still = np.repeat(frames[:, :1], 3, axis=1)
    np.testing.assert_allclose(backbone.encode_frames(still), np.repeat(found[:, :1], 3, axis=1), atol=1e-5)
    with pytest.raises(OptionInvalid, match="no patches to give"):
        backbone.encode_patches(frames)


def test_a_window_of_sound_has_the_same_vector_whatever_it_is_encoded_with(models):
    backbone = load_audio(f"st:{models / 'clap'}")
    assert (backbone.audio_spec.rate, backbone.audio_spec.longest, backbone.dim) == (48_000, 2.0, 24)
    short, long = windows_of(0.5), windows_of(2, seed=1)
    mask = np.array([[True, False, True], [True, True, True], [False, False, False]])
    found = backbone.encode_audio([short, long, short], mask)
    model = transformers.ClapModel.from_pretrained(models / "clap").eval()
    extractor = transformers.ClapFeatureExtractor.from_pretrained(models / "clap")
    for row, clip in enumerate((short, long)):
        for frame in np.flatnonzero(mask[row]):
            given = extractor(clip[frame], sampling_rate=48_000, return_tensors="pt")
            with torch.inference_mode():
                expected = model.get_audio_features(**given).pooler_output[0].numpy()
            np.testing.assert_allclose(found[row, frame], expected, atol=1e-5)
    assert (found[~mask] == 0).all()
    np.testing.assert_array_equal(backbone.encode_audio([short], mask[:1])[0], found[0])


def test_a_sound_whose_vector_depends_on_its_batch_is_refused(tmp_path):
    folder = save_st_clap(tmp_path / "fused", fused=True)
    with pytest.raises(BackboneUnavailable, match="depends on chance or on the other sounds of its batch"):
        load_audio(f"st:{folder}")


def test_sentences_lie_beside_the_sounds_where_the_model_has_texts(models):
    audio, text = load_audio(f"st:{models / 'clap'}"), load_text(f"st:{models / 'clap'}")
    assert audio.has_text
    np.testing.assert_allclose(audio.encode_text(TEXTS), text.encode_text(TEXTS).embedding, atol=1e-6)
    assert [one.shape for one in text.encode_text(TEXTS).tokens] == [(1, 24)] * 3  # a model that pools within
    assert text.count_tokens(TEXTS) == [1, 1, 1]


@pytest.mark.slow
def test_one_model_encodes_pictures_sounds_and_texts_into_one_space(tmp_path):
    """EmbeddingGemma 2's processor takes the pictures of a batch for one input, so each goes in by itself."""
    pytest.importorskip("transformers.models.embedding_gemma2", reason="needs a newer transformers")
    name = f"st:{save_st_omni(tmp_path / 'omni')}"
    visual, audio, text = load_visual(name), load_audio(name), load_text(name)
    assert (visual.frame_spec, visual.dim, audio.dim, text.dim) == (FrameSpec(512, "crop", "bicubic"), 24, 24, 24)
    assert (audio.audio_spec.rate, audio.has_text) == (16_000, True)
    model = SentenceTransformer(name.removeprefix("st:"), device="cpu", local_files_only=True)
    frames = np.random.default_rng(0).integers(0, 256, (1, 3, 512, 512, 3), dtype=np.uint8)
    expected = np.concatenate([model.encode_document([Image.fromarray(frame)]) for frame in frames[0]])
    np.testing.assert_allclose(visual.encode_frames(frames)[0], expected, atol=1e-5)
    assert np.abs(np.diff(expected, axis=0)).max() > 1e-3
    sounds = windows_of(1)[:, :32_000]
    given = [{"array": sound, "sampling_rate": 16_000} for sound in sounds]
    expected = np.concatenate([model.encode_document([sound]) for sound in given])
    found = audio.encode_audio([sounds], np.ones((1, 3), dtype=bool))
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    np.testing.assert_allclose(text.encode_text(TEXTS).embedding, model.encode_query(TEXTS, batch_size=1), atol=1e-5)


@pytest.mark.parametrize(
    ("load", "model", "said"),
    [
        (load_visual, "text", "encodes no image; it can be used with --text"),
        (load_audio, "clip", "encodes no audio; it can be used with --visual, --text"),
        (load_visual, "clap", "encodes no image; it can be used with --audio, --text"),
    ],
)
def test_a_kind_that_the_model_lacks_is_one_line(models, load, model, said):
    with pytest.raises(OptionInvalid, match=said):
        load(f"st:{models / model}")


def test_a_caption_that_looks_like_a_file_is_a_text(models):
    backbone = load_text(f"st:{models / 'clip'}")
    model = SentenceTransformer(str(models / "clip"), device="cpu", local_files_only=True)
    expected = model.encode([{"text": "dog.png"}])
    np.testing.assert_allclose(backbone.encode_text(["dog.png"]).embedding, expected, atol=1e-6)


def test_a_text_tower_that_gives_one_vector_for_everything_is_refused(models, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(models / "text", tmp_path / "dead")
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.tok_embeddings.weight"][:] = 1.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneUnavailable, match="same vector for different sentences"):
        load_text(f"st:{folder}")


@pytest.mark.usefixtures("cpu_as_a_gpu")
def test_a_model_in_bfloat16_gives_float32(models, tmp_path):
    """numpy has no bfloat16. On a CPU such a model runs in float32, on a GPU (here `cpu:0`) as it was saved."""
    folder = shutil.copytree(models / "text", tmp_path / "bf16")
    model = transformers.ModernBertModel.from_pretrained(folder).to(torch.bfloat16)
    model.save_pretrained(folder)
    on_cpu, on_gpu = load_text(f"st:{folder}"), load_text(f"st:{folder}", device="cpu:0")
    expected, found = on_cpu.encode_text(TEXTS), on_gpu.encode_text(TEXTS)
    for one in (found.embedding, *found.tokens):
        assert one.dtype == np.float32
        assert np.isfinite(one).all()
    assert 0 < np.abs(found.embedding - expected.embedding).max() < 0.05


@pytest.mark.usefixtures("cpu_as_a_gpu")
def test_texts_in_batches_are_texts_one_by_one(models):
    expected = load_text(f"st:{models / 'text'}").encode_text(TEXTS)
    found = load_text(f"st:{models / 'text'}", device="cpu:0").encode_text(TEXTS)
    np.testing.assert_allclose(found.embedding, expected.embedding, atol=1e-5)
    for ours, theirs in zip(found.tokens, expected.tokens, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert load_text(f"st:{models / 'text'}").encode_text([]).embedding.shape == (0, 32)


def test_a_model_says_what_it_is(models, tmp_path, empty_hub):
    backbone = load_text(f"st:{models / 'text'}")
    assert (backbone.name, backbone.dim) == ("st:text", 32)
    assert backbone.provenance["sha256"] == sha256_of(models / "text" / "model.safetensors")
    json.dumps(backbone.provenance)
    files = {file.name: file.read_bytes() for file in (models / "clip").iterdir()}
    put_into_hub(empty_hub, "owner/clip", files)
    of_hub = load_visual("st:owner/clip")
    assert (of_hub.name, of_hub.provenance["revision"]) == ("st:owner/clip", "0" * 40)


def test_weights_in_several_files_have_one_digest(models, tmp_path):
    folder = tmp_path / "shards"
    transformers.ModernBertModel.from_pretrained(models / "text").save_pretrained(folder, max_shard_size="20KB")
    for file in (models / "text").rglob("*"):
        if (
            file.is_file()
            and "safetensors" not in file.name
            and not (folder / file.relative_to(models / "text")).exists()
        ):
            (folder / file.relative_to(models / "text")).parent.mkdir(exist_ok=True)
            shutil.copy(file, folder / file.relative_to(models / "text"))
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1
    lines = "".join(f"{sha256_of(file)}  {file.name}\n" for file in shards)
    backbone = load_text(f"st:{folder}")
    assert backbone.provenance["sha256"] == sha256(lines.encode()).hexdigest()
    whole = load_text(f"st:{models / 'text'}")
    np.testing.assert_array_equal(backbone.encode_text(TEXTS).embedding, whole.encode_text(TEXTS).embedding)
    shards[0].unlink()
    with pytest.raises(BackboneUnavailable, match="does not load as a model of sentence-transformers"):
        load_text(f"st:{shutil.copytree(folder, tmp_path / 'torn')}")


def test_weights_that_are_missing_are_an_error_and_never_drawn(models, tmp_path):
    folder = shutil.copytree(models / "clip", tmp_path / "lacking")
    lacking = without_a_tensor(folder, "visual_projection")
    with pytest.raises(BackboneUnavailable, match=f"lack 1 of the model's tensors .{lacking}"):
        load_visual(f"st:{folder}")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BackboneUnavailable, match="has no weights"):
        load_visual(f"st:{folder}")


def test_random_weights_are_drawn_from_the_seed_and_need_the_configuration_only(models, tmp_path):
    folder = shutil.copytree(models / "text", tmp_path / "bare")
    (folder / "model.safetensors").unlink()
    first = load_text(f"st:{folder}", random_weights=True, seed=1).encode_text(TEXTS).embedding
    again = load_text(f"st:{models / 'text'}", random_weights=True, seed=1)
    np.testing.assert_array_equal(again.encode_text(TEXTS).embedding, first)
    assert (again.provenance["random_weights"], again.provenance["seed"]) == (True, 1)
    other = load_text(f"st:{folder}", random_weights=True, seed=2).encode_text(TEXTS).embedding
    assert np.abs(first - other).max() > 0.01


def test_what_is_no_such_model_is_one_line(models, tmp_path, monkeypatch):
    for name, said in [
        ("st", "st needs a model: st:FOLDER, or st:OWNER/NAME"),
        ("st:nowhere", "no such folder, and not a hub's owner/name"),
        ("st:owner/name", "hf download owner/name"),
        (f"st:{tmp_path}", "neither modules.json nor config.json"),
    ]:
        with pytest.raises((BackboneUnavailable, OptionInvalid), match=said):
            load_text(name)
    with pytest.raises(
        BackboneUnavailable, match=r"still needs the model's configuration: `hf download owner/name --excl"
    ):
        load_text("st:owner/name", random_weights=True)
    monkeypatch.setattr("gaid.backbones.st.version_of", lambda package: "5.4.1")
    with pytest.raises(DependencyMissing, match=r"needs sentence-transformers 6 or newer: pip install 'gaid\[st\]'"):
        load_text("st:owner/name")
    monkeypatch.undo()
    late = shutil.copytree(models / "text", tmp_path / "late")
    change_config(late, "config_sentence_transformers.json", model_type="MultiVectorEncoder")
    with pytest.raises(OptionInvalid, match="is a MultiVectorEncoder, which gives no single vector per input"):
        load_text(f"st:{late}")


def test_a_pooling_that_no_file_states_is_not_made_up(models, tmp_path):
    folder = shutil.copytree(models / "text", tmp_path / "plain")
    (folder / "modules.json").unlink()
    with pytest.raises(BackboneUnavailable, match="nothing states how its tokens become one vector"):
        load_text(f"st:{folder}")


def test_code_of_a_models_repository_is_not_run(models, tmp_path):
    folder = shutil.copytree(models / "text", tmp_path / "code")
    (folder / "own.py").write_text("raise SystemExit('run')\n")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "own.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(BackboneUnavailable, match="does not load as a model of sentence-transformers"):
        load_text(f"st:{folder}")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"size": {"height": 384, "width": 384}, "resample": 2}, FrameSpec(384, "squash", "bilinear")),
        (
            {"size": {"shortest_edge": 256}, "crop_size": {"height": 224}, "do_center_crop": True},
            FrameSpec(256, "crop"),
        ),
        ({"size": {"shortest_edge": 65536, "longest_edge": 16777216}, "resample": 3}, FrameSpec(512, "crop")),
        ({}, FrameSpec(512, "crop")),
    ],
)
def test_the_picture_is_the_one_that_the_processor_takes(told, expected):
    assert frame_spec_of(told) == expected


def test_a_picture_of_that_size_is_not_resized_again(models):
    processor = transformers.AutoProcessor.from_pretrained(models / "clip").image_processor
    frame = frames_of(1)[0, 0]
    given = processor(Image.fromarray(frame), return_tensors="np", do_normalize=False, do_rescale=False)
    np.testing.assert_array_equal(np.asarray(given["pixel_values"][0]).transpose(1, 2, 0), frame)


def test_what_is_missing_is_reported_before_torch_is_imported(tmp_path):
    program = f"""
        import os, sys
        os.environ["HF_HUB_CACHE"] = {str(tmp_path)!r}
        from gaid.backbones import check_backbones
        from gaid.errors import BackboneUnavailable
        try:
            check_backbones("st:owner/name", "tiny")
        except BackboneUnavailable as error:
            print("torch" in sys.modules, "sentence_transformers" in sys.modules, error)
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False False no weights at hand for st:owner/name")
