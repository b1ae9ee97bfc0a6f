"""Every reader of annotations, given its file as other programs save it: the same data set, or a line that names the file."""

import pytest

from gaid.datasets import load_dataset
from gaid.errors import DataInvalid

from .benchmarks import LABEL_HEAD, touch, write_didemo, write_labels, write_lsmdc, write_vatex
from .test_msrvtt import write_msrvtt


def write_folder(root):
    touch(root, "a.mp4", "b.mp4")
    (root / "captions.csv").write_text('video,caption\na,"grün, one"\nb,two\n', encoding="utf-8")
    return root


def write_jsonl(root):
    touch(root, "a.mp4")
    (root / "captions.jsonl").write_text('{"video": "a", "caption": "one"}\n')
    return root


def write_label_csv(root):
    write_labels(root, "test", "True,b.mov,tensor([[0]]),tensor([[31]]),b,y")
    assert LABEL_HEAD in (root / "didemo_test_label.csv").read_text()
    return root


def write_lists(root):
    (write_didemo(root) / "test_list.txt").write_text("5@N00_5_e.mov\n6@N00_6_f.3gp\n")
    return root


READERS = {
    "folder, table": ("folder", write_folder, "captions.csv"),
    "folder, lines": ("folder", write_jsonl, "captions.jsonl"),
    "csv": ("csv", write_folder, "captions.csv"),
    "msrvtt, sentences": ("msrvtt", write_msrvtt, "MSRVTT_data.json"),
    "msrvtt, test": ("msrvtt", write_msrvtt, "MSRVTT_JSFUSION_test.csv"),
    "msrvtt, train": ("msrvtt", write_msrvtt, "MSRVTT_train.9k.csv"),
    "didemo, json": ("didemo", write_didemo, "test_data.json"),
    "didemo, label": ("didemo", write_label_csv, "didemo_test_label.csv"),
    "didemo, list": ("didemo", write_lists, "test_list.txt"),
    "lsmdc": ("lsmdc", write_lsmdc, "LSMDC16_challenge_1000_publictect.csv"),
    "vatex, json": ("vatex", write_vatex, "vatex_validation_v1.0.json"),
    "vatex, list": ("vatex", write_vatex, "test_list.txt"),
}


@pytest.fixture(params=READERS, ids=READERS.keys())
def reader(request, tmp_path):
    """(data set, its folder, one of its files)."""
    name, write, file = READERS[request.param]
    root = tmp_path / "data"
    if write is not write_msrvtt:
        root.mkdir()
    write(root)
    return name, root, root / file


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_file_that_tells_its_encoding_gives_the_same_data_set(reader, encoding, end):
    name, root, file = reader
    before = load_dataset(name, root)
    text = file.read_text(encoding="utf-8").replace("\r\n", "\n").replace("\n", end)
    file.write_bytes(text.encode(encoding))
    assert load_dataset(name, root) == before


@pytest.mark.parametrize(
    "tail", ["grün".encode("latin-1"), "„so“".encode("cp1252"), b"\0"], ids=["latin-1", "cp1252", "zero"]
)
def test_a_file_that_does_not_is_refused_with_its_line(reader, tail):
    name, root, file = reader
    data = file.read_bytes().rstrip()
    file.write_bytes(data + b"\n" + tail)
    line = data.count(b"\n") + 2
    with pytest.raises(DataInvalid, match=rf"{file.name}, line {line}: (not UTF-8|contains zero bytes)") as told:
        load_dataset(name, root)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x89PNG\r\n\x1a\n\x00\x00"], ids=["empty", "blank", "a picture"])
def test_a_file_of_nothing_is_refused_by_name(reader, content):
    name, root, file = reader
    file.write_bytes(content)
    if file.name == "captions.jsonl" and not content.strip():
        assert "no captions" in load_dataset(name, root).notes[0]
        return
    with pytest.raises(DataInvalid, match=file.name) as told:
        load_dataset(name, root)
    assert "\n" not in str(told.value)
