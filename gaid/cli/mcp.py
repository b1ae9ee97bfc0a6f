"""`gaid mcp`: tools that search a library, for agents."""

from gaid.cli.common import Device
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
from gaid.cli.serve import check_installed


def mcp(
    run: Run = None,
    store: OfStore = None,
    preset: Preset = None,
    folder: Folder = None,
    text: TextEncoder = None,
    root: Root = None,
    device: Device = "auto",
    memory: ScoringMemory = "auto",
    seed: HeadSeed = 0,
    index: Index = "auto",
    engine: EngineAddress = None,
) -> None:
    """Answer an agent that searches a library (Model Context Protocol), on standard input and output.

    The agent's program starts this command, which has the tools search, clip and library.
    """
    check_installed("mcp", ("mcp",))
    from gaid.retrieval.search import open_to_serve
    from gaid.server.agents import serve_agents

    searcher, opening = open_to_serve(
        folder, run=run, store=store, preset=preset, text=text, root=root, device=device, memory=memory, seed=seed,
        index=index, engine=engine,
    )  # fmt: skip
    serve_agents(searcher, opening)
