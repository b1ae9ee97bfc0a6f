"""Every file that a command writes may be a pipe, or lie behind a symbolic link; a place that can't be written is refused first."""

import json
import os
import stat
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gaid import evaluate, export
from gaid.cli.evaluate import evaluate as eval_command
from gaid.cli.search import search as search_command
from gaid.errors import OptionInvalid
from gaid.files import check_writable
from gaid.stores import convert_store, open_store
from tests.retrieval.test_search import write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "store.zarr"
    write_store(path)
    return path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Where `gaid eval` leaves its figures."""
    monkeypatch.chdir(tmp_path)


def evaluate_to(**option) -> None:
    evaluate(preset="mean-pool", **option)


WRITERS: dict[str, Callable[[Path, Path], object]] = {
    "page.html": lambda store, path: eval_command(store=store, preset="mean-pool", report=path),
    "ranks.csv": lambda store, path: evaluate_to(store=store, save_ranks=path),
    "ranks.jsonl": lambda store, path: evaluate_to(store=store, save_ranks=path),
    "ranks.npz": lambda store, path: evaluate_to(store=store, save_ranks=path),
    "ranks.trec": lambda store, path: evaluate_to(store=store, save_ranks=path),
    "ranks.mteb.json": lambda store, path: evaluate_to(store=store, save_ranks=path),
    "vectors.npz": lambda store, path: export(store, out=path),
    "vectors.parquet": lambda store, path: export(store, out=path),
    "found.html": lambda store, path: search_command(["a red circle"], store=store, preset="mean-pool", html=path),
}


def needs(name: str) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    if name.endswith(".mteb.json"):
        pytest.importorskip("pytrec_eval")


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_pipe_gets_the_whole_file_and_stays(store, tmp_path, name):
    needs(name)
    pipe = tmp_path / name
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    WRITERS[name](store, pipe)
    reader.join(10)
    assert len(got) == 1
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    pipe.unlink()
    WRITERS[name](store, pipe)
    assert abs(len(got[0]) - pipe.stat().st_size) < 20  # some files hold how long it took


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_symbolic_link_stays_and_permissions_do(store, tmp_path, name):
    needs(name)
    target, link = tmp_path / "elsewhere", tmp_path / name
    target.write_bytes(b"")
    target.chmod(0o640)
    link.symlink_to("elsewhere")
    WRITERS[name](store, link)
    assert link.is_symlink()
    assert target.stat().st_size > 100
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", WRITERS)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(store, tmp_path, name, monkeypatch):
    needs(name)

    def worked(*_, **__):
        raise AssertionError("the store was opened first")

    monkeypatch.setattr("gaid.evaluation.bench.load_subject", worked)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / name).mkdir()
    for path in (tmp_path / name, tmp_path / "file" / name):
        with pytest.raises(OptionInvalid, match=r"is a folder|is not a folder"):
            WRITERS[name](store, path)


def test_a_store_behind_a_link_is_written_where_the_link_leads(store, tmp_path):
    for suffix in (".h5", ".zarr"):
        link = tmp_path / f"link{suffix}"
        link.symlink_to(f"elsewhere{suffix}")
        convert_store(store, link)
        assert link.is_symlink()
        assert open_store(tmp_path / f"elsewhere{suffix}").fingerprint == open_store(store).fingerprint
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OptionInvalid, match="is not a folder"):
        convert_store(store, tmp_path / "file" / "store.h5")


@pytest.mark.slow
def test_one_long_caption_does_not_widen_all_others(make_store, tmp_path):
    """300 captions, one of 100 kB: as an array of strings they are 120 MB."""
    texts = [f"sentence {number}" for number in range(300)]
    texts[7] = "word " * 20_000
    long = make_store(videos=300, texts=tuple(texts))
    for name, key in (("vectors.npz", "caption_text"), ("ranks.npz", "text")):
        tracemalloc.start()
        WRITERS[name](long, tmp_path / name)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 40e6
        assert (tmp_path / name).stat().st_size < 5e6
        with np.load(tmp_path / name, allow_pickle=False) as file:
            assert json.loads(str(file[key])) == texts


def test_the_null_device_is_accepted():
    check_writable("/dev/null", "--report")
