"""AST over MSR-VTT's files, from the clips to a figure: embeddings of frames for any head, tokens of clips for AVIGATE's."""

import pytest

pytest.importorskip("transformers", reason="needs the extra 'ast'")

from gaid.stores import open_store
from tests.ast_maker import save_ast
from tests.cli.test_path import write_msrvtt


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "heard"), [("gaid", None), ("avigate", "clip")])
def test_msrvtt_goes_the_whole_way_with_ast_from_a_folder(gaid, tmp_path, preset, heard):
    write_msrvtt(tmp_path / "data" / "msrvtt", train=4, test=3)
    save_ast(tmp_path / "small-ast")
    told = gaid("extract", "--dataset", "msrvtt", "--visual", "tiny", "--text", "tiny", "--audio", "ast:small-ast",
                *(["--audio-clip-tokens"] if heard else []), "--out", "s.zarr", "--workers", "1", "--json")  # fmt: skip
    assert told.code == 0, told.err
    assert (told.json["done"], told.json["random_weights"]) == (7, False)
    store = open_store("s.zarr")
    assert store.attrs["backbones"]["audio"]["name"] == "ast:small-ast"
    assert store.audio_clip_token_shape == ((1213, 16) if heard else None)
    mask = store["videos/audio_mask"][:]
    assert (mask.any(axis=1) == [row != 1 for row in range(7)]).all()  # the second clip has no track
    assert store["videos/audio"][:][mask].std() > 0.1
    assert not store["videos/audio"][:][~mask].any()

    told = gaid("train-head", "--store", "s.zarr", "--preset", preset, "--set", "epochs=1", "--set", "head.dim=16",
                "--out", "run")  # fmt: skip
    assert told.code == 0, told.err
    told = gaid("eval", "--run", "run", "--json", "--report", "none")
    assert told.code == 0, told.err
    assert told.json["t2v"]["gallery"] == told.json["t2v"]["queries"] == 3
    assert told.json["audio_input"] == heard
