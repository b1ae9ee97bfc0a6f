"""Loads a model of sentence-transformers whole: no code of its repository, no weights that were drawn unasked, no pooling
that its files don't state. Float32 on a CPU; on a GPU the precision that it was saved in (some models overflow in float16)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedModel

from gaid.backbones.inference import check_complete, loading, seeded
from gaid.errors import BackboneUnavailable, OptionInvalid

# What sentence-transformers calls a kind of input.
MODALITIES = {"visual": "image", "audio": "audio", "text": "text"}


@lru_cache(maxsize=2)
def load_model(name: str, folder: Path, device: str, seed: int, random_weights: bool) -> Any:
    """The model of a folder, shared by its kinds."""
    lacking: set[str] = set()
    loads = _drawn() if random_weights else _recording(lacking)
    with loading(f"st:{name}", folder, "a model of sentence-transformers"), seeded(seed), loads:
        model: Any = SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"dtype": torch.float32 if device == "cpu" else "auto"},
        )
    if len(model) > 1 and not (folder / "modules.json").is_file():
        raise BackboneUnavailable(
            f"st:{name}: {folder} has no modules.json, so nothing states how its tokens become one vector; take a model that "
            "sentence-transformers saved"
        )
    # A pooler belongs to the first token's vector, which a pooling over the tokens leaves aside.
    unused = ("pooler.",) if len(model) > 1 else ()
    check_complete(f"st:{name}", folder, {key for key in lacking if not key.startswith(unused)}, "model")
    return model.eval().requires_grad_(False)


def check_kind(name: str, model: Any, kind: str) -> None:
    """Raises OptionInvalid where the model does not encode a kind."""
    able = [one for one, modality in MODALITIES.items() if model.supports(modality)]
    if kind not in able:
        options = ", ".join(f"--{one}" for one in able) or "no option of gaid's"
        raise OptionInvalid(f"st:{name} encodes no {MODALITIES[kind]}; it can be used with {options}")


@contextmanager
def _recording(lacking: set[str]) -> Iterator[None]:
    """Keeps the names of tensors that the files of transformers' models lack: sentence-transformers does not return them."""

    def load(real: Any, cls: Any, *args: Any, **options: Any) -> Any:
        model, found = real(*args, **{**options, "output_loading_info": True})
        lacking.update(found["missing_keys"])
        return model

    with _loading_by(load):
        yield


@contextmanager
def _drawn() -> Iterator[None]:
    """Builds transformers' models from their configurations in place of loading them."""

    def draw(real: Any, cls: Any, *args: Any, config: Any, **options: Any) -> Any:
        return cls(config)

    with _loading_by(draw):
        yield


@contextmanager
def _loading_by(load: Any) -> Iterator[None]:
    patched: Any = PreTrainedModel
    kept = patched.__dict__["from_pretrained"]

    def from_pretrained(cls: Any, *args: Any, **options: Any) -> Any:
        return load(kept.__get__(None, cls), cls, *args, **options)

    patched.from_pretrained = classmethod(from_pretrained)
    try:
        yield
    finally:
        patched.from_pretrained = kept
