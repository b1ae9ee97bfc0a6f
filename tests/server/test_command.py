"""`gaid serve` and `gaid mcp` as processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from gaid.cli import run
from gaid.errors import OptionInvalid
from gaid.server.run import serve

ROOT = Path(__file__).parents[2]
ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+)/\?token=(\S+)")
LIBRARY = ("--preset", "av-sum", "--device", "cpu")


@contextmanager
def start(*arguments, **streams):
    """A process of the command, which has ended afterwards."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "gaid", *arguments]
    with subprocess.Popen(command, env=environment, text=True, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_a_server_is_started_asked_and_stopped(world):
    options = ("--store", str(world.store), *LIBRARY, "--port", "0", "--token", "auto")
    with start("serve", *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        lines = iter(process.stdout)
        address, token = next(filter(None, map(ADDRESS.search, lines))).groups()
        assert httpx.get(f"{address}/api/library").status_code == 401
        with httpx.Client(base_url=address, follow_redirects=True) as browser:
            assert browser.get("/", params={"token": token}).status_code == 200
            assert len(browser.get("/api/search", params={"q": "a dog"}).json()["hits"]) == 4
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


@pytest.mark.slow
def test_an_agent_s_program_starts_the_tools(world):
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    messages = (
        {"id": 1, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "library", "arguments": {}}},
    )
    options = ("--store", str(world.store), *LIBRARY)
    with start("mcp", *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.writelines(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages)
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [answer["id"] for answer in answers] == [1, 2]
        assert answers[1]["result"]["structuredContent"]["clips"] == 4
        process.stdin.close()
        assert process.wait(20) == 0


def test_another_address_without_a_token_is_refused_in_one_line(world, capsys):
    assert run(["serve", "--store", str(world.store), "--host", "0.0.0.0"]) == 2
    assert "--token auto" in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused_in_one_line(library):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OptionInvalid, match="--port 0 for any"):
        serve(library.searcher, port=taken.getsockname()[1])
