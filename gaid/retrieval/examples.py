"""Examples in place of a sentence: a picture, a sound or a clip, as the vectors that a library's clips are compared with."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaid.datasets.types import Video
from gaid.errors import DataMissing, MediaError, OptionInvalid
from gaid.extract.encoder import encode_sound
from gaid.extract.sources import load_encoder
from gaid.heads.senses import SensesHead, mean_directions
from gaid.media.clip import ClipRequest, Sampling
from gaid.retrieval.lens import MET
from gaid.runs.library import meet_library
from gaid.specs import FrameSpec
from gaid.stores import read_clips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaid.heads import Head
    from gaid.retrieval.queries import Query
    from gaid.stores import Store

_UNUSED = FrameSpec(8, "crop", "area")  # the size of a picture that only carries a sound


@dataclass(frozen=True)
class Example:
    """Directions of a picture (Dv) and of a sound (Da), each None where the example has none."""

    picture: "NDArray[np.float32] | None"
    sound: "NDArray[np.float32] | None"

    @property
    def senses(self) -> tuple[bool, bool]:
        """Whether it has a picture, and whether it has a sound."""
        return self.picture is not None, self.sound is not None

    def as_text(self, store: "Store") -> "NDArray[np.float32]":
        """One vector (Dv + Da), where the head of `head_for` takes a sentence's."""
        zeros = np.zeros(store.visual_dim, np.float32), np.zeros(store.audio_dim, np.float32)
        parts = (self.picture, self.sound)
        return np.concatenate([zero if part is None else part for part, zero in zip(parts, zeros, strict=True)])


def head_for(store: "Store", senses: tuple[bool, bool], device: str) -> "Head":
    """The untrained head that compares examples with clips: picture with picture, sound with sound."""
    picture, sound = senses
    head = SensesHead(
        visual_dim=store.visual_dim, audio_dim=store.audio_dim, text_dim=store.visual_dim, frames=store.frames,
        visual_weight=float(picture), audio_weight=float(sound),
    )  # fmt: skip
    meet_library(head, store, MET)
    return head.to(device).eval()


def find_example(query: "Query", store: "Store", device: str) -> Example:
    """The directions of a query's example. Raises DataMissing, MediaError, OptionInvalid, BackboneUnavailable."""
    if query.text or (query.like is not None and (query.picture or query.sound)):
        raise OptionInvalid("search by a sentence, by a picture and a sound, or by a clip; not by several of these")
    if query.like is not None and query.like in store.ids:
        found = example_of(store, store.ids.index(query.like))
    else:
        for path in (query.picture, query.sound):
            if path is not None and not path.is_file():
                raise DataMissing(f"{path}: no such file")
        if query.like is not None and not Path(query.like).is_file():
            raise DataMissing(f"{query.like}: is neither the id of a clip of {store.path} nor a file")
        found = _of_files(store, device, query)
    if not any(found.senses):
        raise DataMissing(f"{query.label}: has neither a picture nor a sound to search by")
    return found


def example_of(store: "Store", row: int) -> Example:
    """A clip of a store as an example."""
    clips = read_clips(store, np.array([row]))
    return Example(_direction(clips.visual[0]), _direction(clips.audio[0], clips.audio_mask[0]))


def _of_files(store: "Store", device: str, query: "Query") -> Example:
    """Files, decoded and encoded as the store's clips were."""
    from gaid.media.pool import DecodePool

    file = Path(query.like) if query.like is not None else query.picture
    audio = load_encoder(store, "audio", device)
    visual = None if file is None else load_encoder(store, "visual", device)
    with tempfile.TemporaryDirectory() as folder:
        video = Video("example", _blank(Path(folder)) if file is None else file, audio_path=query.sound)
        request = ClipRequest.of(
            video, Sampling.of_store(store), _UNUSED if visual is None else visual.frame_spec, audio.audio_spec
        )
        with DecodePool(1) as pool:
            clip = next(iter(pool.map([request])))
    if isinstance(clip, MediaError):
        raise clip
    picture = None if visual is None else _direction(visual.encode_frames(clip.frames[None])[0])
    wanted = query.picture is None or query.sound is not None
    return Example(picture, _direction(encode_sound([clip], audio, False)[0][0], clip.audio_mask) if wanted else None)


def _blank(folder: Path) -> Path:
    """A picture for a sound to lie beside, since a clip is decoded from a picture."""
    from PIL import Image

    path = folder / "blank.png"
    Image.new("RGB", (8, 8)).save(path)
    return path


def _direction(frames: "NDArray[np.floating]", mask: "NDArray[np.bool_] | None" = None) -> "NDArray[np.float32] | None":
    """The mean direction (dim) of frames (F, dim) that have features; None where none has."""
    there = torch.ones(1, len(frames), dtype=torch.bool) if mask is None else torch.from_numpy(mask)[None]
    found: NDArray[np.float32] = mean_directions(torch.from_numpy(frames).float()[None], there)[0].numpy()
    return found if found.any() else None
