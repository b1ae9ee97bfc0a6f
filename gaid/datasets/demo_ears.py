"""A demo world in which sound always helps: every clip has two sounds, and every caption names them."""

from dataclasses import replace
from functools import partial

from gaid.datasets.demo import SPEC as DEMO
from gaid.datasets.demo import prepare

SPEC = replace(
    DEMO,
    name="demo-ears",
    summary="a demo world whose captions all mention sound: every clip has two sounds, and every caption names them",
    default_root="data/demo-ears",
    prepare=partial(prepare, mentions="all"),
)
