"""Requests that no client of ours sends: each is answered shortly, in JSON, without a trace, a path or a file of the machine."""

import asyncio
import json
from urllib.parse import unquote

import pytest

from gaid.server.guard import HEADERS, Guard, Rules
from gaid.server.keys import key_of

LOCAL = ("host", "localhost")
PLAIN = f"/api/clips/{key_of('plain')}"
SEARCH = "/api/search?q=a+dog"
GONE = {404, 405}
WRONG = {400, 404, 422}


def hostile(name, target, statuses, method="GET", headers=(LOCAL,), body=b""):
    return pytest.param(method, target, headers, body, statuses, id=name)


def paths(*targets, statuses=GONE):
    return [hostile(target, target, statuses) for target in targets]


def queries(*ends, statuses=WRONG, start="/api/search?"):
    return [hostile(end[:60], start + end, statuses) for end in ends]


TRAVERSAL = paths(
    "/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/static/../../../../etc/passwd",
    "/static/..%2f..%2f..%2f..%2fetc/passwd", "/static/%2e%2e/%2e%2e/app.py", "/static/..%5c..%5capp.py",
    "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/....//....//etc/passwd",
    "/static/%252e%252e%252fapp.py", "/static/..;/app.py", "/static/%c0%ae%c0%ae/app.py", "/static/page.css%00.png",
    "/static/%00", "/static/.", "/static/..", "/static/", "/static/~root", "/static/C:%5cwindows", "/static/../app.py",
    "/static/page.css/..", "/templates/index.html", "/gaid/server/app.py", "/.git/config", "/.env", "/docs", "/redoc",
    "/openapi.json", "/api", "/api/..%2f", "//evil.example/", "http://evil.example/", "*", "/static/" + 5000 * "a",
)  # fmt: skip
KEYS = paths(
    "/api/clips/..%2f..%2fetc%2fpasswd/media", "/api/clips/%2fetc%2fpasswd/media", "/api/clips/../../etc/passwd/media",
    "/api/clips/plain/media", "/api/clips/plain.mp4/media", "/api/clips/parts%2fold/media", "/api/clips//media",
    "/api/clips/AAAAAAAAAAA/media", "/api/clips/AAAAAAAAAA%00/media", "/api/clips/AAAAAAAAAA=/media",
    "/api/clips/-----------/preview", "/api/clips/%F0%9F%8E%AC/media", f"/api/clips/{key_of('another library')}/media",
    f"/api/clips/{key_of('another library')}/thumbnail", f"/api/clips/{key_of('another library')}/weights?q=a",
    "/api/clips/" + 3000 * "A", f"{PLAIN}/media/..%2f..%2f", statuses={404, 422},
)  # fmt: skip
QUERIES = queries(
    "", "q=", "q=%20%09", f"q={1001 * 'a'}", f"q={20000 * 'a'}", "q=-music", "q=a&top=0", "q=a&top=-1",
    "q=a&top=101", "q=a&top=1e9", "q=a&top=nan", "q=a&top=1;drop", "q=a&offset=-1", f"q=a&offset={10**12}", "q=a&longer=nan",
    "q=a&longer=inf", "q=a&longer=-1", "q=a&longer=1e400", "q=a&shorter=many", "q=a&longer=5&shorter=1", "q=a&since=yesterday",
    "q=a&since=2024-99-99", "q=a&until=0000-00-00", f"q=a&since={50 * '2'}", "q=a&sense=evil", "q=a&folder=/etc",
    "q=a&folder=..%2f..%2fetc", "q=a&folder=~root", "q=a&folder=%5c%5chost%5cshare", "like=..%2f..%2fetc%2fpasswd",
    "like=plain", f"like={key_of('another library')}", f"q=a&like={key_of('plain')}", "q=a&path=/etc/passwd", "q=a&token=x",
    "q[]=a", "&".join(f"a{number}=1" for number in range(300)),
) + queries(
    "at=nan", "at=inf", "at=-1", "at=1e300", "at=", "at=now", start=f"{PLAIN}/thumbnail?",
) + queries(
    "start=nan", "start=-1", "start=5&end=4", "start=99999", "end=0", "end=inf", "start=0&end=nan", start=f"{PLAIN}/preview?",
) + queries(
    "q=%0d%0aSet-Cookie:%20a=b", "q=%ed%a0%80", "q=%00", "q=%ff%fe", "q=%F0%9F%90%95", "q=%E2%80%AE%D7%90", "q='%20OR%201=1--",
    "q={{7*7}}", "q=%3Cscript%3Ealert(1)%3C/script%3E", "q=a&q=b", "q=a&since=2024-01-01T00:00:00Z", statuses={200, 400},
)  # fmt: skip
HOSTS = [
    hostile(f"host {value!r}", SEARCH, {421}, headers=[("host", one) for one in value])
    for value in (
        ["evil.example"], ["localhost.evil.example"], ["127.0.0.1.nip.io"], ["localhost@evil.example"], ["[::1"], ["10.0.0.1"],
        [""], [], ["localhost", "evil.example"], ["localhost:80:80"], ["localhost/evil"], ["localhost:x"],
    )
]  # fmt: skip
ORIGINS = [
    hostile(f"origin {origin}", SEARCH, {403}, headers=[LOCAL, ("origin", origin)])
    for origin in (
        "http://evil.example", "null", "http://localhost.evil.example", "http://localhost:1", "http://localhost@evil.example",
        "file://", "http://", "//localhost", "javascript:localhost",
    )
] + [
    hostile(f"fetch {site}", SEARCH, {403}, headers=[LOCAL, ("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")])
    for site in ("cross-site", "same-site")
]  # fmt: skip
METHODS = [
    hostile(f"{method} {target[:12]}", target, {400, 405}, method=method)
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "GETT", "get")
    for target in (SEARCH, f"{PLAIN}/media")
] + [hostile("GET an upload", "/api/search/picture", {405})]
BODIES = [
    hostile("a body to a GET", SEARCH, {400}, headers=[LOCAL, ("content-length", "5")], body=b"hello"),
    hostile("chunks to a GET", SEARCH, {400}, headers=[LOCAL, ("transfer-encoding", "chunked")], body=b"hello"),
    hostile("says it is huge", "/api/search/picture", {413}, "POST", [LOCAL, ("content-length", str(10**12))]),
    hostile("says it is no number", "/api/search/picture", {413}, "POST", [LOCAL, ("content-length", "many")]),
    hostile("is too large", "/api/search/picture", {413}, "POST", body=200_001 * b"\0"),
    hostile("a form", "/api/search/picture", {422}, "POST", [LOCAL, ("content-type", "multipart/form-data; boundary=a")],
            b"--a\r\nContent-Disposition: form-data; name=f; filename=../../x\r\n\r\nx\r\n--a--"),
    hostile("JSON", "/api/search/sound", {422}, "POST", [LOCAL, ("content-type", "application/json")], b'{"q": NaN}'),
    hostile("POST to the page", "/", {405}, "POST", body=b"a"),
    hostile("POST to a file", "/static/page.css", {405}, "POST", body=b"a"),
]  # fmt: skip
RANGES = [
    hostile(f"range {value[:30]}", f"{PLAIN}/media", statuses, headers=[LOCAL, ("range", value)])
    for value, statuses in (
        ("bytes=999999999-", {416}), ("bytes=-0", {416}), ("bytes=5-1", {200}), ("bytes=", {200}), ("bytes=a-b", {200}),
        ("bytes=" + ",".join(200 * ["0-"]), {200}), ("bytes=" + 100 * "9" + "-", {200}), ("bytes=0-0,-1", {200}),
        ("bytes=-9999999999999", {206}), (" bytes=0-1", {200, 206}), ("pages=1-2", {200}), ("bytes=0-\t1", {200}),
    )
] + [
    hostile(f"{name} {value[:20]}", f"{PLAIN}/media", {200}, headers=[LOCAL, (name, value)])
    for name, value in (
        ("if-range", '"'), ("if-none-match", 3000 * "*,"), ("cookie", 3000 * ";="), ("authorization", "Basic ====="),
        ("x-forwarded-for", "evil"), ("x-forwarded-host", "evil.example"), ("x-http-method-override", "DELETE"),
    )
]  # fmt: skip
TABLE = [*TRAVERSAL, *KEYS, *QUERIES, *HOSTS, *ORIGINS, *METHODS, *BODIES, *RANGES]


@pytest.fixture(scope="module")
def ask(client, free):
    """Sends a request as it is, without a client that would put it right, and returns status, headers and body."""
    app = Guard(client.app.app, Rules(frozenset({"localhost"}), rates=free, upload_bytes=200_000))

    async def send_raw(method, target, headers, body):
        path, _, query = target.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": unquote(path, errors="replace"), "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        sent, parts = [], [body[:1000], body[1000:]]

        async def receive():
            if parts:
                return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
            await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        found = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, b"".join(one.get("body", b"") for one in sent[1:])

    return lambda *request: client.portal.call(send_raw, *request)


def test_the_table_is_long_enough():
    assert len(TABLE) >= 120


@pytest.mark.parametrize(("method", "target", "headers", "body", "statuses"), TABLE)
def test_it_is_answered_shortly(ask, world, method, target, headers, body, statuses):
    status, found, answer = ask(method, target, headers, body)
    assert status in statuses, answer[:300]
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= found.items()
    assert "set-cookie" not in found
    if status >= 400 and method != "HEAD":
        fault = json.loads(answer)["error"]
        assert set(fault) == {"kind", "message"}
        assert len(fault["message"]) < 600
        for secret in ("Traceback", "root:", str(world.folder), str(world.store), "/site-packages"):
            assert secret not in fault["message"]
