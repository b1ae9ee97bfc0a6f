"""A library that is served while its folder grows: opened again when its store has changed, while the one before answers."""

import asyncio
from collections.abc import Callable
from threading import Thread

from gaid.console import say
from gaid.errors import GaidError
from gaid.retrieval.searcher import Searcher
from gaid.server.library import ServedLibrary
from gaid.stores.reader import State, state_of

SECONDS = 2.0  # between looks at the store


class Renewal:
    """Opens a library again by `opening` where its store has changed since. One thread at a time may ask it."""

    def __init__(self, opening: Callable[[], Searcher]) -> None:
        self._opening = opening
        self._failed: State = ()

    def newer(self, library: ServedLibrary) -> ServedLibrary | None:
        """The library as it is now, its index brought up to date; None where nothing has changed, or where it can't be opened,
        which is told once. It is to be warmed up by the thread that searches, since the two share the encoders of sentences."""
        now: State = ()
        try:
            now = state_of(library.store.path)
            if now in (library.store.state, self._failed):
                return None
            searcher = self._opening()
            if searcher.store.attrs["backbones"] == library.store.attrs["backbones"]:
                searcher.encoder = library.searcher.encoder
            searcher.prepare()
            return ServedLibrary(searcher)
        except Exception as error:  # whatever it is, the library that is open can still be served
            self.give_up(now, error)
            return None

    def give_up(self, state: State, error: Exception) -> None:
        """Leaves the library at what is served until its store changes again."""
        self._failed = state
        kind = "" if isinstance(error, GaidError) else f"{type(error).__name__}: "
        say(f"the library has changed and can't be opened again, so it is served as it was: {kind}{error}")


async def in_background(function: Callable[[], ServedLibrary | None]) -> ServedLibrary | None:
    """What the function returns, from a thread that nothing waits for when the server ends: an index may take minutes."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[ServedLibrary | None] = loop.create_future()

    def settle(result: ServedLibrary | None, error: BaseException | None) -> None:
        if not found.done():
            found.set_result(result) if error is None else found.set_exception(error)

    def work() -> None:
        result, fault = None, None
        try:
            result = function()
        except BaseException as error:
            fault = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, fault)

    Thread(target=work, name="renewal", daemon=True).start()
    return await found
