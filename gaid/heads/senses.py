"""Pictures and sounds each compared with the sentence in their own space, without training: `sound`, `av-sum`, `av-weighted`.

A sentence comes twice: by the text backbone, and by the audio backbone's text side (`text_input = "both"`). The picture's part of
a score is the cosine of the sentence with the clip's pooled frames. The sound's part is its evidence: the cosine with the
clip's pooled sound, less the level that the library's sounds have for this sentence. The level is such that the evidence of
sounds that are not meant has a likelihood of 1 on average: a clip without sound, whose evidence is 0, has exactly the score of its
picture, and sounds neither take from it nor give to it (docs/method.md, section 10).
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from gaid.errors import HeadMismatch, OptionInvalid
from gaid.heads.base import HeadBase, Scoring, every_frame
from gaid.heads.scoring import plan

KEPT = 128  # clips whose sounds stand for the library's
SHARPNESS = 20.0  # factor on cosines where validation has not chosen one; that of sentence encoders in training
TEMPERATURES = (0.0, 0.2, 0.1, 0.05, 0.02)
CAPTIONS = 2000  # of validation that a fit takes
CPU_TEXTS, CPU_VIDEOS = 256, 64  # in one block
GPU_TEXTS = 2048
LARGEST, SMALLEST = 7.0, -6.0  # logarithm of a fitted weight


class SensesHead(HeadBase):
    """The weighted sum of what each sense finds. It has nothing to train.

    Args:
        visual_weight, audio_weight: of the senses; a sense of weight 0 is not looked at.
        temperature: frames are weighted by a softmax of their cosines over it; 0 is the plain mean of their directions.
        fitted: training finds the two weights and the temperature on validation (`fit`).

    Raises OptionInvalid for weights and temperatures below 0.
    """

    text_input = "both"
    meets_library = True
    library_tensors = ("mean_sound", "kept_sounds")
    has_video_embedding = True

    def __init__(
        self,
        visual_dim: int,
        audio_dim: int,
        text_dim: int,
        dim: int | None = None,
        frames: int = 12,
        *,
        visual_weight: float = 1.0,
        audio_weight: float = 1.0,
        temperature: float = 0.0,
        fitted: bool = False,
    ) -> None:
        if min(visual_weight, audio_weight, temperature) < 0 or not visual_weight + audio_weight:
            raise OptionInvalid("visual_weight, audio_weight and temperature are at least 0, and one weight is above 0")
        super().__init__(
            visual_dim=visual_dim, audio_dim=audio_dim, text_dim=text_dim, dim=dim or text_dim, frames=frames,
            visual_weight=visual_weight, audio_weight=audio_weight, temperature=temperature, fitted=fitted,
        )  # fmt: skip
        self.uses_visual, self.uses_audio = visual_weight > 0, audio_weight > 0
        self.fits_validation = fitted
        self.numbers: (
            Tensor  # the weight of the picture, the weight of the sound, the temperature, the sharpness of the sound
        )
        self.register_buffer("numbers", torch.tensor([visual_weight, audio_weight, temperature, SHARPNESS]))
        self.mean_sound: Tensor
        self.register_buffer("mean_sound", torch.zeros(audio_dim))
        self.kept_sounds: Tensor
        self.register_buffer("kept_sounds", torch.zeros(KEPT, frames, audio_dim, dtype=torch.float16))
        self._widened: tuple[Any, tuple[Tensor, Tensor, Tensor]] | None = None

    # What it takes from a library and from validation

    @torch.no_grad()
    def meet_library(self, sounds: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Takes the mean direction of a library's sounds, and the sounds of some clips, spread over it. `sounds` gives the
        (audio, audio_mask) of its clips block by block. No caption takes part."""
        total, count, every = torch.zeros_like(self.mean_sound), 0, 1
        kept: list[Tensor] = []
        for audio, mask in sounds:
            frames, heard = _directions(audio.to(total), mask.to(total.device))
            sounding = heard.any(1)
            total += _mean_direction(frames[sounding], heard[sounding]).sum(0)
            for place in torch.nonzero(sounding)[:, 0].tolist():
                if count % every == 0:
                    kept.append(frames[place].half())
                count += 1
                if len(kept) > KEPT:
                    kept, every = kept[::2], 2 * every
        if count:
            self.mean_sound.copy_(total / count)
            self.kept_sounds.zero_()[: len(kept)] = torch.stack(kept)

    def fit(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor, caption_video: Int[Tensor, " texts"]
    ) -> dict[str, float]:
        """Finds the weights and the temperature on clips with captions: those by which each caption's own video, and each
        video's own captions, are the likeliest among all. The two weights add up to 1; before that, that of the sound is the
        sharpness by which its level is taken."""
        rows = torch.arange(0, len(text), max(1, -(-len(text) // CAPTIONS)), device=text.device)
        owner = caption_video.to(text.device)[rows].to(self.numbers.device)
        best = torch.inf
        for temperature in TEMPERATURES:
            with torch.no_grad():
                found = self._compare(text[rows], visual, audio, audio_mask, temperature)
                library = self._library(self._sentences(text[rows])[1], temperature)
            loss, weights = _likeliest(*found, library, owner)
            if loss < best - 1e-4:
                best = loss
                self.numbers.copy_(torch.stack([*weights / weights.sum(), weights.new_tensor(temperature), weights[1]]))
        return dict(zip(("picture", "sound", "temperature"), self.numbers.tolist(), strict=False))

    # Scores

    @torch.no_grad()
    def evidence(
        self,
        text: Float[Tensor, "texts both_dims"],
        visual: Float[Tensor, "videos frames visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> dict[str, Float[Tensor, "texts videos"]]:
        """What each sense finds, not weighted: `picture`, the cosine; `sound`, the evidence, 0 for a clip without sound."""
        temperature = float(self.numbers[2])
        picture, sound, heard = self._compare(text, visual, audio, audio_mask, temperature)
        senses = {"picture": picture} if self.uses_visual else {}
        if self.uses_audio:
            senses["sound"] = (sound - self._level(self._sentences(text)[1], temperature)).where(heard, 0.0)
        return senses

    def score_pairs(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor, how: Scoring
    ) -> Float[Tensor, "texts videos"]:
        """The weighted sum, a block of pairs at a time. `direct` makes each pair's pooled vector; `folded` does without."""
        self._check(text, visual, audio)
        direct, temperature = how.algorithm == "direct", float(self.numbers[2])
        scores = self.numbers.new_empty(len(text), len(visual))
        rows, columns = self._block(len(text), how.memory, direct)
        for first in range(0, len(text), rows):
            t = slice(first, first + rows)
            level = self._level(self._sentences(text[t])[1], temperature)
            for video in range(0, len(visual), columns):
                v = slice(video, video + columns)
                picture, sound, heard = self._compare(text[t], visual[v], audio[v], audio_mask[v], temperature, direct)
                scores[t, v] = self.numbers[0] * picture + self.numbers[1] * (sound - level).where(heard, 0.0)
        return scores

    def _compare(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor, temperature: float, direct: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The cosines with pictures and those with sounds, (texts, videos), 0 where a sense is not looked at, and which clips
        have sound, (videos)."""
        self._check(text, visual, audio)
        of_picture, of_sound = self._sentences(text)
        picture = sound = of_sound.new_zeros(len(text), len(visual))
        heard = torch.zeros(len(visual), dtype=torch.bool, device=of_sound.device)
        if self.uses_visual:
            frames, there = _directions(visual.to(of_picture), every_frame(visual).to(of_picture.device))
            picture = _cosines(of_picture, frames, there, temperature, direct)
        if self.uses_audio:
            frames, there = _directions(audio.to(of_sound), audio_mask.to(of_sound.device))
            sound, heard = _cosines(of_sound, frames, there, temperature, direct), there.any(1)
        return picture, sound, heard

    def _library(self, of_sound: Tensor, temperature: float) -> Float[Tensor, "texts library"]:
        """Cosines of sentences with the sounds that stand for the library's, but for the nearest, which may be the one that is
        meant; with no library, 0 as for unrelated directions."""
        kept, there, mean = self._kept()
        if not len(kept):
            return of_sound.new_zeros(len(of_sound), 1)
        # The whole library's mean is known: what the kept clips differ from it is taken off.
        differ = of_sound @ (mean - self.mean_sound)
        found = _cosines(of_sound, kept, there, temperature) - differ[:, None]
        return found if found.shape[1] == 1 else found.sort(1).values[:, :-1]

    def _kept(self) -> tuple[Tensor, Tensor, Tensor]:
        """The sounds of the clips that stand for the library, which frames have one, and their mean direction. Every score asks, so
        they are widened once, until other clips take their place."""
        stored = self.kept_sounds
        state = None if stored.is_inference() else (stored.data_ptr(), stored._version, self.numbers.dtype)
        if state is None or self._widened is None or self._widened[0] != state:
            kept = stored.to(self.numbers)
            kept = kept[kept.flatten(1).any(1)]
            there = kept.any(-1)
            mean = _mean_direction(kept, there).mean(0) if len(kept) else self.mean_sound
            self._widened = state, (kept, there, mean)
        return self._widened[1]

    def _level(self, of_sound: Tensor, temperature: float) -> Float[Tensor, "texts 1"]:
        """The level of the library's sounds for each sentence: that of a sound whose likelihood is the mean of theirs."""
        sharpness = self.numbers[3]
        return _log_mean_exp(sharpness * self._library(of_sound, temperature)) / sharpness

    def _block(self, texts: int, memory: int, direct: bool) -> tuple[int, int]:
        """Texts and videos that are scored at once: as many as the memory holds on a GPU, as fit a cache on the CPU."""
        large = plan.prefers_large_launches(self.numbers.device)
        rows = max(1, min(texts, GPU_TEXTS if large else CPU_TEXTS))
        frames, dim = self.config["frames"], max(self.config["audio_dim"], self.config["visual_dim"])
        per_video = 4 * (3 * frames * dim + frames * frames + rows * (4 * frames + (dim if direct else 0)))
        columns = max(1, memory // per_video)
        return rows, columns if large else min(columns, CPU_VIDEOS)

    def _sentences(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """The two unit vectors of each sentence, for pictures and for sounds."""
        wide = text.to(device=self.numbers.device, dtype=self.numbers.dtype)
        of_picture, of_sound = wide.split([self.config["text_dim"], self.config["audio_dim"]], dim=1)
        return functional.normalize(of_picture, dim=-1), functional.normalize(of_sound, dim=-1)

    def _check(self, text: Tensor, visual: Tensor, audio: Tensor) -> None:
        sizes = self.config
        wrong = []
        if text.shape[1] != sizes["text_dim"] + sizes["audio_dim"]:
            wrong.append(f"text has {text.shape[1]} numbers, not {sizes['text_dim']} and {sizes['audio_dim']}")
        if self.uses_visual and visual.shape[-1] != sizes["text_dim"]:
            wrong.append(
                f"pictures have {visual.shape[-1]} numbers and sentences {sizes['text_dim']}: they share no space"
            )
        if self.uses_audio and audio.shape[-1] != sizes["audio_dim"]:
            wrong.append(f"sounds have {audio.shape[-1]} numbers, the head takes {sizes['audio_dim']}")
        if wrong:
            raise HeadMismatch("features do not fit this head: " + "; ".join(wrong))

    # An index of candidates: exact for the mean of frames, whose score is a product of two vectors

    @property
    def vector_parts(self) -> dict[str, slice]:
        """The parts of `embed_videos`."""
        seen = self.config["visual_dim"] if self.uses_visual else 0
        parts = {"picture": slice(0, seen), "sound": slice(seen, seen + self.config["audio_dim"] + 1)}
        return {
            name: one for name, one in parts.items() if {"picture": self.uses_visual, "sound": self.uses_audio}[name]
        }

    @torch.no_grad()
    def embed_text(self, text: Float[Tensor, "texts both_dims"]) -> Float[Tensor, "texts dims"]:
        """Each sentence's unit vectors by the weights, and the level of its sounds, one after the other."""
        of_picture, of_sound = self._sentences(text)
        parts = [self.numbers[0] * of_picture] if self.uses_visual else []
        if self.uses_audio:
            parts += [self.numbers[1] * of_sound, -self.numbers[1] * self._level(of_sound, 0.0)]
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def embed_videos(
        self,
        visual: Float[Tensor, "videos frames visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"] | None = None,
    ) -> Float[Tensor, "videos dims"]:
        """The mean direction of the frames, that of the sound, and 1; zeros for both without sound."""
        mask = every_frame(visual) if audio_mask is None else audio_mask
        frames, seen = _directions(visual.to(self.numbers), every_frame(visual).to(self.numbers.device))
        sounds, heard = _directions(audio.to(self.numbers), mask.to(self.numbers.device))
        parts = [_mean_direction(frames, seen)] if self.uses_visual else []
        if self.uses_audio:
            parts += [_mean_direction(sounds, heard), heard.any(1, keepdim=True).to(self.numbers)]
        return torch.cat(parts, dim=1)


def _directions(features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors of frames, zeros where there is none, and which frames have one: those of the mask whose features are not 0."""
    length = features.norm(dim=-1, keepdim=True)
    there = mask & (length[..., 0] > 0)
    return features / length.clamp(min=1e-12) * there[..., None], there


def _mean_direction(
    frames: Float[Tensor, "videos frames dim"], mask: Bool[Tensor, "videos frames"]
) -> Float[Tensor, "videos dim"]:
    """The direction of the mean of a clip's unit vectors; zeros without any."""
    return functional.normalize(frames.sum(1), dim=-1) * mask.any(1, keepdim=True)


def mean_directions(
    features: Float[Tensor, "videos frames dim"], mask: Bool[Tensor, "videos frames"]
) -> Float[Tensor, "videos dim"]:
    """The direction of the mean of each clip's frames, of those in the mask, each as a unit vector; zeros without any."""
    return _mean_direction(*_directions(features, mask))


def _cosines(
    sentences: Float[Tensor, "texts dim"],
    frames: Float[Tensor, "videos frames dim"],
    mask: Bool[Tensor, "videos frames"],
    temperature: float,
    direct: bool = False,
) -> Float[Tensor, "texts videos"]:
    """Cosines of sentences with clips' pooled unit vectors; 0 with a clip that has none."""
    if not temperature:
        return sentences @ _mean_direction(frames, mask).T
    near = torch.einsum("td,vfd->tvf", sentences, frames)
    weights = (near / temperature).masked_fill(~mask, -torch.inf).softmax(-1).nan_to_num(0.0)
    if direct:
        return torch.einsum(
            "td,tvd->tv", sentences, functional.normalize(weights.unsqueeze(-2) @ frames, dim=-1)[..., 0, :]
        )
    square = torch.einsum("tvf,vfg,tvg->tv", weights, frames @ frames.mT, weights)
    return (weights * near).sum(-1) / square.clamp(min=1e-12).sqrt()


def _log_mean_exp(values: Float[Tensor, "texts library"]) -> Float[Tensor, "texts 1"]:
    return values.logsumexp(1, keepdim=True) - math.log(values.shape[1])


def _likeliest(
    picture: Tensor, sound: Tensor, heard: Tensor, library: Tensor, owner: Int[Tensor, " texts"]
) -> tuple[float, Tensor]:
    """The weights of picture and sound, above 0, by which own pairs are likeliest in both directions, and the loss."""
    picture, sound, library = picture.double(), sound.double(), library.double()
    scale = torch.full((2,), 3.0, dtype=torch.float64, device=picture.device, requires_grad=True)
    rows = torch.arange(len(owner), device=owner.device)

    def loss() -> Tensor:
        of_picture, of_sound = scale.clamp(SMALLEST, LARGEST).exp()
        evidence = of_sound * sound - _log_mean_exp(of_sound * library)
        logits = of_picture * picture + evidence.where(heard, 0.0)
        return -(logits.log_softmax(1)[rows, owner].mean() + logits.log_softmax(0)[rows, owner].mean()) / 2

    optimiser = torch.optim.LBFGS([scale], max_iter=60, line_search_fn="strong_wolfe")

    def step() -> float:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value.item()

    with torch.enable_grad():
        optimiser.step(step)
    with torch.no_grad():
        return loss().item(), scale.clamp(SMALLEST, LARGEST).exp().float()
