"""Examples in place of a sentence: a picture, a sound or a clip, as the vectors that a library's clips are compared with."""

import tempfile
import threading
from functools import cached_property
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
from gaid.retrieval.queries import Example
from gaid.runs.library import meet_library
from gaid.specs import FrameSpec
from gaid.stores import read_clips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaid.backbones import AudioBackbone, VisualBackbone
    from gaid.heads import Head
    from gaid.media.clip import Clip
    from gaid.media.pool import DecodePool
    from gaid.retrieval.queries import Query
    from gaid.stores import Store

_UNUSED = FrameSpec(8, "crop", "area")  # the size of a picture that only carries a sound


def head_for(store: "Store", senses: tuple[bool, bool], device: str) -> "Head":
    """The untrained head that compares examples with clips: picture with picture, sound with sound."""
    picture, sound = senses
    head = SensesHead(
        visual_dim=store.visual_dim, audio_dim=store.audio_dim, text_dim=store.visual_dim, frames=store.frames,
        visual_weight=float(picture), audio_weight=float(sound),
    )  # fmt: skip
    meet_library(head, store, MET)
    return head.to(device).eval()


def find_example(query: "Query", files: "ExampleFiles") -> Example:
    """The directions of a query's example. Raises DataMissing, MediaError, OptionInvalid, BackboneUnavailable."""
    store = files.store
    if query.text or (query.like is not None and (query.picture or query.sound)):
        raise OptionInvalid("search by a sentence, by a picture and a sound, or by a clip; not by several of these")
    if query.example is not None:
        found = query.example
    elif query.like is not None and query.like in store.ids:
        found = example_of(store, store.ids.index(query.like))
    else:
        for path in (query.picture, query.sound):
            if path is not None and not path.is_file():
                raise DataMissing(f"{path}: no such file")
        if query.like is not None and not Path(query.like).is_file():
            raise DataMissing(f"{query.like}: is neither the id of a clip of {store.path} nor a file")
        found = files.read(query)
    if not any(found.senses):
        raise DataMissing(f"{query.label}: has neither a picture nor a sound to search by")
    return found


def example_of(store: "Store", row: int) -> Example:
    """A clip of a store as an example."""
    clips = read_clips(store, np.array([row]))
    return Example(_direction(clips.visual[0]), _direction(clips.audio[0], clips.audio_mask[0]))


class ExampleFiles:
    """Files as examples, decoded and encoded as a store's clips were. Its encoders are loaded once. `pool`: what decodes them, a
    process for each by default. Any thread may ask."""

    def __init__(self, store: "Store", device: str, pool: "DecodePool | None" = None) -> None:
        self.store, self.device, self.pool = store, device, pool
        self._encoding = threading.Lock()

    @cached_property
    def _visual(self) -> "VisualBackbone":
        return load_encoder(self.store, "visual", self.device)

    @cached_property
    def _audio(self) -> "AudioBackbone":
        return load_encoder(self.store, "audio", self.device)

    def read(self, query: "Query") -> Example:
        """The example of a query's files. Raises MediaError, BackboneUnavailable, HeadMismatch, StoresDisagree."""
        file = Path(query.like) if query.like is not None else query.picture
        with self._encoding:
            spec, audio_spec = _UNUSED if file is None else self._visual.frame_spec, self._audio.audio_spec
        with tempfile.TemporaryDirectory() as folder:
            video = Video("example", _blank(Path(folder)) if file is None else file, audio_path=query.sound)
            clip = self._decode(ClipRequest.of(video, Sampling.of_store(self.store), spec, audio_spec))
        if isinstance(clip, MediaError):
            raise clip
        heard = query.picture is None or query.sound is not None
        with self._encoding:
            picture = None if file is None else _direction(self._visual.encode_frames(clip.frames[None])[0])
            sound = _direction(encode_sound([clip], self._audio, False)[0][0], clip.audio_mask) if heard else None
        return Example(picture, sound)

    def _decode(self, request: ClipRequest) -> "Clip | MediaError":
        from gaid.media.pool import DecodePool

        if self.pool is not None:
            return next(iter(self.pool.map([request])))
        with DecodePool(1) as pool:
            return next(iter(pool.map([request])))


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
