"""Connections within bounds, so that a slow client costs only itself: how many each client has, how long a request's head may
take, and how long a client may leave an answer unread."""

import asyncio
import socket
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from gaid.server.rates import client_of

MOST, MOST_OF_ONE = 1024, 128
HEAD_SECONDS = 10.0
UNREAD_SECONDS = 60.0


def bounded(
    most: int = MOST,
    most_of_one: int = MOST_OF_ONE,
    head_seconds: float = HEAD_SECONDS,
    unread_seconds: float = UNREAD_SECONDS,
) -> type[H11Protocol]:
    """uvicorn's protocol for one server, with its own count of connections."""
    connected: Counter[str] = Counter()

    class Connection(H11Protocol):
        _name: str | None = None
        _timer: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            name = client_of(self.client[0] if self.client else "local")
            if connected[name] >= most_of_one or connected.total() >= most:
                transport.abort()
                return
            self._name = name
            connected[name] += 1
            # asyncio does so itself only for sockets that name their protocol, which a listening one here does not.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            if self._timer is None and not self._answering:
                self._await_head()
            super().data_received(data)
            if self._answering:
                self._stop(self._timer)
                self._timer = None

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._unread is None:
                self._unread = self.loop.call_later(unread_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._stop(self._unread)
            self._unread = None

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop(self._timer)
            self._stop(self._unread)
            if self._name is not None:
                connected[self._name] -= 1
                if not connected[self._name]:
                    del connected[self._name]
            super().connection_lost(exc)

        @property
        def _answering(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _await_head(self) -> None:
            self._timer = self.loop.call_later(head_seconds, self.transport.abort)

        @staticmethod
        def _stop(timer: asyncio.TimerHandle | None) -> None:
            if timer is not None:
                timer.cancel()

    return Connection
