"""Tokens of whole clips, from the command to the store."""

import numpy as np
import pytest

from gaid.errors import OptionInvalid, StoresDisagree
from gaid.stores import AUDIO_STATES, open_store
from tests.extract.stubs import CLIP, run


@pytest.mark.slow
def test_tokens_of_whole_clips_are_kept_where_asked_for_and_change_nothing_else(world, tmp_path, capsys):
    run(world, tmp_path / "plain.zarr", audio=CLIP)
    report = run(world, tmp_path / "store.zarr", audio=CLIP, audio_clip_tokens=True, progress=True)
    assert "3 audio tokens of 2 numbers per clip: 0.0 MB each, 0.0 GB for 16 clips" in capsys.readouterr().err
    store, plain = open_store(report.store), open_store(tmp_path / "plain.zarr")
    tokens, states, valid = (store[f"videos/{name}"][:] for name in ("audio_clip_tokens", "audio_state", "valid"))
    assert tokens.shape == (16, 3, 2)
    for row in np.flatnonzero(valid):  # a clip without a track has the tokens that the backbone gives for no sound
        heard = AUDIO_STATES[states[row]] in ("sound", "silent")
        assert (tokens[row, :, 0] == (tokens[row, 0, 0] if heard else -1)).all()
        assert heard == (tokens[row, 0, 0] > 0)
    assert {AUDIO_STATES[state] for state in states[valid]} >= {"sound", "no track"}
    for name in plain.names():
        np.testing.assert_array_equal(store[name][:], plain[name][:], err_msg=name)
    assert store.verify().ok
    with pytest.raises(StoresDisagree, match="--audio-clip-tokens there, not now"):
        run(world, tmp_path / "store.zarr", audio=CLIP)
    run(world, tmp_path / "pool.zarr", audio=CLIP, audio_clip_tokens=True, workers=2)
    assert open_store(tmp_path / "pool.zarr").content_digest() == store.content_digest()


def test_a_backbone_without_tokens_of_a_whole_clip_is_refused_before_anything_is_written(world, tmp_path):
    with pytest.raises(OptionInvalid, match="leave out --audio-clip-tokens, or use ast"):
        run(world, tmp_path / "store.zarr", audio_clip_tokens=True)
    assert not (tmp_path / "store.zarr").exists()
