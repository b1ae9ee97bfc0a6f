"""What a store was made from, found again: its data set, its clips' files, its encoders. Decodes and encodes nothing."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from gaid.errors import BackboneUnavailable, DataMissing, HeadMismatch, OptionInvalid, StoresDisagree
from gaid.extract.growth import SOUNDS
from gaid.paths import shown_path

if TYPE_CHECKING:
    from gaid.backbones import AudioBackbone, TextBackbone, VisualBackbone
    from gaid.datasets import Dataset, Video
    from gaid.stores import Store

BLOCK = 256  # sentences that are encoded at once


def find_dataset(store: "Store", root: str | Path | None = None) -> "Dataset":
    """The store's data set at `root` (default: where the store says), a folder or a table. Raises OptionInvalid,
    DataMissing."""
    from gaid.datasets import load_dataset, name_in

    about = store.attrs.get("dataset") or {}
    name, place = name_in(about), about.get("root") if root is None else root
    if not name or not place:
        raise OptionInvalid(
            f"{store.path} is of {about.get('name')!r}, which is not a data set whose files can be found by name"
        )
    if not Path(place).expanduser().exists():  # else a data set that makes itself would be made anew
        raise DataMissing(f"{shown_path(place)} is not there")
    of_sound = about.get("audio_root")
    audio_root = of_sound if of_sound and Path(of_sound).is_dir() else None
    return load_dataset(name, place, audio_root=audio_root)


def options_of(store: "Store") -> dict[str, Any]:
    """The options of `gaid.extract` that a store was made with, by which it can grow."""
    from gaid.media.clip import Sampling

    made = {kind: store.attrs.get("backbones", {}).get(kind) or {} for kind in ("visual", "audio", "text")}
    return {
        **{kind: about.get("name") for kind, about in made.items()},
        **vars(Sampling.of_store(store)),
        "random_weights": store.random_weights,
        "patches": store.patch_shape is not None,
        "audio_tokens": store.audio_token_shape is not None,
        "audio_clip_tokens": store.audio_clip_token_shape is not None,
    }


def find_videos(store: "Store", ids: Iterable[str], root: str | Path | None = None) -> dict[str, "Video"]:
    """Those of the clips that the data set at `root` (default: where the store says) has, by id, in the order of `ids`.

    Raises OptionInvalid, DataMissing, also where it has none of them.
    """
    return ClipFiles(store, root).find(ids)


class ClipFiles:
    """The files of a store's clips, found any number of times: the data set, or the names that a library keeps, is read once."""

    def __init__(self, store: "Store", root: str | Path | None = None) -> None:
        self.store, self.root = store, root

    def find(self, ids: Iterable[str]) -> dict[str, "Video"]:
        """As `find_videos`."""
        if self.store.file_names is None:
            found = {one: self._videos[one] for one in ids if one in self._videos}
            place = self._dataset.root
        else:
            place = self._place
            found = self._find_by_name(ids, place)
        if not found:
            raise DataMissing(f"{shown_path(place)} holds none of these clips")
        return found

    @cached_property
    def _dataset(self) -> "Dataset":
        return find_dataset(self.store, self.root)

    @cached_property
    def _videos(self) -> dict[str, "Video"]:
        return {video.id: video for video in self._dataset.videos}

    @property
    def _place(self) -> Path:
        place = Path(self.store.attrs["dataset"]["root"] if self.root is None else self.root).expanduser()
        if not place.exists():
            raise DataMissing(f"{shown_path(place)} is not there")
        return place

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each clip in the store."""
        return {name: row for row, name in enumerate(self.store.ids)}

    def _find_by_name(self, ids: Iterable[str], root: Path) -> dict[str, "Video"]:
        """Those of the clips whose files are there, by the names that a library keeps: a folder of a million is not listed."""
        from gaid.datasets import Video

        sounds, names = self.store.attrs["dataset"].get("audio_root"), self.store.file_names or []
        found = {}
        for one in dict.fromkeys(ids):
            row = self.row_of.get(one)
            path, sound = ("", "") if row is None else names[row]
            if not path:
                continue
            separate = sound.startswith(SOUNDS)
            beside = Path(sounds, sound.removeprefix(SOUNDS)) if separate and sounds else root / sound
            video = Video(one, root / path, audio_path=beside if sound else None)
            if video.path.exists():
                found[one] = video
        return found


@overload
def load_encoder(store: "Store", kind: Literal["visual"], device: str, name: str | None = None) -> "VisualBackbone": ...


@overload
def load_encoder(store: "Store", kind: Literal["audio"], device: str, name: str | None = None) -> "AudioBackbone": ...


@overload
def load_encoder(
    store: "Store", kind: Literal["text"], device: str, name: str | None = None, option: str = ""
) -> "TextBackbone": ...


def load_encoder(
    store: "Store", kind: Literal["visual", "audio", "text"], device: str, name: str | None = None, option: str = ""
) -> Any:
    """The encoder that made a store's features of this kind, so that what it encodes now is as it would be in the store.

    `name`: what it is called here, where that is not the store's name for it (the CLIP of an imported run); `option`: the
    option that names it, for errors. Raises BackboneUnavailable, HeadMismatch, StoresDisagree where it is not the very one.
    """
    from gaid import backbones

    load: Callable[..., Any] = getattr(backbones, f"load_{kind}")
    about = store.attrs.get("backbones", {}).get(kind) or {}
    wanted = name or about.get("name")
    if not wanted:
        raise OptionInvalid(f"{store.path} does not say which {kind} backbone made it; extract it again")
    try:
        backbone = load(wanted, device, bool(about.get("random_weights")), int(about.get("seed") or 0))
    except OptionInvalid as error:
        raise BackboneUnavailable(
            f"{store.path}: its {kind} backbone {wanted!r} can't be loaded here ({error})"
            + (f"; name it with {option}" if option else "")
        ) from error
    dim = getattr(store, f"{kind}_dim")
    if backbone.dim != dim:
        raise HeadMismatch(
            f"{store.path}: its {kind} features are vectors of {dim} numbers, {wanted} gives {backbone.dim}; "
            f"take the {kind} backbone that the store was extracted with"
        )
    here = as_json(backbone.provenance)
    differ = differences(about, here)
    if differ:
        raise StoresDisagree(
            f"{store.path}: its {kind} features were encoded by another {about.get('name')} than the one that is here "
            f"({', '.join(f'{key} {about.get(key)!r}, here {here.get(key)!r}' for key in differ[:2])}); "
            "extract again" + (f", or name the same one with {option}" if option else "")
        )
    return backbone


@dataclass(frozen=True)
class SentenceEncoder:
    """Encodes sentences as a store keeps its captions: by its text backbone and, where `audio` is given, by the audio backbone's
    text side."""

    text: "TextBackbone"
    audio: "AudioBackbone | None" = None

    def __call__(self, texts: Sequence[str]) -> dict[str, NDArray[np.float16]]:
        """`text` (B, Dt) and, with `audio`, `audio_text` (B, Da): the fields of a `Split`, in its precision."""
        blocks = [list(texts[start : start + BLOCK]) for start in range(0, len(texts), BLOCK)]
        found = {
            "text": np.concatenate([self.text.encode_text(block).embedding.astype(np.float16) for block in blocks])
        }
        if self.audio is not None:
            of_sound = [self.audio.encode_text(block).astype(np.float16) for block in blocks]
            found["audio_text"] = np.concatenate(of_sound)
        return found


def load_sentence_encoder(
    store: "Store", device: str, text_input: str = "text", name: str | None = None, option: str = ""
) -> SentenceEncoder:
    """The encoders of a store's captions, for heads that take `text` or `both` (`Head.text_input`); else as `load_encoder`."""
    text = load_encoder(store, "text", device, name, option)
    return SentenceEncoder(text, load_encoder(store, "audio", device) if text_input == "both" else None)


def differences(planned: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Names of the facts in which two encoders' provenances differ, as JSON keeps them; none for the same encoder."""
    planned, here = as_json(planned), as_json(here)
    return sorted(key for key in {*planned, *here} if planned.get(key) != here.get(key))


def as_json(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """A provenance as a store gives it back: JSON has no tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(provenance))
    return plain
