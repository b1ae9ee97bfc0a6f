"""The notebook as it lies in the repository: without outputs, and with code that Python takes. `make notebook` runs it."""

import json
from pathlib import Path

import pytest

NOTEBOOK = json.loads((Path(__file__).parents[1] / "examples/own_folder.ipynb").read_text("utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_no_outputs_are_kept():
    assert NOTEBOOK["nbformat"] == 4
    for cell in NOTEBOOK["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("code", CODE, ids=range(len(CODE)))
def test_every_cell_is_python(code):
    compile(code, "own_folder.ipynb", "exec")


def test_every_cell_of_code_is_explained():
    kinds = [cell["cell_type"] for cell in NOTEBOOK["cells"]]
    assert kinds[0] == kinds[-1] == "markdown"
    assert kinds.count("markdown") > 8
