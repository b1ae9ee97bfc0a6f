"""An answer that is no success, raised from wherever it is found out."""

from collections.abc import Mapping


class Refusal(Exception):
    """Ends a request with a status, a kind and a message for whoever asked, and perhaps headers."""

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.headers = status, kind, message, dict(headers or {})


def busy() -> Refusal:
    """Too many wait for their turn, or it did not come in time."""
    return Refusal(503, "Busy", "too many ask at once; ask again in a few seconds", {"Retry-After": "2"})
