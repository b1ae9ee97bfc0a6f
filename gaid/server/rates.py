"""How much one client may ask: work per second, and requests at once."""

import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gaid.server.refusal import Refusal, busy

REMEMBERED = 10_000  # clients


def client_of(address: str) -> str:
    """The client that an address counts for: of IPv6 its network of 64 bits, which one client may have to itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))


@dataclass
class Rates:
    """Each client has `burst` units of work, `per_second` of which come back; and `at_once` requests, all together `in_all`."""

    per_second: float = 60.0
    burst: float = 600.0
    at_once: int = 32
    in_all: int = 1024
    clock: Callable[[], float] = time.monotonic
    _left: "OrderedDict[str, tuple[float, float]]" = field(default_factory=OrderedDict)
    _busy: "Counter[str]" = field(default_factory=Counter)

    def spend(self, client: str, units: float) -> None:
        """Takes units of work. Raises Refusal where the client has not as many left."""
        now = self.clock()
        left, before = self._left.pop(client, (self.burst, now))
        left = min(self.burst, left + (now - before) * self.per_second)
        enough = left >= units
        self._left[client] = (left - units if enough else left), now
        while len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        if not enough:
            wait = max(1, round((units - left) / self.per_second + 0.5))
            raise Refusal(429, "TooMany", f"too many requests; ask again in {wait} s", {"Retry-After": str(wait)})

    @contextmanager
    def at_work(self, client: str) -> Iterator[None]:
        """Counts a request while it is answered. Raises Refusal where the client has too many."""
        if self._busy.total() >= self.in_all:
            raise busy()
        if self._busy[client] >= self.at_once:
            raise Refusal(429, "TooMany", f"more than {self.at_once} requests at once", {"Retry-After": "1"})
        self._busy[client] += 1
        try:
            yield
        finally:
            self._busy[client] -= 1
            if not self._busy[client]:
                del self._busy[client]
