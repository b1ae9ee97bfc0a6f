"""How many captions of a demo world mention sound: none, those of clips with sounds, or all."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from gaid.datasets import get_spec
from gaid.datasets.demo import load, prepare
from gaid.datasets.demo.grammar import describe
from gaid.datasets.demo.world import SIZES, SOUNDS, ClipPlan, Mentions, plan_world
from gaid.errors import DataInvalid

# Words of the grammar that can only be about sound.
OF_SOUND = re.compile(
    r"sound|\bhear\b|heard|silence|static|nois|hiss|hum|drone|flute|whistl|glid|sweep|tick|rattl|beep|buzz|trill|warbl|"
    r"bird|bell|drum|organ|siren|laser|engine|motor|horn|trumpet|cricket|bubbl"
)
NO_SOUND = ("silence", "without a sound", "nothing is heard", "static", "noise", "hiss")


def named(caption: str) -> bool:
    """Whether a caption mentions sound other than to say that there is none."""
    return bool(OF_SOUND.search(caption.lower())) and not any(words in caption for words in NO_SOUND)


def look(plan: ClipPlan) -> frozenset[tuple[str, str, str]]:
    return frozenset((sight.colour, sight.shape, sight.manner) for sight in plan.sights)


def captions_of(mentions: Mentions) -> list[tuple[ClipPlan, str]]:
    return [
        (plan, caption)
        for plan in plan_world((400, 50, 100), mentions=mentions)
        for caption in describe(plan, mentions)
    ]


def test_no_caption_of_the_deaf_world_mentions_sound_and_its_clips_have_sounds() -> None:
    found = captions_of("none")
    assert not [caption for _, caption in found if OF_SOUND.search(caption.lower())]
    share = sum(bool(plan.sounds) for plan, _ in found) / len(found)
    assert share == pytest.approx(0.9, abs=0.02)


def test_captions_of_the_demo_name_sounds_where_the_clip_has_some() -> None:
    for plan, caption in captions_of("heard"):
        assert named(caption) == bool(plan.sounds), caption


def test_every_caption_of_the_world_of_ears_names_two_sounds() -> None:
    for plan, caption in captions_of("all"):
        assert len(plan.sounds) == 2
        assert named(caption), caption


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_no_two_clips_of_the_deaf_world_look_the_same_and_many_sound_the_same(part: str) -> None:
    plans = [plan for plan in plan_world(mentions="none") if plan.part == part]
    assert max(Counter(map(look, plans)).values()) == 1
    sounds = Counter(frozenset(sound.name for sound in plan.sounds) for plan in plans if plan.sounds)
    assert sum(count for count in sounds.values() if count >= 3) / len(plans) > 0.4


@pytest.mark.parametrize("mentions", ["none", "all"])
def test_the_sizes_and_the_kinds_of_sound_are_those_of_the_demo(mentions: Mentions) -> None:
    plans = plan_world(mentions=mentions)
    assert tuple(Counter(plan.part for plan in plans).values()) == SIZES
    for part in ("train", "test"):
        assert {sound.name for plan in plans if plan.part == part for sound in plan.sounds} == set(SOUNDS)


@pytest.mark.slow
def test_the_demo_is_the_one_that_it_was_before_there_was_a_choice(tmp_path: Path) -> None:
    """Digests of the captions and times of 24 clips as written by the version before `mentions`."""
    prepare(tmp_path, sizes=(14, 4, 6))
    digests = {
        file: hashlib.sha256((tmp_path / file).read_bytes()).hexdigest() for file in ("captions.json", "truth.json")
    }
    assert digests == {
        "captions.json": "154d38fc196e089fc819c301b4528647d565fdfc9082694842a3ef87c2a4d451",
        "truth.json": "75b06e773b23aa28c6a7b18de457cd0f3204632e77723fe84853112614971d3f",
    }
    assert json.loads((tmp_path / "manifest.json").read_text()) == {
        "version": 2, "sizes": [14, 4, 6], "seed": 0, "same_times": False,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mentions"), [("demo-deaf", "none"), ("demo-ears", "all")])
def test_each_world_has_its_own_name_and_place(name: str, mentions: Mentions, tmp_path: Path) -> None:
    prepare(tmp_path, sizes=(2, 1, 1), mentions=mentions)
    dataset = load(tmp_path)
    assert dataset.name == name
    assert [caption.text for caption in dataset.captions] == [
        caption for plan in plan_world((2, 1, 1), mentions=mentions) for caption in describe(plan, mentions)
    ]
    spec = get_spec(name)
    assert spec.default_root == f"data/{name}"
    assert spec.prepare is not None
    with pytest.raises(DataInvalid, match="sizes"):
        prepare(tmp_path, sizes=(1, 1, 1))
    before = (tmp_path / "manifest.json").read_bytes()
    spec.prepare(tmp_path, None)
    assert (tmp_path / "manifest.json").read_bytes() == before
    with pytest.raises(DataInvalid, match=f"a world with mentions {mentions}, not heard"):
        prepare(tmp_path, mentions="heard")


def test_a_world_without_the_setting_is_refused_where_another_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(
        json.dumps({"version": 2, "sizes": [1, 1, 1], "seed": 0, "same_times": False})
    )
    prepare(tmp_path, mentions="heard")
    with pytest.raises(DataInvalid, match="a world with mentions heard, not none"):
        prepare(tmp_path, mentions="none")
