"""Data sets by name, and what every data set must keep to."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gaid.datasets import DATASETS, Caption, Dataset, Video, get_spec, load_dataset, load_truth
from gaid.errors import DataInvalid, OptionInvalid

WHOLE = Dataset(
    name="two",
    root=Path("somewhere"),
    videos=(Video("a", Path("a.mp4")), Video("b", Path("b.mp4"))),
    captions=(Caption("a#0", "a", "one"), Caption("b#0", "b", "two")),
    splits={"p": {"train": (0,), "test": (1,)}},
    default_protocol="p",
    missing=("b",),
)


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_says_what_it_is(name):
    spec = get_spec(name)
    assert spec.name == name
    assert all((spec.summary, spec.source, spec.default_root))
    assert Path(spec.docs).suffix == ".md"
    assert len(spec.default_backbones) == 3


def test_a_mistyped_name_says_the_nearest():
    with pytest.raises(OptionInvalid, match="no data set is called 'msrvt'; did you mean 'msrvtt'"):
        load_dataset("msrvt")


def test_a_name_like_nothing_says_all_names():
    with pytest.raises(
        OptionInvalid,
        match="known are csv, demo, demo-deaf, demo-ears, demo-same-times, didemo, folder, lsmdc, msrvtt, stamps, vatex ",
    ):
        load_dataset("qqq")


def test_a_place_instead_of_a_name_says_how_to_give_a_place(tmp_path):
    with pytest.raises(OptionInvalid, match="--dataset folder --root"):
        load_dataset(str(tmp_path))


def test_nobody_knows_the_truth_of_a_folder(tmp_path):
    assert load_truth("folder", tmp_path, "a", [0.5], 1.0) is None


def test_a_whole_data_set_is_valid_and_counts_its_parts():
    WHOLE.validate()
    assert WHOLE.counts() == {
        "p": {
            "train": {"captions": 1, "videos": 1, "missing": 0},
            "test": {"captions": 1, "videos": 1, "missing": 1},
        }
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"videos": (*WHOLE.videos, WHOLE.videos[0])}, "video id 'a' occurs twice"),
        ({"captions": (*WHOLE.captions, WHOLE.captions[0])}, "caption id 'a#0' occurs twice"),
        ({"captions": (*WHOLE.captions, Caption("c#0", "c", "three"))}, "caption 'c#0' is of video 'c'"),
        ({"missing": ("c",)}, "'c' is listed as missing"),
        ({"default_protocol": "q"}, "no protocol 'q', only p"),
        ({"splits": {"p": {"dev": (0,)}}}, "a part is one of train, val, test"),
        ({"splits": {"p": {"train": (0, 0)}}}, "a caption is listed twice"),
        ({"splits": {"p": {"train": (2,)}}}, "row 2 of 2 captions"),
        ({"splits": {"p": {"train": (0,), "test": (0,)}}}, "video 'a' is in part 'train' as well"),
    ],
)
def test_lists_that_contradict_each_other_are_refused(change, said):
    with pytest.raises(DataInvalid, match=said):
        replace(WHOLE, **change).validate()


def test_names_are_known_without_importing_anything_heavy():
    code = (
        "import sys; from gaid.datasets import get_spec; get_spec('folder'); get_spec('msrvtt'); "
        "print([name for name in ('torch', 'av', 'numpy', 'zarr', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
