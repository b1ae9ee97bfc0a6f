"""The benchmarks' annotation files, small: the same names, columns and keys as those that people have."""

import json
from pathlib import Path

import numpy as np


def touch(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return root


def described(video: str, number: int, text: str) -> dict:
    """An entry of LocalizingMoments."""
    return {"num_segments": 6, "description": text, "dl_link": "", "times": [[0, 1]], "video": video, "annotation_id": number}  # fmt: skip


def write_didemo(root: Path) -> Path:
    """Two videos a part; test's first stands under two suffixes, as 33 of the real ones do."""
    root.mkdir(exist_ok=True)
    parts = {
        "train": [("1@N00_1_a.mov", "one"), ("1@N00_1_a.mov", "two"), ("2@N00_2_b.avi", "three")],
        "val": [("3@N00_3_c.mp4", "four"), ("4@N00_4_d.", "five")],
        "test": [("5@N00_5_e.mov", "first."), ("6@N00_6_f.3gp", "x"), ("5@N00_5_e.mp4", "second"), ("5@N00_5_e.mov", "third")],
    }  # fmt: skip
    number = 0
    for part, entries in parts.items():
        found = []
        for video, text in entries:
            number += 1
            found.append(described(video, number, text))
        (root / f"{part}_data.json").write_text(json.dumps(found))
    return root


LABEL_HEAD = "success,video_path,starts,ends,text,formatted_data\n"


def write_labels(root: Path, part: str, *rows: str) -> Path:
    file = root / f"didemo_{part}_label.csv"
    file.write_text(LABEL_HEAD + "".join(f"{row}\n" for row in rows))
    return file


def lsmdc_line(clip: str, sentence: str = "SOMEONE walks.") -> str:
    return "\t".join([clip, "00.00.51.926", "00.00.54.129", "00.00.51.926", "00.00.54.129", sentence])


def write_lsmdc(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    lists = {
        "LSMDC16_annos_training.csv": [f"0001_A_Movie_00.00.{n:02}.000-00.00.{n + 2:02}.500" for n in range(10, 40)],
        "LSMDC16_annos_val.csv": ["0002_B_00.01.00.000-00.01.03.000"],
        "LSMDC16_challenge_1000_publictect.csv": ["1012_C_01.00.00.250-01.00.04.000", "1012_C_01.00.10.000-01.00.14.000"],
    }  # fmt: skip
    for name, clips in lists.items():
        (root / name).write_text("".join(lsmdc_line(clip, f"sentence of {clip}") + "\r\n" for clip in clips))
    return root


def vatex_id(number: int) -> str:
    return f"-abcdefg{number:03}_000026_000036"


def write_vatex(root: Path, train: int = 20, arrays: bool = False) -> Path:
    """Official json files of `train` + 4 videos and HGR's lists of them, as text or as numpy's files."""
    root.mkdir(exist_ok=True)
    ids = [vatex_id(number) for number in range(train + 4)]
    entries = [{"videoID": name, "enCap": [f"{name} said {k}" for k in range(10)], "chCap": ["看"]} for name in ids]
    (root / "vatex_training_v1.0.json").write_text(json.dumps(entries[:train]))
    (root / "vatex_validation_v1.0.json").write_text(json.dumps(entries[train:]))
    lists = {"trn": ids[:train], "val": ids[train : train + 2], "tst": ids[train + 2 :]}
    for name, listed in lists.items():
        if arrays:
            np.save(root / f"{name}_names.npy", np.array(listed))
        else:
            text = {"trn": "train", "tst": "test"}.get(name, name)
            (root / f"{text}_list.txt").write_text("\n".join(listed) + "\n")
    return root
