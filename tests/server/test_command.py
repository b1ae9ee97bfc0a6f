"""`gaid serve` and `gaid mcp` as processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gaid.cli import run
from gaid.errors import OptionInvalid
from gaid.server.run import serve

ROOT = Path(__file__).parents[2]
LIBRARY = ("--preset", "av-sum", "--device", "cpu")


def start(*arguments, **streams):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen([sys.executable, "-m", "gaid", *arguments], env=environment, text=True, **streams)


@pytest.mark.slow
def test_a_server_is_started_asked_and_stopped(world):
    process = start("serve", "--store", str(world.store), *LIBRARY, "--port", "0", "--token", "auto", stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE)  # fmt: skip
    try:
        for line in process.stdout:
            if found := re.search(r"(http://127\.0\.0\.1:\d+)/\?token=(\S+)", line):
                break
        address, token = found.groups()
        assert httpx.get(f"{address}/api/library").status_code == 401
        with httpx.Client(base_url=address, follow_redirects=True) as browser:
            assert browser.get("/", params={"token": token}).status_code == 200
            assert len(browser.get("/api/search", params={"q": "a dog"}).json()["hits"]) == 4
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()


@pytest.mark.slow
def test_an_agent_s_program_starts_the_tools(world):
    process = start("mcp", "--store", str(world.store), *LIBRARY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        hello = {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"},
        }  # fmt: skip
        for message in (
            {"id": 1, "method": "initialize", "params": hello},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": {"name": "library", "arguments": {}}},
        ):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [answer["id"] for answer in answers] == [1, 2]
        assert answers[1]["result"]["structuredContent"]["clips"] == 4
        process.stdin.close()
        assert process.wait(20) == 0
    finally:
        process.kill()


def test_another_address_without_a_token_is_refused_in_one_line(world, capsys):
    assert run(["serve", "--store", str(world.store), "--host", "0.0.0.0"]) == 2
    assert "--token auto" in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused_in_one_line(library):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OptionInvalid, match="--port 0 for any"):
        serve(library.searcher, port=taken.getsockname()[1])
