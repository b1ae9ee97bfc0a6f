"""Families of encoders the whole way, on MSR-VTT's form of files: extract, train a head, evaluate it."""

from pathlib import Path

import pytest

from gaid.stores import open_store
from tests.backbones.small_models import save_pe_a_frame, save_st_clap, save_st_clip, save_st_text
from tests.cli.test_path import write_msrvtt

pytest.importorskip("sentence_transformers", minversion="6", reason="needs the extra 'st'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("visual", "audio", "text", "dims"),
    [
        ("tiny", f"pe-a-frame:{Path('models/pe-a-frame')}", "tiny", {"visual": 256, "audio": 32, "text": 256}),
        ("st:models/clip", "st:models/clap", "st:models/text", {"visual": 24, "audio": 24, "text": 32}),
        ("st:models/clip", "clap:models/clap", "st:models/clip", {"visual": 24, "audio": 24, "text": 24}),
    ],
    ids=["pe-a-frame", "st", "clap"],
)
def test_a_family_goes_the_whole_way(gaid, tmp_path, visual, audio, text, dims):
    save_pe_a_frame(tmp_path / "models" / "pe-a-frame")
    save_st_clip(tmp_path / "models" / "clip")
    save_st_clap(tmp_path / "models" / "clap")
    save_st_text(tmp_path / "models" / "text")
    write_msrvtt(tmp_path / "data" / "msrvtt", train=4, test=2)
    told = gaid("extract", "--dataset", "msrvtt", "--visual", visual, "--audio", audio, "--text", text, "--workers", "1",
                "--out", "a.zarr", "--json")  # fmt: skip
    assert told.code == 0, told.err
    assert (told.json["done"], told.json["random_weights"]) == (6, False)
    store = open_store("a.zarr")
    assert store["videos/visual"].shape[-1] == dims["visual"]
    assert store["videos/audio"].shape[-1] == store["captions/audio_embedding"].shape[-1] == dims["audio"]
    assert store["captions/embedding"].shape[-1] == dims["text"]
    assert store.attrs["backbones"]["audio"]["name"] == audio.replace("models/", "")

    told = gaid("train-head", "--store", "a.zarr", "--set", "epochs=1", "--set", "head.dim=16", "--out", "run")
    assert told.code == 0, told.err
    told = gaid("eval", "--run", "run", "--json")
    assert told.code == 0, told.err
    assert told.json["t2v"]["gallery"] == told.json["t2v"]["queries"] == 2
    told = gaid("search", "a clip is shown", "--run", "run", "--text", text, "--json")  # a folder is named again
    assert told.code == 0, told.err
