"""A demo world in which sound cannot help: clips have sounds as in the demo, and no caption mentions them."""

from dataclasses import replace
from functools import partial

from gaid.datasets.demo import SPEC as DEMO
from gaid.datasets.demo import prepare

SPEC = replace(
    DEMO,
    name="demo-deaf",
    summary="a demo world whose captions never mention sound: its clips have sounds, which say nothing about the caption",
    default_root="data/demo-deaf",
    prepare=partial(prepare, mentions="none"),
)
