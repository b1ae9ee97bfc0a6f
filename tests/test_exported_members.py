"""The Python interface that notebooks rely on: the names, and that each is the command of the same arguments."""

import inspect

import pytest

import gaid
from gaid.cli.document import walk

COMMAND_OF = {
    "extract": "gaid extract",
    "train": "gaid train-head",
    "evaluate": "gaid eval",
    "search": "gaid search",
    "export": "gaid export",
}
# The option that names a command's page: in Python `gaid.report.write_page` writes it.
WRITES_THE_PAGE = {"gaid eval": "report", "gaid search": "html"}


def test_the_interface_for_notebooks_is_what_the_docs_say():
    assert gaid.__all__ == [
        "evaluate",
        "export",
        "extract",
        "load",
        "load_dataset",
        "load_run",
        "open_store",
        "search",
        "train",
    ]
    assert all(callable(getattr(gaid, name)) for name in gaid.__all__)


def test_other_names_are_no_part_of_it():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        gaid.nonsense  # noqa: B018


@pytest.mark.parametrize(("function", "command"), COMMAND_OF.items())
def test_each_command_has_its_functions_arguments(function, command):
    of_function = set(inspect.signature(getattr(gaid, function)).parameters) - {"progress"}
    found = next(one for names, one in walk() if " ".join(names) == command)
    assert {param.name for param in found.params} - {"json", WRITES_THE_PAGE.get(command)} == of_function
