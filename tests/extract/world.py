"""A data set of small real files, and a program that extracts it: the child that the kill tests kill.

python tests/extract/world.py ROOT OUT [WORKERS]
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from gaid.datasets.types import Caption, Dataset, Video


def make_world(root: Path, clips: int = 16, frames: int = 12) -> Dataset:
    """Clips of a second or two, some without sound, the third a text file; two captions each."""
    from tests.media_maker import write_video

    for number in range(clips):
        path = root / f"clip {number:03d}.mp4"
        if number == 2:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("this is no video\n")
            continue
        sound = None if number % 5 == 1 else "tone"
        write_video(path, frames=frames, rate=6, size=(64, 48), gop=6, sound=sound, sound_rate=16000, seed=number)
    return load_world(root)


def load_world(root: Path) -> Dataset:
    paths = sorted(root.glob("*.mp4"))
    videos = tuple(Video(path.stem, path) for path in paths)
    captions = tuple(
        Caption(f"{video.id}/{n}", video.id, f"a {word} thing numbered {video.id[-3:]}")
        for video in videos
        for n, word in enumerate(("moving", "noisy"))
    )
    half = len(videos)  # captions of the first half
    return Dataset(
        name="world",
        root=root,
        videos=videos,
        captions=captions,
        splits={"all": {"train": tuple(range(half)), "test": tuple(range(half, 2 * half))}},
        default_protocol="all",
    )


def content(store) -> dict[str, str]:
    """A store's own digest, and one of each array through its public face, which tells what differs."""
    names = ["visual", "audio", "audio_mask", "audio_state", "valid", "time", "duration", "id"]
    found = {"digest": store.content_digest()}
    for name in [*(f"videos/{name}" for name in names), "captions/embedding", "captions/tokens", "captions/id"]:
        array = np.asarray(store[name][:])
        raw = json.dumps(array.tolist()).encode() if array.dtype.kind not in "fiub" else array.tobytes()
        found[name] = f"{array.shape} {hashlib.sha256(raw).hexdigest()}"
    return found


def main(root: str, out: str, workers: str = "1") -> None:
    from gaid.errors import ExtractInterrupted
    from gaid.extract import extract

    try:
        print(extract(load_world(Path(root)), out=out, visual="tiny", audio="tiny", text="tiny", workers=int(workers)))
    except ExtractInterrupted as error:
        print(error)
        sys.exit(130)


if __name__ == "__main__":
    main(*sys.argv[1:])
