"""The family of heads made of a gate, a pooling and a perturbation: CLIP4Clip's mean, X-Pool, T-MASS and GAID."""

from typing import Any, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from gaid.errors import HeadMismatch, OptionInvalid
from gaid.heads.base import By, Explanation, HeadBase, LossParts, Noise, Scoring, every_frame
from gaid.heads.gate import GATES, Fusion
from gaid.heads.losses import PositiveWeights, info_nce, positive_weights, support_embedding
from gaid.heads.perturbation import PerturbationName, Prior, make_perturbation
from gaid.heads.pooling import POOLINGS, PoolingName
from gaid.heads.projection import check_one_size, projection
from gaid.heads.scoring import blocks, direct, folded
from gaid.heads.scoring.parts import Parts
from gaid.heads.scoring.plan import Moved, few_texts

CHOICES: dict[str, Any] = {
    "fusion": Fusion,
    "pooling": PoolingName,
    "perturbation": PerturbationName,
    "prior": Prior,
    "positive_weights": PositiveWeights,
}


class GatedHead(HeadBase):
    """Fusion of visual and audio, pooling over frames, perturbation of the text, in any combination (docs/method.md).

    Args:
        visual_dim: size of the visual backbone's embedding.
        audio_dim: of the audio backbone's.
        text_dim: of the text backbone's.
        dim: size in which they meet (D); the text's size by default.
        frames: frames per video (F).
        fusion: `none` (no audio), `sample` (a gate per pair), `frame` (a gate per frame: FGF), `token` (a gate per patch
            token: `visual` is then patch tokens, (videos, frames, patches, visual_dim)).
        pooling: `mean` or `attention`.
        perturbation: `none`, `stp` or `dasp`.
        prior: STP's noise, `uniform` or `normal`.
        prior_std: standard deviation of normal noise.
        trials: how many draws of STP an evaluation makes.
        dropout: in attention pooling; with 0 training never makes a pair's features, with more it makes one vector per pair.
        logit_scale: factor on the cosines in the loss (CLIP's is 100); frozen.
        weighted_loss: positives count by their similarity (GAID).
        support_loss_weight: lambda of the support loss.
        projections: whether visual, audio and text each get a learnt linear layer. Published heads have none; without them
            the sizes of the embeddings that the head uses must be equal.
        positive_weights: how a positive of negative similarity counts in the weighted loss: `clipped` not at all,
            `published` with its negative weight, as in GAID's code (`losses.positive_weights`).

    Raises: OptionInvalid for a choice that does not exist, and for embeddings of several sizes without projections.
    """

    has_video_embedding = True
    capturable = True

    def __init__(
        self,
        visual_dim: int,
        audio_dim: int,
        text_dim: int,
        dim: int | None = None,
        frames: int = 12,
        *,
        fusion: Fusion = "frame",
        pooling: PoolingName = "attention",
        perturbation: PerturbationName = "dasp",
        prior: Prior = "uniform",
        prior_std: float = 3e-3,
        trials: int = 20,
        dropout: float = 0.3,
        logit_scale: float = 100.0,
        weighted_loss: bool = True,
        positive_weights: PositiveWeights = "clipped",
        support_loss_weight: float = 0.0,
        projections: bool = True,
    ) -> None:
        dim = dim or text_dim
        chosen = {
            "fusion": fusion, "pooling": pooling, "perturbation": perturbation, "prior": prior,
            "positive_weights": positive_weights,
        }  # fmt: skip
        for name, value in chosen.items():
            choices = get_args(CHOICES[name])
            if value not in choices:
                raise OptionInvalid(f"{name} {value!r} does not exist; choose one of {', '.join(choices)}")
        if not 0 < logit_scale <= 100:
            raise OptionInvalid(f"logit_scale must lie above 0 and at most at 100, not {logit_scale}")
        super().__init__(
            visual_dim=visual_dim, audio_dim=audio_dim, text_dim=text_dim, dim=dim, frames=frames, **chosen,
            prior_std=prior_std, trials=trials, dropout=dropout, logit_scale=logit_scale,
            weighted_loss=weighted_loss, support_loss_weight=support_loss_weight, projections=projections,
        )  # fmt: skip
        gate = GATES[fusion]
        self.uses_audio = gate.uses_audio
        if not projections:
            check_one_size(dim, visual=visual_dim, text=text_dim, audio=audio_dim if self.uses_audio else dim)
        self.visual_proj = projection(visual_dim, dim, projections)
        self.text_proj = projection(text_dim, dim, projections)
        self.audio_proj = projection(audio_dim, dim, projections) if self.uses_audio else None
        self.gate = gate(dim)
        self.visual_input = "patches" if gate.fuses_tokens else "frames"
        self.pooling = POOLINGS[pooling](dim, dropout)
        self.perturbation = make_perturbation(perturbation, dim, frames, prior, prior_std, trials)
        self.has_trials = perturbation == "stp"
        self.logit_scale = logit_scale
        self.weighted_loss = weighted_loss
        self.positive_weights = positive_weights
        self.support_loss_weight = support_loss_weight
        # The mean text of training stands in for a query where there is none (`embed_videos`).
        self.neutral_text: Tensor
        self.register_buffer("neutral_text", torch.zeros(dim))

    @property
    def parts(self) -> Parts:
        """The parts that scoring takes."""
        return Parts(self.gate, self.pooling, self.perturbation)

    # Projections

    def _to_own(self, features: Tensor) -> Tensor:
        return features.to(device=self.neutral_text.device, dtype=self.neutral_text.dtype)

    def embed_text(self, text: Float[Tensor, "texts text_dim"]) -> Float[Tensor, "texts dim"]:
        """Texts in the space that they share with the videos, before any perturbation."""
        embedded: Tensor = self.text_proj(self._to_own(text))
        return embedded

    def project_videos(
        self,
        visual: Float[Tensor, "videos frames *patches visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> tuple[
        Float[Tensor, "videos frames *patches dim"], Float[Tensor, "videos frames dim"], Bool[Tensor, "videos frames"]
    ]:
        """Features in the space that they share with the texts. Frames without audio have zeros there, whatever was given."""
        mask = audio_mask.to(self.neutral_text.device)
        projected = self.visual_proj(self._to_own(visual))
        if self.audio_proj is None:
            return projected, torch.zeros_like(projected), mask
        return projected, self.audio_proj(self._to_own(audio).masked_fill(~mask[..., None], 0)), mask

    def _check(self, text: Tensor, visual: Tensor, audio: Tensor) -> None:
        given = {
            "text": (text.shape[-1], self.config["text_dim"]),
            "visual": (visual.shape[-1], self.config["visual_dim"]),
            "frames": (visual.shape[1], self.config["frames"]),
        }
        if self.uses_audio:
            given["audio"] = (audio.shape[-1], self.config["audio_dim"])
        if not self.perturbation.moves:
            given.pop("frames")
        if visual.ndim != (4 if self.visual_input == "patches" else 3):
            raise HeadMismatch(f"this head takes {self.visual_input} as its visual features, not {tuple(visual.shape)}")
        wrong = [
            f"{name} has {found}, the head takes {wanted}" for name, (found, wanted) in given.items() if found != wanted
        ]
        if wrong:
            raise HeadMismatch("features do not fit this head: " + "; ".join(wrong))

    # Training

    def loss(
        self,
        text: Float[Tensor, "batch text_dim"],
        visual: Float[Tensor, "batch frames *patches visual_dim"],
        audio: Float[Tensor, "batch frames audio_dim"],
        audio_mask: Bool[Tensor, "batch frames"],
        same: Bool[Tensor, "batch batch"] | None = None,
        *,
        gate_by: By = "query",
        pool_by: By = "query",
    ) -> LossParts:
        """Loss of a batch; text i belongs to video i (docs/method.md, section 4).

        Texts are perturbed by their own video and compared with every video as pooled for them. `gate_by="own_caption"`
        gates each video by its own caption, as GAID's published training does.
        """
        self._check(text, visual, audio)
        text = self.embed_text(text)
        visual, audio, mask = self.project_videos(visual, audio, audio_mask)
        if self.training:
            with torch.no_grad():
                begun = self.neutral_text.any()  # stays on the device: no wait for it
                self.neutral_text.lerp_(text.detach().mean(0), torch.where(begun, 0.05, 1.0).to(text.dtype))
        parts, perturbed, std = self.parts, text, None
        if parts.perturbation.moves:
            std = parts.perturbation.deviation(text, direct.fuse_own(parts, text, visual, audio, mask)).exp()
            perturbed = parts.perturbation.perturb(text, std)
        texts, videos = folded.text_side(parts, text), folded.video_side(parts, visual, audio, mask)
        gate_own, pool_own = (texts if by == "own_caption" else None for by in (gate_by, pool_by))
        pooled = folded.pool(texts, videos, gate_own, pool_own, drop=parts.pooling.drops)
        lengths = pooled.norms()
        sims = _cosines(perturbed, pooled, lengths)
        weights = positive_weights(sims, self.positive_weights) if self.weighted_loss else None
        total = info_nce(sims, self.logit_scale, weights, same)
        logged: dict[str, Tensor | float] = {"score": total.detach()}
        if self.support_loss_weight and std is not None:
            support = _cosines(support_embedding(text, pooled.mean_of_texts(), std), pooled, lengths)
            of_support = info_nce(support, self.logit_scale, weights, same)
            logged["support"] = of_support.detach()
            total = total + self.support_loss_weight * of_support
        return LossParts(total, logged)

    # Scoring

    def few_texts(self, videos: int, tokens: int = 1) -> int:
        """How many texts at most `direct` scores faster than `folded`, with so many videos of `tokens` per frame, on this device."""
        return self._few_texts(videos, tokens, "text")

    def _few_texts(self, videos: int, tokens: int, noise: Noise) -> int:
        moved: Moved = "once" if self.perturbation.moves else "not"
        if self.perturbation.trials:
            moved = "by own trials" if noise == "pair" else "by trials"
        dim, device = len(self.neutral_text), self.neutral_text.device
        return few_texts(videos, tokens, dim, moved, self.pooling.attends, device)

    def score_pairs(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor, how: Scoring
    ) -> Float[Tensor, "texts videos"]:
        """Scores by the faster algorithm, or by the one that is asked for."""
        self._check(text, visual, audio)
        own_caption = how.own_caption
        if own_caption is None:
            if how.by_own and len(text) != len(visual):
                raise HeadMismatch(
                    f"{len(text)} texts for {len(visual)} videos: give own_caption, the row of each video's own text"
                )
            own_caption = torch.arange(len(visual)) if how.by_own else torch.zeros(len(visual), dtype=torch.long)
        text = self.embed_text(text)
        source = blocks.VideoSource(self.project_videos, visual, audio, audio_mask, text.shape[1])
        own_caption = own_caption.to(text.device)
        pool_caption = own_caption if how.pool_caption is None else how.pool_caption.to(text.device)
        texts = len(text) if how.text_rows is None else how.text_rows
        videos = len(visual) if how.video_rows is None else how.video_rows
        noise = self.perturbation.trial_noise(how.seed, texts, videos if how.noise == "pair" else None)
        few = how.algorithm == "auto" and len(text) <= self._few_texts(len(visual), source.tokens_per_frame, how.noise)
        if few or how.algorithm == "direct":
            own = (own_caption, pool_caption, how.gate_by, how.pool_by)
            return direct.score(self.parts, text, source, *own, how.memory, noise)
        gate_own = own_caption if how.gate_by == "own_caption" else None
        pool_own = pool_caption if how.pool_by == "own_caption" else None
        return blocks.score(self.parts, text, source, gate_own, pool_own, how.memory, noise)

    # Explanation and indexing

    @torch.no_grad()
    def explain(
        self,
        text: Float[Tensor, "texts text_dim"],
        visual: Float[Tensor, "videos frames *patches visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"] | None = None,
    ) -> Explanation:
        """Gate, attention and sound weight of all pairs (docs/method.md, section 9)."""
        self._check(text, visual, audio)
        projected = self.project_videos(visual, audio, every_frame(visual) if audio_mask is None else audio_mask)
        texts = folded.text_side(self.parts, self.embed_text(text))
        gate, attention = folded.explain(texts, folded.video_side(self.parts, *projected))
        return Explanation(gate, attention, gate * attention)

    @torch.no_grad()
    def embed_videos(
        self,
        visual: Float[Tensor, "videos frames *patches visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"] | None = None,
    ) -> Float[Tensor, "videos dim"]:
        """One unit vector per video without a query, for an index of candidates: gated and pooled by the mean training text.

        It approximates what a query's own gate and pooling give (exactly, for mean pooling without fusion): re-score the candidates.
        """
        audio_mask = every_frame(visual) if audio_mask is None else audio_mask
        texts = folded.text_side(self.parts, self.neutral_text[None])
        vectors = []
        for start in range(0, len(visual), 256):
            rows = slice(start, start + 256)
            projected = self.project_videos(visual[rows], audio[rows], audio_mask[rows])
            pooled = folded.pool(texts, folded.video_side(self.parts, *projected)).mean_of_texts()
            vectors.append(functional.normalize(pooled, dim=-1))
        return torch.cat(vectors) if vectors else self.neutral_text.new_zeros((0, len(self.neutral_text)))


def _cosines(text: Tensor, pooled: folded.Pooled | folded.Pairs, lengths: Tensor) -> Float[Tensor, "texts videos"]:
    """Cosines of each text with the embeddings of its pairs, which have these lengths."""
    return pooled.products(text) / (text.norm(dim=-1)[:, None] * lengths).clamp(min=1e-12)
