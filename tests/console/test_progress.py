"""The progress of long work: a bar on a terminal, plain lines elsewhere, both on stderr."""

import io
import sys

import pytest

from gaid.console import Progress, duration, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def open_terminal(monkeypatch):
    """A terminal of 120 columns in place of stderr. No fixture, since pytest sets stderr anew before each test."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    return screen


def test_progress_off_a_terminal_is_plain_lines_on_stderr(capsys):
    with Progress("clips", 10, already=4) as bar:
        bar.advance(3, failed=1)
        bar.say("v3: unreadable: [bold]no[/bold]")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("v3: unreadable: [bold]no[/bold]\nclips: 7/10 clips, ")
    assert ", 1 failed, " in err
    assert err.rstrip().endswith("left")


def test_progress_on_a_terminal_shows_rate_failures_and_time_left(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with Progress("clips", 10) as bar:
        bar.advance(3, failed=1)
        bar.say("[b]x: gone")
    shown = terminal.getvalue()
    assert "3/10" in shown
    assert "clips/s" in shown
    assert "1 failed" in shown
    assert "left" in shown
    assert "[b]x: gone" in shown


def test_progress_that_is_not_wanted_is_silent(capsys):
    with Progress("clips", 3, shown=False) as bar:
        bar.advance(3)
        bar.say("x")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "5 s"), (61, "1 min 01 s"), (3725, "1 h 02 min")])
def test_a_duration_is_in_the_units_that_people_use(seconds, text):
    assert duration(seconds) == text


def test_without_a_unit_a_bar_shows_the_time_left_and_the_last_note(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with Progress("gaid seed 0", 10, unit="") as bar:
        bar.advance(3)
        bar.note("epoch 1: 12.5")
        bar.note("epoch 2: 13.5")
        bar.advance()
    shown = terminal.getvalue()
    assert "4/10" in shown
    assert "left  epoch 2: 13.5" in shown
    assert "/s" not in shown


def test_without_a_unit_a_plain_stream_gets_notes_some_time_apart(monkeypatch, capsys):
    with Progress("gaid seed 0", 10, unit="") as bar:
        bar.advance(3)
        bar.note("epoch 1")
        monkeypatch.setattr(progress, "_PAUSE", 0.0)
        bar.advance(3)
        bar.note("epoch 2")
    assert capsys.readouterr().err == "gaid seed 0: epoch 2\n"
