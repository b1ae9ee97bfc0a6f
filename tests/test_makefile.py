"""What `make` does before anything is installed: which Python it takes, and which environment it keeps or replaces."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make program")


@pytest.fixture
def checkout(tmp_path):
    """What of a checkout the set-up reads."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def stub(path: Path, version: str) -> Path:
    """A program that answers as Python of this version would: its name, and what the Makefile asks of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    old = tuple(map(int, version.split("."))) < (3, 11)
    path.write_text(
        f"""#!/bin/sh
case "$*" in
  --version) echo "Python {version}.9" ;;
  *print*) echo "{"old" if old else version}" ;;
  *sys.exit*) exit {int(old)} ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""
    )
    path.chmod(0o755)
    return path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS", "MAKELEVEL")
    }
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def replaces(told: subprocess.CompletedProcess[str]) -> bool:
    assert told.returncode == 0, told.stderr
    return "rm -rf .venv\n" in told.stdout


def test_too_old_a_python_is_told_at_once_and_nothing_is_made(checkout):
    told = make(checkout, "demo", f"PYTHON={stub(checkout / 'bin' / 'python3', '3.10')}")
    assert told.returncode != 0
    assert "gaid needs Python 3.11 or later" in told.stderr
    assert "Python 3.10.9" in told.stderr
    assert "PYTHON=python3.12 make demo" in told.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_not_there_is_told_at_once(checkout):
    told = make(checkout, "demo", "PYTHON=no-such-python")
    assert told.returncode != 0
    assert "gaid needs Python 3.11 or later, and no-such-python is" in told.stderr


@pytest.mark.parametrize("there", ["3.10", "3.99"])
def test_an_environment_of_another_python_than_was_asked_for_is_replaced(checkout, there):
    stub(checkout / ".venv" / "bin" / "python", there)
    assert replaces(make(checkout, "-n", "demo", f"PYTHON={sys.executable}"))


def test_an_environment_of_a_python_that_is_too_old_is_replaced_unasked(checkout):
    stub(checkout / ".venv" / "bin" / "python", "3.10")
    assert replaces(make(checkout, "-n", "demo"))


def test_an_environment_that_fits_is_kept(checkout):
    stub(checkout / ".venv" / "bin" / "python", HERE)
    assert not replaces(make(checkout, "-n", "demo", f"PYTHON={sys.executable}"))
    stub(checkout / ".venv" / "bin" / "python", "3.99")
    assert not replaces(make(checkout, "-n", "demo"))


def test_the_demo_installs_none_of_the_developers_tools(checkout):
    stub(checkout / ".venv" / "bin" / "python", HERE)
    demo, test = make(checkout, "-n", "demo").stdout, make(checkout, "-n", "test").stdout
    assert "-e .\n" in demo
    assert "dev]" not in demo
    assert "dev]" in test
    for told in (demo, test):
        assert "--quiet" not in told
