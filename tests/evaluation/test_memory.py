"""The bound on memory, measured in a process of its own. Nothing here is timed."""

import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gaid.errors import OptionInvalid
from gaid.evaluation.scoring import select

PROGRAM = """
import resource, sys
import numpy as np, torch
torch.set_num_threads(1)
from gaid.heads import build_head
from gaid.evaluation.conditioning import PROTOCOLS
from gaid.evaluation.scoring import best_videos, ranks_of, score_all
from gaid.heads.features import Features

captions, videos, memory = (int(one) for one in sys.argv[1:])
rng = np.random.default_rng(0)
def noise(*shape):
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).half()
features = Features(noise(captions, 32), noise(videos, 6, 32), noise(videos, 6, 32), torch.ones(videos, 6, dtype=torch.bool))
owner = np.arange(captions) % videos
head = build_head("gaid", visual_dim=32, audio_dim=32, text_dim=32, frames=6).eval()

def everything(features, owner):
    scores = score_all(head, features, owner, PROTOCOLS["query"], memory=memory)
    best_videos(scores, 5, memory=memory)
    return [ranks_of(scores, owner, one, memory=memory).mean() for one in ("t2v", "v2t")], isinstance(scores, np.memmap)

def held():  # without the pages of files, which the system takes back when it needs them
    fields = dict(line.split(":", 1) for line in open("/proc/self/smaps_rollup").read().splitlines()[1:])
    return int(fields["Anonymous"].split()[0]) * 1024

everything(Features(features.text[:64], *features.videos(slice(64))), owner[:64] % 64)  # libraries load what they need
import threading, time
peak, before, stop = 0, held(), threading.Event()
def watch():
    global peak
    while not stop.is_set():
        peak = max(peak, held())
        time.sleep(0.02)
watcher = threading.Thread(target=watch)
watcher.start()
means, in_file = everything(features, owner)
stop.set()
watcher.join()
print(peak - before, in_file, *means)
"""


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))  # of a file; a full disk says the same in other words
import numpy as np
from gaid.evaluation.scoring import select
scores = np.zeros((4000, 2000), np.float32)
try:
    select(scores, np.arange(4000), np.arange(2000), memory=16 * 2**20)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_scores_that_the_disk_has_no_room_for_are_a_line_with_the_remedy(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], env=os.environ | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"OptionInvalid the scores take 32 MB, and there is no room for them in {tmp_path} (")
    assert "set TMPDIR to a folder with room, or keep them in memory with --memory 128MB" in done.stdout


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves nothing")
@pytest.mark.parametrize(("number", "room", "refused"), [(errno.ENOSPC, 10**12, True), (errno.EOPNOTSUPP, 10**12, False),
                                                         (errno.EOPNOTSUPP, 10**6, True)])  # fmt: skip
def test_room_is_reserved_or_looked_for_before_a_score_is_written(monkeypatch, number, room, refused):
    def reserve(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.posix_fallocate", reserve)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, room))
    scores = np.arange(8e6, dtype=np.float32).reshape(4000, 2000)
    rows, columns = np.arange(4000), np.arange(2000)
    if refused:
        with pytest.raises(OptionInvalid, match="there is no room"):
            select(scores, rows, columns, memory=16 * 2**20)
    else:
        assert (select(scores, rows, columns, memory=16 * 2**20) == scores).all()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_scoring_all_pairs_keeps_within_the_memory_that_it_is_given():
    """3,000 x 1,500 scores are 18 MB; given 16 MiB in all, what is held beside the features stays below that."""
    memory = 16 * 2**20
    command = [sys.executable, "-c", PROGRAM, "3000", "1500", str(memory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, in_file, *_ = done.stdout.split()
    assert in_file == "True"
    assert 0 < int(peak) < memory
