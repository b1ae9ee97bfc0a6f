"""`stamps`: the pictures and sounds of Tux Paint's stamps with their English captions, as Debian packages them.

A stamp with a caption is a clip: a still picture, and its sound if it has one. The spoken descriptions
(`NAME_desc*.ogg`) are left out, since they read the caption aloud, and so are the sounds of other languages. Files are
read in place; stamps that are only SVG are drawn once into the user's cache, never into the package's folder.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gaid.datasets.types import Caption, Dataset, DatasetSpec, Progress, Video
from gaid.errors import DataMissing
from gaid.files import cache_folder, write_bytes

PACKAGE = "tuxpaint-stamps-default"
SOUNDS = (".ogg", ".wav")
WIDTH = 384  # px of a drawn SVG: more than any built-in backbone takes
# References that are neither inside the drawing nor the data itself
OUTWARD = re.compile(r"""\bhref\s*=\s*(?:"(?!#|data:)[^"]*"|'(?!#|data:)[^']*')""")
# Of 100 captions. Fixed, so that figures of different days are of the same stamps.
TRAIN, VALIDATION = 70, 10


@dataclass(frozen=True)
class Stamp:
    """One stamp as its files are: the name is its path without suffix, relative to the root."""

    name: str
    picture: Path
    caption: str
    sound: Path | None


def load(root: Path) -> Dataset:
    """Reads the captions under `root` (the folder `stamps`). Raises `DataMissing` where there are none.

    Protocols: `standard` has train, val and test; equal captions are in one part, which a hash of the
    first one's name chooses. Three more put everything in `test`, for untrained heads: `all` (every stamp),
    `pictures` (the PNG ones, one for each caption) and `sounds` (the PNG ones with a sound, one for each caption).
    """
    stamps = find_stamps(root)
    prepare(root, None)
    kept = [stamp for stamp in stamps if _shown(stamp).is_file()]
    notes = []
    if len(kept) < len(stamps):
        count = len(stamps) - len(kept)
        why = (
            "could not be drawn" if find_spec("resvg_py") else "need resvg-py to be drawn: pip install 'gaid[offline]'"
        )
        notes.append(f"{count} of {len(stamps)} stamps are SVG only and {why}; they are left out")
    return Dataset(
        name="stamps",
        root=root,
        videos=tuple(Video(id=stamp.name, path=_shown(stamp), audio_path=stamp.sound) for stamp in kept),
        captions=tuple(Caption(id=stamp.name, video=stamp.name, text=stamp.caption) for stamp in kept),
        splits={
            "standard": _standard(kept),
            "all": {"test": tuple(range(len(kept)))},
            "pictures": {"test": _one_a_caption(kept, sounding=False)},
            "sounds": {"test": _one_a_caption(kept, sounding=True)},
        },
        default_protocol="standard",
        notes=tuple(notes),
    )


def prepare(root: Path, progress: Progress | None) -> None:
    """Draws the stamps that are only SVG into the cache, where that was not done before and resvg-py is installed."""
    drawings = [stamp.picture for stamp in find_stamps(root) if stamp.picture.suffix == ".svg"]
    wanted = [picture for picture in drawings if not drawn(picture).is_file()]
    if not wanted or find_spec("resvg_py") is None:
        return
    for done, picture in enumerate(wanted):
        if progress is not None:
            progress(done, len(wanted))
        draw(picture, drawn(picture))
    if progress is not None:
        progress(len(wanted), len(wanted))


def find_stamps(root: Path) -> list[Stamp]:
    """The stamps that have a picture and a caption, in the order of their names. Raises `DataMissing` for none."""
    found = []
    for text in sorted(root.rglob("*.txt")) if root.is_dir() else []:
        picture = next((file for suffix in (".png", ".svg") if (file := text.with_suffix(suffix)).is_file()), None)
        caption = _first_line(text)
        if picture is None or not caption:
            continue
        sound = next((file for suffix in SOUNDS if (file := text.with_suffix(suffix)).is_file()), None)
        name = text.relative_to(root).with_suffix("").as_posix()
        found.append(Stamp(name=name, picture=picture, caption=caption, sound=sound))
    if not found:
        what = "no stamps (NAME.png with NAME.txt)" if root.is_dir() else "no such folder"
        raise DataMissing(
            f"stamps: {what} at {root}; install the Debian package {PACKAGE}, or name its folder by --root"
        )
    return sorted(found, key=lambda stamp: stamp.name)


def drawn(picture: Path) -> Path:
    """Where the drawing of an SVG is kept: by its content, so that another version of the package is drawn anew."""
    digest = hashlib.sha256(picture.read_bytes() + f"/{WIDTH}".encode()).hexdigest()[:32]
    return cache_folder() / "stamps" / f"{digest}.png"


def draw(picture: Path, target: Path) -> bool:
    """Draws an SVG on white as a PNG, `WIDTH` px wide. Returns whether it could be drawn.

    References to anything outside the markup are removed first: resvg would open an image by its absolute path.
    """
    import resvg_py

    try:
        png = resvg_py.svg_to_bytes(
            svg_string=OUTWARD.sub('href=""', picture.read_text(encoding="utf-8", errors="replace")),
            background="#ffffff",
            width=WIDTH,
            dpi=96.0,  # sizes in points are nothing at the default of 0
            skip_system_fonts=True,
        )
    except ValueError:  # damaged markup; the note of `load` counts it
        return False
    write_bytes(target, bytes(png))
    return True


def part_of(name: str) -> str:
    """The part that the hash of a stamp's name chooses."""
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 100
    return "train" if place < TRAIN else "val" if place < TRAIN + VALIDATION else "test"


def _standard(stamps: list[Stamp]) -> dict[str, tuple[int, ...]]:
    first_of: dict[str, str] = {}
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for row, stamp in enumerate(stamps):
        first = first_of.setdefault(_meaning(stamp.caption), stamp.name)
        rows[part_of(first)].append(row)
    return {part: tuple(found) for part, found in rows.items()}


def _one_a_caption(stamps: list[Stamp], sounding: bool) -> tuple[int, ...]:
    rows: dict[str, int] = {}
    for row, stamp in enumerate(stamps):
        if stamp.picture.suffix == ".png" and (stamp.sound is not None or not sounding):
            rows.setdefault(stamp.caption, row)
    return tuple(rows.values())


def _meaning(caption: str) -> str:
    """A caption without what does not matter: case, spaces and marks."""
    return " ".join(re.findall(r"\w+", caption.casefold()))


def _shown(stamp: Stamp) -> Path:
    return drawn(stamp.picture) if stamp.picture.suffix == ".svg" else stamp.picture


def _first_line(file: Path) -> str:
    """The English caption: the first line. The others are `LANGUAGE.utf8=...`."""
    with file.open(encoding="utf-8", errors="replace") as stream:
        return stream.readline().lstrip("\ufeff").strip()


SPEC = DatasetSpec(
    name="stamps",
    summary="Tux Paint's stamps: real pictures with English captions, some with sounds; needs no network once installed",
    source=f"the Debian package {PACKAGE} (apt install {PACKAGE})",
    load=load,
    default_root="/usr/share/tuxpaint/stamps",
    default_backbones=("offline", "offline", "offline"),
    prepare=prepare,
)
