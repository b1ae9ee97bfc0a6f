"""On a GPU the encoder works ahead: one batch is encoded while the next is gathered, its pictures beside its sound.

The device is a name in most of these tests: what is tested is who waits for whom.
"""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gaid.extract import extract
from gaid.extract.encoder import Encoder
from gaid.extract.plan import restrict
from gaid.extract.rows import ShardRows, ShardShape
from gaid.media.clip import Clip
from gaid.specs import AudioSpec
from gaid.stores import open_store

WAIT = 20  # seconds after which a test has failed
FRAMES = 3


class Pictures:
    """The mean of each frame, once `gate` lets it through. `calls`: how many clips each call had; `begun`: one call more."""

    thread_safe = True

    def __init__(self, gate=lambda: None):
        self.gate, self.calls, self.begun = gate, [], threading.Semaphore(0)

    def encode_frames(self, frames):
        self.calls.append(len(frames))
        self.begun.release()
        self.gate()
        return frames.mean(axis=(2, 3, 4), dtype=np.float32)[..., None]


class Sounds:
    """The mean of each window, likewise."""

    thread_safe = True
    dim = 1
    token_shape = None
    audio_spec = AudioSpec(8000, 0.1, 10.0)

    def __init__(self, gate=lambda: None):
        self.gate = gate

    def encode_audio(self, windows, mask):
        self.gate()
        return np.stack([window.mean(axis=1) for window in windows])[..., None].astype(np.float32)


def clip(number):
    """A clip whose pictures and sound are its number."""
    return Clip(
        frames=np.full((FRAMES, 4, 4, 3), number, np.uint8), times=np.arange(FRAMES, dtype=np.float32), duration=3.0,
        audio=np.full((FRAMES, 8), number, np.float32), audio_mask=np.ones(FRAMES, bool), audio_state="sound",
        audio_starts=np.zeros(FRAMES, np.int64), audio_rate=8000, audio_window=1.0, short=False, decoded=FRAMES,
        frame_times=np.arange(FRAMES, dtype=np.float32),
    )  # fmt: skip


def make(visual, audio, rows=12, batch_size=3):
    encoder = Encoder(SimpleNamespace(visual=visual, audio=audio), "cuda:0", batch_size, False)
    return encoder, ShardRows(0, rows, ShardShape(FRAMES, 1, 1))


def test_pictures_and_sound_of_a_batch_are_encoded_at_the_same_time():
    meeting = threading.Barrier(2)  # passed by two at a time only
    encoder, rows = make(Pictures(lambda: meeting.wait(WAIT)), Sounds(lambda: meeting.wait(WAIT)))
    with encoder:
        for row in range(12):
            encoder.add(rows, row, f"v{row}", clip(row))
        encoder.flush()
    numbers = np.arange(12)[:, None, None].repeat(FRAMES, 1)
    np.testing.assert_array_equal(rows.arrays["visual"], numbers)
    np.testing.assert_array_equal(rows.arrays["audio"], numbers)


def test_the_next_batch_is_gathered_while_one_is_encoded_and_waits_behind_it():
    slow = threading.Event()
    visual = Pictures(lambda: slow.wait(WAIT))
    encoder, rows = make(visual, Sounds())
    with encoder:
        given = [encoder.add(rows, row, f"v{row}", clip(row)) for row in range(5)]
        assert visual.begun.acquire(timeout=WAIT)
        assert given == [[]] * 5  # the first batch is in work, two clips of the second are here, and nobody waited
        slow.set()
        given.append(encoder.add(rows, 5, "v5", clip(5)))
        assert given[-1] == [None] * 3  # the second batch is in work before the first one's rows are given
        assert encoder.flush() == [None] * 3
    assert visual.calls == [3, 3]


def test_batches_end_with_shards_but_nobody_waits_for_them_there():
    slow = threading.Event()
    visual = Pictures(lambda: slow.wait(WAIT))
    encoder, rows = make(visual, Sounds(), rows=2)
    after = ShardRows(1, 3, ShardShape(FRAMES, 1, 1))
    with encoder:
        for row in range(2):
            encoder.add(rows, row, f"v{row}", clip(row))
        assert encoder.end_batch() == []
        assert encoder.add(after, 0, "w0", clip(7)) == []  # clips of the next shard come in meanwhile
        assert not rows.complete
        slow.set()
        assert [len(encoder.add(after, row, f"w{row}", clip(row))) for row in (1, 2)] == [0, 2]
        assert rows.complete
        assert encoder.flush() == [None] * 3
    assert after.complete
    assert visual.calls == [2, 3]


def test_an_encoders_fault_names_the_clips_of_its_batch_and_ends_its_threads():
    def fail():
        raise RuntimeError("broken")

    before = threading.active_count()
    encoder, rows = make(Pictures(), Sounds(fail), batch_size=2)

    def encode():
        with encoder:
            for row in range(6):
                encoder.add(rows, row, f"v{row}", clip(row))

    with pytest.raises(RuntimeError, match="broken") as caught:
        encode()
    assert caught.value.__notes__ == ["while encoding v0, v1"]
    assert threading.active_count() == before


def test_encoders_that_are_not_thread_safe_work_in_the_callers_thread():
    threads = []
    visual, audio = (kind(lambda: threads.append(threading.current_thread())) for kind in (Pictures, Sounds))
    visual.thread_safe = False
    encoder, rows = make(visual, audio)
    with encoder:
        given = [len(encoder.add(rows, row, f"v{row}", clip(row))) for row in range(6)]
    assert given == [0, 0, 3, 0, 0, 3]
    assert set(threads) == {threading.current_thread()}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_ten_clips_extracted_on_a_gpu_have_the_features_of_the_cpu(world, tmp_path):
    pytest.importorskip("transformers", reason="needs the extra 'clap'")
    stores = []
    for device in ("cpu", "cuda"):
        report = extract(
            restrict(world, 10), out=tmp_path / f"{device}.zarr", visual="clip:ViT-B-32/openai", batch_size=4,
            audio="clap:laion/clap-htsat-unfused", random_weights=True, device=device, progress=False,
        )  # fmt: skip
        stores.append(open_store(report.store))
    on_cpu, on_gpu = stores
    for name in ("valid", "audio_mask", "audio_state", "time", "duration"):
        np.testing.assert_array_equal(on_gpu[f"videos/{name}"][:], on_cpu[f"videos/{name}"][:])
    for name in ("videos/visual", "videos/audio", "captions/embedding"):
        found, wanted = (store[name][:].astype(np.float32) for store in (on_gpu, on_cpu))
        lengths = np.linalg.norm(found, axis=-1), np.linalg.norm(wanted, axis=-1)
        there = lengths[1] > 0
        assert ((lengths[0] > 0) == there).all()
        assert ((found * wanted).sum(-1)[there] > 0.9999 * lengths[0][there] * lengths[1][there]).all()
