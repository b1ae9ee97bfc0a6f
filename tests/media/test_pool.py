"""A pool of decode processes: order, the same bytes, and one clip's misfortune kept to that clip."""

import dataclasses
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gaid.errors import DependencyMissing, MediaError, OptionInvalid
from gaid.media.clip import Clip
from gaid.media.decode import decode_clip
from gaid.media.limits import DecodeLimits
from gaid.media.pool import DecodePool
from gaid.media.wire import pack, reply_from_message, request_from_header, request_to_header, unpack
from tests.media.asking import request_little as request
from tests.media_maker import read_number, write_video

STUB = (sys.executable, str(Path(__file__).with_name("decode_stub.py")))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of 4 to 15 pictures: the last picture's number tells which clip it is."""
    folder = tmp_path_factory.mktemp("clips")
    return [write_video(folder / f"{n}.mp4", frames=n) for n in range(4, 16)]


def named(clips, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(clips[0].read_bytes())
    return path


def last(answer):
    return read_number(answer.frames[-1]) if isinstance(answer, Clip) else answer.reason


EXPECTED = [int(3.5 / 4 * n) for n in range(4, 16)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_answers_come_in_order_and_are_the_bytes_of_decoding_here(clips, tmp_path, workers):
    requests = [request(path) for path in clips]
    requests.insert(5, request(tmp_path / "absent.mp4"))
    with DecodePool(workers) as pool:
        answers = list(pool.map(requests))
    assert [last(a) for a in answers] == [*EXPECTED[:5], "missing", *EXPECTED[5:]]
    for asked, answer in zip(requests, answers, strict=True):
        if isinstance(answer, Clip):
            here = decode_clip(asked)
            for field in dataclasses.fields(Clip):
                np.testing.assert_array_equal(getattr(answer, field.name), getattr(here, field.name))
            assert answer.frames.flags.writeable


def test_a_pool_serves_several_maps(clips):
    with DecodePool(1) as pool:
        assert last(next(pool.map([request(clips[0])]))) == EXPECTED[0]
        assert [last(a) for a in pool.map([request(clips[1]), request(clips[2])])] == EXPECTED[1:3]
        assert list(pool.map([])) == []


def test_requests_are_taken_a_bounded_number_ahead(clips):
    taken = []

    def requests():
        for path in clips:
            taken.append(path)
            yield request(path)

    with DecodePool(2, ahead=3) as pool:
        answers = pool.map(requests())
        next(answers)
        assert len(taken) == 3
        next(answers)
        assert len(taken) == 4
        answers.close()


def test_decoding_goes_on_while_the_reader_is_busy(clips, tmp_path):
    path = named(clips, tmp_path, "pid.mp4")
    with DecodePool(1, ahead=2, command=STUB) as pool:
        answers = pool.map([request(clips[0]), request(path), request(clips[1])])
        next(answers)
        deadline = time.monotonic() + 20
        while not Path(f"{path}.pid").exists() and time.monotonic() < deadline:
            time.sleep(0.01)  # nothing is asked for meanwhile
        assert Path(f"{path}.pid").exists()


@pytest.mark.slow
def test_a_clip_that_kills_its_worker_is_tried_twice_and_blamed_alone(clips, tmp_path):
    poison = named(clips, tmp_path, "segfault.mp4")
    requests = [request(path) for path in clips]
    requests.insert(3, request(poison))
    with DecodePool(2, command=STUB) as pool:
        answers = list(pool.map(requests))
    assert [last(a) for a in answers] == [*EXPECTED[:3], "crashed", *EXPECTED[3:]]
    assert str(poison) in str(answers[3])
    assert "signal SIGSEGV" in str(answers[3])


def test_a_worker_that_died_for_another_reason_costs_no_clip(clips, tmp_path):
    with DecodePool(1, command=STUB) as pool:
        answers = list(pool.map([request(named(clips, tmp_path, "once.mp4")), request(clips[1])]))
    assert [last(a) for a in answers] == EXPECTED[:2]


@pytest.mark.slow
def test_a_worker_killed_between_clips_is_started_again(clips, tmp_path):
    path = named(clips, tmp_path, "pid.mp4")
    with DecodePool(1, command=STUB) as pool:
        next(pool.map([request(path)]))
        os.kill(int(Path(f"{path}.pid").read_text()), signal.SIGKILL)
        assert last(next(pool.map([request(clips[1])]))) == EXPECTED[1]


@pytest.mark.slow
def test_a_clip_that_hangs_is_too_slow_and_its_worker_ends(clips, tmp_path):
    with DecodePool(1, DecodeLimits(seconds=0.3), command=STUB) as pool:
        answers = list(pool.map([request(named(clips, tmp_path, "hang.mp4")), request(clips[1])]))
    assert [last(a) for a in answers] == ["too slow", EXPECTED[1]]


@pytest.mark.slow
def test_a_worker_whose_alarm_is_blocked_is_killed(clips, tmp_path, monkeypatch):
    from gaid.media import pool as decode_pool

    monkeypatch.setattr(decode_pool, "GRACE", 0.1)
    monkeypatch.setattr(decode_pool, "START_SECONDS", 0.0)
    with DecodePool(1, DecodeLimits(seconds=1.5), command=STUB) as pool:
        assert last(next(pool.map([request(named(clips, tmp_path, "frozen.mp4"))]))) == "too slow"


def test_what_a_library_prints_does_not_reach_the_answers(clips, tmp_path):
    with DecodePool(1, command=STUB) as pool:
        assert last(next(pool.map([request(named(clips, tmp_path, "print.mp4"))]))) == EXPECTED[0]


@pytest.mark.slow
def test_a_garbled_answer_is_not_believed(clips, tmp_path):
    with DecodePool(1, command=STUB) as pool:
        answers = list(pool.map([request(named(clips, tmp_path, "garble.mp4")), request(clips[1])]))
    assert [last(a) for a in answers] == ["crashed", EXPECTED[1]]


def test_a_fault_of_ours_is_one_clips_and_tells_what_it_was(clips, tmp_path):
    with DecodePool(1, command=STUB) as pool:
        answers = list(pool.map([request(named(clips, tmp_path, "bug.mp4")), request(clips[1])]))
    assert answers[0].reason == "crashed"
    assert "TypeError: a mistake of ours" in str(answers[0])
    assert last(answers[1]) == EXPECTED[1]


def test_what_is_no_clips_fault_is_raised(clips, tmp_path):
    with (
        DecodePool(1, command=STUB) as pool,
        pytest.raises(DependencyMissing, match="a package is not there"),
    ):
        list(pool.map([request(named(clips, tmp_path, "package.mp4"))]))


def test_closing_ends_the_workers_even_in_the_middle_of_a_clip(clips, tmp_path):
    path = named(clips, tmp_path, "pid.mp4")
    pool = DecodePool(1, command=STUB)
    answers = pool.map([request(path), *[request(named(clips, tmp_path, f"hang{n}.mp4")) for n in range(3)]])
    next(answers)
    worker = int(Path(f"{path}.pid").read_text())
    time.sleep(0.1)
    begin = time.monotonic()
    pool.close()
    assert time.monotonic() - begin < 5
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.slow
def test_no_worker_outlives_a_parent_that_was_killed(clips, tmp_path):
    path = named(clips, tmp_path, "pid.mp4")
    code = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from tests.media.test_pool import *
        pool = DecodePool(1, command=STUB)
        next(pool.map([request({str(path)!r})]))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    worker = int(Path(f"{path}.pid").read_text())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _runs(worker):
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_interrupt_does_not_reach_the_workers(clips, tmp_path):
    path = named(clips, tmp_path, "pid.mp4")
    with DecodePool(1, command=STUB) as pool:
        next(pool.map([request(path)]))
        worker = int(Path(f"{path}.pid").read_text())
        os.kill(worker, signal.SIGINT)
        Path(f"{path}.pid").unlink()
        assert last(next(pool.map([request(path)]))) == EXPECTED[0]
        assert int(Path(f"{path}.pid").read_text()) == worker


@pytest.mark.slow
def test_a_worker_does_not_grow_with_the_clips_it_has_decoded(clips, tmp_path):
    path = named(clips, tmp_path, "pid.mp4")

    def measure(pool):
        next(pool.map([request(path)]))
        folder = Path("/proc") / Path(f"{path}.pid").read_text()
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        size = int(status["VmSize"].split()[0]) // 1024
        return size, int(status["Threads"]), len(list((folder / "fd").iterdir()))

    with DecodePool(1, command=STUB) as pool:
        for _ in pool.map(request(clips[n % len(clips)]) for n in range(40)):
            pass
        before = measure(pool)
        for _ in pool.map(request(clips[n % len(clips)]) for n in range(120)):
            pass
        after = measure(pool)
    assert after[0] - before[0] < 40  # MiB of address space; a thread left behind takes 64
    assert after[1:] == before[1:]


def test_a_worker_imports_no_torch():
    code = "import gaid.media.worker, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_request_survives_the_way_to_a_worker():
    for name in ("a b.mp4", "動画.mp4", os.fsdecode(b"latin\xe9.mp4")):
        asked = request(name, start=1.5, audio_path=name, decoder="ffmpeg")
        data = pack(request_to_header(asked))
        at = iter([data[:16], data[16:], b""])
        assert request_from_header(unpack(lambda size, at=at: next(at))[0]) == asked


def test_an_answer_with_absurd_lengths_is_refused():
    with pytest.raises(ValueError, match="not a message"):
        unpack(lambda size: b"\xff" * size)
    with pytest.raises((ValueError, KeyError)):
        reply_from_message(({"clip": {}, "shapes": {"frames": [4, 1, 1, 3]}}, b""))


def test_an_error_keeps_its_reason():
    answer = reply_from_message(({"media_error": ["empty", "x: 0 bytes"]}, b""))
    assert isinstance(answer, MediaError)
    assert (answer.reason, str(answer)) == ("empty", "empty: x: 0 bytes")


@pytest.mark.slow
def test_a_file_that_ends_the_worker_when_it_is_only_asked_costs_nothing_else(clips, tmp_path):
    path = named(clips, tmp_path, "segfault.mp4")
    with DecodePool(1, command=STUB) as pool:
        first, second = pool.probe([str(path), str(clips[0])])
    assert (first.reason, "SIGSEGV" in first.message) == ("crashed", True)
    assert (second.width, second.video_codec) == (160, "h264")


def test_a_system_without_poll_is_named_before_any_file_is_decoded(monkeypatch):
    monkeypatch.delattr(select, "poll")
    with pytest.raises(OptionInvalid, match="needs Linux or macOS"):
        DecodePool(1)
    DecodePool(0).close()
