"""What is loaded by name: a user's own objects, and what is built in."""

import subprocess
import sys
from pathlib import Path

import pytest

from gaid.backbones import FAMILIES
from gaid.datasets import DATASETS
from gaid.errors import OptionInvalid
from gaid.plugins import load_object


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plugins_of_this_test.py").write_text("three = 3\nname = 'x'\n")
    Path("broken_plugin.py").write_text("import nothing_of_that_name\n")
    return tmp_path


@pytest.mark.parametrize(
    "source", ["plugins_of_this_test", "plugins_of_this_test.py", "{here}/plugins_of_this_test.py"]
)
def test_an_object_comes_from_a_module_or_a_file(here, source):
    assert load_object(f"{source.format(here=here)}:three", "number") == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plugins_of_this_test:thre", "number 'plugins_of_this_test:thre': plugins_of_this_test has no int 'thre'; did you mean 'three'?"),
        ("plugins_of_this_test.py:name", "plugins_of_this_test.py has no int 'name'; known are three"),
        ("nowhere.py:three", "number 'nowhere.py:three': no file nowhere.py"),
        ("broken_plugin:three", "broken_plugin can't be imported (ModuleNotFoundError: No module named 'nothing_of_that_name')"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_nearest_name(name, said):
    with pytest.raises(OptionInvalid) as raised:
        load_object(name, "number", lambda found: isinstance(found, int), "int ")
    assert said in str(raised.value)


@pytest.mark.parametrize("built_in", [DATASETS, FAMILIES], ids=["data sets", "backbones"])
def test_what_is_built_in_is_found_by_listing_its_folder(built_in):
    assert len(built_in) > 3
    assert [spec.name for spec in built_in.values()] == list(built_in)
    assert "nothing" not in built_in
    with pytest.raises(KeyError):
        built_in["nothing"]


def test_names_and_families_are_known_without_importing_torch():
    code = (
        "import sys; from gaid.datasets import DATASETS; from gaid.backbones import FAMILIES, statuses; "
        "list(DATASETS), list(FAMILIES.values()), statuses(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
