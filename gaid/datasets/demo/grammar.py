"""English for the clips of the demo: a small grammar with synonyms; every caption names all that is seen, and what is heard.

A caption tells the events of each sense in the order of time, but no two captions of a clip are worded alike.
"""

import numpy as np

from gaid.datasets.demo.world import ClipPlan, Mentions, Sight, Track

_COLOURS = {
    "red": ("red", "scarlet"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "turquoise": ("turquoise", "cyan"),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rosy"),
}
_SHAPES = {
    "circle": ("circle", "disc", "ball"),
    "square": ("square", "box"),
    "triangle": ("triangle", "pyramid"),
    "star": ("star",),
    "cross": ("cross", "plus sign"),
    "heart": ("heart",),
    "ring": ("ring", "hoop"),
    "moon": ("crescent", "moon"),
}
_MANNERS = {
    "moves left": ("moving left", "drifting to the left", "sliding leftwards"),
    "moves right": ("moving right", "drifting to the right", "sliding rightwards"),
    "moves up": ("rising", "floating up", "climbing upwards"),
    "moves down": ("sinking", "falling down", "dropping downwards"),
    "grows": ("growing", "getting bigger", "that swells"),
    "shrinks": ("shrinking", "getting smaller", "that dwindles"),
    "at the left": ("at the left edge", "resting on the left", "still on the left side"),
    "at the right": ("at the right edge", "resting on the right", "still on the right side"),
    "at the top": ("at the top", "resting high above", "still near the upper edge"),
    "at the bottom": ("at the bottom", "resting low down", "still near the lower edge"),
    "in the middle": ("in the middle", "resting in the centre", "still at the centre"),
}
_SOUNDS = {
    "hum": ("a low hum", "a deep drone"),
    "flute": ("a flute", "a soft flute note"),
    "whistle": ("a whistle", "somebody whistling"),
    "rise": ("a rising glide", "a tone gliding upwards"),
    "fall": ("a falling sweep", "a tone sweeping downwards"),
    "ticking": ("ticking", "a clock that ticks"),
    "rattle": ("a rattle", "fast rattling"),
    "beeps": ("beeps", "a beeping signal"),
    "buzz": ("a buzz", "an electric buzzing"),
    "trill": ("a trill", "a warbling tone"),
    "birds": ("birds", "a chirping bird", "birdsong"),
    "bell": ("a bell", "bells ringing"),
    "drum": ("a drum", "drumming", "drumbeats"),
    "organ": ("an organ", "a chord on an organ"),
    "siren": ("a siren", "an ambulance siren"),
    "laser": ("a laser", "laser zaps"),
    "engine": ("an engine", "a puttering motor"),
    "horn": ("a horn", "a trumpet", "a brass horn"),
    "crickets": ("crickets", "a cricket"),
    "bubbles": ("bubbles", "bubbling water"),
}
_UNHEARD: dict[Track, tuple[str, ...]] = {
    "none": ("in silence", "without a sound", "while nothing is heard"),
    "silent": ("in silence", "without a sound", "while nothing is heard"),
    "noise": ("amid mere static", "with nothing but noise to hear", "and only a noisy hiss"),
}


def describe(plan: ClipPlan, mentions: Mentions = "heard") -> list[str]:
    """Three to five different sentences that say what is seen in a clip and, unless `mentions` is "none", what is heard."""
    rng = np.random.default_rng([*plan.seed, 3])
    wanted = int(rng.integers(3, 6))
    captions: list[str] = []
    while len(captions) < wanted:
        caption = _sentence(plan, rng, mentions)
        if caption not in captions:
            captions.append(caption)
    return captions


def _sentence(plan: ClipPlan, rng: np.random.Generator, mentions: Mentions) -> str:
    first, second = (_sight(sight, rng) for sight in plan.sights)
    seen = _pick(rng, f"{first} and {second}", f"{first}, then {second}", f"{first} and later {second}")
    if mentions == "none":
        text = _pick(rng, seen, f"we see {seen}", f"a clip of {seen}", f"there is {seen}", f"{seen} in a short clip")
    elif plan.track != "sound":
        text = f"{seen}, {_pick(rng, *_UNHEARD[plan.track])}"
    else:
        one, other = (_pick(rng, *_SOUNDS[sound.name]) for sound in plan.sounds)
        heard = _pick(rng, f"{one} and {other}", f"{one}, then {other}", f"{one} and later {other}")
        text = _pick(
            rng,
            f"{seen}, with the sound of {heard}",
            f"{seen}; you can hear {heard}",
            f"{seen}, while {heard} can be heard",
            f"we see {seen} and hear {heard}",
            f"the sound of {heard} goes with {seen}",
            f"{heard} in a clip of {seen}",
        )
    return text[0].upper() + text[1:] + "."


def _sight(sight: Sight, rng: np.random.Generator) -> str:
    colour, shape = _pick(rng, *_COLOURS[sight.colour]), _pick(rng, *_SHAPES[sight.shape])
    article = "an" if colour[0] in "aeiou" else "a"
    return f"{article} {colour} {shape} {_pick(rng, *_MANNERS[sight.manner])}"


def _pick(rng: np.random.Generator, *choices: str) -> str:
    return choices[rng.integers(len(choices))]
