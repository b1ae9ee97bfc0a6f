"""Which commands there are, in the order in which a newcomer meets them."""

import typer

from gaid.cli import (
    audit,
    datasets,
    demo,
    doctor,
    evaluate,
    export,
    extract,
    import_checkpoint,
    index,
    mcp,
    publish,
    reproduce,
    search,
    senses,
    serve,
    store,
    stress,
    train_head,
)


def register(app: typer.Typer) -> None:
    """Puts all commands into the app."""
    app.command("doctor")(doctor.doctor)
    app.command("demo")(demo.demo)
    app.command("datasets")(datasets.datasets)
    app.command("extract")(extract.extract)
    app.add_typer(store.app, name="store")
    app.command("train-head")(train_head.train_head)
    app.command("import-checkpoint")(import_checkpoint.import_checkpoint)
    app.command("eval")(evaluate.evaluate)
    app.command("audit")(audit.audit)
    app.command("compare")(audit.compare)
    app.command("senses")(senses.senses)
    app.command("stress")(stress.stress)
    app.command("search")(search.search)
    app.command("serve")(serve.serve)
    app.add_typer(index.app, name="index")
    app.command("mcp")(mcp.mcp)
    app.command("export")(export.export)
    app.command("publish")(publish.publish)
    app.command("reproduce")(reproduce.reproduce)
