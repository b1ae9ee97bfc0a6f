"""`serve`: a library on an address, until Ctrl-C."""

import ipaddress
import re
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

import uvicorn

from gaid.console import show
from gaid.errors import OptionInvalid
from gaid.retrieval.searcher import Searcher
from gaid.server.app import make_app
from gaid.server.connections import bounded
from gaid.server.guard import HEAD_BYTES, Rules
from gaid.server.library import ServedLibrary
from gaid.server.renewal import Renewal

LOOPBACK = ("localhost", "127.0.0.1", "::1")
PARTING = 2  # s that answers under way may take once the server is to end
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]{16,200}")


def serve(
    searcher: Searcher,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    names: Sequence[str] = (),
    opening: Callable[[], Searcher] | None = None,
) -> None:
    """Serves a library until Ctrl-C. `opening` opens it again when its store has changed.

    `token`: what clients must show, `auto` for a new one; needed where `host` is not this machine's own address. `names`: further
    host names under which clients may ask. Raises OptionInvalid, also for an address that can't be had.
    """
    rules, token = make_rules(host, token, names)
    library = ServedLibrary(searcher)
    with _listen(host, port) as listening:
        library.warm_up()
        config = uvicorn.Config(
            make_app(library, rules, opening and Renewal(opening)), http=bounded(), ws="none", lifespan="on", log_level="critical", access_log=False,
            server_header=False, proxy_headers=False, h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_graceful_shutdown=PARTING,
        )  # fmt: skip
        for note in searcher.notes:
            show(f"note: {note}")
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
        show(f"{len(searcher.rows):,} clips at {address}{f'?token={token}' if token else ''} (Ctrl-C ends it)")
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([listening])


def make_rules(host: str, token: str | None, names: Sequence[str] = ()) -> tuple[Rules, str | None]:
    """Who may ask a server at `host`, and the token. Raises OptionInvalid."""
    local = _is_loopback(host)
    if token == "auto":
        token = secrets.token_urlsafe(24)
    if token is None and not local:
        raise OptionInvalid(f"--host {host}: others could search and see this library; give --token auto, or a token")
    if token is not None and not _TOKEN.fullmatch(token):
        raise OptionInvalid("--token: at least 16 letters, digits or -._~; auto makes one")
    known = {*LOOPBACK, host.lower(), *(name.lower() for name in names)}
    return Rules(frozenset(known), any_address=not local, token=token), token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionInvalid(f"--host {host} --port {port}: {reason}; choose another, or --port 0 for any") from error
