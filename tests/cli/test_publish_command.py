"""`gaid publish`, and the folder that it writes where commands take a run."""

import pytest

from gaid import train
from tests.cli.test_code_of_others import write_store

FILES = (".eval_results", "README.md", "config.json", "head.safetensors", "training.toml")


@pytest.fixture
def run(tmp_path):
    return train(
        write_store(tmp_path / "store.zarr"), "mean-pool", out=tmp_path / "run", set=["epochs=1"], progress=False
    ).path


def test_a_published_folder_is_evaluated_and_searched(gaid, run, tmp_path):
    done = gaid("publish", run, "-o", "out/head")
    assert done.code == 0, done.err
    assert "note: no licence was chosen" in done.err
    assert "README.md" in done.out
    assert "hf upload OWNER/NAME out/head" in done.out
    told = gaid("eval", "--run", "out/head", "--store", "store.zarr", "--report", "none", "--json").json
    own = gaid("eval", "--run", run, "--report", "none", "--json").json
    assert (told["t2v"], told["preset"], told["trained"]) == (own["t2v"], "mean-pool", True)
    assert sorted(path.name for path in (tmp_path / "out/head").iterdir()) == sorted(FILES)  # figures go elsewhere
    assert (tmp_path / "reports/head/results.json").is_file()
    assert gaid("search", "about clip3", "--run", "out/head", "--store", "store.zarr").code == 0


def test_mistakes_are_one_line(gaid, run):
    assert gaid("publish", "nowhere", "-o", "out").last_word.startswith("gaid: nowhere: no such run")
    assert gaid("publish", run, "-o", "out", "--split", "tset").code == 2
    gaid("publish", run, "-o", "out")
    assert "replace it (--overwrite)" in gaid("publish", run, "-o", "out").last_word
    assert "give one (--store PATH)" in gaid("eval", "--run", "out").last_word
