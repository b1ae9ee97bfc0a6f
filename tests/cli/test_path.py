"""The whole path by commands alone: a data set, features, a head, figures; as a user types them."""

import json
from pathlib import Path

import pytest

from tests.media_maker import tone, write_video


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """Twelve clips, each with its own texture and tone, and a text beside it."""
    root = tmp_path / "mine"
    for number in range(12):
        write_video(root / f"clip {number}.mp4", frames=20, size=(64, 48), seed=number, sound=tone(0.8, 16000, 150.0 * (number + 1)),
                    sound_rate=16000)  # fmt: skip
        (root / f"clip {number}.txt").write_text(f"take number {number}\nshot {number}, another way\n")
    return root


@pytest.mark.slow
def test_a_folder_of_captioned_videos_goes_from_files_to_figures(gaid, captioned):
    told = gaid("datasets", "folder", "--root", captioned, "--json")
    assert told.json["default_protocol"] == "all"  # twelve clips are too few for three parts
    counts = told.json["splits"]["hash"]
    assert sum(part["videos"] for part in counts.values()) == 12

    told = gaid("extract", "--dataset", "folder", "--root", captioned, "--visual", "tiny", "--audio", "tiny", "--json",
                "--text", "tiny", "--out", "mine.zarr", "--num_workers", "1", "--frames", "4")  # fmt: skip
    assert told.code == 0
    assert (told.json["done"], told.json["captions"]) == (12, 24)

    told = gaid("train-head", "--store", "mine.zarr", "--out", "run")
    assert told.code == 2
    assert "--split-protocol hash" in told.err
    told = gaid("train-head", "--store", "mine.zarr", "--split-protocol", "hash", "--set", "epochs=2", "--set",
                "head.dim=16", "--out", "run", "--json")  # fmt: skip
    assert told.code == 0, told.err
    assert told.json["metrics"]["finished"]
    assert json.loads(Path("run/metrics.json").read_text()) == told.json["metrics"]
    assert gaid("train-head", "--store", "mine.zarr", "--split-protocol", "hash", "--out", "run").code == 2

    told = gaid("eval", "--run", "run", "--json", "--report", "none", "--save-ranks", "ranks.csv")
    assert told.code == 0, told.err
    for direction in ("t2v", "v2t"):
        assert set(told.json[direction]) >= {"R@1", "R@5", "R@10", "MdR", "MnR", "queries", "gallery", "intervals"}
    assert told.json["t2v"]["gallery"] == counts["test"]["videos"]
    assert any("3 validation clips are too few to choose among epochs" in note for note in told.json["notes"])
    assert any("only 3 videos in the gallery: chance alone gives R@1 33.3" in note for note in told.json["notes"])
    assert told.json["t2v"]["queries"] == counts["test"]["captions"]
    assert len(Path("ranks.csv").read_text().splitlines()) == 1 + counts["test"]["captions"]


@pytest.mark.slow
def test_all_of_a_folder_can_be_judged_without_training(gaid, captioned):
    gaid("extract", "--dataset", "folder", "--root", captioned, "--visual", "tiny", "--audio", "tiny", "--text", "tiny",
         "--out", "mine.zarr", "--frames", "4")  # fmt: skip
    told = gaid("eval", "--store", "mine.zarr", "--preset", "mean-pool", "--split-protocol", "all", "--json")
    assert told.json["t2v"]["gallery"] == 12
    assert not told.json["trained"]
    told = gaid("eval", "--store", "mine.zarr", "--preset", "mean-pool", "--split-protocol", "all")
    assert "R@1" in told.out


def write_msrvtt(root: Path, train: int, test: int) -> Path:
    """Real clips under MSR-VTT's names, with its lists; one of them has no sound, as in the common copy."""
    names = [f"video{number}" for number in range(train + test)]
    for number, name in enumerate(names):
        sound = None if number == 1 else tone(0.6, 48000, 200.0 * (number + 1))
        write_video(
            root / "all" / f"{name}.mp4", frames=15, size=(160, 120), seed=number, sound=sound, sound_rate=48000
        )
    sentences = [
        {"caption": f"take {k} of clip {name[5:]}", "video_id": name, "sen_id": 3 * n + k}
        for n, name in enumerate(names)
        for k in range(3)
    ]
    videos = [{"video_id": name, "split": "train", "category": 1} for name in names]
    (root / "MSRVTT_data.json").write_text(json.dumps({"info": {}, "videos": videos, "sentences": sentences}))
    (root / "MSRVTT_train.9k.csv").write_text("\n".join(["video_id", *names[:train]]))
    rows = [f"ret{n},msr{name[5:]},{name},clip {name[5:]} is shown" for n, name in enumerate(names[train:])]
    (root / "MSRVTT_JSFUSION_test.csv").write_text("\n".join(["key,vid_key,video_id,sentence", *rows]))
    return root


@pytest.mark.slow
def test_msrvtt_goes_the_whole_way_with_clip_and_clap_of_random_weights(gaid, tmp_path):
    pytest.importorskip("transformers")
    write_msrvtt(tmp_path / "data" / "msrvtt", train=4, test=2)
    told = gaid("extract", "--dataset", "msrvtt", "--visual", "clip:ViT-B-32/openai", "--audio", "clap", "--random-weights",
                "--workers", "1", "--json")  # fmt: skip
    assert told.code == 0, told.err
    assert (told.json["done"], told.json["random_weights"]) == (6, True)
    assert told.json["census"]["no track"] == 1
    store = "stores/msrvtt-clip-ViT-B-32-openai.zarr"
    assert told.json["store"] == store, told.json["store"]

    told = gaid("train-head", "--store", store, "--set", "epochs=1", "--set", "head.dim=32")
    assert told.code == 0, told.err
    told = gaid("eval", "--run", "runs/gaid-msrvtt", "--json")
    assert told.code == 0, told.err
    assert told.json["random_weights"]
    assert told.json["t2v"]["gallery"] == told.json["t2v"]["queries"] == 2
    assert Path(told.json["report"]).is_file()
    told = gaid("eval", "--run", "runs/gaid-msrvtt", "--report", "none")
    assert "backbones with RANDOM weights" in told.out

    # The paper's Table 1 over the same store: what a user with the real data types.
    told = gaid("reproduce", "table1", "--dataset", "msrvtt", "--random-weights", "--no-patches", "--seeds", "1",
                "--set", "epochs=1", "--set", "head.dim=32", "--json")  # fmt: skip
    assert told.code == 0, told.err
    measured = told.json["tables"]["table1"]["measured"]["table1-msrvtt-clip-ViT-B-32-openai"]
    assert {"x-pool", "t-mass", "avigate", "gaid"} <= set(measured["rows"])
    assert "RANDOM weights" in Path("reports/paper/table1.md").read_text()


def test_without_weights_the_first_line_says_what_to_fetch(gaid, tmp_path):
    write_msrvtt(tmp_path / "data" / "msrvtt", train=2, test=1)
    told = gaid("extract", "--dataset", "msrvtt")
    assert told.code == 2
    assert "hf download" in told.last_word
    assert "--random-weights" in told.last_word
    assert not Path("stores").exists()
