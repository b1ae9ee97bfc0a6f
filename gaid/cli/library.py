"""Options that say which library is searched and by which head, the same for every command that opens one."""

from pathlib import Path
from typing import Annotated, Literal

from gaid.cli.common import option
from gaid.settings import check_seed

Run = Annotated[Path | None, option("The folder of a run; its first seed's head searches.", "FOLDER")]
OfStore = Annotated[Path | None, option("A store, for an untrained head, or in place of the run's own.", "PATH")]
Preset = Annotated[
    str | None,
    option("An untrained head, on --store. Default: av-sum, mean-pool or sound, whatever its encoders allow.", "NAME"),
]
Folder = Annotated[
    Path | None,
    option("Folder of videos; what --store lacks of it is extracted first. Default: stores/FOLDER.zarr.", "FOLDER"),
]
TextEncoder = Annotated[
    str | None, option("Encoder of the sentence, if the store's own has another name on this machine.", "NAME")
]
Root = Annotated[Path | None, option("Folder of the clips' files. Default: where they were extracted from.", "FOLDER")]
ScoringMemory = Annotated[
    str, option("Memory limit of scoring beside a block of features; auto is 1GiB, on a GPU up to 8GiB.", "SIZE")
]
HeadSeed = Annotated[int, option("Seed of an untrained head.", "N", callback=check_seed)]
Index = Annotated[
    Literal["auto", "exact", "faiss"],
    option(
        "exact scores every clip; faiss takes candidates from an index beside the store; auto: by size.",
        "auto|exact|faiss",
    ),
]
EngineAddress = Annotated[
    str | None, option("Engine that candidates are taken from, which gaid index push has filled.", "URI", "--engine")
]
