"""Which commands there are, in the order in which a newcomer meets them."""

import typer

from gaid.cli import datasets, doctor, evaluate, extract, store, table1, train_head


def register(app: typer.Typer) -> None:
    """Puts all commands into the app."""
    app.command("datasets")(datasets.datasets)
    app.command("extract")(extract.extract)
    app.add_typer(store.app, name="store")
    app.command("train-head")(train_head.train_head)
    app.command("eval")(evaluate.evaluate)
    app.command("table1")(table1.table1)
    app.command("doctor")(doctor.doctor)
