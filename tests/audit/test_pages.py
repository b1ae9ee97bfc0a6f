"""What an audit and a comparison look like: the words on the terminal, the page, the commands."""

import re

import pytest
from markupsafe import escape

from gaid.audit import audit
from gaid.audit.leak import ALL
from gaid.report import write_page
from gaid.report.audit import print_audit, print_compared

pytestmark = pytest.mark.slow


def test_the_page_is_one_file_that_fetches_nothing_and_draws_every_question(whole, tmp_path):
    text = write_page(whole, tmp_path / "audit.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert "<script" not in text
    assert text.count("<figure>") == sum(bool(section.lines) for section in whole.sections)
    for section in whole.sections:
        assert f'id="{section.name}"' in text


def test_page_and_terminal_begin_with_the_answer_and_a_line_per_question(whole, tmp_path, capsys):
    leak, gain = whole["leak"], whole["leak"].line("published", ALL).values["change t2v R@1"]
    main = leak.lines[0].values["t2v R@1"]
    assert whole.answer.startswith(
        f"gaid finds the right clip first for {main.text} % of texts (95 % interval {main.interval});"
    )
    assert gain.text.lstrip("+") in whole.answer
    text = write_page(whole, tmp_path / "audit.html").read_text()
    assert text.index(f"<h1>{escape(whole.answer)}</h1>") < text.index("<nav>") < text.index('<section id="leak">')
    print_audit(whole)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == whole.answer
    for section in whole.sections:
        first = section.unmeasured or [*section.findings, *section.notes][0]
        assert f'<a href="#{section.name}">{section.title}</a>: {escape(first)}' in text
        told = lines.index(f"{section.title}: {first}")
        assert told < lines.index(f"{whole.sections[0].title}. {whole.sections[0].question}")
    assert whole.to_dict()["answer"] == whole.answer


def test_names_are_text_on_the_page(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(whole.sections[0].lines[0], "label", "<b>bold & co</b>")
    text = write_page(whole, tmp_path / "audit.html").read_text()
    assert "<b>bold" not in text
    assert "&lt;b&gt;bold &amp; co" in text


def test_the_terminal_shows_every_line_with_its_interval(whole, capsys):
    print_audit(whole)
    out = " ".join(capsys.readouterr().out.split())
    for section in whole.sections:
        assert section.question in out
    assert str(whole["leak"].lines[0].values["t2v R@1"]) in out
    assert "the published pairing of sounds and frames is not measured" in out


def test_the_commands_print_and_write(run, deaf, tmp_path, capfd):
    from gaid.cli import run as command

    page = tmp_path / "page.html"
    assert command(["audit", str(run.path), "--only", "pool", "--seeds", "1", "-o", str(page)]) == 0
    assert page.exists()
    assert "Pool and ties" in capfd.readouterr().out
    assert command(["compare", str(run.path), str(deaf.path), "--json"]) == 0
    assert '"mcnemar"' in capfd.readouterr().out
    assert command(["audit", str(run.path), "--only", "pool", "--json", "-o", "none"]) == 0
    assert not (run.path / "audit.html").exists()


def test_two_runs_are_printed_side_by_side(run, deaf, capsys):
    from gaid.audit import compare

    print_compared(compare(run, deaf))
    out = capsys.readouterr().out
    assert "McNemar p" in out
    assert "gaid (2 seeds)" in out


def test_only_the_first_seeds_take_part_where_asked(run):
    assert audit(run, only=["seeds"], seeds=1).basis.seeds == [0]
