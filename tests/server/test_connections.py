"""A real server on loopback: slow and greedy clients cost only themselves."""

import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gaid.server.connections import bounded


@pytest.fixture
def served(client):
    """Runs the application under bounds; yields its address."""

    @contextmanager
    def run(**bounds):
        listening = socket.create_server(("127.0.0.1", 0))
        listening.listen(64)
        config = uvicorn.Config(client.app, http=bounded(**bounds), lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join(10)
            listening.close()

    return run


@pytest.fixture
def connect():
    """Opens connections, which are closed after the test."""
    with ExitStack() as opened:
        yield lambda address: opened.enter_context(socket.create_connection(address))


def is_closed(connection, seconds=5.0):
    """Whether the other side closes the connection within some seconds."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def ask_without_end(connection, request):
    while True:
        connection.sendall(request)
        time.sleep(0.002)


def facts(address):
    return httpx.get("http://{}:{}/static/icon.svg".format(*address), headers={"Host": "localhost"}).status_code


@pytest.mark.slow
def test_a_head_that_does_not_end_is_cut_off_and_others_are_answered(served, connect):
    with served(head_seconds=0.5) as address:
        idle, slow = connect(address), connect(address)
        slow.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert facts(address) == 200
        assert is_closed(idle)
        assert is_closed(slow)


@pytest.mark.slow
def test_a_second_request_that_does_not_end_is_cut_off(served):
    with served(head_seconds=0.5) as address, socket.create_connection(address) as slow:
        slow.sendall(b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(0.1)
        slow.sendall(b"GET / HT")
        assert is_closed(slow)


@pytest.mark.slow
def test_an_answer_that_is_not_read_is_cut_off(served, world):
    """The file is sent many times over one connection, so that it does not fit the buffers between the two."""
    place = f"/api/clips/{world.key('plain')}/media"
    request = f"GET {place} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with served(unread_seconds=0.3) as address, socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.connect(address)
        greedy.settimeout(5)
        with pytest.raises((ConnectionError, TimeoutError)):
            ask_without_end(greedy, request)
        assert facts(address) == 200


def test_one_client_has_so_many_connections(served, connect):
    with served(most_of_one=2) as address:
        kept = [connect(address) for _ in range(2)]
        time.sleep(0.1)
        assert is_closed(connect(address))
        kept.pop().close()
        time.sleep(0.1)
        assert facts(address) == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + 70_000 * b"a" + b"\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n X: folded\n\n" + b"\0",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /api/search/picture HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
)  # fmt: skip
def test_what_is_no_request_ends_its_connection_alone(served, head):
    with served(head_seconds=1.0) as address, socket.create_connection(address) as connection:
        connection.sendall(head)
        assert is_closed(connection)
        assert facts(address) == 200


@pytest.mark.slow
def test_an_answer_leaves_at_once_on_a_connection_that_is_kept(served, connect, monkeypatch):
    """Without this option its second part waits for the client's acknowledgement of the first: 40 ms on Linux."""
    sockets, made = [], H11Protocol.connection_made

    def keep(self, transport):
        sockets.append(transport.get_extra_info("socket"))
        made(self, transport)

    monkeypatch.setattr(H11Protocol, "connection_made", keep)
    with served() as address:
        connection = connect(address)
        connection.sendall(b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100)
        assert sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
