"""Opens what lies at a path or under a name of the hub: a run, or a published head. Lists and clears the runs of a folder."""

import re
from pathlib import Path

from gaid.errors import DataMissing
from gaid.runs.files import (
    CHECKPOINTS,
    CLIP,
    CONFIG,
    ENVIRONMENT,
    HEAD_SOURCE,
    IMPORTED,
    LOG,
    METRICS,
    MODEL,
    WEIGHTS,
)
from gaid.runs.model import Model, is_model
from gaid.runs.run import Run
from gaid.settings import nearest

_OWN_FILES = (CONFIG, ENVIRONMENT, LOG, METRICS, HEAD_SOURCE, IMPORTED)
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def load(place: "str | Path | Run") -> Run:
    """The head at `place`: a folder that `gaid publish` wrote, the folder of a run, or a name `owner/name` of the Hugging Face hub.

    `.head` is the head, ready to score; `check_store(store)` raises StoresDisagree where a store's features are of other
    backbones than the head's own, as `evaluate` and `search` do, which take what this returns as their `run`.

    A hub's name is looked up in the local cache; GAID_DOWNLOAD=1 allows a download. Only `config.json`, `head.safetensors` and,
    for a head that is a class of its author's, `head.py` are taken, and that code is not run unless GAID_TRUST_CODE=1
    allows it. Raises DataMissing, RunInvalid (damaged), CodeRefused, BackboneUnavailable (a failed download).
    """
    if isinstance(place, Run) or Path(place).exists() or not _HUB_NAME.fullmatch(str(place)):
        return load_run(place)
    return load_run(_from_hub(str(place)))


def _from_hub(name: str) -> Path:
    """The folder of a hub's repository in the local cache."""
    from gaid.backbones import hub

    if hub.may_download():
        folder = hub.download(name, name, (MODEL,)).parent
        for file in (WEIGHTS, *([HEAD_SOURCE] if Model.has_own_code(folder) else [])):
            hub.download(name, name, (file,))
        return folder
    found = hub.cached_file(name, (MODEL,))
    if found is None or not (found.parent / WEIGHTS).is_file():
        raise DataMissing(
            f"{name}: no such folder, and the hub's local cache does not hold it; `hf download {name}` fetches it, or set "
            "GAID_DOWNLOAD=1"
        )
    return found.parent


def load_run(path: "str | Path | Run") -> Run:
    """The run at `path`. Raises DataMissing where there is nothing and RunInvalid where there is something else."""
    if isinstance(path, Run):
        return path
    path = Path(path)
    if not path.is_dir():
        others = [run.name for run in list_runs(path.parent)]
        raise DataMissing(f"{path}: no such run" + (f"; {nearest(path.name, others)}" if others else ""))
    return Model.read(path) if is_model(path) else Run.read(path)


def list_runs(folder: str | Path = "runs") -> list[Path]:
    """Folders of runs in a folder, by name; members of a run of several seeds are within it and not listed."""
    folder = Path(folder)
    return sorted(path.parent for path in folder.glob(f"*/{CONFIG}")) if folder.is_dir() else []


def clear_run(path: Path) -> None:
    """Removes what a training wrote into a run folder and the figures of its heads, and nothing else.

    Raises RunInvalid for another folder.
    """
    if not path.exists():
        return
    Run.read(path)
    for member in path.glob("seed-*"):
        if (member / CONFIG).exists():
            clear_run(member)
            if not any(member.iterdir()):
                member.rmdir()
    for name in _OWN_FILES:
        (path / name).unlink(missing_ok=True)
    own = ((path / CHECKPOINTS, "*.*"), (path / "tensorboard", "events.*"), (path / CLIP, "open_clip_*"))
    for figures in path.glob("results*.json"):  # `gaid eval` wrote them of heads that are gone
        figures.unlink()
    for folder, pattern in own:
        for file in folder.glob(pattern):
            file.unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
