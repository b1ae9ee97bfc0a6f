"""PE-A-Frame: steps of a whole sound and sentences in their space, as Meta's code computes them; checkpoints."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs the extra 'pe-a-frame'")

from gaid.backbones import load_audio  # noqa: E402
from gaid.backbones.pe_a_frame import encoder  # noqa: E402
from gaid.errors import BackboneUnavailable, OptionInvalid  # noqa: E402
from gaid.extract.encoder import encode_sound  # noqa: E402
from gaid.files import sha256_of  # noqa: E402
from gaid.media.decode import decode_clip  # noqa: E402
from tests.backbones.conftest import put_into_hub  # noqa: E402
from tests.backbones.small_models import pe_a_frame_config, save_pe_a_frame, without_a_tensor  # noqa: E402
from tests.media import asking  # noqa: E402
from tests.media_maker import write_video  # noqa: E402

RATE, HOP = 48_000, 1_920
TEXTS = ["a dog barks at night", "two people talk about the red car", ""]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_pe_a_frame(tmp_path_factory.mktemp("pe") / "pe-a-frame-of-tests")


def model_of(checkpoint: Path):
    return transformers.PeAudioFrameLevelModel.from_pretrained(checkpoint).eval()


def sound_of(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize("seconds", [2.0, 1.99, 0.03])
def test_steps_are_those_of_the_model_with_the_extractors_own_filling(checkpoint, seconds):
    sound, backbone = sound_of(seconds), load_audio(f"pe-a-frame:{checkpoint}")
    given = transformers.PeAudioFeatureExtractor()(sound, sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode():
        expected = model_of(checkpoint).get_audio_embeds(**given)[0].numpy()
    (found,) = backbone.encode_steps([sound])
    assert len(found) == -(-len(sound) // HOP)
    assert backbone.steps_per_second == 25
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_sound_has_the_same_steps_whatever_it_is_encoded_with(checkpoint):
    """The trap: in a padded batch, the last steps of the shorter sound change."""
    backbone, short, long = load_audio(f"pe-a-frame:{checkpoint}"), sound_of(1), sound_of(3, seed=1)
    alone = backbone.encode_steps([short])[0]
    np.testing.assert_array_equal(backbone.encode_steps([long, short, long])[1], alone)
    batch = transformers.PeAudioFeatureExtractor()([short, long], sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode():
        batched = model_of(checkpoint).get_audio_embeds(**batch)[0].numpy()[: len(alone)]
    assert np.abs(batched[-1] - alone[-1]).max() > 1e-3


def test_a_sentence_is_the_first_token_before_the_text_models_last_norm(checkpoint):
    """Meta's code takes a middle layer of a deeper text model, where no norm has been; the norm after it is another's."""
    model, backbone = model_of(checkpoint), load_audio(f"pe-a-frame:{checkpoint}")
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    last_layer = []
    model.text_model.layers[-1].register_forward_hook(lambda module, given, out: last_layer.append(out))
    with torch.inference_mode():
        for text in TEXTS:
            normed = model.text_model(**tokenizer(text, return_tensors="pt")).last_hidden_state[:, 0]
            before = last_layer[-1][0] if isinstance(last_layer[-1], tuple) else last_layer[-1]
            expected = model.text_audio_head(before[:, 0]).numpy()
            found = backbone.encode_text([text])
            np.testing.assert_allclose(found, expected, atol=1e-5)
            assert np.abs(found - model.text_audio_head(normed).numpy()).max() > 0.01
    assert backbone.has_text
    np.testing.assert_array_equal(backbone.encode_text(TEXTS)[1], backbone.encode_text(TEXTS[1:2])[0])


def test_frames_of_a_decoded_clip_have_the_mean_of_their_steps(checkpoint, tmp_path):
    backbone, sound = load_audio(f"pe-a-frame:{checkpoint}"), sound_of(3)
    path = write_video(
        tmp_path / "a.mkv", frames=15, rate=5, sound=sound[None], sound_rate=RATE, sound_codec="pcm_s16le"
    )
    clip = decode_clip(asking.request(path, frames=3, audio_spec=backbone.audio_spec))
    features, _ = encode_sound([clip], backbone, tokens=False)
    steps = backbone.encode_steps([sound])[0]
    expected = steps.reshape(3, 25, -1).mean(axis=1)  # the frames' windows are the three seconds
    np.testing.assert_allclose(features[0], expected, atol=0.02 * np.abs(expected).max())


def test_a_checkpoint_says_what_it_is(checkpoint, empty_hub):
    backbone = load_audio(f"pe-a-frame:{checkpoint}")
    assert (backbone.name, backbone.dim) == ("pe-a-frame:pe-a-frame-of-tests", 32)
    assert backbone.provenance["sha256"] == sha256_of(checkpoint / "model.safetensors")
    assert "revision" not in backbone.provenance
    json.dumps(backbone.provenance)
    files = {file.name: file.read_bytes() for file in checkpoint.iterdir()}
    put_into_hub(empty_hub, "facebook/pe-a-frame-base", files)
    of_hub = load_audio("pe-a-frame")
    assert (of_hub.name, of_hub.provenance["revision"]) == ("pe-a-frame:facebook/pe-a-frame-base", "0" * 40)


def test_weights_that_are_missing_are_an_error_and_never_drawn(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "lacking")
    without_a_tensor(folder, "audio_head.proj.weight")
    with pytest.raises(BackboneUnavailable, match=r"lack 1 of the model's tensors \(audio_head\.proj\.weight, ...\)"):
        load_audio(f"pe-a-frame:{folder}")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BackboneUnavailable, match="does not load as a PE-A-Frame"):
        load_audio(f"pe-a-frame:{folder}")


def test_a_text_side_that_gives_one_vector_is_refused(checkpoint, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoint, tmp_path / "dead")
    weights = load_file(folder / "model.safetensors")
    weights["text_model.embeddings.tok_embeddings.weight"][:] = 1.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneUnavailable, match="same vector for different sentences"):
        load_audio(f"pe-a-frame:{folder}")


def test_a_hub_that_cannot_be_reached_is_a_line_with_the_command():
    with pytest.raises(BackboneUnavailable, match="hf download facebook/pe-a-frame-base"):
        load_audio("pe-a-frame")


def test_random_weights_have_the_architecture_that_the_name_says():
    """Parameters as the checkpoints' card has them: 560M and 1.4B."""
    counts = {}
    for size in ("base", "large"):
        with torch.device("meta"):
            model = transformers.PeAudioFrameLevelModel(encoder.random_config(f"facebook/pe-a-frame-{size}"))
        counts[size] = sum(one.numel() for one in model.parameters())
    assert round(counts["base"] / 1e6) == 561
    assert 1.4e9 < counts["large"] < 1.5e9
    with pytest.raises(OptionInvalid, match="no size is known for random weights; known: base, large"):
        load_audio("pe-a-frame:somebody/else", random_weights=True)


def test_random_weights_encode_sound_and_sentences(monkeypatch):
    monkeypatch.setattr(encoder, "random_config", lambda name: pe_a_frame_config(vocabulary=49_408))
    backbone = load_audio("pe-a-frame", random_weights=True, seed=11)
    assert backbone.encode_steps([sound_of(0.2)])[0].shape == (5, 32)
    assert np.isfinite(backbone.encode_text(TEXTS)).all()
    assert (backbone.provenance["random_weights"], backbone.provenance["seed"]) == (True, 11)
