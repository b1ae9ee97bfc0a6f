"""CLAP: its mel pictures are those of transformers' extractor, and a sound's vector is the sound's alone."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs the extra 'clap'")

from gaid.backbones import load_audio  # noqa: E402
from gaid.backbones.clap.tower import ClapMel  # noqa: E402
from gaid.backbones.clap.weights import DEFAULT, resolve_clap  # noqa: E402
from gaid.errors import BackboneUnavailable, OptionInvalid  # noqa: E402
from gaid.files import sha256_of  # noqa: E402

from .conftest import put_into_hub  # noqa: E402

RATE = 48_000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLAP small enough for every test, saved as transformers saves one."""
    folder = tmp_path_factory.mktemp("clap") / "small-unfused"
    save_small(folder, enable_fusion=False)
    return folder


def save_small(folder: Path, enable_fusion: bool) -> None:
    torch.manual_seed(3)
    audio = {
        "patch_embeds_hidden_size": 8,
        "hidden_size": 64,
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 4, 8],
        "enable_fusion": enable_fusion,
    }
    text = {
        "vocab_size": 20,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
    }
    config = transformers.ClapConfig(audio_config=audio, text_config=text, projection_dim=16)
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)


def add_tokenizer(folder: Path) -> None:
    """A tokenizer of 16 words, written as a checkpoint has it."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    words = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        *["a", "the", "dog", "barks", "rain", "falls", "bell", "rings", "loudly", "softly", "twice", "again"],
    ]
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture
def with_text(checkpoint: Path, tmp_path: Path) -> Path:
    """The small checkpoint with a tokenizer beside its weights."""
    folder = tmp_path / "with-text-unfused"
    shutil.copytree(checkpoint, folder)
    add_tokenizer(folder)
    return folder


def sounds(count: int, seconds: float) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(0)
    tones = [np.sin(2 * np.pi * rate * times) for rate in rng.uniform(100, 8000, count)]
    return (np.stack(tones) * 0.3 + rng.standard_normal((count, len(times))) * 0.05).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 2.0, 3.7, 10.0])
def test_mels_are_those_of_transformers_extractor(seconds: float) -> None:
    extractor = transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
    windows = sounds(2, seconds)
    expected = extractor(list(windows), sampling_rate=RATE, return_tensors="np")["input_features"]
    np.testing.assert_allclose(ClapMel(extractor)(windows), expected, atol=2e-3)  # dB


def test_a_window_is_what_transformers_own_model_makes_of_it(checkpoint: Path) -> None:
    windows = sounds(3, 2.0)
    model = transformers.ClapModel.from_pretrained(checkpoint).eval()
    extractor = transformers.ClapFeatureExtractor.from_pretrained(checkpoint)
    inputs = extractor(list(windows), sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode():
        expected = model.audio_projection(model.audio_model(inputs["input_features"].float()).pooler_output)
    found = load_audio(f"clap:{checkpoint}").encode_audio([windows], np.ones((1, 3), dtype=bool))
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


@pytest.mark.slow
def test_the_same_sound_alone_or_in_a_batch_gives_the_same_vector(checkpoint: Path) -> None:
    audio = load_audio(f"clap:{checkpoint}")
    windows = sounds(4, 2.0)
    everyone = np.ones((1, 4), dtype=bool)
    together = audio.encode_audio([windows, windows[::-1].copy()], np.ones((2, 4), dtype=bool))
    np.testing.assert_array_equal(together[:1], audio.encode_audio([windows], everyone))
    alone = audio.encode_audio([windows[2:3]], np.ones((1, 1), dtype=bool))
    np.testing.assert_allclose(alone[0, 0], together[0, 2], atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("cpu_as_a_gpu")
def test_sounds_in_a_gpus_batches_are_sounds_clip_by_clip(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaid.backbones.clap.tower.WINDOWS_AT_ONCE", 3)
    windows = [sounds(4, 2.0), sounds(4, 2.5)]  # clips of other lengths have other windows
    mask = np.array([[True, False, True, True], [True, True, False, True]])
    expected = load_audio(f"clap:{checkpoint}").encode_audio(windows, mask)
    found = load_audio(f"clap:{checkpoint}", device="cpu:0").encode_audio(
        windows, mask
    )  # not `cpu`: treated as a GPU is
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_windows_without_sound_stay_zero_and_do_not_touch_the_others(checkpoint: Path) -> None:
    audio = load_audio(f"clap:{checkpoint}")
    windows = sounds(4, 2.0)
    mask = np.array([[True, False, True, False], [False] * 4])
    found = audio.encode_audio([windows, windows], mask)
    assert np.all(found[~mask] == 0)
    full = audio.encode_audio([windows], np.ones((1, 4), dtype=bool))
    np.testing.assert_allclose(found[0, [0, 2]], full[0, [0, 2]], atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("cpu_as_a_gpu")
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])  # the second: treated as a GPU is
def test_tokens_are_what_the_tower_pools_and_the_embeddings_are_the_same(
    checkpoint: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaid.backbones.clap.tower.WINDOWS_AT_ONCE", 3)
    audio: Any = load_audio(f"clap:{checkpoint}", device=device)
    windows = [sounds(3, 2.0), sounds(3, 2.5), sounds(3, 2.0)]
    mask = np.array([[True, False, True], [False] * 3, [True] * 3])
    embedding, tokens = audio.encode_audio_tokens(windows, mask)
    np.testing.assert_array_equal(embedding, audio.encode_audio(windows, mask))
    assert tokens.shape == (3, 3, *audio.token_shape) == (3, 3, 64, 64)
    assert not tokens[~mask].any()
    with torch.inference_mode():
        pooled = audio._model.audio_projection(torch.from_numpy(tokens[mask]).mean(1))
    np.testing.assert_allclose(pooled, embedding[mask], atol=1e-5)


def test_what_it_wants_and_is_are_the_checkpoints(checkpoint: Path) -> None:
    audio = load_audio(f"clap:{checkpoint}")
    assert (audio.dim, audio.audio_spec.rate, audio.audio_spec.longest) == (16, 48_000, 10.0)
    assert audio.provenance["sha256"] == sha256_of(checkpoint / "model.safetensors")
    assert audio.provenance["random_weights"] is False
    assert str(checkpoint.parent) not in json.dumps(audio.provenance)  # two machines, one fingerprint


def test_a_sentence_is_what_transformers_own_model_makes_of_it(with_text: Path) -> None:
    audio: Any = load_audio(f"clap:{with_text}")
    model = transformers.ClapModel.from_pretrained(with_text).eval()
    ids = torch.tensor([[0, 4, 6, 7, 2], [0, 4, 10, 11, 2]])  # a dog barks; a bell rings
    with torch.inference_mode():
        pooled = model.text_model(input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output
        expected = model.text_projection(pooled)
    assert audio.has_text
    found = audio.encode_text(["a dog barks", "a bell rings"])
    assert found.shape == (2, audio.dim)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    long = audio.encode_text(["dog " * 200, "dog " * 75])  # cut to 77 tokens, the two at the ends counted
    np.testing.assert_array_equal(long[0], long[1])
    assert audio.encode_text([]).shape == (0, audio.dim)


def test_a_text_tower_that_gives_one_vector_for_everything_is_refused_when_a_sentence_comes(with_text: Path) -> None:
    """As a published music checkpoint's does."""
    from safetensors.torch import load_file, save_file

    weights = load_file(with_text / "model.safetensors")
    weights["text_projection.linear2.weight"][:] = 0
    save_file(weights, with_text / "model.safetensors", metadata={"format": "pt"})
    audio: Any = load_audio(f"clap:{with_text}")
    with pytest.raises(BackboneUnavailable, match="same vector for different sentences"):
        audio.encode_text(["a dog barks"])


def test_a_checkpoint_without_a_tokenizer_has_no_text_side(checkpoint: Path) -> None:
    assert load_audio(f"clap:{checkpoint}").has_text is False


def test_weights_that_lack_the_text_tower_are_refused_when_a_sentence_comes(with_text: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(with_text / "model.safetensors")
    kept = {key: value for key, value in weights.items() if not key.startswith("text_")}
    save_file(kept, with_text / "model.safetensors", metadata={"format": "pt"})
    audio: Any = load_audio(f"clap:{with_text}")
    with pytest.raises(BackboneUnavailable, match="of the text tower's tensors"):
        audio.encode_text(["a dog barks"])


def test_a_checkpoint_in_the_hubs_cache_is_found(checkpoint: Path, empty_hub: Path) -> None:
    files = {file.name: file.read_bytes() for file in checkpoint.iterdir()}
    snapshot = put_into_hub(empty_hub, DEFAULT, files)
    assert resolve_clap("") == snapshot
    assert load_audio("clap").provenance["name"] == f"clap:{DEFAULT}"


def test_a_fused_checkpoint_is_refused(tmp_path: Path) -> None:
    save_small(tmp_path / "fused", enable_fusion=True)
    with pytest.raises(OptionInvalid, match=r"fused checkpoint.*use clap:laion/clap-htsat-unfused"):
        load_audio(f"clap:{tmp_path / 'fused'}")


def test_a_folder_that_is_no_checkpoint_is_one_line(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneUnavailable, match=r"lacks config\.json or model\.safetensors"):
        load_audio(f"clap:{tmp_path}")
    with pytest.raises(BackboneUnavailable, match="no such folder"):
        load_audio("clap:./nothing/here")
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes()[:500])
    with pytest.raises(BackboneUnavailable, match="does not load as a CLAP") as raised:
        load_audio(f"clap:{tmp_path}")
    assert "\n" not in str(raised.value)


def test_weights_that_lack_the_audio_tower_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(checkpoint / "model.safetensors")
    kept = {key: value for key, value in weights.items() if not key.startswith("audio_projection")}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    with pytest.raises(BackboneUnavailable, match=r"lack 4 of the audio tower's tensors \(audio_projection"):
        load_audio(f"clap:{tmp_path}")


def test_a_pickle_of_code_is_refused_and_does_not_run(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Explosive:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Explosive()))
    with pytest.raises(BackboneUnavailable, match="does not load as a CLAP"):
        load_audio(f"clap:{tmp_path}")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.slow
def test_the_real_architecture_is_that_of_the_unfused_checkpoint() -> None:
    audio: Any = load_audio("clap", random_weights=True)
    # HTSAT-tiny is Swin-T's size: 28.3 M with a classifier of 1,000 (Liu et al. 2021, table 1), 27.5 M without
    assert audio.dim == 512
    assert sum(weight.numel() for weight in audio._model.audio_model.parameters()) == pytest.approx(27.5e6, rel=0.05)
    windows = sounds(2, 2.0)
    found, tokens = audio.encode_audio_tokens([windows], np.ones((1, 2), dtype=bool))
    assert tokens.shape == (1, 2, 64, 768)
    alone = audio.encode_audio([windows[1:]], np.ones((1, 1), dtype=bool))
    np.testing.assert_allclose(found[0, 1], alone[0, 0], atol=1e-4)
    assert audio.provenance["random_weights"] is True


@pytest.mark.slow
def test_a_text_tower_with_random_weights_tells_sentences_apart() -> None:
    audio: Any = load_audio("clap", random_weights=True)
    found = audio.encode_text(["a dog barks", "a dog barks", "rain on a roof"])
    assert audio.has_text
    assert found.shape == (3, 512)
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
