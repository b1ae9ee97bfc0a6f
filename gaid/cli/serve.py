"""`gaid serve`: a page and an API that search a library."""

from typing import Annotated

from gaid.cli.common import Device, option
from gaid.cli.library import (
    EngineAddress,
    Folder,
    HeadSeed,
    Index,
    OfStore,
    Preset,
    Root,
    Run,
    ScoringMemory,
    TextEncoder,
)
from gaid.errors import DependencyMissing
from gaid.versions import not_installed

NEEDED = ("fastapi", "uvicorn")


def serve(
    run: Run = None,
    store: OfStore = None,
    preset: Preset = None,
    folder: Folder = None,
    host: Annotated[
        str, option("Address to listen on; any but this machine's own needs --token.", "ADDRESS")
    ] = "127.0.0.1",
    port: Annotated[int, option("Port to listen on; 0 takes any that is free.", "N", min=0, max=65535)] = 8000,
    token: Annotated[
        str | None, option("What a client must show; auto makes one and prints it.", "TOKEN", envvar="GAID_TOKEN")
    ] = None,
    name: Annotated[
        list[str] | None, option("A host name by which clients reach it; may be repeated.", "NAME", "--name")
    ] = None,
    text: TextEncoder = None,
    root: Root = None,
    device: Device = "auto",
    memory: ScoringMemory = "auto",
    seed: HeadSeed = 0,
    index: Index = "auto",
    engine: EngineAddress = None,
) -> None:
    """Serve a page that searches a library, and the JSON API behind it, until Ctrl-C.

    When the library has grown, it is opened again in the background.
    """
    check_installed("serve", NEEDED)
    from gaid.retrieval.search import open_to_serve
    from gaid.server.run import make_rules, serve

    make_rules(host, token)  # before a library is opened for nothing
    searcher, opening = open_to_serve(
        folder, run=run, store=store, preset=preset, text=text, root=root, device=device, memory=memory, seed=seed,
        index=index, engine=engine,
    )  # fmt: skip
    serve(searcher, host, port, token, name or (), opening)


def check_installed(command: str, modules: tuple[str, ...]) -> None:
    """Raises DependencyMissing, before a library is opened for nothing."""
    if lacking := not_installed(modules):
        raise DependencyMissing(
            f"gaid {command} needs {', '.join(lacking)}, which is not installed: pip install 'gaid[serve]'"
        )
