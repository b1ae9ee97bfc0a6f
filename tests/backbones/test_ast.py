"""AST: its picture of a sound and AVIGATE's way from the sound to the tokens, held to numpy (tests/ast_maker.py); checkpoints."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs the extra 'ast'")

from gaid.backbones import load_audio  # noqa: E402
from gaid.errors import BackboneUnavailable, OptionInvalid  # noqa: E402
from gaid.extract.encoder import encode_sound  # noqa: E402
from gaid.files import sha256_of  # noqa: E402
from gaid.media.decode import decode_clip  # noqa: E402
from tests.ast_maker import MEAN, RATE, STD, published_picture, save_ast, sound_of  # noqa: E402
from tests.media import asking  # noqa: E402
from tests.media_maker import write_video  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_ast(tmp_path_factory.mktemp("ast") / "ast-small-of-tests")


def before_the_norm(checkpoint: Path, picture: np.ndarray) -> tuple[np.ndarray, torch.nn.LayerNorm]:
    """The 1,214 hidden states of transformers' own model before its last norm, and that norm."""
    model = transformers.ASTModel.from_pretrained(checkpoint).eval()
    kept = []
    model.layernorm.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    with torch.inference_mode():
        model(torch.from_numpy(picture).float()[None])
    return kept[0][0].numpy(), model.layernorm


def normed(norm: torch.nn.LayerNorm, states: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return norm(torch.from_numpy(states)).numpy()


@pytest.mark.parametrize("seconds", [0.5, 5.0, 10.0, 20.3])
def test_a_clips_tokens_are_those_of_avigates_published_code(checkpoint, seconds):
    backbone, sound = load_audio(f"ast:{checkpoint}"), sound_of(seconds)
    states, norm = before_the_norm(checkpoint, published_picture(sound))
    expected = normed(norm, np.concatenate([(states[:1] + states[1:2]) / 2, states[2:]]))
    (found,) = backbone.encode_clip([sound])
    assert found.shape == backbone.clip_token_shape == (1213, 16)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_row_that_is_missing_is_zero_before_normalising_and_a_picture_without_sound_is_zero_after(checkpoint):
    """A sound of 5 s has 1,021 rows of 1,024: the last three are 5.118 / 6.505, and those of no sound at all are 0."""
    backbone = load_audio(f"ast:{checkpoint}")
    picture = backbone._picture(sound_of(5), 78)
    np.testing.assert_allclose(picture[1021:], 0.78673, atol=1e-5)
    assert not np.isclose(picture[1020], 0.78673, atol=1e-5).any()
    states, norm = before_the_norm(checkpoint, np.zeros((1024, 128)))
    expected = normed(norm, np.concatenate([(states[:1] + states[1:2]) / 2, states[2:]]))
    without, too_short = backbone.encode_clip([None, sound_of(1)[:1023]])
    np.testing.assert_allclose(without, expected, atol=1e-5)
    np.testing.assert_array_equal(without, too_short)


def test_the_mean_of_the_class_tokens_is_taken_before_the_norm(checkpoint):
    """transformers' own pooled output takes it after: another vector."""
    backbone, sound = load_audio(f"ast:{checkpoint}"), sound_of(5)
    with torch.inference_mode():
        model = transformers.ASTModel.from_pretrained(checkpoint).eval()
        after = model(torch.from_numpy(published_picture(sound)).float()[None]).pooler_output[0].numpy()
    assert np.abs(backbone.encode_clip([sound])[0, 0] - after).max() > 0.02


@pytest.mark.parametrize("seconds", [0.7, 5.0, 10.24])
def test_steps_of_a_piece_are_means_over_its_pitches_after_the_norm_ten_per_second(checkpoint, seconds):
    backbone, sound = load_audio(f"ast:{checkpoint}"), sound_of(seconds)
    extractor = transformers.ASTFeatureExtractor.from_pretrained(checkpoint)
    picture = extractor(sound, sampling_rate=RATE, return_tensors="np")["input_values"][0]
    states, norm = before_the_norm(checkpoint, picture)
    expected = normed(norm, states[2:]).reshape(12, 101, 16).mean(axis=0)
    (found,) = backbone.encode_steps([sound])
    assert len(found) == min(101, math.ceil(seconds * 10))
    np.testing.assert_allclose(found, expected[: len(found)], atol=2e-3)


def test_a_sound_does_not_depend_on_its_batch(checkpoint):
    backbone = load_audio(f"ast:{checkpoint}")
    alone, among = backbone.encode_steps([sound_of(3)])[0], backbone.encode_steps([sound_of(9), sound_of(3)])[1]
    np.testing.assert_array_equal(alone, among)
    alone, among = backbone.encode_clip([sound_of(3)])[0], backbone.encode_clip([None, sound_of(3), sound_of(20)])[1]
    np.testing.assert_array_equal(alone, among)


def test_each_frame_of_a_decoded_clip_has_the_steps_around_it(checkpoint, tmp_path):
    backbone = load_audio(f"ast:{checkpoint}")
    path = write_video(
        tmp_path / "a.mkv", frames=25, rate=5, sound=sound_of(5)[None], sound_rate=RATE, sound_codec="pcm_s16le"
    )
    clip = decode_clip(asking.request(path, frames=5, audio_spec=backbone.audio_spec))
    features, _ = encode_sound([clip], backbone, tokens=False)
    steps = backbone.encode_steps([clip.audio[0]])[0]
    np.testing.assert_allclose(features[0], steps.reshape(5, 10, 16).mean(axis=1), atol=1e-6)
    assert clip.audio_mask.all()


def test_a_checkpoint_says_what_it_is(checkpoint):
    backbone = load_audio(f"ast:{checkpoint}")
    assert (backbone.name, backbone.dim) == ("ast:ast-small-of-tests", 16)
    assert backbone.provenance["sha256"] == sha256_of(checkpoint / "model.safetensors")
    assert backbone.provenance["random_weights"] is False
    assert backbone.provenance["mel"] == {"bins": 128, "mean": MEAN, "std": STD}
    json.dumps(backbone.provenance)


@pytest.mark.slow
def test_random_weights_have_the_architecture_that_the_name_says():
    backbone = load_audio("ast", random_weights=True, seed=1)
    assert (backbone.dim, backbone.clip_token_shape) == (768, (1213, 768))
    assert backbone.provenance["random_weights"] is True
    with pytest.raises(OptionInvalid, match="no architecture is known for random weights"):
        load_audio("ast:somebody/else", random_weights=True)


def test_weights_that_are_missing_are_an_error_and_never_drawn(checkpoint, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoint, tmp_path / "lacking")
    weights = load_file(folder / "model.safetensors")
    del weights[next(key for key in weights if key.endswith("layernorm_before.weight"))]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneUnavailable, match=r"lack 1 of the encoder's tensors"):
        load_audio(f"ast:{folder}")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BackboneUnavailable, match="does not load as an AST"):
        load_audio(f"ast:{folder}")


def test_a_hub_that_cannot_be_reached_is_a_line_with_the_command():
    with pytest.raises(BackboneUnavailable, match="hf download MIT/ast"):
        load_audio("ast")
