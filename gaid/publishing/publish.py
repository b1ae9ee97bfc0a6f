"""`publish`: writes a run's head into a folder that `gaid.load` reads and that a hub shows. Nothing is uploaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from gaid import plugins
from gaid.errors import OptionInvalid, RunInvalid
from gaid.extract.sources import options_of
from gaid.files import check_folder, sha256_of, write_bytes, write_json
from gaid.publishing.card import card
from gaid.publishing.facts import Facts, file_name
from gaid.publishing.hub import as_yaml, eval_results
from gaid.runs import Model
from gaid.runs.files import HEAD_SOURCE, MODEL, WEIGHTS, write_checkpoint
from gaid.runs.model import VERSION

if TYPE_CHECKING:
    from gaid.runs import Run
    from gaid.stores import Store

CARD, TRAINING, EVAL_RESULTS = "README.md", "training.toml", ".eval_results"


@dataclass(frozen=True)
class Published:
    """What was written: the folder as `gaid.load` reads it, its files, and what its author must know."""

    model: Model
    files: list[Path]
    notes: list[str]
    facts: Facts

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "folder": str(self.model.path),
            "files": [str(file) for file in self.files],
            "licence": self.facts.licence,
            "figures": {way: figures.to_dict() for way, figures in self.facts.results.figures.items()},
            "leak": self.facts.leak.answer,
            "notes": self.notes,
        }


def publish(
    run: "str | Path | Run",
    out: str | Path,
    *,
    store: "str | Path | Store | None" = None,
    split: str = "test",
    split_protocol: str | None = None,
    license: str | None = None,
    dataset_id: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    device: str = "auto",
    memory: str | int = "auto",
    seed: int = 0,
) -> Published:
    """Writes the head of a run's first seed, and a card with its figures, into the folder `out`.

    Args:
        run: a run folder or Run whose training is over. Of several seeds the first is published; the card has the means of all.
        out: a new or empty folder, or with `overwrite` one that holds a published head.
        store: features in place of the run's own, of the same backbones.
        split, split_protocol: the part that the figures are measured on, and which of the data set's splits.
        license: the hub's name of a licence for the weights. By default that of a backbone that excludes commercial use, else
            `unknown`.
        dataset_id: the data set's name on the hub (owner/name), under which a hub lists figures.
        name: what the head is called; the folder's name by default.
        device, memory, seed: as in `evaluate`.

    Raises OptionInvalid, DataMissing, RunInvalid, StoresDisagree, HeadMismatch.
    """
    out = Path(out)
    _check_place(out, overwrite)
    facts = Facts.find(
        run, name or out.resolve().name, store=store, split=split, split_protocol=split_protocol, licence=license,
        dataset_id=dataset_id, device=device, memory=memory, seed=seed,
    )  # fmt: skip
    code = _own_code(facts)
    _clear(out)
    weights = out / WEIGHTS
    write_checkpoint(weights, facts.head.state_dict(), facts.checkpoint)
    if code is not None:
        write_bytes(out / HEAD_SOURCE, code)
    write_json(out / MODEL, _description(facts, sha256_of(weights)))
    write_bytes(out / TRAINING, _training(facts).encode())
    figures = (
        out / EVAL_RESULTS / f"{file_name(f'{facts.results.basis.dataset}-{facts.results.basis.split_protocol}')}.yaml"
    )
    write_bytes(figures, facts.without_places(as_yaml(eval_results(facts))).encode())
    write_bytes(out / CARD, card(facts).encode())
    files = [weights, *([out / HEAD_SOURCE] if code else []), out / MODEL, out / TRAINING, figures, out / CARD]
    return Published(Model.read(out), files, _notes(facts), facts)


def _description(facts: Facts, digest: str) -> dict[str, Any]:
    metrics = facts.member.metrics
    return {
        **plugins.PUBLISHED,
        "version": VERSION,
        "name": facts.name,
        "license": facts.licence,
        "sha256": digest,
        "checkpoint": facts.checkpoint,
        "extraction": options_of(facts.store),
        "run": facts.settings,
        "metrics": {name: metrics.get(name) for name in ("finished", "untrained", "notes", "best", "steps", "seconds")},
        "figures": {way: figures.to_dict() for way, figures in facts.results.figures.items()},
        "gallery_hash": facts.results.basis.gallery_hash,
    }


def _training(facts: Facts) -> str:
    text = "# The settings of the training: gaid train-head --store STORE --config training.toml\n\n"
    return text + tomli_w.dumps(facts.training_settings)


def _own_code(facts: Facts) -> bytes | None:
    """The code of a head of the user's own, which the run keeps; None for a preset. Raises RunInvalid."""
    if ":" not in facts.preset:
        return None
    file = facts.member.path / HEAD_SOURCE
    if not file.is_file():
        raise RunInvalid(f"{file}: no such file; the run lacks the code of its head, so nobody else could use it")
    return file.read_bytes()


def _notes(facts: Facts) -> list[str]:
    """What the author should do before others see the folder."""
    notes = []
    if facts.licence == "unknown":
        notes.append("no licence was chosen, so others may not use the weights; choose one with --license")
    if facts.dataset_id is None:
        notes.append(
            f"a hub lists figures under the name of a data set there; {facts.results.basis.dataset!r} is none: give --dataset-id "
            "OWNER/NAME"
        )
    local = sorted({one.name for one in facts.backbones if _is_local(one.name)})
    if local:
        notes.append(f"backbones are named by a place of this machine, which others do not have: {', '.join(local)}")
    return notes


def _is_local(backbone: str) -> bool:
    """Whether a backbone is named by a file or folder of this machine: `file.py:Class`, or `ast:FOLDER`."""
    family, _, place = backbone.partition(":")
    return plugins.is_file_name(family) or ("/" in place and Path(place).exists())


def _check_place(out: Path, overwrite: bool) -> None:
    """Raises OptionInvalid where the folder holds something already."""
    if out.exists() and not out.is_dir():
        raise OptionInvalid(f"--out {out}: is a file; name a folder")
    check_folder(out, "--out")
    if not out.exists() or not any(out.iterdir()):
        return
    if not plugins.is_published(out):
        raise OptionInvalid(f"--out {out}: holds other files; name a new folder")
    if not overwrite:
        raise OptionInvalid(f"--out {out}: holds a published head; replace it (--overwrite) or name another folder")


def _clear(out: Path) -> None:
    """Removes what an earlier publication wrote, and nothing else."""
    for file in [
        *(out / name for name in (WEIGHTS, HEAD_SOURCE, MODEL, TRAINING, CARD)),
        *(out / EVAL_RESULTS).glob("*.yaml"),
    ]:
        file.unlink(missing_ok=True)
