"""Output files: whole or not at all, and to wherever the path leads."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gaid.errors import OptionInvalid
from gaid.files import check_folder, check_writable, replacing, write_bytes, write_json, writing


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def stop_half_way(path) -> None:
    with writing(path) as file:
        file.write(b"half")
        raise RuntimeError


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file"
    write_bytes(path, b"old")

    def failing(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", failing)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(path.parent) == {"file"}


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not names(tmp_path)


def test_two_writers_of_one_file_leave_one_of_both_whole(tmp_path):
    path = tmp_path / "file"
    faults = []

    def write(sign: int) -> None:
        for _ in range(30):
            with writing(path) as file:
                for _ in range(20):
                    file.write(bytes([65 + sign]) * (1000 + 700 * sign))
            found = path.read_bytes()
            if found not in (b"A" * 20_000, b"B" * 34_000):
                faults.append(len(found))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, [0, 1]))
    assert not faults
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("looks", [0, 1, 2])
def test_a_file_of_another_writer_that_goes_meanwhile_is_no_fault(tmp_path, monkeypatch, looks):
    """It was listed, and is renamed after it was looked at so many times."""
    path, going = tmp_path / "file", tmp_path / ".file.0123abcd.part"
    listed, look, seen = Path.iterdir, Path.stat, []

    def stat_of(file, **options):
        if file == going:
            seen.append(file)
            if len(seen) > looks:
                raise FileNotFoundError(2, "No such file or directory", str(file))
            return look(tmp_path)
        return look(file, **options)

    monkeypatch.setattr(Path, "iterdir", lambda folder: [*listed(folder), going])
    monkeypatch.setattr(Path, "stat", stat_of)
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert seen


def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    check_writable(pipe, "--report")
    with writing(pipe) as file:
        file.write(b"123456")
        file.seek(2)  # as archives do, whatever the pipe can
        file.write(b"x")
    reader.join(10)
    assert got == [b"12x456"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == {"pipe"}


def test_a_pipe_gets_nothing_of_what_was_not_finished(tmp_path):
    read, write = os.pipe()
    with pytest.raises(RuntimeError):
        stop_half_way(f"/dev/fd/{write}")
    os.close(write)
    assert os.read(read, 10) == b""
    os.close(read)


def test_a_device_stays_a_device(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except OSError as error:
        pytest.skip(f"needs the right to make a device ({error})")
    link = tmp_path / "link"
    link.symlink_to(device)
    for path in (device, link):
        check_writable(path, "--report")
        write_bytes(path, b"page")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert link.is_symlink()
    assert names(tmp_path) == {"null", "link"}


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
def test_standard_output_is_appended_to(tmp_path, name):
    """Even where it is a file: opened by its name again it would be cut, and replaced it would lose what comes after."""
    (tmp_path / "link").symlink_to("/dev/stdout")
    script = (
        "from gaid.files import check_writable, write_bytes\n"
        "print('before')\n"
        f"check_writable({name!r}, '--report')\n"
        f"write_bytes({name!r}, b'page\\n')\n"
        "print('after')\n"
    )
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", script], stdout=out, cwd=tmp_path, check=True)
    assert (tmp_path / "out").read_text() == "before\npage\nafter\n"


def test_a_symbolic_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "link.html").symlink_to("shared/page.html")
    for content in (b"first", b"second"):  # the target is not there at first
        check_writable(tmp_path / "link.html", "--report")
        write_bytes(tmp_path / "link.html", content)
        assert (tmp_path / "shared" / "page.html").read_bytes() == content
    assert (tmp_path / "link.html").is_symlink()
    assert names(tmp_path) == {"shared", "link.html"}
    assert names(tmp_path / "shared") == {"page.html"}


def test_permissions_are_kept_and_new_files_have_the_usual_ones(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"")
    old.chmod(0o640)
    usual = os.umask(0o027)
    try:
        write_bytes(old, b"1")
        write_bytes(new, b"1")
    finally:
        os.umask(usual)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    old.chmod(0o600)
    write_bytes(old, b"2")
    assert stat.S_IMODE(old.stat().st_mode) == 0o600


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    path = tmp_path / ("ж" * 127)
    write_bytes(path, b"1")
    assert path.read_bytes() == b"1"


def test_what_a_killed_writer_left_is_removed_once_it_is_old(tmp_path):
    old, young, other = (tmp_path / f".{name}.part" for name in ("file.0123abcd", "file.4567abcd", "file.old"))
    for left in (old, young, other):
        left.write_bytes(b"half")
    for left in (old, other):
        os.utime(left, (time.time() - 7200,) * 2)
    write_bytes(tmp_path / "file", b"whole")
    assert names(tmp_path) == {"file", young.name, other.name}


def test_a_file_that_a_library_opens_by_name_is_whole_or_absent(tmp_path):
    with pytest.raises(RuntimeError):
        stop_half_way(tmp_path / "deep" / "file")
    assert not names(tmp_path / "deep")
    with replacing(tmp_path / "file") as part:
        part.write_bytes(b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_what_can_never_be_written_is_refused_with_the_option_and_the_remedy(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    for path, why in (
        (tmp_path / "folder", "is a folder; name a file in it"),
        (tmp_path / "file" / "page.html", "file is not a folder"),
        (tmp_path / "loop", "leads back to itself"),
        (tmp_path / "loop" / "page.html", "is not a folder"),
        (Path("/dev/fd/987"), "no such descriptor is open"),
    ):
        with pytest.raises(OptionInvalid, match=f"--report .*{why}"):
            check_writable(path, "--report")
    check_writable(tmp_path / "not" / "yet" / "there.html", "--report")
    assert not (tmp_path / "not").exists()
    with pytest.raises(OptionInvalid, match=r"--out .*file is not a folder"):
        check_folder(tmp_path / "file", "--out")


def test_what_permissions_forbid_is_refused():
    """In a process of a user who is not root, since root may write everywhere; in a folder that this user may enter."""
    script = (
        "import json, os\n"
        "from gaid.files import check_folder, check_writable\n"
        "from gaid.errors import OptionInvalid\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "found = []\n"
        "for check, path in ((check_writable, 'shut/page'), (check_folder, 'shut/run'), (check_writable, 'open/file'),\n"
        "                    (check_writable, 'open/other')):\n"
        "    try: found.append(check(path, '--out'))\n"
        "    except OptionInvalid as error: found.append(str(error))\n"
        "print(json.dumps(found))\n"
    )
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        for name, mode in (("shut", 0o555), ("open", 0o777)):
            (place / name).mkdir()
            (place / name).chmod(mode)
        (place / "open" / "file").write_bytes(b"")
        (place / "open" / "file").chmod(0o444)
        place.chmod(0o755)
        ended = subprocess.run([sys.executable, "-c", script], cwd=place, stdout=subprocess.PIPE, check=True)
    shut, run, old, new = json.loads(ended.stdout)
    assert "shut can't be written" in shut
    assert "shut can't be written" in run
    assert "exists and can't be written" in old
    assert new is None
