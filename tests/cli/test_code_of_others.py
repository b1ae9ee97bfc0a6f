"""Code that comes with a run or a store is not run by any command, however it is named, until the user allows it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from gaid import train
from gaid.backbones import load_backbones, load_visual
from gaid.cli import run as gaid_command
from gaid.errors import CodeRefused
from gaid.plugins import TRUST, load_module
from gaid.runs import load_run
from gaid.runs.files import read_checkpoint, write_checkpoint
from gaid.stores import StorePlan, StoreWriter, open_store
from gaid.training.session import settings_in

EVIL = """
from pathlib import Path
Path("RAN").write_text("")
from gaid.heads import PRESETS
Evil = PRESETS["mean-pool"].kind
"""


def write_store(path: Path, text=None) -> Path:
    """Thirty clips of noise, under the backbones called tiny."""
    backbones = load_backbones("tiny", "tiny")
    rng = np.random.default_rng(0)
    dims = {kind: getattr(backbones, kind).dim for kind in ("visual", "audio", "text")}
    names = [f"clip{number}" for number in range(30)]
    plan = StorePlan(
        video_ids=names,
        caption_ids=names,
        caption_texts=[f"about {name}" for name in names],
        caption_video=range(30),
        token_offsets=[0] * 31,
        splits={"main": {"train": range(10), "val": range(10, 20), "test": range(20, 30)}},
        default_protocol="main",
        frames=2,
        **{f"{kind}_dim": dim for kind, dim in dims.items()},
        attrs={
            "dataset": {"name": "noise"},
            "backbones": {
                "visual": backbones.visual.provenance,
                "audio": backbones.audio.provenance,
                "text": text or backbones.text.provenance,
            },
        },
        shard_rows=30,
        chunk_rows=30,
    )

    def noise(*shape):
        return rng.normal(size=shape).astype(np.float16)

    arrays = {
        "visual": noise(30, 2, dims["visual"]), "audio": noise(30, 2, dims["audio"]), "audio_mask": np.ones((30, 2), bool),
        "audio_state": np.zeros(30, np.uint8), "valid": np.ones(30, bool), "time": np.zeros((30, 2), np.float32),
        "duration": np.ones(30, np.float32),
    }  # fmt: skip
    with StoreWriter.open(path, plan) as writer:
        writer.write_captions(noise(30, dims["text"]), np.zeros((0, dims["text"]), np.float16))
        writer.write_shard(0, arrays, [])
        writer.finish()
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a store, a run of one's own, and a run from elsewhere, `downloaded`, with code in it."""
    folder = tmp_path_factory.mktemp("world")
    store = write_store(folder / "store.zarr")
    for name in ("mine", "downloaded"):
        train(store, "mean-pool", out=folder / name, set=["epochs=1"], progress=False)
    for place in (folder / "downloaded", folder / "downloaded/package"):
        place.mkdir(exist_ok=True)
        (place / "evil_head.py").write_text(EVIL)
    (folder / "downloaded/package/__init__.py").write_text(EVIL)
    return folder


@pytest.fixture
def here(world, tmp_path, monkeypatch):
    """A copy of that folder as the current one, with links into the run."""
    here = tmp_path / "here"
    shutil.copytree(world, here)
    (here / "linked.py").symlink_to(here / "downloaded/evil_head.py")
    (here / "linked_folder").symlink_to(here / "downloaded")
    monkeypatch.chdir(here)
    monkeypatch.delenv(TRUST, raising=False)
    return here


def name_head(run: Path, preset: str) -> None:
    """The run says that its head is of this class."""
    config = dict(load_run(run).config)
    (run / "config.toml").write_text(tomli_w.dumps({**config, "preset": preset, "store": "store.zarr"}))
    for name in ("best", "last"):
        file = run / f"checkpoints/{name}.safetensors"
        if file.exists():
            tensors, description = read_checkpoint(file)
            head = {**description["head"], "preset": preset}
            write_checkpoint(file, tensors, {**description, "preset": preset, "head": head})


COMMANDS = {
    "eval": "eval --run downloaded",
    "eval against": "eval --run mine --against downloaded",
    "audit": "audit downloaded --out a --only leak",
    "audit retrain": "audit downloaded --out a --retrain",
    "compare": "compare mine downloaded",
    "stress": "stress downloaded --out s",
    "search": "search word --run downloaded",
    "export": "export downloaded -o vectors.npz",
    "resume": "train-head --store store.zarr --resume --out downloaded",
    "config": "train-head --store store.zarr --config downloaded/config.toml --out new",
}


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["downloaded.evil_head:Evil", "downloaded/evil_head.py:Evil"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_command_runs_the_code_of_a_run(here, capfd, command, preset):
    name_head(here / "downloaded", preset)
    assert gaid_command(command.split()) == 2
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert "downloaded/evil_head.py: is code within the run downloaded, which is not run unasked" in said
    assert not Path("RAN").exists()


def test_what_a_run_was_trained_with_is_not_asked_of_its_own_code(here):
    name_head(here / "downloaded", "downloaded.evil_head:Evil")
    with pytest.raises(CodeRefused):  # what `audit --retrain` and `reproduce` begin with
        settings_in(load_run("downloaded"))
    with pytest.raises(CodeRefused):
        load_run("downloaded").build_head()
    assert not Path("RAN").exists()


@pytest.mark.parametrize(
    "source",
    [
        "downloaded.evil_head", "downloaded.package", "downloaded.package.evil_head", "linked", "linked_folder.evil_head",
        "downloaded/evil_head.py", "./downloaded/evil_head.py", "mine/../downloaded/evil_head.py", "{here}/downloaded/evil_head.py",
        "linked.py", "./linked_folder/evil_head.py", "downloaded/package/evil_head.py",
    ],
)  # fmt: skip
def test_every_spelling_of_a_place_within_a_run_is_that_place(here, source):
    with pytest.raises(CodeRefused, match="is code within the run"):
        load_module(source.format(here=here))
    assert not Path("RAN").exists()


def test_a_link_within_a_run_is_within_it_wherever_it_leads(here):
    (here / "mine_as_well.py").write_text(EVIL)
    (here / "downloaded/lead.py").symlink_to(here / "mine_as_well.py")
    with pytest.raises(CodeRefused):
        load_module("downloaded/lead.py")


def test_a_module_within_a_run_is_refused_where_the_user_stands_in_it(here, monkeypatch):
    monkeypatch.chdir("downloaded")
    for source in ("evil_head", "evil_head.py", "package"):
        with pytest.raises(CodeRefused):
            load_module(source)
    (here / "other").mkdir()
    (here / "other/honest_module.py").write_text("import colours_of_nothing\n")
    (here / "downloaded/colours_of_nothing.py").write_text(EVIL)
    monkeypatch.syspath_prepend(here / "other")
    with pytest.raises(ModuleNotFoundError):  # an honest module's own imports do not come out of the run
        load_module("honest_module")
    assert not list(here.rglob("RAN"))


def test_the_seeds_of_a_run_are_within_the_whole_of_it(here):
    (here / "downloaded/seed-0").mkdir()
    for name in ("checkpoints", "config.toml"):
        (here / "downloaded" / name).rename(here / "downloaded/seed-0" / name)
    text = (here / "downloaded/seed-0/config.toml").read_text()
    (here / "downloaded/config.toml").write_text(text.replace("seeds = 1", "seeds = 2"))
    name_head(here / "downloaded/seed-0", "downloaded.evil_head:Evil")
    with pytest.raises(CodeRefused):
        load_run("downloaded/seed-0").load_head()


@pytest.mark.slow
def test_a_user_who_trusts_a_run_has_its_code_run(here, monkeypatch):
    name_head(here / "downloaded", "downloaded.evil_head:Evil")
    monkeypatch.setenv(TRUST, "1")
    assert gaid_command(["eval", "--run", "downloaded"]) == 0
    assert Path("RAN").exists()


def test_a_store_names_no_code_of_its_own(here, capfd):
    store = write_store(here / "other.zarr", text={"name": "other.zarr/evil_head.py:Text"})
    (store / "evil_head.py").write_text(EVIL)
    assert gaid_command(["search", "word", "--store", "other.zarr", "--preset", "mean-pool"]) == 2
    assert "evil_head.py: is code within the store other.zarr" in capfd.readouterr().err
    assert open_store(store).verify().ok
    with pytest.raises(CodeRefused):
        load_visual("./other.zarr/evil_head.py:Visual")
    assert not Path("RAN").exists()


OWN = """
from gaid.heads import PRESETS
class Own(PRESETS["mean-pool"].kind):
    pass
"""


@pytest.mark.slow
def test_a_head_of_ones_own_is_found_from_another_folder_and_its_copy_is_run_when_asked(here, monkeypatch, capfd):
    Path("own_of_this_test.py").write_text(OWN)
    run = train("store.zarr", "./own_of_this_test.py:Own", out="own", set=["epochs=0"], progress=False)
    assert run.preset == "own_of_this_test.py:Own"
    assert run.config["preset"] == f"{here}/own_of_this_test.py:Own"
    elsewhere = here / "else"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    command = ["eval", "--run", "../own", "--store", "../store.zarr"]
    assert gaid_command(command) == 0
    (here / "own_of_this_test.py").unlink()  # as on another machine
    assert gaid_command(command) == 2
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert (
        "own_of_this_test.py:Own, is not here; put it back, or run the copy that the run keeps (../own/head.py)" in said
    )
    monkeypatch.setenv(TRUST, "1")
    assert gaid_command(command) == 0


def test_a_backbone_of_ones_own_enters_by_its_file(here):
    Path("own_backbone_of_this_test.py").write_text("from gaid.backbones.tiny import TinyVisual as Mine\n")
    found = {
        type(load_visual(f"{place}own_backbone_of_this_test.py:Mine")).__name__ for place in ("", "./", f"{here}/")
    }
    assert found == {"TinyVisual"}
