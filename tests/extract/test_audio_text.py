"""Captions in the sound's own text space: extracted where the audio backbone has a text side, and not into older stores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gaid.stores
from gaid.errors import DataInvalid, ExtractInterrupted
from gaid.stores import StorePlan, open_store
from tests.extract.stubs import AUDIO_TEXT, StubAudioText, StubVisual, run


def as_the_version_before(**given: Any) -> StorePlan:
    return StorePlan(**{**given, "audio_text": False, "schema": 1})


@pytest.mark.slow
def test_captions_are_kept_as_the_audio_backbone_encodes_them(world: Any, tmp_path: Path) -> None:
    run(world, tmp_path / "with.zarr", audio=AUDIO_TEXT)
    store = open_store(tmp_path / "with.zarr")
    texts = list(store["captions/text"])
    np.testing.assert_array_equal(store["captions/audio_embedding"][:], StubAudioText().encode_text(texts))
    assert store.verify().ok
    assert run(world, tmp_path / "with.zarr", audio=AUDIO_TEXT).already_complete


def test_a_backbone_without_a_text_side_makes_a_store_without_them(reference: Path) -> None:
    store = open_store(reference)
    assert (store.schema, store.has_audio_text) == (2, False)
    assert "captions/audio_embedding" not in store.names()


def test_a_sentence_that_is_not_finite_is_named(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(self: StubAudioText, texts: list[str]) -> np.ndarray:
        found = np.ones((len(texts), 5), np.float32)
        found[1, 0] = np.nan
        return found

    monkeypatch.setattr(StubAudioText, "encode_text", spoiled)
    with pytest.raises(DataInvalid, match=f"audio backbone 'stub' gives numbers.*'{world.captions[1].id}'"):
        run(world, tmp_path / "s.zarr", audio=AUDIO_TEXT)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_a_store_of_schema_1_is_resumed_as_it_was_begun(
    world: Any, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"store{suffix}"
    with monkeypatch.context() as before:
        before.setattr(gaid.stores, "StorePlan", as_the_version_before)
        StubVisual.shout = {6: 1}
        with pytest.raises(ExtractInterrupted):
            run(world, out, audio=AUDIO_TEXT)
    report = run(world, out, audio=AUDIO_TEXT, progress=True)
    assert "was begun in schema 1 and stays so" in capsys.readouterr().err
    store = open_store(out)
    assert (store.schema, store.has_audio_text) == (1, False)
    assert store.fingerprint == report.fingerprint
    assert store.verify().ok
    assert run(world, out, audio=AUDIO_TEXT).already_complete
    run(world, out, audio=AUDIO_TEXT, overwrite=True)
    assert open_store(out).has_audio_text
