"""CLIPs of other makers through open_clip: each architecture once, and what their towers do otherwise than OpenAI's."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from gaid.backbones import load_text, load_visual, published_models
from gaid.backbones.clip.catalogue import PUBLISHED
from gaid.backbones.clip.text import ClipText
from gaid.backbones.clip.towers import ClipVisual
from gaid.backbones.clip.weights import resolve_clip
from gaid.errors import BackboneUnavailable
from tests.backbones.conftest import put_into_hub
from tests.backbones.small_models import save_tokenizer

TEXTS = ["a dog at night", "", "two people talk about the red car " * 40]
# Small towers with what is peculiar to a family: SigLIP reads the last place of a context that is attended to whole,
# MobileCLIP attends to it whole and reads the end, MetaCLIP 2 has an end that is not the highest number.
VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 24, "width": 32, "heads": 2, "layers": 2}
FAMILIES = {
    "small-siglip2": {
        **TEXT, "vocab_size": 50_000, "hf_tokenizer_name": "owner/gemma", "no_causal_mask": True, "proj_bias": True,
        "pool_type": "last", "tokenizer_kwargs": {"clean": "canonicalize"},
    },
    "small-mobileclip2": {**TEXT, "vocab_size": 49_408, "no_causal_mask": True},
    "small-metaclip2": {**TEXT, "vocab_size": 50_000, "hf_tokenizer_name": "owner/xlm", "pool_type": "eos", "eos_id": 3},
    "small-pe-core": {**TEXT, "vocab_size": 49_408},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small_families(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("open_clip")
    for name, text in FAMILIES.items():
        config = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": text}
        if name != "small-metaclip2":
            config["custom_text"] = True
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


def agrees_with_open_clip(text: ClipText, texts: list[str]) -> None:
    """Embeddings as open_clip's whole model gives them for the same numbers of tokens; tokens without padding."""
    model = open_clip_model(text)
    ids = text._tokenize(texts)
    with torch.inference_mode():
        expected = model.encode_text(ids).numpy()
    found = text.encode_text(texts)
    np.testing.assert_allclose(found.embedding, expected, atol=1e-5 * max(1, np.abs(expected).max()))
    assert [len(one) for one in found.tokens] == text.count_tokens(texts)
    np.testing.assert_array_equal(text.encode_text(texts[:1]).embedding[0], found.embedding[0])


def open_clip_model(text: ClipText):
    return load_visual(text.name, random_weights=True)._model


@pytest.mark.parametrize("name", FAMILIES)
def test_a_text_is_what_open_clip_makes_of_it(name: str) -> None:
    text = load_text(f"clip:{name}", random_weights=True)
    agrees_with_open_clip(text, TEXTS)
    counts = text.count_tokens(TEXTS)
    starts = "hf_tokenizer_name" not in FAMILIES[name]
    assert counts == [starts + 4 + 1, starts + 1, 24]
    assert text.provenance["context_length"] == 24


def saved_with_a_tokenizer(name: str, folder: Path) -> Path:
    folder.mkdir()
    torch.manual_seed(0)
    torch.save(open_clip.create_model(name).state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


@pytest.mark.parametrize(("name", "repository"), [("small-siglip2", "owner/gemma"), ("small-metaclip2", "owner/xlm")])
def test_a_tokeniser_of_a_hub_is_found_in_the_cache_or_beside_the_weights(
    name: str, repository: str, tmp_path: Path, empty_hub: Path
) -> None:
    folder = saved_with_a_tokenizer(name, tmp_path / name)
    with pytest.raises(
        BackboneUnavailable, match=f"no tokeniser at hand .*`hf download {repository} --include 'tokenizer"
    ):
        load_text(f"clip:{name}/{folder}")
    save_tokenizer(tmp_path / "tokenizer")
    files = {file.name: file.read_bytes() for file in (tmp_path / "tokenizer").iterdir()}
    put_into_hub(empty_hub, repository, files)
    text = load_text(f"clip:{name}/{folder}")
    assert text.count_tokens(["a dog barks", ""]) == [5, 2]
    for file, content in files.items():
        (folder / file).write_bytes(content)
    beside = load_text(f"clip:{name}/{folder}", seed=1)  # another seed: built anew
    np.testing.assert_array_equal(beside.encode_text(TEXTS).embedding, text.encode_text(TEXTS).embedding)
    ids = text._tokenize(["a dog barks"])
    with torch.inference_mode():
        expected = load_visual(f"clip:{name}/{folder}")._model.encode_text(ids).numpy()
    np.testing.assert_allclose(text.encode_text(["a dog barks"]).embedding, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("published", PUBLISHED, ids=lambda one: one.name.partition(":")[2].partition("/")[0])
def test_each_architecture_is_built_once_with_its_preprocessing(published, monkeypatch: pytest.MonkeyPatch) -> None:
    """On torch's `meta` device, which has shapes and no numbers: the largest would take 20 GB."""
    monkeypatch.setattr(open_clip, "create_model", partial(open_clip.create_model, device="meta"))
    weights = resolve_clip(published.name.removeprefix("clip:"), random_weights=True)
    with torch.device("meta"):
        visual, text = ClipVisual(weights, "meta"), ClipText(weights, "meta")
    assert (visual.dim, text.dim) == (published.dim, published.dim)
    assert round(sum(one.numel() for one in visual._model.parameters()) / 1e6) == published.parameters
    config, stated = open_clip.get_model_config(weights.model), open_clip.get_pretrained_cfg(weights.model, weights.tag)
    spec = visual.frame_spec
    assert spec.size == config["vision_cfg"]["image_size"]
    assert spec.resize == ("squash" if stated.get("resize_mode") == "squash" else "crop")
    assert spec.interpolation == stated.get("interpolation", "bicubic")
    assert visual.provenance["mean"] == list(stated["mean"])
    assert text.provenance["context_length"] == config["text_cfg"]["context_length"]
    native = "timm_model_name" not in config["vision_cfg"]
    assert (
        visual.patch_shape == ((spec.size // config["vision_cfg"]["patch_size"]) ** 2, visual.dim) if native else True
    )
    assert native or visual.patch_shape is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PE-Core-T-16-384", "MobileCLIP2-S0", "EVA02-B-16"])
def test_a_small_one_runs_at_random_weights(name: str) -> None:
    visual, text = load_visual(f"clip:{name}", random_weights=True), load_text(f"clip:{name}", random_weights=True)
    size = visual.frame_spec.size
    frames = np.random.default_rng(0).integers(0, 256, (1, 2, size, size, 3), dtype=np.uint8)
    mean, std = (np.array(visual.provenance[key]) for key in ("mean", "std"))
    pixels = torch.from_numpy(((frames[0] / 255 - mean) / std).transpose(0, 3, 1, 2)).float()
    with torch.inference_mode():
        expected = visual._model.encode_image(pixels).numpy()
    found = visual.encode_frames(frames)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))
    agrees_with_open_clip(text, TEXTS)


def test_published_models_of_every_family_are_listed_with_size_and_licence() -> None:
    found = published_models()
    assert {one.name.partition(":")[0] for one in found} == {"ast", "clap", "clip", "pe-a-frame", "st", "whisper"}
    assert len({one.name for one in found}) == len(found)
    for one in found:
        assert one.parameters > 0
        assert one.dim > 0
        assert one.licence
