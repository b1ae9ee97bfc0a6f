"""CLIP: held to open_clip's own functions on the same picture and texts, and never put together from parts that differ."""

import json
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from gaid.backbones import load_text, load_visual
from gaid.backbones.clip import text as texts_tower
from gaid.backbones.clip.weights import REPOSITORIES, resolve_clip
from gaid.errors import BackboneUnavailable, OptionInvalid
from gaid.files import sha256_of

from .conftest import put_into_hub

TEXTS = ["A dog barks at a red car.", "two people talk", "", "rain " * 200]


@pytest.fixture
def weights(small_clip: str, tmp_path: Path) -> Path:
    """A file of random weights, and the model that they are of."""
    torch.manual_seed(5)
    file = tmp_path / "small.safetensors"
    save_file(open_clip.create_model(small_clip).state_dict(), file)
    return file


def theirs(model: str, file: Path, **options: Any) -> Any:
    return open_clip.create_model(model, pretrained=str(file), **options).eval()


def picture(height: int, width: int) -> Image.Image:
    smooth = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    noise = np.random.default_rng(0).integers(0, 60, (height, width, 3))
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def random_frames(clips: int, frames: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (clips, frames, size, size, 3), dtype=np.uint8)


def test_a_frame_is_what_open_clip_makes_of_the_same_picture(small_clip: str, weights: Path) -> None:
    ours = load_visual(f"clip:{small_clip}/{weights}")
    model = theirs(small_clip, weights)
    spec = ours.frame_spec
    assert (spec.size, spec.resize, spec.interpolation) == (64, "crop", "bicubic")
    original = picture(90, 130)
    # What the frame's specification asks of the decoder, done by PIL as open_clip does: shortest side, then the centre.
    resized = original.resize((round(130 * 64 / 90 - 0.5), 64), Image.Resampling.BICUBIC)
    left = round((resized.width - 64) / 2)
    frame = np.asarray(resized.crop((left, 0, left + 64, 64)))
    preprocess = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg), is_train=False
    )
    with torch.inference_mode():
        expected = model.encode_image(preprocess(original)[None])
    np.testing.assert_allclose(ours.encode_frames(frame[None, None])[0], expected, atol=1e-5)


def test_a_text_is_what_open_clip_makes_of_it_and_its_last_token_is_the_embedding(
    small_clip: str, weights: Path
) -> None:
    ours = load_text(f"clip:{small_clip}/{weights}")
    found = ours.encode_text(TEXTS)
    with torch.inference_mode():
        expected = theirs(small_clip, weights).encode_text(open_clip.get_tokenizer(small_clip)(TEXTS))
    np.testing.assert_allclose(found.embedding, expected, atol=1e-5)
    np.testing.assert_array_equal(np.stack([tokens[-1] for tokens in found.tokens]), found.embedding)


def test_tokens_are_the_real_ones_with_start_and_end_and_can_be_counted_before(small_clip: str) -> None:
    text = load_text(f"clip:{small_clip}", random_weights=True)
    assert text.count_tokens(["", "dog", "rain " * 200]) == [2, 3, 77]
    assert [len(tokens) for tokens in text.encode_text(TEXTS).tokens] == text.count_tokens(TEXTS)
    assert text.encode_text([]).embedding.shape == (0, text.dim)


def test_a_clip_and_a_text_get_the_same_bytes_alone_and_among_others(small_clip: str) -> None:
    visual = load_visual(f"clip:{small_clip}", random_weights=True)
    text = load_text(f"clip:{small_clip}", random_weights=True)
    frames = random_frames(3, 4)
    np.testing.assert_array_equal(visual.encode_frames(frames)[1:2], visual.encode_frames(frames[1:2]))
    np.testing.assert_array_equal(text.encode_text(TEXTS).embedding[1:2], text.encode_text(TEXTS[1:2]).embedding)


def test_a_still_picture_is_encoded_once_and_stands_in_every_frame(
    small_clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    visual: Any = load_visual(f"clip:{small_clip}", random_weights=True)
    moving = random_frames(1, 5)
    still = np.repeat(moving[:, :1], 5, axis=1)
    seen: list[int] = []
    encode = visual._encode
    monkeypatch.setattr(visual, "_encode", lambda batch, patches: seen.append(len(batch)) or encode(batch, patches))
    pooled, patches = visual.encode_patches(np.concatenate([moving, still]))
    assert seen == [5, 1]
    np.testing.assert_allclose(pooled[1], np.repeat(pooled[0, :1], 5, axis=0), atol=1e-5)
    np.testing.assert_allclose(patches[1], np.repeat(patches[0, :1], 5, axis=0), atol=1e-5)


def test_patches_are_projected_as_the_class_token_is(small_clip: str) -> None:
    visual: Any = load_visual(f"clip:{small_clip}", random_weights=True)
    frames = random_frames(2, 3)
    pooled, patches = visual.encode_patches(frames)
    assert visual.patch_shape == (16, 24)
    assert patches.shape == (2, 3, *visual.patch_shape)
    np.testing.assert_array_equal(pooled, visual.encode_frames(frames))
    tower = visual._model.visual
    hidden: list[torch.Tensor] = []
    hook = tower.transformer.register_forward_hook(lambda *parts: hidden.append(parts[2]))
    visual.encode_frames(frames[:1])
    hook.remove()
    with torch.inference_mode():
        all_tokens = tower.ln_post(hidden[0]) @ tower.proj
    np.testing.assert_allclose(pooled[0], all_tokens[:, 0], atol=1e-5)
    np.testing.assert_allclose(patches[0], all_tokens[:, 1:], atol=1e-5)


def test_random_weights_are_those_of_their_seed_and_say_so(small_clip: str) -> None:
    state = torch.get_rng_state()
    first = load_visual(f"clip:{small_clip}", random_weights=True, seed=1)
    second = load_visual(f"clip:{small_clip}", random_weights=True, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    frames = random_frames(1, 2)
    assert np.abs(first.encode_frames(frames) - second.encode_frames(frames)).max() > 0.1
    assert first.provenance["random_weights"] is True
    assert (first.provenance["seed"], first.provenance["sha256"]) == (1, None)
    json.dumps(first.provenance)


def test_provenance_holds_the_files_digest_and_the_models_own_preprocessing(small_clip: str, weights: Path) -> None:
    for backbone in (load_visual(f"clip:{small_clip}/{weights}"), load_text(f"clip:{small_clip}/{weights}")):
        assert backbone.provenance["sha256"] == sha256_of(weights)
        assert backbone.provenance["random_weights"] is False
        assert backbone.provenance["weights"] == "small.safetensors"
    provenance = load_visual(f"clip:{small_clip}/{weights}").provenance
    assert provenance["mean"] == list(open_clip.OPENAI_DATASET_MEAN)
    assert provenance["input"] == {"size": 64, "resize": "crop"}


def test_a_configuration_beside_a_file_gives_its_activation_and_preprocessing(small_clip: str, weights: Path) -> None:
    preprocessing = {
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    }
    config = {"model_cfg": {"quick_gelu": True}, "preprocess_cfg": preprocessing}
    (weights.parent / "open_clip_config.json").write_text(json.dumps(config))
    ours = load_visual(f"clip:{small_clip}/{weights}")
    assert (ours.frame_spec.resize, ours.frame_spec.interpolation) == ("squash", "bilinear")
    model = theirs(small_clip, weights, force_quick_gelu=True, force_preprocess_cfg=preprocessing)
    square = picture(64, 64)
    preprocess = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg), is_train=False
    )
    with torch.inference_mode():
        expected = model.encode_image(preprocess(square)[None])
    np.testing.assert_allclose(ours.encode_frames(np.asarray(square)[None, None])[0], expected, atol=1e-5)


def test_a_configuration_that_is_none_is_refused(small_clip: str, weights: Path) -> None:
    (weights.parent / "open_clip_config.json").write_text("[]")
    with pytest.raises(BackboneUnavailable, match=r"open_clip_config\.json: not a configuration of open_clip"):
        load_visual(f"clip:{small_clip}/{weights}")


def test_quick_gelu_comes_by_tag_file_folder_or_name(small_clip: str, weights: Path) -> None:
    assert resolve_clip("ViT-B-32/openai", random_weights=True).quick_gelu
    assert not resolve_clip("ViT-B-32/laion2b_s34b_b79k", random_weights=True).quick_gelu
    assert resolve_clip("ViT-B-32-quickgelu/laion400m_e32", random_weights=True).quick_gelu
    assert not resolve_clip(f"{small_clip}/{weights}").quick_gelu
    folder = weights.parent / "vit_small.openai"
    folder.mkdir()
    kept = weights.rename(folder / "open_clip_model.safetensors")
    assert resolve_clip(f"{small_clip}/{kept}").quick_gelu
    assert resolve_clip(f"{small_clip}/{folder}").file == kept


def test_the_known_repositories_and_file_names_are_open_clips(empty_hub: Path) -> None:
    for rest, repository in REPOSITORIES.items():
        model, tag = rest.split("/")
        known = open_clip.get_pretrained_cfg(model, tag)
        assert known["hf_hub"] == f"{repository}/"
        assert known["quick_gelu"] is True
        snapshot = put_into_hub(empty_hub, repository, {open_clip.constants.HF_SAFE_WEIGHTS_NAME: b""})
        assert resolve_clip(rest).file == snapshot / open_clip.constants.HF_SAFE_WEIGHTS_NAME


class Explosive:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_a_pickle_of_code_is_refused_and_does_not_run(
    small_clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bare.pt").write_bytes(pickle.dumps(Explosive()))
    torch.save({"state_dict": Explosive()}, "wrapped.pt")
    for file in ("bare.pt", "wrapped.pt"):
        with pytest.raises(BackboneUnavailable, match=f"{file} does not load as {small_clip}") as raised:
            load_visual(f"clip:{small_clip}/{file}")
        assert "\n" not in str(raised.value)
    assert not Path("exploded").exists()


def test_a_plain_dictionary_of_tensors_in_a_pt_file_loads(small_clip: str, weights: Path) -> None:
    model = theirs(small_clip, weights)
    torch.save(model.state_dict(), weights.with_suffix(".pt"))
    frames = random_frames(1, 2)
    np.testing.assert_array_equal(
        load_visual(f"clip:{small_clip}/{weights.with_suffix('.pt')}").encode_frames(frames),
        load_visual(f"clip:{small_clip}/{weights}").encode_frames(frames),
    )


def test_weights_of_another_model_or_a_torn_file_are_one_line(small_clip: str, weights: Path) -> None:
    torn = weights.with_name("torn.safetensors")
    torn.write_bytes(weights.read_bytes()[:1000])
    other = weights.with_name("other.safetensors")
    save_file({"visual.proj": torch.zeros(3, 3)}, other)
    for file in (torn, other):
        with pytest.raises(BackboneUnavailable, match=f"does not load as {small_clip}") as raised:
            load_text(f"clip:{small_clip}/{file}")
        assert "\n" not in str(raised.value)


def test_an_ending_that_is_no_weights_is_refused(small_clip: str, tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(b"")
    with pytest.raises(OptionInvalid, match=r"weights end in \.safetensors"):
        load_visual(f"clip:{small_clip}/{tmp_path}/weights.npz")


def test_a_tower_whose_text_is_not_clips_own_says_which_to_take(small_clip: str) -> None:
    with pytest.raises(OptionInvalid, match="--text clip:ViT-B-32/openai"):
        load_text("clip:small-foreign-text", random_weights=True)


@pytest.mark.slow
def test_the_real_architecture_is_open_clips_with_openais_activation() -> None:
    visual: Any = load_visual("clip:ViT-B-32/openai", random_weights=True)
    text: Any = load_text("clip:ViT-B-32/openai", random_weights=True)
    assert visual._model is text._tower  # one model in memory, not two
    assert (visual.dim, text.dim, visual.patch_shape, visual.frame_spec.size) == (512, 512, (49, 512), 224)
    model = open_clip.create_model("ViT-B-32-quickgelu").eval()
    model.load_state_dict(visual._model.state_dict())
    square = picture(224, 224)
    preprocess = open_clip.image_transform(224, is_train=False)
    with torch.inference_mode():
        image = model.encode_image(preprocess(square)[None])
        words = model.encode_text(open_clip.get_tokenizer("ViT-B-32")(TEXTS[:2]))
    np.testing.assert_allclose(visual.encode_frames(np.asarray(square)[None, None])[0], image, atol=1e-4)
    np.testing.assert_allclose(text.encode_text(TEXTS[:2]).embedding, words, atol=1e-4)


PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.one_of(
        PLAIN,
        st.text(max_size=30),
        st.sampled_from(["caf\u00e9 &amp; bar", "a\tb \r\n c", "\u00e2\u20ac\u2122s", "&lt;b>"]),
    )
)
def test_a_text_has_the_tokens_of_open_clips_tokeniser(text):
    assert tokenizer().encode(text) == open_clip_tokenizer().encode(text)


@cache
def tokenizer():
    return texts_tower._own_tokenizer("ViT-B-32")


@cache
def open_clip_tokenizer():
    return open_clip.get_tokenizer("ViT-B-32")


def test_texts_that_are_counted_and_then_encoded_are_read_once(small_clip, monkeypatch):
    read = []
    clean = texts_tower._clean_quickly
    monkeypatch.setattr(texts_tower, "_clean_quickly", lambda text: read.append(text) or clean(text))
    text = texts_tower.ClipText(texts_tower.ClipWeights(small_clip, None, None, False), seed=7)
    texts = ["a red car", "rain", "a red car", "", "rain " * 100, "an <end_of_text> within"]
    counts = text.count_tokens(texts)
    assert counts == [len(tokens) for tokens in text.encode_text(texts).tokens] == [5, 3, 5, 2, 77, 3]
    assert read == list(dict.fromkeys(texts))
