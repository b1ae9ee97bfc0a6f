"""The demo's control: the same kind of world with sights and sounds in the same beats, where one gate per clip is enough."""

from pathlib import Path

from gaid.datasets.demo import SPEC as DEMO
from gaid.datasets.demo import load, prepare
from gaid.datasets.types import DatasetSpec, Progress


def _prepare(root: Path, progress: Progress | None = None) -> None:
    prepare(root, progress, same_times=True)


SPEC = DatasetSpec(
    name="demo-same-times",
    summary="the demo's control: sights and sounds in the same frames, so that one gate per clip is enough",
    source=DEMO.source,
    load=load,
    default_root="data/demo-same-times",
    default_backbones=DEMO.default_backbones,
    prepare=_prepare,
    truth=DEMO.truth,
)
