"""Models of sentence-transformers: `st:MODEL` encodes frames, sounds and texts, as far as the model does. Here its files are
found; `model` loads them, `encoders` are its three kinds.

MODEL is a folder that sentence-transformers saved, or a hub's name. Code of the model's own repository is never run.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from gaid import devices
from gaid.backbones import hub
from gaid.backbones.protocol import BackboneSpec, BackboneStatus, PublishedModel
from gaid.errors import BackboneUnavailable, DependencyMissing, OptionInvalid
from gaid.versions import version_of

EXAMPLE = "google/embeddinggemma-2"
WHAT = {"visual": "pictures", "audio": "sounds", "text": "texts"}
OLDEST = 6  # sentence-transformers, which then began to say what kinds a model encodes
# What names a model's parts, in the order in which sentence-transformers looks for it.
CONFIGURATIONS = ("modules.json", "config.json")


def find(kind: str, variant: str, random_weights: bool) -> Callable[[str, int], Any]:
    """What builds an encoder from (device, seed), once the model's files are at hand."""
    if not _installed():
        raise DependencyMissing(f"backbone st needs sentence-transformers {OLDEST} or newer: {SPEC.install}")
    if not variant:
        raise OptionInvalid(f"st needs a model: st:FOLDER, or st:OWNER/NAME of the hub, such as st:{EXAMPLE}")
    folder = _find_folder(variant, random_weights)
    _check_type(variant, folder)
    return lambda device, seed: _build(kind, variant, folder, devices.pick_device(device), seed, random_weights)


@lru_cache(maxsize=4)
def _build(kind: str, name: str, folder: Path, device: str, seed: int, random_weights: bool) -> Any:
    from gaid.backbones.inference import loading
    from gaid.backbones.st.encoders import StAudio, StText, StVisual

    encoder = {"visual": StVisual, "audio": StAudio, "text": StText}[kind]
    with loading(f"st:{name}", folder, f"an encoder of {WHAT[kind]}"):  # each encodes something when it is built
        return encoder(name, folder, device, seed, random_weights)


def _find_folder(name: str, random_weights: bool) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / file).is_file() for file in CONFIGURATIONS):
            raise BackboneUnavailable(f"st:{name}: the folder has neither {' nor '.join(CONFIGURATIONS)}")
        if not random_weights and not hub.all_weights_in(folder):
            raise BackboneUnavailable(f"st:{name}: the folder has no weights (.safetensors or .bin)")
        return folder.resolve()
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise BackboneUnavailable(f"st:{name}: no such folder, and not a hub's owner/name (such as {EXAMPLE})")
    file = hub.cached_file(name, CONFIGURATIONS)
    if file is not None and (random_weights or hub.all_weights_in(file.parent)):
        return file.parent
    if hub.may_download():
        return hub.download_folder(f"st:{name}", name)
    if random_weights:
        raise BackboneUnavailable(
            f"st:{name} with random weights still needs the model's configuration: `hf download {name} --exclude "
            "'*.safetensors' '*.bin'` where there is a network (or set GAID_DOWNLOAD=1)"
        )
    raise hub.not_at_hand(f"st:{name}", f"hf download {name}", "st:FOLDER")


def _check_type(name: str, folder: Path) -> None:
    """Other models of sentence-transformers would be converted, with a pooling that they were not trained with."""
    file = folder / "config_sentence_transformers.json"
    try:
        told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (ValueError, UnicodeDecodeError) as error:
        raise BackboneUnavailable(f"st:{name}: {file} is not JSON ({error})") from error
    kind = told.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise OptionInvalid(
            f"st:{name} is a {kind}, which gives no single vector per input; st takes a SentenceTransformer"
        )


def _installed() -> bool:
    return int((version_of("sentence-transformers") or "0").partition(".")[0]) >= OLDEST


def statuses() -> list[BackboneStatus]:
    """Whether sentence-transformers is installed; which models are at hand is not looked for."""
    remedy = "" if _installed() else SPEC.install
    return [BackboneStatus("st:MODEL", kind, "a model of yours", remedy) for kind in SPEC.kinds]


SPEC = BackboneSpec(
    name="st",
    usage="st:MODEL",
    kinds=("visual", "audio", "text"),
    extra="st",
    find=find,
    statuses=statuses,
    models=(PublishedModel(f"st:{EXAMPLE}", 740, 768, "Apache-2.0"),),
)
