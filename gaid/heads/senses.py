"""Pictures and sounds each compared with the sentence in their own space, without training: `sound`, `av-sum`, `av-weighted`.

A sentence comes twice: by the text backbone, and by the audio backbone's text side (`text_input = "both"`). The picture's part of
a score is the cosine of the sentence with the clip's pooled frames. The sound's part is its evidence: the cosine with the
clip's pooled sound, less what the library's sounds have on average for this sentence. So a clip without sound, whose
evidence is 0, has exactly the score of its picture, and gains or loses nothing beside clips whose sound is an average one
(docs/method.md, section 10).
"""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from gaid.errors import HeadMismatch, OptionInvalid
from gaid.heads.base import HeadBase, Scoring, every_frame
from gaid.heads.scoring.plan import prefers_large_launches

KEPT = 64  # clips whose sounds stand for the library's where the sentence weighs the frames
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
        self.numbers: Tensor  # the weight of the picture, the weight of the sound, the temperature
        self.register_buffer("numbers", torch.tensor([visual_weight, audio_weight, temperature]))
        self.mean_sound: Tensor
        self.register_buffer("mean_sound", torch.zeros(audio_dim))
        self.kept_sounds: Tensor
        self.register_buffer("kept_sounds", torch.zeros(KEPT, frames, audio_dim))

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
                    kept.append(frames[place])
                count += 1
                if len(kept) > KEPT:
                    kept, every = kept[::2], 2 * every
        if count:
            self.mean_sound.copy_(total / count)
            self.kept_sounds.zero_()[: len(kept)] = torch.stack(kept)

    def fit(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor, caption_video: Int[Tensor, " texts"]
    ) -> None:
        """Finds the weights and the temperature on clips with captions: those by which each caption's own video, and each
        video's own captions, are the likeliest among all. The two weights add up to 1."""
        rows = torch.arange(0, len(text), max(1, -(-len(text) // CAPTIONS)), device=text.device)
        owner = caption_video.to(text.device)[rows].to(self.numbers.device)
        best = torch.inf
        for temperature in TEMPERATURES:
            found = self.evidence(text[rows], visual, audio, audio_mask, temperature=temperature)
            loss, weights = _likeliest(list(found.values()), owner)
            if loss < best - 1e-4:
                best = loss
                self.numbers.copy_(torch.cat([weights / weights.sum(), weights.new_tensor([temperature])]))

    # Scores

    @torch.no_grad()
    def evidence(
        self,
        text: Float[Tensor, "texts both_dims"],
        visual: Float[Tensor, "videos frames visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"],
        *,
        temperature: float | None = None,
        direct: bool = False,
    ) -> dict[str, Float[Tensor, "texts videos"]]:
        """What each sense finds, not weighted: `picture`, the cosine; `sound`, the evidence, 0 for a clip without sound."""
        self._check(text, visual, audio)
        of_picture, of_sound = self._sentences(text)
        temperature = float(self.numbers[2]) if temperature is None else temperature
        found = {}
        if self.uses_visual:
            frames, seen = _directions(visual.to(of_picture), every_frame(visual).to(of_picture.device))
            found["picture"] = _cosines(of_picture, frames, seen, temperature, direct)
        if self.uses_audio:
            frames, heard = _directions(audio.to(of_sound), audio_mask.to(of_sound.device))
            above = _cosines(of_sound, frames, heard, temperature, direct) - self._expected(of_sound, temperature)
            found["sound"] = above.where(heard.any(1), 0.0)
        return found

    def _expected(self, sentences: Tensor, temperature: float) -> Float[Tensor, "texts 1"]:
        """The mean cosine of each sentence with the library's sounds: exact for the mean of frames, where it is the cosine's
        product with the mean direction; else with what the weighting of frames adds to it over the clips that are kept."""
        mean = (sentences @ self.mean_sound)[:, None]
        if not temperature:
            return mean
        heard = self.kept_sounds.any(-1)
        frames = self.kept_sounds[heard.any(1)]
        if not len(frames):
            return mean
        heard = heard[heard.any(1)]
        added = _cosines(sentences, frames, heard, temperature) - _cosines(sentences, frames, heard, 0.0)
        return mean + added.mean(1, keepdim=True)

    def score_pairs(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor, how: Scoring
    ) -> Float[Tensor, "texts videos"]:
        """The weighted sum, a block of pairs at a time. `direct` makes each pair's pooled vector; `folded` does without."""
        direct = how.algorithm == "direct"
        weights = dict(zip(("picture", "sound"), self.numbers[:2], strict=True))
        scores = torch.zeros(len(text), len(visual), device=self.numbers.device)
        rows, columns = self._block(len(text), how.memory, direct)
        for video in range(0, len(visual), columns):
            v = slice(video, video + columns)
            for first in range(0, len(text), rows):
                t = slice(first, first + rows)
                found = self.evidence(text[t], visual[v], audio[v], audio_mask[v], direct=direct)
                scores[t, v] = sum(weights[name] * values for name, values in found.items())
        return scores

    def _block(self, texts: int, memory: int, direct: bool) -> tuple[int, int]:
        """Texts and videos that are scored at once: as many as the memory holds on a GPU, as fit a cache on the CPU."""
        large = prefers_large_launches(self.numbers.device)
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

    @torch.no_grad()
    def embed_text(self, text: Float[Tensor, "texts both_dims"]) -> Float[Tensor, "texts dims"]:
        """Each sentence's unit vectors by the weights, one after the other."""
        of_picture, of_sound = self._sentences(text)
        return torch.cat(self._used(self.numbers[0] * of_picture, self.numbers[1] * of_sound), dim=1)

    @torch.no_grad()
    def embed_videos(
        self,
        visual: Float[Tensor, "videos frames visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"] | None = None,
    ) -> Float[Tensor, "videos dims"]:
        """The mean direction of the frames, and that of the sound less the library's; zeros there without sound."""
        mask = every_frame(visual) if audio_mask is None else audio_mask
        frames, seen = _directions(visual.to(self.numbers), every_frame(visual).to(self.numbers.device))
        sounds, heard = _directions(audio.to(self.numbers), mask.to(self.numbers.device))
        of_sound = (_mean_direction(sounds, heard) - self.mean_sound) * heard.any(1, keepdim=True)
        return torch.cat(self._used(_mean_direction(frames, seen), of_sound), dim=1)

    def _used(self, of_picture: Tensor, of_sound: Tensor) -> list[Tensor]:
        return [*([of_picture] if self.uses_visual else []), *([of_sound] if self.uses_audio else [])]


def _directions(features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors of frames, zeros where there is none, and which frames have one: those of the mask whose features are not 0."""
    there = mask & features.any(-1)
    return functional.normalize(features, dim=-1) * there[..., None], there


def _mean_direction(
    frames: Float[Tensor, "videos frames dim"], mask: Bool[Tensor, "videos frames"]
) -> Float[Tensor, "videos dim"]:
    """The direction of the mean of a clip's unit vectors; zeros without any."""
    return functional.normalize(frames.sum(1), dim=-1) * mask.any(1, keepdim=True)


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


def _likeliest(found: Sequence[Tensor], owner: Tensor) -> tuple[float, Tensor]:
    """Weights, above 0, by whose sum of `found`, each (texts, videos), own pairs are likeliest in both directions, and the loss."""
    table = torch.stack([one.double() for one in found])
    scale = torch.full((len(table),), 3.0, dtype=torch.float64, device=table.device, requires_grad=True)
    rows = torch.arange(len(owner), device=owner.device)

    def loss() -> Tensor:
        logits = torch.einsum("stv,s->tv", table, scale.clamp(SMALLEST, LARGEST).exp())
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
