"""CLIP's picture tower: frames and their patches, in the space of the texts (`text`). `model` builds and loads it.

Frames come at the size that `frame_spec` asks for (`gaid.media.decode` resizes), and are only normalised here.
"""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from open_clip.transformer import VisionTransformer
from torch import Tensor

from gaid.backbones.clip.model import load_model, precision_on, shown_name, weights_provenance
from gaid.backbones.clip.weights import ClipWeights
from gaid.backbones.inference import frames_to_tensor, inferring, is_still, to_numpy
from gaid.backbones.protocol import Features, Frames
from gaid.errors import OptionInvalid
from gaid.specs import FrameSpec

FRAMES_AT_ONCE = 128  # on a GPU: some are copied there while those before are encoded


class ClipVisual:
    """The image tower: one embedding per frame (not normalised), and its patches."""

    thread_safe = True

    def __init__(self, weights: ClipWeights, device: str = "cpu", seed: int = 0) -> None:
        self._model = load_model(weights, device, seed)
        self._device = device
        preprocessing = self._model.visual.preprocess_cfg
        size = preprocessing["size"] if isinstance(preprocessing["size"], int) else preprocessing["size"][0]
        ways = {"shortest": "crop", "squash": "squash"}
        if preprocessing["resize_mode"] not in ways:
            raise OptionInvalid(
                f"clip:{shown_name(weights)} needs pictures resized by {preprocessing['resize_mode']!r}; known: {', '.join(ways)}"
            )
        self.name = f"clip:{shown_name(weights)}"
        self.frame_spec = FrameSpec(size, cast(Any, ways[preprocessing["resize_mode"]]), preprocessing["interpolation"])
        self._mean, self._std = list(preprocessing["mean"]), list(preprocessing["std"])
        self.patch_shape = _patch_shape(self._model.visual)
        # Some towers state their width only in their output, so one black picture is encoded.
        self.dim = int(self._encode(np.zeros((1, size, size, 3), dtype=np.uint8))[0].shape[-1])
        self.provenance: dict[str, Any] = weights_provenance(self.name, self.dim, weights, seed) | {
            "input": {"size": size, "resize": self.frame_spec.resize},
            "mean": self._mean,
            "std": self._std,
            "interpolation": self.frame_spec.interpolation,
        }

    def encode_frames(self, frames: Frames) -> Features:
        """Frames (B, F, H, W, 3) as embeddings (B, F, dim)."""
        return self._run(frames)[0]

    def encode_patches(self, frames: Frames) -> tuple[Features, Features]:
        """Embeddings (B, F, dim) and patches (B, F, P, dim): the tower's last tokens, normed and projected as its own
        class token is, so that they lie in the space of the texts."""
        if self.patch_shape is None:
            raise OptionInvalid(f"backbone {self.name!r} is not a ViT with a class token, so it has no patches")
        pooled, patches = self._run(frames, patches=True)
        return pooled, patches

    def _run(self, frames: Frames, patches: bool = False) -> tuple[Features, Features]:
        clips, per_clip = frames.shape[:2]
        batches = list(self._batches(frames))
        # All of a GPU's work is given to it before anything is waited for.
        encoded = [self._encode(batch, patches) for batch, _ in batches]

        def joined(which: int) -> Features:
            parts = [
                to_numpy(one[which]).repeat(times, axis=0) for one, (_, times) in zip(encoded, batches, strict=True)
            ]
            return np.concatenate(parts).reshape(clips, per_clip, *parts[0].shape[1:])

        return joined(0), joined(1) if patches else np.empty((0,), dtype=np.float32)

    def _batches(self, frames: Frames) -> Iterator[tuple[Frames, int]]:
        """What is encoded at once, and how often each result is repeated. On a CPU each clip is a batch of its own, so its
        features never depend on its neighbours."""
        if self._device == "cpu":
            for clip in frames:
                yield (clip[:1], len(clip)) if is_still(clip) else (clip, 1)
            return
        flat = frames.reshape(-1, *frames.shape[2:])
        for start in range(0, len(flat), FRAMES_AT_ONCE):
            yield flat[start : start + FRAMES_AT_ONCE], 1

    def _encode(self, frames: Frames, patches: bool = False) -> tuple[Tensor, Tensor]:
        visual = self._model.visual
        with inferring(self._device, half_weights=True):
            pixels = frames_to_tensor(frames, self._mean, self._std, self._device)
            found = visual(pixels.to(precision_on(self._device)))
            if not isinstance(found, tuple):
                return found, found
            pooled, tokens = found
            if not patches:
                return pooled, tokens
            if visual.final_ln_after_pool:
                tokens = visual.ln_post(tokens)
            return pooled, tokens if visual.proj is None else tokens @ visual.proj


def _patch_shape(visual: Any) -> tuple[int, int] | None:
    if not isinstance(visual, VisionTransformer) or visual.attn_pool is not None or visual.pool_type != "tok":
        return None
    dim = visual.output_dim if visual.proj is None else visual.proj.shape[1]
    return visual.grid_size[0] * visual.grid_size[1], int(dim)
