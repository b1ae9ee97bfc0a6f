"""Text, tables, JSON and times as people have them: what is read, and what is told with its line instead of guessed."""

import pytest

from gaid.datasets.reading import read_json, read_lines, read_table, read_text, seconds_of
from gaid.errors import DataInvalid, DataMissing

WORDS = "video,caption\r\na,grün und 二つ目\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_that_tells_its_encoding_is_read(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes(WORDS.encode(encoding))
    assert [row for _, row in read_table(tmp_path / "a.csv", ("video",))] == [
        {"video": "a", "caption": "grün und 二つ目"}
    ]
    assert [line for _, line in read_lines(tmp_path / "a.csv")] == ["video,caption", "a,grün und 二つ目"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (WORDS.replace("二つ目", "").encode("latin-1"), "a.csv, line 2: not UTF-8 at byte 19; save it as UTF-8"),
        (WORDS.encode("utf-16-le"), "a.csv, line 1: contains zero bytes, as UTF-16 without a mark"),
        ("video,caption\na,b\n".encode("utf-16-be"), "a.csv, line 1: contains zero bytes, as UTF-16 without a mark"),
        (b"\xff\xfea", "a.csv: has the mark of UTF-16 but is not"),
        (WORDS.encode("shift_jis", "ignore"), "a.csv, line 2: not UTF-8"),
    ],
)
def test_text_in_an_encoding_that_could_only_be_guessed_is_refused_with_its_line(tmp_path, data, said):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(DataInvalid, match=said):
        read_text(tmp_path / "a.csv")


def test_a_file_that_is_not_there_or_is_a_folder_is_told(tmp_path):
    with pytest.raises(DataMissing, match="no such file"):
        read_text(tmp_path / "x")
    with pytest.raises(DataInvalid, match="can't be read"):
        read_text(tmp_path)


def table(tmp_path, text):
    file = tmp_path / "a.csv"
    file.write_text(text, newline="")
    return [(where.rsplit(", ", 1)[1], row) for where, row in read_table(file, ("video", "caption"))]


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ('video,caption\r\na,"red, green"\r\n', "red, green"),
        ('video,caption\na,"he says ""no"", loud"\n', 'he says "no", loud'),
        ("video,caption\na,it's 5\" wide\n", "it's 5\" wide"),
        ("video;caption\na;red, green\n", "red, green"),
        ('video,caption\na,"two\r\nlines"\n', "two\r\nlines"),
        ("video,caption\ra,old\r", "old"),
        ("video,caption\na,b,,\n", "b"),
    ],
)
def test_quotes_commas_and_line_ends_in_captions_are_kept(tmp_path, text, caption):
    assert [row["caption"] for _, row in table(tmp_path, text)] == [caption]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,caption\na,red, green\n", "line 2: more fields than the 2 columns .* commas in quotes"),
        ("video;caption\na;red; green\n", "line 2: more fields .* semicolons in quotes"),
        ('video,caption\na,x\nb,"open\nc,y\nd,z\n', "line 3: a quote opens here and never closes"),
        ('video,caption\na,"red" green\n', "line 2: .*double a quote inside quoted text"),
        ("video,caption\na,x\nb\n", "line 3: no caption"),
        ("video,caption,caption\na,x,y\n", "line 1: the column caption occurs twice"),
        ("clip,caption\na,x\n", "line 1: no column video; it names clip, caption"),
    ],
)
def test_a_line_that_would_cut_a_caption_is_refused(tmp_path, text, said):
    with pytest.raises(DataInvalid, match=said):
        table(tmp_path, text)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    found = table(tmp_path, 'video,caption\n\na,"one\ntwo"\nb,x\n')
    assert [where for where, _ in found] == ["line 4", "line 5"]


def test_json_of_another_kind_is_told(tmp_path):
    (tmp_path / "a.json").write_text('"text"')
    with pytest.raises(DataInvalid, match="holds a str, expected a list of clips"):
        read_json(tmp_path / "a.json", list, "a list of clips")


@pytest.mark.parametrize(
    ("text", "seconds"), [("75.5", 75.5), (" 0 ", 0.0), ("1:15.5", 75.5), ("01:01:15.5", 3675.5), ("1e1", 10.0)]
)
def test_moments_are_seconds_or_clock_times(text, seconds):
    assert seconds_of(text, "start") == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nan", "start is nan, which is not a time"),
        ("inf", "not a time"),
        ("1:nan", "not a time"),
        ("-3", "start is -3: before the video's start"),
        ("-0:10", "before the video's start"),
        ("1:2:3:4", "expected seconds, as 75.5 or 1:15.5"),
        ("ten", "start is 'ten', expected seconds"),
        ("1,5", "expected seconds"),
        ("1_0", "expected seconds"),
    ],
)
def test_what_is_no_moment_is_refused(text, said):
    with pytest.raises(DataInvalid, match=said):
        seconds_of(text, "start")
