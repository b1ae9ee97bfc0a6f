"""What commands print: for a person on stdout and stderr, for machines as one JSON object."""

import json

import numpy as np
import pytest

from gaid.cli.common import give, human_bytes
from gaid.console import print_table
from gaid.datasets import DATASETS


def test_json_is_one_object_of_plain_values(capsys):
    give(
        {
            "nan": float("nan"),
            "figure": np.float32(0.5),
            "rows": np.arange(2),
            "name": "日本",
            "bad": "\udce9",
            3: (1, None),
        }
    )
    told = capsys.readouterr().out
    assert json.loads(told) == {
        "nan": None,
        "figure": 0.5,
        "rows": [0, 1],
        "name": "日本",
        "bad": "\\udce9",
        "3": [1, None],
    }
    assert "日本" in told


def test_a_cell_is_no_markup(capsys):
    print_table("[bold]title", ["name", "count"], [["[red]a", 1234]])
    told = capsys.readouterr().out
    assert "[bold]title" in told
    assert "[red]a" in told
    assert "1,234" in told


def test_sizes_are_short():
    assert [human_bytes(count) for count in (0, 999, 1000, 2.5e9, 7e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "2.5 GB",
        "7.0 TB",
    ]


@pytest.mark.slow
def test_data_sets_are_listed_with_what_is_here(gaid, tmp_path):
    told = gaid("datasets", "--json")
    found = {one["name"]: one for one in told.json["datasets"]}
    assert set(found) == set(DATASETS)
    assert not found["folder"]["present"]
    assert found["folder"]["here"] == "nothing in data/folder"
    (tmp_path / "data" / "folder").mkdir(parents=True)
    (tmp_path / "data" / "folder" / "a.mp4").write_bytes(b"")
    assert "1 videos and 0 captions in data/folder" in gaid("datasets").out
    assert "no video under" not in gaid("datasets").out


def test_a_data_set_that_is_not_whole_is_told_and_not_fatal(gaid, tmp_path):
    (tmp_path / "elsewhere" / "msrvtt").mkdir(parents=True)
    told = gaid("datasets", "--root", "elsewhere")
    assert told.code == 0
    assert "not whole: msrvtt: MSRVTT_data.json not found under elsewhere/msrvtt" in told.out


def test_one_data_set_is_counted_and_its_missing_videos_named(gaid, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("video,caption,split\na,one,train\nb,two,test\nc,three,test\n")
    told = gaid("datasets", "folder", "--root", ".")
    assert told.code == 0
    assert "2 of 3 videos are missing: b, c" in told.out
    told = gaid("datasets", "folder", "--root", ".", "--json")
    assert told.json["missing"] == ["b", "c"]
    assert told.json["splits"]["given"]["test"] == {"captions": 2, "videos": 2, "missing": 2}


def test_the_demo_is_not_made_by_asking_for_it(gaid, tmp_path):
    told = gaid("datasets", "demo")
    assert told.code == 0
    assert "not made yet" in told.err
    assert not (tmp_path / "data").exists()
    assert gaid("datasets", "demo", "--json").json["present"] is False


def test_the_doctor_tells_what_is_here_and_what_to_install(gaid):
    told = gaid("doctor", "--json")
    assert told.code == 0
    found = told.json
    assert found["packages"]["torch"]
    assert found["machine"]["devices"].startswith("cpu")
    clip = next(one for one in found["backbones"] if one["name"] == "clip:ViT-B-32/openai")
    assert not clip["at_hand"]
    assert sum("clip:ViT-B-32/openai" in line and "hf download" in line for line in found["advice"]) == 1
    assert "hf download" in gaid("doctor").out


def test_the_doctor_names_the_extra_of_what_is_missing(monkeypatch):
    from gaid.cli import doctor

    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    advice = doctor._advise([], dict.fromkeys(doctor.PACKAGES), gpu=False)
    assert "for extracting on several machines (--scheduler): pip install 'gaid[dask]'" in advice
    assert any("ffmpeg program" in line for line in advice)


def test_the_doctor_knows_the_two_faiss(monkeypatch):
    from gaid.cli.doctor import PACKAGES, _advise

    both = dict.fromkeys(PACKAGES, "1")
    assert any("same module" in line for line in _advise([], both, gpu=True))
    assert any("pip uninstall faiss-cpu" in line for line in _advise([], both | {"faiss-gpu": None}, gpu=True))
    assert not any("faiss" in line for line in _advise([], both | {"faiss-gpu": None}, gpu=False))
