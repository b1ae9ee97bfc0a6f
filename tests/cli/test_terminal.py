"""What every command prints, in terminals of 80 and 100 columns: all that it prints into a file, no word broken, no figure cut."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from gaid.training import train
from tests.media_maker import tone, write_video
from tests.retrieval.test_search import write_store
from tests.training import planted

COMMANDS = {
    "eval": "eval --run gaid --against xpool --report none --seed 1",
    "audit": "audit gaid --against xpool --out none",
    "compare": "compare gaid xpool",
    "stress": "stress gaid --fault noise --out stressed",
    "search": "search 'a red circle' --store words.zarr --preset mean-pool -k 3 --root .",
    "store info": "store info gaid.zarr",
    "store verify": "store verify gaid.zarr",
    "datasets": "datasets",
    "datasets one": "datasets folder --root clips",
    "datasets check": "datasets folder --root clips --check",
    "doctor": "doctor",
}
SCRIPT = """
import shlex, sys
from gaid.cli import run
for name, line in {commands!r}.items():
    print("=====", name, flush=True)
    run(shlex.split(line))
    sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("a folder")
    planted.write_store(folder / "gaid.zarr")
    for preset, out in (("gaid", "gaid"), ("x-pool", "xpool")):
        train(folder / "gaid.zarr", preset, out=folder / out, set=["epochs=1"], progress=False)
    write_store(folder / "words.zarr")
    for number in range(4):
        write_video(folder / "clips" / f"clip {number}.mp4", frames=8, size=(64, 48), seed=number, sound=tone(0.5, 16000, 300.0),
                    sound_rate=16000)  # fmt: skip
        (folder / "clips" / f"clip {number}.txt").write_text("a sentence\n")
    return folder


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^===== (.*)$", re.sub(r"\x1b\[[0-9;]*m", "", text.replace("\r", "")), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def run_all(place: Path, columns: int | None) -> dict[str, str]:
    """What each command prints on stdout: on a terminal of so many columns, or into a pipe."""
    command = [sys.executable, "-c", SCRIPT.format(commands=COMMANDS)]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment["TERM"] = "xterm"
    if columns is None:
        done = subprocess.run(
            command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        return sections(done.stdout.decode())
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with subprocess.Popen(
        command, cwd=place, env=environment, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL
    ) as child:
        os.close(theirs)
        told = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            told += piece
        assert child.wait() == 0
    os.close(ours)
    return sections(told.decode())


def words(text: str) -> set[str]:
    text = "\n".join(line for line in text.splitlines() if not line.startswith("free disk"))
    return {word for word in text.replace(";", " ").split() if "─" not in word}


@pytest.mark.slow
def test_every_table_is_readable_at_80_and_100_columns(place):
    piped = run_all(place, None)
    assert set(piped) == set(COMMANDS)
    assert all(text.strip() for text in piped.values())
    for columns in (80, 100):
        drawn = run_all(place, columns)
        for name, text in drawn.items():
            assert words(piped[name]) <= words(text), f"{name} at {columns} columns"
            assert "…" not in text
            for line in text.splitlines():
                # A word that is longer than the terminal is wide, as a path may be, is left to the terminal.
                assert len(line) <= columns or any(len(word) > columns - 24 for word in line.split()), f"{name}: {line}"
