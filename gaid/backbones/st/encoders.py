"""The three kinds of a model of sentence-transformers: a frame is a picture, a frame's sound a sound, a caption a query.

Captions are searched with, so texts are encoded as queries and frames and sounds as documents, each with the prompt that the
model states for it. The model's own processor scales and normalises.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gaid.backbones import hub
from gaid.backbones.inference import check_texts_differ, is_still, quietly
from gaid.backbones.protocol import Features, Frames, TextFeatures
from gaid.backbones.st.model import check_kind, load_model
from gaid.errors import BackboneUnavailable, OptionInvalid
from gaid.specs import AudioSpec, FrameSpec
from gaid.versions import version_of

AT_ONCE = 32  # pictures of one clip, or texts on a GPU
ANY_SIZE = 512  # for a model that takes pictures of any size
SHORTEST_WINDOW, LONGEST_WINDOW = 2.0, 30.0  # s, where the model's own feature extractor does not state less
SAME = 1e-3  # of a vector's length: what rounding may cost a picture or a sound among others
RESAMPLING: dict[Any, Literal["bicubic", "bilinear", "area"]] = {
    Image.Resampling.BICUBIC: "bicubic",
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BOX: "area",
}


class _StEncoder:
    """What the kinds share: the model, how it is asked, and what a store records of it."""

    def __init__(self, kind: str, name: str, folder: Path, device: str, seed: int, random_weights: bool) -> None:
        self._model = load_model(name, folder, device, seed, random_weights)
        check_kind(name, self._model, kind)
        # On a CPU each text is a batch of its own, so that its features never depend on its neighbours.
        self._texts_at_once = 1 if device == "cpu" else AT_ONCE
        self.name = f"st:{hub.shown_name(name, folder)}"
        self._provenance = {
            "name": self.name,
            **hub.weights_provenance(None if random_weights else folder, seed, hub.all_weights_in(folder)),
            "sentence_transformers": version_of("sentence-transformers"),
        }

    def _documents(self, inputs: list[Any], at_once: int) -> Features:
        """Pictures or sounds as (n, dim)."""
        return self._numbers(self._model.encode_document, inputs, at_once)

    @staticmethod
    def _numbers(encode: Any, inputs: list[Any], at_once: int) -> Features:
        with quietly():
            found = encode(inputs, batch_size=at_once, convert_to_tensor=True, show_progress_bar=False)
        numbers: Features = found.float().cpu().numpy()  # numpy has no bfloat16
        return numbers


class StVisual(_StEncoder):
    """Frames, each a picture: one embedding each, normalised where the model does so."""

    thread_safe = False
    patch_shape = None

    def __init__(self, name: str, folder: Path, device: str, seed: int, random_weights: bool) -> None:
        super().__init__("visual", name, folder, device, seed, random_weights)
        processor = self._model.processor
        told = getattr(processor, "image_processor", processor).to_dict()
        self.frame_spec = frame_spec_of(told)
        size = self.frame_spec.size
        self._at_once, self.dim = self._check_pair()
        self.provenance: dict[str, Any] = self._provenance | {
            "dim": self.dim,
            "input": {"size": size, "resize": self.frame_spec.resize},
            "mean": list(told.get("image_mean") or ()),
            "std": list(told.get("image_std") or ()),
            "interpolation": self.frame_spec.interpolation,
        }

    def encode_frames(self, frames: Frames) -> Features:
        """Frames (B, F, H, W, 3) as embeddings (B, F, dim)."""
        return np.stack([self._of_clip(clip) for clip in frames])

    def _of_clip(self, clip: Frames) -> Features:
        # Pictures, not arrays: an array's channels would be looked for by its shape.
        pictures = [Image.fromarray(frame) for frame in (clip[:1] if is_still(clip) else clip)]
        found = self._documents(pictures, self._at_once)
        return found if len(found) == len(clip) else found.repeat(len(clip), axis=0)

    def _check_pair(self) -> tuple[int, int]:
        """How many pictures are encoded at once, and the dim. One, where the model's processor takes the pictures of a batch for
        one input (EmbeddingGemma 2's does)."""
        size = self.frame_spec.size
        noise = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        pair = [Image.fromarray(picture) for picture in noise]
        alone = self._documents(pair, 1)
        try:
            together = self._documents(pair, 2)
        except Exception:  # sentence-transformers does not check it: what is raised depends on the model
            return 1, int(alone.shape[1])
        agree = together.shape == alone.shape and np.linalg.norm(together - alone) <= SAME * np.linalg.norm(alone)
        return AT_ONCE if agree else 1, int(alone.shape[1])

    def encode_patches(self, frames: Frames) -> tuple[Features, Features]:
        """None: sentence-transformers pools before it returns."""
        raise OptionInvalid(f"backbone {self.name!r} has no patches to give; leave out --patches")


class StAudio(_StEncoder):
    """Windows of sound: one embedding each, in the space of the model's texts where it encodes any."""

    thread_safe = False
    token_shape = None

    def __init__(self, name: str, folder: Path, device: str, seed: int, random_weights: bool) -> None:
        super().__init__("audio", name, folder, device, seed, random_weights)
        processor = self._model.processor
        told = getattr(processor, "feature_extractor", processor).to_dict()
        longest = min(LONGEST_WINDOW, float(told.get("chunk_length") or told.get("max_length_s") or LONGEST_WINDOW))
        self.audio_spec = AudioSpec(
            rate=int(told["sampling_rate"]), shortest=min(SHORTEST_WINDOW, longest), longest=longest
        )
        self.has_text = self._model.supports("text")
        self.dim = self._check_alone()
        self.provenance: dict[str, Any] = self._provenance | {
            "dim": self.dim,
            "input": {"rate": self.audio_spec.rate, "shortest": self.audio_spec.shortest, "longest": longest},
        }
        if self.has_text and not random_weights:
            check_texts_differ(self.name, self.encode_text)

    def encode_audio(self, windows: list[NDArray[np.float32]], mask: NDArray[np.bool_]) -> Features:
        """B clips' windows, each (F, samples), as (B, F, dim); zeros where `mask` is False. A clip's windows, which are
        equally long, are a batch of their own: padding to another clip's length could change them."""
        features = np.zeros((*mask.shape, self.dim), np.float32)
        for row, (clip, heard) in enumerate(zip(windows, mask, strict=True)):
            if heard.any():
                features[row, heard] = self._of_sounds(clip[heard])
        return features

    def encode_text(self, texts: list[str]) -> Features:
        """Sentences as (B, dim), as queries."""
        return self._numbers(self._model.encode_query, as_texts(texts), self._texts_at_once)

    def _of_sounds(self, sounds: NDArray[np.float32]) -> Features:
        rate = self.audio_spec.rate
        return self._documents([{"array": sound, "sampling_rate": rate} for sound in sounds], len(sounds))

    def _check_alone(self) -> int:
        """The dim. Raises BackboneUnavailable where a sound's vector depends on what else is encoded, or on chance."""
        samples = round(self.audio_spec.shortest * self.audio_spec.rate)
        pair = 0.1 * np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
        together, alone = self._of_sounds(pair), np.concatenate([self._of_sounds(one[None]) for one in pair])
        if np.linalg.norm(together - alone) > SAME * np.linalg.norm(alone):
            raise BackboneUnavailable(
                f"{self.name}: a sound's vector depends on chance or on the other sounds of its batch (as those of fused CLAP "
                "do), so a store of them can't be reproduced; take another model"
            )
        return int(alone.shape[1])


class StText(_StEncoder):
    """Texts as queries: an embedding each, and its tokens where the model pools them.

    Tokens are those that the model pools over, the prompt's included, scaled so that their mean is as long as the embedding; a
    model that gives no tokens of the embedding's size has one per text, the embedding itself.
    """

    def __init__(self, name: str, folder: Path, device: str, seed: int, random_weights: bool) -> None:
        super().__init__("text", name, folder, device, seed, random_weights)
        self._prompt = self._model.prompts.get("query")
        (first,) = self._outputs(["a dog"])
        self.dim = int(first["sentence_embedding"].shape[-1])
        tokens = first.get("token_embeddings")
        self._has_tokens = tokens is not None and tokens.shape[-1] == self.dim
        self.provenance: dict[str, Any] = self._provenance | {
            "dim": self.dim,
            "prompt": self._prompt,
            "context_length": self._model.max_seq_length,
            "tokens": "those pooled, in the embedding's length" if self._has_tokens else "the embedding",
        }
        if not random_weights:
            check_texts_differ(self.name, lambda texts: self.encode_text(texts).embedding)

    def encode_text(self, texts: list[str]) -> TextFeatures:
        """Embeddings (B, dim) and tokens (n_i, dim)."""
        outputs = self._outputs(texts)
        embeddings = [_floats(one["sentence_embedding"]) for one in outputs]
        if self._has_tokens:
            tokens = [
                _in_length_of(embedding, _floats(one["token_embeddings"][one["attention_mask"].bool()]))
                for embedding, one in zip(embeddings, outputs, strict=True)
            ]
        else:
            tokens = [embedding[None] for embedding in embeddings]
        embedding = np.stack(embeddings) if embeddings else np.empty((0, self.dim), np.float32)
        return TextFeatures(embedding=embedding, tokens=tokens)

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Tokens of each text, the prompt's counted."""
        if not self._has_tokens:
            return [1] * len(texts)
        with quietly():
            given = [self._model.preprocess([text], prompt=self._prompt, task="query") for text in as_texts(texts)]
        return [int(one["attention_mask"].sum()) for one in given]

    def _outputs(self, texts: list[str]) -> list[dict[str, Any]]:
        with quietly():
            found: list[dict[str, Any]] = self._model.encode_query(
                as_texts(texts),
                batch_size=self._texts_at_once,
                output_value=None,
                show_progress_bar=False,
            )
        return found


def as_texts(texts: list[str]) -> list[dict[str, str]]:
    """Texts as sentence-transformers takes them without a doubt: a bare `dog.png` would be read as the file of a picture."""
    return [{"text": text} for text in texts]


def frame_spec_of(processor: dict[str, Any]) -> FrameSpec:
    """The picture that an image processor takes, so that it has nothing left to resize: its square, squashed or cut out as
    it would; a square of 512 where it takes any size."""
    interpolation = RESAMPLING.get(processor.get("resample"), "bicubic")
    size = processor.get("size") or {}
    shortest, height, width = size.get("shortest_edge"), size.get("height"), size.get("width")
    if shortest and processor.get("do_center_crop"):
        return FrameSpec(int(shortest), "crop", interpolation)
    if height and height == width:
        return FrameSpec(int(height), "squash", interpolation)
    return FrameSpec(ANY_SIZE, "crop", interpolation)


def _in_length_of(embedding: Features, tokens: Features) -> Features:
    """Tokens (n, dim), scaled so that their mean is as long as the embedding."""
    length = max(float(np.linalg.norm(tokens.mean(axis=0))), 1e-12)
    return tokens * np.float32(np.linalg.norm(embedding) / length)


def _floats(tensor: Any) -> Features:
    numbers: Features = tensor.float().cpu().numpy()
    return numbers
