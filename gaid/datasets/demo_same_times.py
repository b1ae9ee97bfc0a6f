"""The demo's control: the same kind of world with sights and sounds in the same beats, where one gate per clip is enough."""

from dataclasses import replace
from functools import partial

from gaid.datasets.demo import SPEC as DEMO
from gaid.datasets.demo import prepare

SPEC = replace(
    DEMO,
    name="demo-same-times",
    summary="the demo's control: sights and sounds in the same frames, so that one gate per clip is enough",
    default_root="data/demo-same-times",
    prepare=partial(prepare, same_times=True),
)
