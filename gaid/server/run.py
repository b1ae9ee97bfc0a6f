"""`serve`: a library on an address, until Ctrl-C."""

import socket
from contextlib import suppress

import uvicorn

from gaid.console import show
from gaid.errors import OptionInvalid
from gaid.retrieval.searcher import Searcher
from gaid.server.app import make_app
from gaid.server.guard import Rules
from gaid.server.library import ServedLibrary

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PARTING = 3  # s that answers under way may take once the server is to end


def serve(searcher: Searcher, host: str = "127.0.0.1", port: int = 8000, token: str | None = None) -> None:
    """Serves a library until Ctrl-C. Raises OptionInvalid for an address that can't be had."""
    library = ServedLibrary(searcher)
    app = make_app(library, Rules(frozenset(LOOPBACK), token))
    listening = _listen(host, port)
    library.warm_up()
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, lifespan="off",
        timeout_graceful_shutdown=PARTING,
    )  # fmt: skip
    for note in searcher.notes:
        show(f"note: {note}")
    show(f"{len(searcher.rows):,} clips at http://{_shown(host)}:{listening.getsockname()[1]}/  (Ctrl-C ends it)")
    with suppress(KeyboardInterrupt), listening:
        uvicorn.Server(config).run([listening])


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        raise OptionInvalid(
            f"--host {host} --port {port}: {error.strerror or error}; choose another, or --port 0 for any"
        ) from error
