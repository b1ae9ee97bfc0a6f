"""Who may ask: tokens, other hosts, and how much one client may ask."""

import pytest
from starlette.testclient import TestClient

from gaid.errors import OptionInvalid
from gaid.server.guard import COOKIE, Guard, Rules
from gaid.server.rates import Rates, client_of
from gaid.server.refusal import Refusal
from gaid.server.run import make_rules

TOKEN = "correct-horse-battery"
FACTS = "/api/library"


@pytest.fixture
def guarded(client, free):
    """The same application behind other rules."""

    def make(**rules):
        app = Guard(client.app.app, Rules(**{"names": frozenset({"localhost"}), "rates": free, **rules}))
        guarded = TestClient(app, base_url="http://localhost", follow_redirects=False)
        guarded.portal = client.portal
        return guarded

    return make


def test_without_the_token_nothing_is_answered(guarded):
    asked = guarded(token=TOKEN)
    for place in ("/", "/static/page.css", FACTS, "/api/openapi.json", f"{FACTS}?token={TOKEN}"):
        answer = asked.get(place)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert TOKEN not in answer.text
    for wrong in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", f"Basic {TOKEN}", "Bearer é".encode("latin-1")):
        assert asked.get(FACTS, headers={"Authorization": wrong}).status_code == 401


def test_the_token_is_taken_as_a_header(guarded):
    assert guarded(token=TOKEN).get(FACTS, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_address_with_the_token_becomes_a_cookie(guarded):
    asked = guarded(token=TOKEN)
    answer = asked.get("/", params={"token": TOKEN, "q": "a dog"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?q=a+dog")
    for flag in ("HttpOnly", "SameSite=lax", "Path=/"):
        assert flag in answer.headers["set-cookie"]
    assert asked.get(FACTS).status_code == 200  # with the cookie
    asked.cookies.set(COOKIE, "another")
    assert guarded(token=TOKEN).get("/", params={"token": "wrong"}).status_code == 401


def test_wrong_tokens_use_up_what_a_client_may_ask(guarded):
    asked = guarded(token=TOKEN, rates=Rates(per_second=1, burst=350))
    wrong = {"Authorization": "Bearer wrong"}
    assert [asked.get(FACTS, headers=wrong).status_code for _ in range(4)] == [401, 401, 401, 429]


def test_another_address_needs_a_token():
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org"):
        with pytest.raises(OptionInvalid, match="--token"):
            make_rules(host, None)
        rules, token = make_rules(host, "auto")
        assert rules.token == token
        assert len(token) >= 32
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.5"):
        assert make_rules(host, None)[0].token is None
    with pytest.raises(OptionInvalid, match="at least 16"):
        make_rules("0.0.0.0", "short")


@pytest.mark.parametrize(
    ("host", "name", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8000", 200),
        ("127.0.0.1", "LOCALHOST:1", 200),
        ("127.0.0.1", "[::1]:8000", 200),
        ("127.0.0.1", "localhost.", 200),
        ("127.0.0.1", "192.168.1.5", 421),  # it does not listen there: a name that was pointed here
        ("0.0.0.0", "192.168.1.5:8000", 200),
        ("0.0.0.0", "videos.example.org", 200),
        ("0.0.0.0", "evil.example", 421),
    ],
)
def test_the_name_must_be_the_server_s(guarded, host, name, status):
    rules, token = make_rules(host, None if host == "127.0.0.1" else TOKEN, ["Videos.example.org"])
    asked = guarded(names=rules.names, any_address=rules.any_address, token=token)
    headers = {"Host": name, "Authorization": f"Bearer {token}"}
    assert asked.get(FACTS, headers=headers).status_code == status


def test_a_page_of_this_server_may_ask(guarded):
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert guarded().get(FACTS, headers=headers).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert guarded().get("/", headers=link).status_code == 200


def test_a_client_has_so_much_work_per_second():
    now = [0.0]
    rates = Rates(per_second=2, burst=10, clock=lambda: now[0])
    rates.spend("a", 10)
    with pytest.raises(Refusal) as refused:
        rates.spend("a", 4)
    assert refused.value.headers == {"Retry-After": "2"}
    rates.spend("b", 10)  # another client's
    now[0] = 2.0
    rates.spend("a", 4)


def test_a_client_has_so_many_requests_at_once():
    rates = Rates(at_once=1, in_all=2)
    with rates.at_work("a"):
        with pytest.raises(Refusal, match="at once"), rates.at_work("a"):
            pass
        with rates.at_work("b"), pytest.raises(Refusal, match="too many"), rates.at_work("c"):
            pass
    with rates.at_work("a"):
        pass


def test_clients_are_told_apart_by_their_networks():
    assert client_of("2001:db8:1:2:3:4:5:6") == client_of("2001:db8:1:2::1") != client_of("2001:db8:1:3::1")
    assert client_of("::ffff:10.0.0.1") == "10.0.0.1"
    assert client_of("fe80::1%eth0") == "fe80::/64"
