"""Pages: one self-contained file each, that fetches nothing, runs no script and shows every name and caption as text.

`write_page` is the way to any of them; what a page shows is decided by the module that registers it.
"""

from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

import gaid
from gaid.files import write_bytes
from gaid.metrics import NAMES

if TYPE_CHECKING:
    from jinja2 import Environment


@singledispatch
def write_page(results: Any, path: str | Path) -> Path:
    """The page of what `evaluate`, `search`, `audit`, `senses` or `stress` returned: one HTML file at `path`, whole or not at all.

    Returns its path. Raises TypeError for anything that has no page, and OSError where the file can't be written.
    """
    raise TypeError(
        f"a {type(results).__name__} has no page; results of evaluate, search, audit, senses and stress have one"
    )


def write_template(path: str | Path, template: str, *, room: str = "gaid.report", **context: Any) -> Path:
    """Renders a template of `room`, which may build on those beside this file, to `path`, whole or not at all."""
    text = environment(room).get_template(template).render(version=gaid.__version__, names=NAMES, **context)
    path = Path(path)
    write_bytes(path, text.encode("utf-8", "replace"))
    return path


def environment(room: str) -> "Environment":
    """Templates of a room, which may build on those beside this file. All values are shown as text."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(one) for one in dict.fromkeys((room, "gaid.report"))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # matplotlib escapes the little text that our figures hold, and no name or caption is among it.
    environment.filters["drawn"] = lambda svg: Markup(svg)
    return environment
