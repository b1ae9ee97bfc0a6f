"""A folder of small clips that changes, and the program that extracts it: the child that tests of libraries kill.

python tests/extract/folder_world.py ROOT OUT
"""

import shutil
import struct
import sys
from pathlib import Path

KINDS = (
    {"codec": "libx264"},
    {"codec": "mpeg4", "bframes": 0},
    {"codec": "libx264", "sound": None},
    {"codec": "libx264", "size": (48, 64), "rate": 10},
)
TINY = {"visual": "tiny", "audio": "tiny", "text": "tiny"}


def make_clip(path: Path, number: int, bases: Path) -> Path:
    """Clip `number`, one of 24 small videos of several kinds, with bytes of its own: a box that players skip."""
    from tests.media_maker import write_video

    base = bases / f"{number % 24}.mp4"
    if not base.exists():
        settings = {"frames": 6, "rate": 6, "size": (64, 48), "gop": 6, "sound_rate": 16000, **KINDS[number % 4]}
        write_video(base, seed=number % 24, **settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(base, path)
    with path.open("ab") as file:
        file.write(struct.pack(">I4sI", 12, b"free", number))
    return path


def write_captions(root: Path, captions: dict[str, list[str]]) -> None:
    """captions.csv of some videos by their paths."""
    lines = [f"{video},{text}\n" for video, texts in captions.items() for text in texts]
    (root / "captions.csv").write_text("video,caption\n" + "".join(lines))


def main(root: str, out: str) -> None:
    from gaid.errors import ExtractInterrupted
    from gaid.extract import extract

    try:
        print(extract("folder", root=root, out=out, max_missing=1.0, **TINY))
    except ExtractInterrupted as error:
        print(error)
        sys.exit(130)


if __name__ == "__main__":
    main(*sys.argv[1:])
