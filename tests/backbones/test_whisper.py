"""Whisper's encoder: GAID's published way from the sound to the steps, written out here in numpy; checkpoints; real speech."""

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs the extra 'whisper'")

from gaid.backbones import load_audio  # noqa: E402
from gaid.backbones.whisper import OFFLINE_PACKAGES, encoder  # noqa: E402
from gaid.errors import BackboneUnavailable, OptionInvalid  # noqa: E402
from gaid.extract.encoder import encode_sound  # noqa: E402
from gaid.extract.steps import mean_of_parts  # noqa: E402
from gaid.files import sha256_of  # noqa: E402
from gaid.media.decode import decode_clip  # noqa: E402
from tests.media import asking  # noqa: E402
from tests.media_maker import write_sound, write_video  # noqa: E402

RATE = 16_000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A Whisper small enough for every test, saved as transformers saves one."""
    folder = tmp_path_factory.mktemp("whisper") / "whisper-small-of-tests"
    torch.manual_seed(5)
    config = transformers.WhisperConfig(
        d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=32, vocab_size=51865,
    )  # fmt: skip
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)
    return folder


def sound_of(seconds: float) -> np.ndarray:
    """Tones that change, louder toward the end, over a little noise."""
    times = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(1)
    pitch = 200 + 300 * np.sin(2 * np.pi * 0.3 * times)
    loud = 0.02 + 0.4 * times / max(seconds, 1)
    return (loud * np.sin(2 * np.pi * pitch * times) + 0.003 * rng.standard_normal(len(times))).astype(np.float32)


def mel_bank() -> np.ndarray:
    """80 triangles on Slaney's mel scale (linear below 1 kHz, logarithmic above), each of area 1, over 201 bins (201, 80)."""

    def to_hertz(mel):
        return np.where(mel < 15, 200 / 3 * mel, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)))

    top = 15 + np.log(8000 / 1000) / (np.log(6.4) / 27)
    edges = to_hertz(np.linspace(0, top, 82))
    bins = np.linspace(0, 8000, 201)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])


def published_mel(sound: np.ndarray) -> np.ndarray:
    """The picture of the whole sound, floored 8 below its own maximum, THEN cut or filled with zeros: (80, 3000)."""
    padded = np.pad(sound.astype(np.float64), 200, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][: len(sound) // 160]
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    logarithm = np.log10(np.maximum(power @ mel_bank(), 1e-10)).T
    mel = (np.maximum(logarithm, logarithm.max() - 8) + 4) / 4
    return np.pad(mel, ((0, 0), (0, max(0, 3000 - mel.shape[1]))))[:, :3000]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.0, 10.03, 30.0, 41.0])
@pytest.mark.parametrize("frames", [12, 7])
def test_published_sound_is_what_gaids_code_makes_of_it(checkpoint, seconds, frames):
    backbone, sound = load_audio(f"whisper:{checkpoint}"), sound_of(seconds)
    model = transformers.WhisperForConditionalGeneration.from_pretrained(checkpoint).model.encoder.eval()
    with torch.inference_mode():
        steps = model(torch.from_numpy(published_mel(sound)).float()[None]).last_hidden_state[0].numpy()
    (found,) = backbone.encode_published([sound])
    assert found.shape == (1500, 16)
    np.testing.assert_allclose(found, steps, atol=2e-4)
    begins = [1500 * f // frames for f in range(frames)]
    ends = [-(-1500 * (f + 1) // frames) for f in range(frames)]
    expected = np.stack([steps[a:b].mean(axis=0) for a, b in zip(begins, ends, strict=True)])
    np.testing.assert_allclose(mean_of_parts(found, frames), expected, atol=2e-4)


def test_the_extractors_own_padding_would_be_something_else(checkpoint):
    """Whisper's extractor pads the sound, whose silence is about -1 in the picture; the published code appends zeros."""
    extractor = transformers.WhisperFeatureExtractor()
    padded = extractor(sound_of(5), sampling_rate=RATE, return_tensors="np")["input_features"][0]
    assert padded[:, 2000:].max() < -0.5
    assert (published_mel(sound_of(5))[:, 2000:] == 0).all()


def test_steps_of_a_piece_are_those_of_whispers_own_padding_without_the_padding(checkpoint):
    backbone, sound = load_audio(f"whisper:{checkpoint}"), sound_of(4.99)
    model = transformers.WhisperModel.from_pretrained(checkpoint).encoder.eval()
    mel = transformers.WhisperFeatureExtractor()(sound, sampling_rate=RATE, return_tensors="pt")["input_features"]
    with torch.inference_mode():
        expected = model(mel).last_hidden_state[0].numpy()
    (found,) = backbone.encode_steps([sound])
    assert len(found) == 250  # 4.99 s at 50 per second
    np.testing.assert_allclose(found, expected[:250], atol=1e-6)
    alone = backbone.encode_steps([sound])[0]
    among = backbone.encode_steps([sound_of(2), sound, sound_of(30)])[1]
    np.testing.assert_array_equal(alone, among)


def test_a_decoded_clip_has_published_features_whatever_its_length(checkpoint, tmp_path):
    """From the file to the store's numbers: within what 16 bits of the file cost."""
    backbone = load_audio(f"whisper:{checkpoint}")
    path = write_video(
        tmp_path / "a.mkv", frames=25, rate=5, sound=sound_of(5)[None], sound_rate=RATE,
        sound_codec="pcm_s16le",
    )  # fmt: skip
    clip = decode_clip(asking.request(path, audio_spec=backbone.audio_spec, audio_sampling="published"))
    features, _ = encode_sound([clip], backbone, tokens=False)
    np.testing.assert_allclose(clip.audio[0], sound_of(5), atol=1e-3)
    expected = mean_of_parts(backbone.encode_published([sound_of(5)])[0], 12)
    assert np.abs(features[0] - expected).max() < 0.01 * np.abs(expected).max()


def test_a_checkpoint_says_what_it_is(checkpoint):
    backbone = load_audio(f"whisper:{checkpoint}")
    assert backbone.name == "whisper:whisper-small-of-tests"
    assert backbone.dim == 16
    assert backbone.provenance["sha256"] == sha256_of(checkpoint / "model.safetensors")
    assert backbone.provenance["random_weights"] is False
    json.dumps(backbone.provenance)


@pytest.mark.slow
def test_random_weights_have_the_architecture_that_the_name_says():
    backbone = load_audio("whisper:openai/whisper-tiny", random_weights=True, seed=1)
    assert (backbone.dim, backbone.provenance["random_weights"]) == (384, True)
    assert load_audio("whisper", random_weights=True).dim == 512  # base, GAID's
    with pytest.raises(OptionInvalid, match="no size is known for random weights"):
        load_audio("whisper:somebody/else", random_weights=True)


def test_weights_that_are_missing_are_an_error_and_never_drawn(checkpoint, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoint, tmp_path / "lacking")
    weights = load_file(folder / "model.safetensors")
    lacking = next(key for key in weights if "encoder.layers.1.fc1.weight" in key)
    del weights[lacking]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneUnavailable, match=r"lack 1 of the encoder's tensors"):
        load_audio(f"whisper:{folder}")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BackboneUnavailable, match="does not load as a Whisper"):
        load_audio(f"whisper:{folder}")


def test_a_hub_that_cannot_be_reached_is_a_line_with_the_command():
    with pytest.raises(BackboneUnavailable, match="hf download openai/whisper-base"):
        load_audio("whisper")


needs_offline = pytest.mark.skipif(
    any(find_spec(package) is None for package in OFFLINE_PACKAGES), reason="needs the extra 'whisper-offline'"
)


@needs_offline
def test_other_weights_in_the_package_are_refused(monkeypatch):
    monkeypatch.setattr(encoder, "OFFLINE_SHA256", "0" * 64)
    with pytest.raises(BackboneUnavailable, match="is not the file that is known"):
        encoder.load_offline()


@pytest.mark.slow
@needs_offline
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_a_sentence_spoken_twice_is_nearer_than_two_sentences(tmp_path):
    """Real weights on speech: six sentences, each by two voices at two speeds; the nearest of the other voice is its own."""
    sentences = [
        "A brown dog runs across the wet grass.",
        "Please close the window, it is cold.",
        "The orchestra played until midnight.",
        "Seven ships sailed into the harbour.",
        "He poured hot coffee into a blue cup.",
        "Nobody remembered where the keys were.",
    ]
    backbone = load_audio("whisper:offline")

    def spoken(voice: str, speed: int) -> np.ndarray:
        found = []
        for number, sentence in enumerate(sentences):
            file = tmp_path / f"{voice}-{number}.wav"
            subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", str(file), sentence], check=True)
            video = write_video(tmp_path / f"{voice}-{number}.mkv", frames=10, rate=5, sound=None)
            clip = decode_clip(asking.request(video, audio_path=str(file), frames=3, audio_spec=backbone.audio_spec))
            features, _ = encode_sound([clip], backbone, tokens=False)
            found.append(features[0].reshape(-1))
        stacked = np.stack(found)
        stacked -= stacked.mean(axis=0)
        return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)

    cosines = spoken("en-us", 160) @ spoken("en-gb", 150).T
    same, others = np.diag(cosines), cosines[~np.eye(len(sentences), dtype=bool)]
    assert (cosines.argmax(axis=1) == np.arange(len(sentences))).all()
    assert same.min() > others.max()


def test_a_sound_beside_the_video_is_heard_whole(checkpoint, tmp_path):
    backbone = load_audio(f"whisper:{checkpoint}")
    video = write_video(tmp_path / "a.mkv", frames=25, rate=5, sound=None)
    sound = write_sound(tmp_path / "a.wav", sound_of(5)[None], RATE)
    clip = decode_clip(asking.request(video, audio_path=str(sound), audio_spec=backbone.audio_spec))
    assert clip.audio.shape == (1, 5 * RATE)
    np.testing.assert_allclose(clip.audio[0], sound_of(5), atol=1e-3)
