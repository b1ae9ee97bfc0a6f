"""The bound on memory, measured in a process of its own. Nothing here is timed."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np, torch
torch.set_num_threads(1)
from gaid.heads import build_head
from gaid.retrieval.protocols import PROTOCOLS
from gaid.retrieval.scoring import Features, best_videos, ranks_of, score_all

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
