"""What is seen and heard when in each clip of the demo: a plan, drawn from seeds alone; drawing and sounding it is left to others.

A clip is twelve beats long. Two sights (a coloured shape that moves or stays somewhere) are shown for two or three beats each, two
sounds for two beats each, and at all other beats the picture is a mosaic of colours and the sound is loud noise. Eyes and ears are
told things at different times, so that whoever mixes them by one weight a clip lets noise in, and whoever weighs each
beat by itself does not; `same_times` makes the control world, where the sounds fall on the beats of the sights.

`mentions` sets how many captions mention sound. Under "heard" those of clips with sounds name them, and the others say that
there is none. Under "none" no caption mentions sound, and no two clips of a part look the same. Under "all" every clip has
two sounds, and every caption names them.

Most clips come in groups: three or four that look the same and differ by sound alone, or sound the same and differ
by sight. About one clip in ten has nothing to hear (no audio track, silence, or only noise).

Validation and test clips are made of combinations that training never shows: their first sight joins a colour and a shape, and their
two sounds are a pair, kept for that part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

VERSION = 2
"""Changes whenever a clip of the same seed would look, sound or be described otherwise."""

BEATS = 12
FPS = 12
SIZES = (1100, 100, 200)
"""Clips for training, validation and test."""

COLOURS = ("red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink")
SHAPES = ("circle", "square", "triangle", "star", "cross", "heart", "ring", "moon")
MANNERS = (
    "moves left",
    "moves right",
    "moves up",
    "moves down",
    "grows",
    "shrinks",
    "at the left",
    "at the right",
    "at the top",
    "at the bottom",
    "in the middle",
)
SOUNDS = (
    "hum",
    "flute",
    "whistle",
    "rise",
    "fall",
    "ticking",
    "rattle",
    "beeps",
    "buzz",
    "trill",
    "birds",
    "bell",
    "drum",
    "organ",
    "siren",
    "laser",
    "engine",
    "horn",
    "crickets",
    "bubbles",
)

Track = Literal["sound", "noise", "silent", "none"]
"""Two sounds amid noise; noise all the time; a track of silence; no audio track."""

Mentions = Literal["none", "heard", "all"]
"""Which captions mention sound: none; those of clips that have sounds, by name; all, since every clip has sounds."""


@dataclass(frozen=True)
class Sight:
    """A coloured shape and what it does; shown for `beats` beats from beat `first` on."""

    colour: str
    shape: str
    manner: str
    first: int
    beats: int


@dataclass(frozen=True)
class Sound:
    """One of `SOUNDS`, heard for `beats` beats from beat `first` on."""

    name: str
    first: int
    beats: int


@dataclass(frozen=True)
class ClipPlan:
    """All that is to be known of a clip before it is drawn. Sights and sounds are in the order of time."""

    id: str
    part: str
    seed: tuple[int, ...]
    frames_per_beat: int
    sights: tuple[Sight, ...]
    sounds: tuple[Sound, ...]
    track: Track

    @property
    def duration(self) -> float:
        """Length in seconds: 4, 5 or 6."""
        return BEATS * self.frames_per_beat / FPS

    @property
    def beat(self) -> float:
        """Length of a beat in seconds; with twelve frames a clip, a frame lies in the middle of each beat."""
        return self.frames_per_beat / FPS


_Look = tuple[tuple[str, str, str], ...]
_Music = tuple[str, ...]
_Content = tuple[_Look, _Music, Track]


def plan_world(
    sizes: tuple[int, int, int] = SIZES, seed: int = 0, same_times: bool = False, mentions: Mentions = "heard"
) -> list[ClipPlan]:
    """The plans of all clips: training, validation, test. The same arguments give the same plans on every machine."""
    plans = []
    for index, (part, size) in enumerate(zip(("train", "val", "test"), sizes, strict=True)):
        rng = np.random.default_rng([seed, index])
        contents = [content for _, content in zip(range(size), _contents(part, rng, mentions), strict=False)]
        for row, (look, music, track) in enumerate([contents[k] for k in rng.permutation(size)]):
            plans.append(_plan(f"{part}-{row:04d}", part, (seed, index, row), look, music, track, same_times))
    return plans


def pairs_of_sight(part: str) -> list[tuple[str, str]]:
    """The (colour, shape) pairs of a part: validation and test have some of their own, all else is training's."""
    return [
        (colour, shape)
        for c, colour in enumerate(COLOURS)
        for s, shape in enumerate(SHAPES)
        if _kept_for((c + 3 * s) % 8, val=(2,), test=(0, 4)) == part
    ]


def pairs_of_sounds(part: str) -> list[tuple[str, str]]:
    """The pairs of sounds of a part, likewise."""
    return [
        (SOUNDS[i], SOUNDS[j])
        for i, j in combinations(range(len(SOUNDS)), 2)
        if _kept_for((i + j) % 6, val=(2,), test=(0, 4)) == part
    ]


def _kept_for(remainder: int, val: tuple[int, ...], test: tuple[int, ...]) -> str:
    return "val" if remainder in val else "test" if remainder in test else "train"


def _contents(part: str, rng: np.random.Generator, mentions: Mentions) -> Iterator[_Content]:
    """Endless contents of clips, group by group; a clip of a group differs from each other one in what is not shared.

    No two clips of a part have the same content as far as captions mention it, in any order.
    """
    seen: set[Any] = set()
    while True:
        members = int(rng.integers(3, 5))
        kind = rng.choice(["same look", "same sound", "alone"], p=[0.55, 0.3, 0.15])
        if kind == "alone":
            members = 1
        if kind == "same look" and mentions == "none":
            kind = "same sound"  # captions without sounds could not tell clips of one look apart
        look, music = _look(part, rng), _music(part, rng)
        made = 0
        while made < members:
            # Two clips of one look and without sound would have the same captions: only the first of them may be.
            track: Track = "sound" if mentions == "all" or (made and kind == "same look") else _track(rng)
            what = (frozenset(look), frozenset(music) if track == "sound" and mentions != "none" else None)
            if what not in seen:
                seen.add(what)
                made += 1
                yield look, music, track
            look, music = (look, _music(part, rng)) if kind == "same look" else (_look(part, rng), music)


def _look(part: str, rng: np.random.Generator) -> _Look:
    own, common = pairs_of_sight(part), pairs_of_sight("train")
    first = own[rng.integers(len(own))]
    # The two differ in colour and in shape, so that no description fits both.
    others = [pair for pair in common if pair[0] != first[0] and pair[1] != first[1]]
    second = others[rng.integers(len(others))]
    manners = rng.choice(len(MANNERS), 2, replace=False)
    look = [(*pair, MANNERS[m]) for pair, m in zip((first, second), manners, strict=True)]
    return tuple(look[k] for k in rng.permutation(2))


def _music(part: str, rng: np.random.Generator) -> _Music:
    own = pairs_of_sounds(part)
    pair = own[rng.integers(len(own))]
    return tuple(pair[k] for k in rng.permutation(2))


def _track(rng: np.random.Generator) -> Track:
    return str(rng.choice(["sound", "none", "silent", "noise"], p=[0.9, 0.05, 0.025, 0.025]))  # type: ignore[return-value]


def _plan(
    id: str, part: str, seed: tuple[int, ...], look: _Look, music: _Music, track: Track, same_times: bool
) -> ClipPlan:
    rng = np.random.default_rng([*seed, 0])
    shown = [int(beats) for beats in rng.permutation([2, 3])]
    if same_times:
        starts = _place([*shown], rng)
        heard_at = starts
    else:
        starts = _place([*shown, 2, 2], rng)
        starts, heard_at = starts[:2], starts[2:]
    sights = [Sight(*what, first=at, beats=beats) for what, at, beats in zip(look, starts, shown, strict=True)]
    sounds = (
        [Sound(name, first=at, beats=2) for name, at in zip(music, heard_at, strict=True)] if track == "sound" else []
    )
    return ClipPlan(
        id=id,
        part=part,
        seed=seed,
        frames_per_beat=int(rng.integers(4, 7)),
        sights=tuple(sorted(sights, key=lambda sight: sight.first)),
        sounds=tuple(sorted(sounds, key=lambda sound: sound.first)),
        track=track,
    )


def _place(lengths: list[int], rng: np.random.Generator) -> list[int]:
    """A first beat for each event, in random order, none upon another, with what is free spread at random between them."""
    free = BEATS - sum(lengths)
    gaps = np.bincount(rng.integers(len(lengths) + 1, size=free), minlength=len(lengths) + 1)
    starts = [0] * len(lengths)
    at = 0
    for gap, event in zip(gaps, rng.permutation(len(lengths)), strict=False):
        at += int(gap)
        starts[int(event)] = at
        at += lengths[int(event)]
    return starts
