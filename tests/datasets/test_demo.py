"""The demo's world: its plan, its files, its captions and its truth."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from gaid.datasets import load_dataset
from gaid.datasets.demo import SPEC, load, load_truth, prepare
from gaid.datasets.demo.drawing import HEIGHT, WIDTH, draw
from gaid.datasets.demo.grammar import describe
from gaid.datasets.demo.sound import LOUDNESS, RATE, synthesise
from gaid.datasets.demo.world import (
    BEATS,
    COLOURS,
    FPS,
    SHAPES,
    SIZES,
    SOUNDS,
    ClipPlan,
    pairs_of_sight,
    pairs_of_sounds,
    plan_world,
)
from gaid.errors import DataInvalid, DataMissing

SMALL = (14, 4, 6)


@pytest.fixture(scope="module")
def world() -> list[ClipPlan]:
    return plan_world()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("demo")
    prepare(place, sizes=SMALL)
    return place


def beats_of_sights(plan: ClipPlan) -> set[int]:
    return {beat for sight in plan.sights for beat in range(sight.first, sight.first + sight.beats)}


def beats_of_sounds(plan: ClipPlan) -> set[int]:
    return {beat for sound in plan.sounds for beat in range(sound.first, sound.first + sound.beats)}


def part_of(world: list[ClipPlan], part: str) -> list[ClipPlan]:
    return [plan for plan in world if plan.part == part]


def look(plan: ClipPlan) -> frozenset[tuple[str, str, str]]:
    return frozenset((sight.colour, sight.shape, sight.manner) for sight in plan.sights)


def music(plan: ClipPlan) -> frozenset[str]:
    return frozenset(sound.name for sound in plan.sounds)


# The plan


def test_the_same_seed_plans_the_same_world_and_another_seed_another(world: list[ClipPlan]) -> None:
    assert plan_world() == world
    assert plan_world(seed=1) != world
    assert tuple(len(part_of(world, part)) for part in ("train", "val", "test")) == SIZES


def test_sights_and_sounds_never_share_a_beat(world: list[ClipPlan]) -> None:
    for plan in world:
        assert len(beats_of_sights(plan)) == 5
        assert len(beats_of_sounds(plan)) == (4 if plan.track == "sound" else 0)
        assert not beats_of_sights(plan) & beats_of_sounds(plan)
        assert beats_of_sights(plan) | beats_of_sounds(plan) <= set(range(BEATS))


def test_in_the_control_world_every_sound_falls_on_beats_of_a_sight() -> None:
    plans = plan_world((50, 10, 10), same_times=True)
    assert any(plan.sounds for plan in plans)
    for plan in plans:
        assert beats_of_sounds(plan) <= beats_of_sights(plan)


def test_about_one_clip_in_ten_has_nothing_to_hear(world: list[ClipPlan]) -> None:
    for part in ("train", "val", "test"):
        tracks = Counter(plan.track for plan in part_of(world, part))
        share = 1 - tracks["sound"] / tracks.total()
        assert 0.03 < share < 0.15
        assert tracks["none"] > 0


def test_many_clips_look_the_same_and_many_sound_the_same(world: list[ClipPlan]) -> None:
    for part in ("train", "val", "test"):
        plans = part_of(world, part)
        looks, musics = Counter(map(look, plans)), Counter(map(music, plans))
        assert sum(looks[look(plan)] >= 3 for plan in plans) / len(plans) > 0.4
        assert sum(musics[music(plan)] >= 3 for plan in plans if plan.sounds) / len(plans) > 0.15


def test_no_two_clips_of_a_part_look_and_sound_the_same(world: list[ClipPlan]) -> None:
    for part in ("train", "val", "test"):
        contents = Counter((look(plan), music(plan), plan.track) for plan in part_of(world, part))
        assert max(contents.values()) == 1


def test_combinations_are_split_into_parts_that_do_not_overlap() -> None:
    for pairs, whole in (
        (pairs_of_sight, len(COLOURS) * len(SHAPES)),
        (pairs_of_sounds, len(list(combinations(SOUNDS, 2)))),
    ):
        parts = [set(pairs(part)) for part in ("train", "val", "test")]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == whole


def test_every_colour_shape_and_sound_is_met_in_training_and_in_test(world: list[ClipPlan]) -> None:
    for part in ("train", "test"):
        plans = part_of(world, part)
        sights = [sight for plan in plans for sight in plan.sights]
        assert {sight.colour for sight in sights} == set(COLOURS)
        assert {sight.shape for sight in sights} == set(SHAPES)
        assert {sound.name for plan in plans for sound in plan.sounds} == set(SOUNDS)


@pytest.mark.parametrize("part", ["val", "test"])
def test_every_clip_of_validation_and_test_combines_what_training_never_does(world: list[ClipPlan], part: str) -> None:
    trained = part_of(world, "train")
    seen = {(sight.colour, sight.shape) for plan in trained for sight in plan.sights}
    heard = {music(plan) for plan in trained if plan.sounds}
    for plan in part_of(world, part):
        assert any((sight.colour, sight.shape) not in seen for sight in plan.sights)
        assert not plan.sounds or music(plan) not in heard


# Captions


def test_a_clip_has_three_to_five_captions_all_different(world: list[ClipPlan]) -> None:
    counts = Counter()
    for plan in world[:200]:
        captions = describe(plan)
        assert len(set(captions)) == len(captions)
        assert all(caption[0].isupper() and caption.endswith(".") for caption in captions)
        counts[len(captions)] += 1
    assert set(counts) == {3, 4, 5}


def test_clips_that_differ_have_different_captions(world: list[ClipPlan]) -> None:
    clips_of: dict[str, set[str]] = {}
    for plan in world:
        if plan.track == "sound":
            for caption in describe(plan):
                clips_of.setdefault(caption, set()).add(plan.part)
    shared = [caption for caption, parts in clips_of.items() if len(parts) > 1]
    assert not shared


def test_captions_of_a_clip_without_sound_say_so(world: list[ClipPlan]) -> None:
    telling = {
        "none": ("silence", "without a sound", "nothing is heard"),
        "silent": ("silence", "without a sound", "nothing is heard"),
        "noise": ("static", "noise", "hiss"),
    }
    met = set()
    for plan in world:
        if plan.track in telling:
            met.add(plan.track)
            assert all(any(words in caption for words in telling[plan.track]) for caption in describe(plan))
    assert met == set(telling)


# Pictures and sound


def test_a_beat_of_sight_is_calm_and_a_beat_of_noise_is_not(world: list[ClipPlan]) -> None:
    plan = world[0]
    frames = np.stack(list(draw(plan))).astype(float)
    assert frames.shape == (BEATS * plan.frames_per_beat, HEIGHT, WIDTH, 3)
    unrest = np.abs(np.diff(frames.mean(-1), axis=2)).mean((1, 2)).reshape(BEATS, -1)
    seen = np.isin(np.arange(BEATS), list(beats_of_sights(plan)))
    assert unrest[seen].max() * 3 < unrest[~seen].min()


def test_noise_is_as_loud_as_what_is_heard(world: list[ClipPlan]) -> None:
    plan = next(plan for plan in world if plan.track == "sound")
    samples = synthesise(plan)
    assert samples is not None
    assert len(samples) == round(plan.duration * RATE)
    for beat in samples.reshape(BEATS, -1):
        assert LOUDNESS * 0.7 < np.sqrt(np.mean(beat**2)) < LOUDNESS * 1.4


def test_a_track_may_be_silent_or_absent_or_only_noise(world: list[ClipPlan]) -> None:
    made = {plan.track: synthesise(plan) for plan in world if plan.track != "sound"}
    assert made["none"] is None
    assert not np.any(made["silent"])
    assert made["noise"] is not None
    assert np.abs(made["noise"]).max() > LOUDNESS


def test_no_two_sounds_are_alike() -> None:
    """Spectrum and its change differ between every two of the twenty kinds, more than within a kind."""
    from gaid.datasets.demo import sound as voices

    def spectrum(name: str, seed: int) -> np.ndarray:
        samples = voices._VOICES[name](RATE // 2, np.random.default_rng(seed))
        pieces = np.abs(np.fft.rfft(samples[: RATE // 2 // 240 * 240].reshape(-1, 240)))
        told = np.concatenate([pieces.mean(0), pieces.std(0), np.maximum(np.diff(pieces, axis=0), 0).mean(0)])
        return told / np.linalg.norm(told)

    for one, other in combinations(SOUNDS, 2):
        if {one, other} == {"rise", "fall"}:
            continue  # the same spectrum by design: what differs is the direction of time
        assert np.linalg.norm(spectrum(one, 0) - spectrum(other, 1)) > 0.1, (one, other)


# Files


@pytest.mark.slow
def test_clips_are_real_media_files_of_the_planned_length(root: Path) -> None:
    import av

    plans = {plan.id: plan for plan in plan_world(SMALL)}
    for video in load(root).videos:
        plan = plans[video.id]
        with av.open(str(video.path)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (WIDTH, HEIGHT)
            assert bool(container.streams.audio) == (plan.track != "none")
            assert container.duration / 1e6 == pytest.approx(plan.duration, abs=0.05)
            assert sum(1 for _ in container.decode(video=0)) == plan.duration * FPS


def test_what_is_written_is_what_was_drawn(root: Path) -> None:
    import av

    plan = plan_world(SMALL)[0]
    with av.open(str(root / "clips" / f"{plan.id}.mp4")) as container:
        decoded = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
    for k in (plan.sights[0].first * plan.frames_per_beat + 1, plan.sights[1].first * plan.frames_per_beat + 1):
        drawn = list(draw(plan))[k].astype(float)
        assert np.abs(decoded[k] - drawn).mean() < 8


def test_loading_gives_all_parts_with_several_captions_a_clip(root: Path) -> None:
    dataset = load_dataset("demo", root)
    counts = dataset.counts()["demo"]
    assert tuple(counts[part]["videos"] for part in ("train", "val", "test")) == SMALL
    assert all(counts[part]["captions"] >= 3 * counts[part]["videos"] for part in counts)
    assert dataset.missing == ()
    assert dataset.name == "demo"


def test_a_clip_that_was_deleted_is_listed_as_missing(root: Path) -> None:
    path = load(root).videos[3].path
    away = path.with_suffix(".away")
    path.rename(away)
    try:
        assert load(root).missing == (path.stem,)
    finally:
        away.rename(path)


def test_truth_is_known_at_any_times_and_agrees_with_the_plan(root: Path) -> None:
    for plan in plan_world(SMALL):
        times = (np.arange(BEATS) + 0.5) * plan.beat
        told = load_truth(root, plan.id, times, plan.duration)
        assert told.dtype == bool
        assert set(np.flatnonzero(told)) == beats_of_sounds(plan)
        twice = load_truth(root, plan.id, (np.arange(2 * BEATS) + 0.5) * plan.beat / 2, plan.duration)
        assert np.array_equal(twice, np.repeat(told, 2))


def test_truth_of_an_unknown_clip_or_place_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="no clip 'train-9999'"):
        load_truth(root, "train-9999", [0.5], 4.0)
    with pytest.raises(DataMissing, match="truth"):
        load_truth(tmp_path, "train-0000", [0.5], 4.0)


# Making it


def test_a_world_that_is_whole_is_left_alone(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    prepare(root)
    prepare(root, sizes=SMALL)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_another_world_in_the_same_place_is_refused(root: Path) -> None:
    with pytest.raises(DataInvalid, match="sizes"):
        prepare(root, sizes=(1, 2, 3))
    with pytest.raises(DataInvalid, match="same_times"):
        prepare(root, same_times=True)


@pytest.mark.slow
def test_a_world_half_made_is_refused_and_goes_on_where_it_stopped(root: Path, tmp_path: Path) -> None:
    """Killed at some moment, then made again: the same files, and those that were whole were not touched."""
    code = f"from pathlib import Path; from gaid.datasets.demo import prepare; prepare(Path({str(tmp_path)!r}), sizes={SMALL}, workers=1)"
    process = subprocess.Popen([sys.executable, "-c", code])
    clips = tmp_path / "clips"
    deadline = time.monotonic() + 60
    while len(list(clips.glob("[!.]*.mp4"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()
    process.wait()
    time.sleep(0.3)  # the child, told by its parent's end, has ended as well
    with pytest.raises(DataMissing, match="no finished world"):
        load(tmp_path)
    early = {path.name: path.stat().st_mtime_ns for path in clips.glob("[!.]*.mp4")}
    assert 4 <= len(early) < sum(SMALL)
    prepare(tmp_path)
    again = {path.name: path.stat().st_mtime_ns for path in clips.glob("*.mp4")}
    assert {name: again[name] for name in early} == early
    for path in (root / "clips").iterdir():
        assert (clips / path.name).read_bytes() == path.read_bytes()
    for name in ("captions.json", "truth.json", "manifest.json"):
        assert (tmp_path / name).read_text() == (root / name).read_text()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in root.iterdir()}


@pytest.mark.slow
def test_progress_rises_to_all_clips(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    prepare(tmp_path, lambda done, total: told.append((done, total)), sizes=(2, 1, 1))
    assert told[-1] == (4, 4)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.slow
def test_the_control_world_has_its_own_name(tmp_path: Path) -> None:
    prepare(tmp_path, sizes=(1, 1, 1), same_times=True)
    assert load(tmp_path).name == "demo-same-times"


def test_a_damaged_manifest_and_an_old_world_are_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataInvalid, match=r"manifest\.json is not JSON"):
        prepare(tmp_path)
    (tmp_path / "manifest.json").write_text(
        json.dumps({"version": 0, "sizes": [1, 1, 1], "seed": 0, "same_times": False})
    )
    with pytest.raises(DataInvalid, match="version 0"):
        load(tmp_path)


def test_a_place_that_cannot_hold_clips_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(DataMissing, match="could not all be made") as caught:
        prepare(tmp_path, sizes=(1, 1, 1))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_no_thread_or_process_is_left_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    prepare(tmp_path, sizes=(1, 1, 1))
    assert threading.active_count() == before


def test_the_spec_says_which_backbones_belong_to_it() -> None:
    assert SPEC.name == "demo"
    assert SPEC.default_backbones == ("tiny", "tiny", "tiny")
    assert SPEC.prepare is prepare
