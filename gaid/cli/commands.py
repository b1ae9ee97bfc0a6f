"""Which commands there are, in the order in which a newcomer meets them."""

import typer

from gaid.cli import (
    audit,
    datasets,
    doctor,
    evaluate,
    export,
    extract,
    import_checkpoint,
    reproduce,
    search,
    store,
    stress,
    train_head,
)
from gaid.cli.common import Command


def register(app: typer.Typer) -> None:
    """Puts all commands into the app."""
    app.command("doctor", cls=Command)(doctor.doctor)
    app.command("datasets", cls=Command)(datasets.datasets)
    app.command("extract", cls=Command)(extract.extract)
    app.add_typer(store.app, name="store")
    app.command("train-head", cls=Command)(train_head.train_head)
    app.command("import-checkpoint", cls=Command)(import_checkpoint.import_checkpoint)
    app.command("eval", cls=Command)(evaluate.evaluate)
    app.command("audit", cls=Command)(audit.audit)
    app.command("compare", cls=Command)(audit.compare)
    app.command("stress", cls=Command)(stress.stress)
    app.command("search", cls=Command)(search.search)
    app.command("export", cls=Command)(export.export)
    app.command("reproduce", cls=Command)(reproduce.reproduce)
