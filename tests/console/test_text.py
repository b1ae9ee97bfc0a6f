"""Lines and tables for a person: whole words at any width, and nothing that moves the cursor."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gaid.console import Cell, figure, label, print_table, printable, say, show, show_markdown

HOSTILE = "a\x1b[2J\x9bb\rc\nd\u202ee\udce9"
COLUMNS = ["", "t2v R@1", "± t2v R@1", "t2v R@10"]
ROWS = [
    [Cell(("the", "same", "head"), "italic")],
    [label("every query knows all of the others", indent=2), figure("52.1", "(45.0–60.2)"), figure("−10.3", "(−12.0 to −8.1)"),
     figure("80.0", "(70.0–90.0)")],
    [label("its unbreakablesuperlongword", "bold"), figure("2.5"), "", 1234],
]  # fmt: skip


@pytest.fixture
def terminal(monkeypatch, capsys):
    """A terminal of so many columns, without its colours."""

    def of(width: int) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich's word for "as on a terminal"
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    return of


def words(text: str) -> set[str]:
    return set(text.replace(";", " ").split()) - {""}


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("width", [30, 50, 80, 200])
def test_a_table_keeps_every_word_whole_at_any_width(terminal, capsys, width):
    print_table("a title", COLUMNS, ROWS)
    piped = capsys.readouterr().out
    terminal(width)
    print_table("a title", COLUMNS, ROWS)
    drawn = plain(capsys.readouterr().out)
    longest = max(map(len, drawn.splitlines()))
    assert longest <= max(width, len("  ± t2v R@1 −10.3 (−12.0 to −8.1);"))
    assert "…" not in drawn
    kept = {word for word in words(piped) if "─" not in word}
    assert kept <= words(drawn)


def test_a_table_that_fits_has_a_line_a_row_and_figures_to_the_right(terminal, capsys):
    terminal(80)
    print_table("", ["name", "count"], [["one", 1], ["two", 1234]])
    assert [line.split() for line in plain(capsys.readouterr().out).splitlines()] == [
        ["name", "count"],
        ["─" * 11],
        ["one", "1"],
        ["two", "1,234"],
        [],
    ]


def test_a_table_that_does_not_fit_is_a_block_a_row(terminal, capsys):
    terminal(24)
    print_table("", ["name", "shape", "bytes of it"], [["alphabet", "rectangular", 1234], ["b", "", 5]])
    assert plain(capsys.readouterr().out).splitlines() == [
        "name alphabet",
        "  shape rectangular;",
        "  bytes of it 1,234",
        "name b",
        "  bytes of it 5",
        "",
    ]


def test_wide_signs_count_as_two(terminal, capsys):
    terminal(80)
    print_table("", ["name", "n"], [["日本", 1], ["ab", 2]])
    assert plain(capsys.readouterr().out).splitlines()[2:4] == ["日本  1", "ab    2"]


def test_a_line_is_wrapped_between_words_on_a_terminal_and_nowhere_else(terminal, capsys):
    line = "note: " + "word " * 30 + "/a/path/" + "of" * 60
    show(line)
    assert capsys.readouterr().out == f"{line}\n"
    terminal(40)
    show(line, hang=6)
    lines = plain(capsys.readouterr().out).splitlines()
    assert words("\n".join(lines)) == words(line)
    assert all(len(one) <= 40 for one in lines[:-1])
    assert all(one.startswith(" " * 6) for one in lines[1:])


def test_markdown_is_drawn_on_a_terminal_and_left_alone_in_a_pipe(terminal, capsys):
    text = "# A\\_title\n\n| |R@1|\n|---|---:|\n| a \\| b | 12.5 (1–2) |\n\n* a finding"
    show_markdown(text)
    assert capsys.readouterr().out == f"{text}\n"
    terminal(60)
    show_markdown(text)
    drawn = plain(capsys.readouterr().out)
    assert "# A_title" in drawn
    assert "a | b" in drawn
    assert "|---" not in drawn


def test_nothing_that_is_printed_moves_the_cursor(terminal, capsys):
    terminal(80)
    for write in (
        show,
        say,
        lambda text: print_table(text, [text, "n"], [[text, 1], [label(text)], [figure(text), 2]]),
    ):
        write(HOSTILE)
        told = capsys.readouterr()
        found = plain(told.out + told.err)
        assert all(sign.isprintable() or sign == "\n" for sign in found)
        assert "\\x1b[2J\\x9bb\\rc\\nd\\u202ee\\udce9" in found
    assert printable("日本 é") == "日本 é"


SCRIPT = (
    "from gaid.console import show\n"
    "from pathlib import Path\n"
    "for number in range(10000): show(f'line {number}')\n"
    "Path('after').write_text('done')\n"
)


@pytest.mark.slow
def test_a_reader_that_has_read_enough_does_not_end_the_work(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stderr
        assert child.stdout.readline() == b"line 0\n"
        child.stdout.close()
        complaint = child.stderr.read()
        assert (child.wait(60), complaint) == (0, b"")
    assert (tmp_path / "after").read_text() == "done"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_standard_output_on_a_full_disk_is_named(tmp_path):
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "gaid", "datasets"], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path
        )
    assert ended.returncode == 2
    assert b"standard output: No space left on device" in ended.stderr
    assert b"Traceback" not in ended.stderr
