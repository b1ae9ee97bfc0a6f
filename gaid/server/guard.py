"""Who may ask: the checks that every request passes before the application sees it, and the headers that every answer bears.

Names and origins are checked so that no other site in the same browser can ask, not even by a name that it has pointed at
this machine (DNS rebinding). Connections are bounded in `gaid.server.connections`.
"""

import asyncio
import hmac
import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gaid.server.answers import fault_content
from gaid.server.rates import Rates, client_of
from gaid.server.refusal import Refusal

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
COOKIE = "gaid_token"
HEAD_BYTES = 32 << 10  # of headers and query
UPLOAD_BYTES, UPLOAD_SECONDS = 64 << 20, 60.0
# Units of work (`rates`): searches 10 per second in the long run, uploads 1.
WORK = (("/api/search/", 60), ("/api/search", 6), ("/weights", 6), ("/preview", 20))
WRONG_TOKEN = 100
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Rules:
    """Who may ask. `names`: host names that requests may be addressed to, in lower case. `any_address`: numeric addresses as well,
    for a server that listens on some. `token`: what a client must show."""

    names: frozenset[str]
    any_address: bool = False
    token: str | None = None
    rates: Rates = field(default_factory=Rates)
    upload_bytes: int = UPLOAD_BYTES
    upload_seconds: float = UPLOAD_SECONDS


class Guard:
    """The application behind the checks."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self.app, self.rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, _with_headers(send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = client_of((scope.get("client") or ("local", 0))[0])
        try:
            self.rules.rates.spend(client, _work(scope["path"]))
            check_size(scope)
            headers = Headers(scope=scope)
            check_host(headers, self.rules)
            check_origin(headers, scope["method"])
            answer = self._check_token(scope, headers, client)
            if answer is not None:
                await answer(scope, receive, send)
                return
            with self.rules.rates.at_work(client):
                await self._pass(scope, headers, receive, send)
        except Refusal as refusal:
            await refuse(refusal)(scope, receive, send)

    def _check_token(self, scope: Scope, headers: Headers, client: str) -> Response | None:
        """Nothing where the client has shown the token. The page's address with the token sets a cookie, and leads to the address
        without it. Raises Refusal."""
        token = self.rules.token
        if token is None:
            return None
        if _is(_bearer(headers), token) or _is(_cookie(headers), token):
            return None
        query = _parameters(scope)
        shown = dict(query).get("token")
        if (scope["method"], scope["path"]) == ("GET", "/") and _is(shown, token):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            answer = RedirectResponse(f"/?{rest}" if rest else "/", 303)
            answer.set_cookie(COOKIE, token, max_age=30 * 86400, httponly=True, samesite="lax")
            return answer
        if any(one is not None for one in (shown, _bearer(headers), _cookie(headers))):
            self.rules.rates.spend(client, WRONG_TOKEN)
        raise Refusal(
            401, "TokenMissing",
            "this server asks for its token: open the address that it printed, or send Authorization: Bearer TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )  # fmt: skip

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Lets the application answer. A fault that it has answered is not raised again."""
        has_body = scope["method"] == "POST"
        if not has_body and (headers.get("content-length", "0") != "0" or "transfer-encoding" in headers):
            raise Refusal(400, "BodyUnexpected", "this request takes no body", {"Connection": "close"})
        with suppress(Exception):
            if has_body:
                await self.app(scope, _Body(self.rules, headers, receive), send)
            else:
                await _while_connected(self.app, scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return with_headers


def refuse(refusal: Refusal) -> Response:
    """The answer to a request that is refused."""
    return JSONResponse(fault_content(refusal.kind, refusal.message), refusal.status, refusal.headers)


async def _while_connected(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request without a body. The work ends as soon as the client is gone."""
    asked = False

    async def nothing() -> Message:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async with anyio.create_task_group() as group:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        group.start_soon(watch)
        await app(scope, nothing, send)
        group.cancel_scope.cancel()


class _Body:
    """A request's body as the application receives it, within bounds of size and time."""

    def __init__(self, rules: Rules, headers: Headers, receive: Receive) -> None:
        self.rules, self._receive, self._left = rules, receive, rules.upload_bytes
        declared = headers.get("content-length")
        self._too_large = declared is not None and (not declared.isdigit() or int(declared) > rules.upload_bytes)
        self._end = asyncio.get_running_loop().time() + rules.upload_seconds
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()
        if self._too_large:
            raise self._refusal()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(408, "BodyTooSlow", f"the body did not come within {self.rules.upload_seconds:g} s") from None
        self._left -= len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._left < 0:
            raise self._refusal()
        return message

    def _refusal(self) -> Refusal:
        most = self.rules.upload_bytes
        return Refusal(413, "BodyTooLarge", f"a body has at most {most / 1e6:.0f} MB", {"Connection": "close"})


def check_size(scope: Scope) -> None:
    """Raises Refusal for a head of more than HEAD_BYTES."""
    size = sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["query_string"])
    if size > HEAD_BYTES:
        raise Refusal(
            431, "HeadTooLarge", f"a request's head has at most {HEAD_BYTES >> 10} KiB", {"Connection": "close"}
        )


def check_host(headers: Headers, rules: Rules) -> None:
    """Raises Refusal for a request that is addressed to another name than this server's."""
    given = headers.getlist("host")
    found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
    name = found[1].lower().strip("[]").rstrip(".") if found else ""
    if name in rules.names or (rules.any_address and _is_address(name)):
        return
    raise Refusal(421, "HostRefused", "this server does not answer under that name; gaid serve --name NAME lets it")


def check_origin(headers: Headers, method: str) -> None:
    """Raises Refusal for a request that another site's page makes."""
    origins = headers.getlist("origin")
    if origins:
        scheme, _, place = origins[0].lower().partition("://")
        if len(origins) > 1 or scheme not in ("http", "https") or place != headers["host"].lower():
            raise Refusal(403, "OriginRefused", "requests of other sites are not answered")
    is_link = (
        method == "GET" and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    )
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_link:
        raise Refusal(403, "OriginRefused", "requests of other sites are not answered")


def _parameters(scope: Scope) -> list[tuple[str, str]]:
    with suppress(ValueError):
        return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=50)
    return []


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is(shown: str | None, token: str) -> bool:
    """Compared in a time that does not depend on how much is right."""
    return shown is not None and hmac.compare_digest(shown.encode(), token.encode())


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _cookie(headers: Headers) -> str | None:
    cookies: Any = SimpleCookie()
    with suppress(CookieError):
        cookies.load(headers.get("cookie", ""))
    return cookies[COOKIE].value if COOKIE in cookies else None


def _work(path: str) -> int:
    return next((units for part, units in WORK if path.startswith("/api/") and part in path), 1)
