"""`msrvtt`: MSR-VTT from its usual files: MSRVTT_data.json, lists of training and test videos, videoN.mp4.

Or from the lists of a copy on the Hugging Face hub, which hold their captions. Where to get them is in docs/msrvtt.md. The test of 9k and 7k is 1k-A, whose one caption per video comes from the test list
itself; `full` is the data set's own split.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaid.datasets.parts import NamedFiles, check_root, hold_out, need, pick, rows_by_part
from gaid.datasets.reading import VIDEO_SUFFIXES, check_text, find_files, read_json, read_table, text_of
from gaid.datasets.types import Caption, Dataset, DatasetSpec, Published, Video
from gaid.errors import DataInvalid, DataMissing

DATA = "MSRVTT_data.json"
TEST = "MSRVTT_JSFUSION_test.csv"
TRAIN = {"9k": "MSRVTT_train.9k.csv", "7k": "MSRVTT_train.7k.csv"}
# The lists of the Hugging Face hub's friedrichor/MSR-VTT, which hold their captions themselves.
HUB_TEST = "msrvtt_test_1k.json"
HUB_TRAIN = {"9k": "msrvtt_train_9k.json", "7k": "msrvtt_train_7k.json"}
FULL = "full"
# As the field `split` of MSRVTT_data.json calls the parts.
OFFICIAL = {"train": "train", "validate": "val", "test": "test"}
_SOURCE = "lists: msrvtt_data.zip of the CLIP4Clip repository's release v0.0; videos: docs/msrvtt.md says where"


def load(root: Path) -> Dataset:
    """Protocols `9k`, `7k` and `full`, whichever files are there; the first is the default, all lie anywhere under `root`.

    `9k` and `7k` need the test list 1k-A and a training list. Their validation is 500 videos of the training list, chosen by a
    hash of their id; of a shorter list a tenth, at least one where there are two. The two lists are held out by the
    same hash, but not of the same videos. `full` is what the field `split` of MSRVTT_data.json says, where it names all
    three parts. Lists from the Hugging Face hub (msrvtt_train_9k.json, msrvtt_test_1k.json) need no MSRVTT_data.json. A video
    without a file is kept and listed as missing. Raises DataMissing and DataInvalid.
    """
    check_root(root, "msrvtt", _SOURCE)
    found = find_files(root, (*VIDEO_SUFFIXES, ".json", ".csv"))
    test_file = pick(found, [TEST, HUB_TEST])
    data = pick(found, [DATA])
    if data is None and pick(found, [*HUB_TRAIN.values()]) is None:
        need(found, [DATA], root, "msrvtt", _SOURCE)
    sentences, official = ({}, {}) if data is None else _described(data)
    lists = _training_lists(found, sentences)
    if not official and test_file is None:
        need(found, [TEST, HUB_TEST], root, "msrvtt", _SOURCE)
    if not official and not lists:
        raise DataMissing(f"msrvtt: neither {' nor '.join(TRAIN.values())} under {root}; get {_SOURCE}")

    notes: list[str] = []
    captions = _test_captions(test_file) if test_file is not None and lists else []
    test = tuple(range(len(captions)))
    tested = dict.fromkeys((caption.video for caption in captions), test_file.name if test_file is not None else "")
    rows_of: dict[str, range] = {}

    def rows(name: str) -> range:
        """The rows of a video's own sentences, which all protocols share."""
        if name not in rows_of:
            rows_of[name] = range(len(captions), len(captions) + len(sentences[name]))
            captions.extend(Caption(f"{name}#{number}", name, text) for number, text in enumerate(sentences[name]))
        return rows_of[name]

    splits: dict[str, dict[str, tuple[int, ...]]] = {}
    for protocol, listed in lists.items() if test else ():
        names = _checked(listed, tested, sentences)
        held = hold_out(names, "msrvtt")
        own = {name: rows(name) for name in names}
        splits[protocol] = {
            "train": tuple(row for name in names if name not in held for row in own[name]),
            "val": tuple(row for name in names if name in held for row in own[name]),
            "test": test,
        }
    if official:
        wanted = [row for name in official for row in rows(name)]
        chosen = rows_by_part([captions[row] for row in wanted], official)
        splits[FULL] = {part: tuple(wanted[place] for place in places) for part, places in chosen.items()}
        if not splits.keys() - {FULL}:
            lacking = TEST if lists else f"{TEST} and {' or '.join(TRAIN.values())}"
            notes.append(f"no {lacking}: 9k and 7k, which published tables use, are left out; get {_SOURCE}")
    names = sorted({caption.video for caption in captions}, key=lambda name: (len(name), name))
    files = NamedFiles(file for file in found if file.suffix.lower() in VIDEO_SUFFIXES)
    return Dataset(
        name="msrvtt",
        root=root,
        videos=tuple(Video(name, files.find(name) or root / "videos" / f"{name}.mp4") for name in names),
        captions=tuple(captions),
        splits=splits,
        default_protocol=next(iter(splits)),
        missing=tuple(name for name in names if files.find(name) is None),
        notes=tuple(notes + files.copies(names)),
    )


def _training_lists(found: list[Path], sentences: dict[str, list[str]]) -> dict[str, "_Listed"]:
    """The videos of each protocol's training list. A list of the hub adds the sentences of videos that have none yet.

    Where there is a list of both kinds, the table counts if MSRVTT_data.json gives it sentences.
    """
    lists: dict[str, _Listed] = {}
    described = bool(sentences)
    for protocol, name in TRAIN.items():
        table, of_hub = pick(found, [name]), pick(found, [HUB_TRAIN[protocol]])
        if table is not None and (described or of_hub is None):
            rows = [(where, row["video_id"]) for where, row in read_table(table, ("video_id",))]
            lists[protocol] = _Listed(table, rows)
        elif of_hub is not None:
            entries = list(_of_hub(of_hub))
            for _, video, captions in entries:
                sentences.setdefault(video, captions)
            lists[protocol] = _Listed(of_hub, [(where, video) for where, video, _ in entries])
    return lists


def _of_hub(file: Path) -> Iterator[tuple[str, str, list[str]]]:
    """For each entry of a list of the hub, where it stands, the video, and its captions: a list, or a text where there is one."""
    for number, entry in enumerate(read_json(file, list, "a list of `video_id` and `caption`")):
        where = f"{file}: entry {number}"
        video, value = text_of(entry, "video_id", where), entry.get("caption")
        texts = value if isinstance(value, list) else [value]
        if not texts:
            raise DataInvalid(f"{where}: 'caption' is empty")
        yield where, video, [check_text(text, f"{where}: 'caption'") for text in texts]


def _test_captions(file: Path) -> list[Caption]:
    """The captions of the test list, one for each video."""
    captions: list[Caption] = []
    seen: dict[str, str] = {}
    for where, key, video, text in _test_of_hub(file) if file.name == HUB_TEST else _test_of_table(file):
        for what in (f"key {key!r}", f"video {video!r}"):
            if what in seen:
                raise DataInvalid(f"{where}: {what} occurs twice, also in {seen[what]}")
            seen[what] = where.removeprefix(f"{file}").lstrip(",: ")
        captions.append(Caption(key, video, text))
    if not captions:
        raise DataInvalid(f"{file}: lists no video")
    return captions


def _test_of_table(file: Path) -> Iterator[tuple[str, str, str, str]]:
    for number, (where, row) in enumerate(read_table(file, ("video_id",))):
        text = row.get("sentence") or row.get("sentences")  # some copies have the plural
        if not text:
            raise DataInvalid(f"{where}: no sentence; its first line should be key,vid_key,video_id,sentence")
        yield where, row.get("key") or f"test{number}", row["video_id"], text


def _test_of_hub(file: Path) -> Iterator[tuple[str, str, str, str]]:
    for number, (where, video, captions) in enumerate(_of_hub(file)):
        if len(captions) > 1:
            raise DataInvalid(f"{where}: {len(captions)} captions of {video}; the test has one for each video")
        yield where, f"test{number}", video, captions[0]


@dataclass(frozen=True)
class _Listed:
    """A training list: its file, and where each video stands in it."""

    file: Path
    rows: list[tuple[str, str]]


def _checked(listed: _Listed, tested: Mapping[str, str], sentences: Mapping[str, list[str]]) -> list[str]:
    """The videos of a training list, each once, in its order; `tested`: the test list of each video that is in one."""
    names: dict[str, None] = {}
    for where, name in listed.rows:
        if name in tested:
            raise DataInvalid(f"{where}: {name} is in the test list {tested[name]} as well")
        if name not in sentences:
            raise DataInvalid(f"{where}: {name} has no sentence in {DATA}")
        names[name] = None
    if not names:
        raise DataInvalid(f"{listed.file}: lists no video")
    return list(names)


def _described(file: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Sentences of each video in the file's order, and the part of each where the file's field `split` names all three."""
    content: Any = read_json(file, dict, "MSR-VTT's `videos` and `sentences`")
    entries = content.get("sentences")
    if not isinstance(entries, list):
        raise DataInvalid(f"{file}: no list `sentences` in it; expected MSR-VTT's `videos` and `sentences`")
    known, official = _split_fields(file, content.get("videos"))
    sentences: dict[str, list[str]] = {}
    seen: dict[Any, int] = {}
    for number, entry in enumerate(entries):
        where = f"{file}: sentences[{number}]"
        video, caption = text_of(entry, "video_id", where), text_of(entry, "caption", where)
        if known and video not in known:
            raise DataInvalid(f"{where}: is of {video}, which `videos` does not list")
        key = entry.get("sen_id")
        if isinstance(key, int) and seen.setdefault(key, number) != number:
            raise DataInvalid(f"{where}: sen_id {key} is that of sentences[{seen[key]}] as well")
        sentences.setdefault(video, []).append(caption)
    uncaptioned = next((name for name in official if name not in sentences), None)
    if uncaptioned is not None:
        raise DataInvalid(f"{file}: {uncaptioned} is among `videos` but has no sentence")
    return sentences, official


def _split_fields(file: Path, entries: Any) -> tuple[set[str], dict[str, str]]:
    """The videos that the file lists, and the part of each; no parts where one is not named or one of the three is empty."""
    if entries is None:
        return set(), {}
    if not isinstance(entries, list):
        raise DataInvalid(f"{file}: `videos` is not a list, but {str(entries)[:60]!r}")
    parts: dict[str, str] = {}
    known: dict[str, int] = {}
    for number, entry in enumerate(entries):
        name = text_of(entry, "video_id", f"{file}: videos[{number}]")
        if known.setdefault(name, number) != number:
            raise DataInvalid(f"{file}: videos[{number}]: {name} is listed already, in videos[{known[name]}]")
        part = OFFICIAL.get(str(entry.get("split")))
        if part is not None:
            parts[name] = part
    whole = len(parts) == len(known) and set(parts.values()) == set(OFFICIAL.values())
    return set(known), parts if whole else {}


SPEC = DatasetSpec(
    name="msrvtt",
    summary="MSR-VTT: 10,000 web clips of 10 to 32 s, 20 captions each, 1k-A test and its own",
    source=_SOURCE,
    docs="docs/msrvtt.md",
    load=load,
    sounds_beside=True,
    default_root="data/msrvtt",
    published=(
        Published("9k", ("train", "val"), 9_000, 180_000, "MSRVTT_train.9k.csv of CLIP4Clip's release v0.0"),
        Published("9k", ("test",), 1_000, 1_000, "MSRVTT_JSFUSION_test.csv of CLIP4Clip's release v0.0"),
        Published("7k", ("train", "val"), 7_010, 140_200, "danieljf24/hybrid_space, dataset/README.md (Test1k-Yu)"),
        Published("7k", ("test",), 1_000, 1_000, "danieljf24/hybrid_space, dataset/README.md (Test1k-Yu)"),
        Published("full", ("train",), 6_513, 130_260, "danieljf24/hybrid_space, dataset/README.md (official)"),
        Published("full", ("val",), 497, 9_940, "danieljf24/hybrid_space, dataset/README.md (official)"),
        Published("full", ("test",), 2_990, 59_800, "danieljf24/hybrid_space, dataset/README.md (official)"),
    ),
)
