"""A data set of a user's own is found by name: an object, a function of its folder, or a whole spec."""

from pathlib import Path

import pytest

from gaid.datasets import get_spec, load_dataset, name_in
from gaid.errors import CodeRefused, DataInvalid, OptionInvalid

OWN = """
from pathlib import Path
from gaid.datasets import Caption, Dataset, DatasetSpec, Video
from gaid.errors import DataInvalid

def clips(root):
    names = [path.stem for path in sorted(Path(root).glob("*.mp4"))]
    return Dataset(
        name="mine", root=Path(root),
        videos=tuple(Video(name, Path(root) / f"{name}.mp4") for name in names),
        captions=tuple(Caption(f"{name}#0", name, f"a film called {name}") for name in names),
        splits={"main": {"test": tuple(range(len(names)))}}, default_protocol="main",
    )

films = clips("films")
SPEC = DatasetSpec("mine", "films of ours", "the attic", clips, "films", default_backbones=("tiny", "tiny", "tiny"))

def number(root):
    return 3

def elsewhere(place):
    return clips(place)

def broken(root):
    return {}["nothing"]

def contradicting(root):
    raise DataInvalid("line 3 contradicts line 2")
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own_films.py").write_text(OWN)
    for folder in ("films", "moved", "data/clips"):
        Path(folder).mkdir(parents=True)
    for name in ("a", "b"):
        Path(f"films/{name}.mp4").touch()
    Path("moved/c.mp4").touch()
    Path("data/clips/d.mp4").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "root", "ids"),
    [
        ("own_films.py:films", None, ["a", "b"]),
        ("own_films:films", "films", ["a", "b"]),
        ("own_films.py:clips", "films", ["a", "b"]),
        ("own_films.py:clips", "moved", ["c"]),
        ("own_films.py:clips", None, ["d"]),
        ("own_films.py:SPEC", None, ["a", "b"]),
        ("own_films.py:SPEC", "moved", ["c"]),
    ],
)
def test_it_is_read_from_its_own_folder_or_from_root(name, root, ids):
    assert [video.id for video in load_dataset(name, root).videos] == ids


def test_it_says_by_which_name_it_is_found_from_anywhere(here, monkeypatch):
    dataset = load_dataset("own_films.py:clips", "films")
    assert dataset.loader == f"{here}/own_films.py:clips"
    assert name_in({"name": "mine", "loader": dataset.loader}) == dataset.loader
    (here / "else").mkdir()
    monkeypatch.chdir(here / "else")
    assert load_dataset(dataset.loader, here / "films").loader == dataset.loader


def test_a_built_in_one_is_found_by_its_name_and_another_not_at_all():
    assert [name_in({"name": name}) for name in ("demo", "mine", "own_films.py:clips", None)] == ["demo", "", "", ""]


def test_encoders_are_its_own_or_the_usual_ones():
    assert get_spec("own_films.py:SPEC").default_backbones == ("tiny", "tiny", "tiny")
    assert get_spec("own_films.py:films").default_backbones[1] == "clap"


@pytest.mark.parametrize(
    ("name", "root", "said"),
    [
        ("own_films.py:film", None, "has no Dataset, DatasetSpec or function of root 'film'; did you mean 'films'"),
        ("own_films.py:Video", None, "has no Dataset, DatasetSpec or function of root 'Video'"),
        ("own_films.py:elsewhere", "films", "has no Dataset, DatasetSpec or function of root 'elsewhere'"),
        ("shutil:rmtree", "films", "shutil has no Dataset, DatasetSpec or function of root 'rmtree'"),
        ("os:remove", "films", "os has no Dataset, DatasetSpec or function of root 'remove'"),
        ("other.py:films", None, "data set 'other.py:films': no file other.py"),
        ("no_such_module_here:films", None, "no module 'no_such_module_here' is here"),
        ("own_films.py:films", "moved", "--root moved: data set 'own_films.py:films' is at films"),
        ("own_films.py:number", None, "returned int, not a gaid.datasets.Dataset"),
        ("own_films.py:broken", "films", "called with films, it raised KeyError: 'nothing'"),
    ],
)
def test_what_is_wrong_with_it_is_one_line(name, root, said):
    with pytest.raises(OptionInvalid) as raised:
        load_dataset(name, root)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert Path("films/a.mp4").exists()


def test_its_own_faults_are_told_as_they_are():
    with pytest.raises(DataInvalid, match="line 3 contradicts line 2"):
        load_dataset("own_films.py:contradicting", "films")


def test_code_within_a_store_is_not_run(here, monkeypatch):
    store = here / "from_elsewhere.zarr"
    store.mkdir()
    (store / "zarr.json").write_text("{}")
    (store / "evil.py").write_text("from pathlib import Path\nPath('RAN').touch()\n" + OWN)
    with pytest.raises(CodeRefused):
        load_dataset("from_elsewhere.zarr/evil.py:clips", "films")
    assert not Path("RAN").exists()
    monkeypatch.setenv("GAID_TRUST_CODE", "1")
    assert len(load_dataset("from_elsewhere.zarr/evil.py:clips", "films").videos) == 2
    assert Path("RAN").exists()
