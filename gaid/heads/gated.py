"""The family of heads that fuse, pool and perturb: CLIP4Clip's mean, X-Pool, T-MASS and GAID are members of it."""

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from gaid.errors import HeadMismatch, OptionInvalid
from gaid.heads.base import Algorithm, By, Explanation, HeadBase, LossParts, Noise
from gaid.heads.gate import FrameGate, SampleGate, TokenGate
from gaid.heads.losses import PositiveWeights, info_nce, positive_weights, support_embedding
from gaid.heads.pair_noise import PairNoise
from gaid.heads.perturbation import DirectionalPerturbation, Prior, StochasticPerturbation
from gaid.heads.pooling import AttentionPooling, MeanPooling
from gaid.heads.projection import projection
from gaid.heads.scoring import blocks as all_pairs
from gaid.heads.scoring import direct, folded
from gaid.heads.scoring.plan import few_texts

Fusion = Literal["none", "sample", "frame", "token"]
Pooling = Literal["mean", "attention"]
PerturbationName = Literal["none", "stp", "dasp"]
CHOICES = {
    "fusion": ("none", "sample", "frame", "token"),
    "pooling": ("mean", "attention"),
    "perturbation": ("none", "stp", "dasp"),
    "prior": ("uniform", "normal"),
    "positive_weights": ("clipped", "published"),
}


class GatedHead(HeadBase):
    """Fusion of picture and sound, pooling over frames, perturbation of the text; any combination (method, sections 1 to 6).

    Args:
        visual_dim, audio_dim, text_dim: sizes of the backbones' embeddings.
        dim: size in which they meet (D); the text's size by default.
        frames: frames a video (F).
        fusion: `none` (no sound), `sample` (a gate a pair), `frame` (a gate a frame: FGF), `token` (a gate a patch token:
            `visual` is then patch tokens, (videos, frames, patches, visual_dim)).
        pooling: `mean` or `attention`.
        perturbation: `none`, `stp` or `dasp`.
        prior, prior_std, trials: STP's noise, and how many draws an evaluation makes.
        dropout: in attention pooling; with 0 training never makes a pair's features, with more it makes one vector a pair.
        logit_scale: what cosines are multiplied by in the loss (CLIP's is 100); frozen.
        weighted_loss: positives count by their similarity (GAID). support_loss_weight: lambda of the support loss.
        positive_weights: how a positive of negative similarity counts in the weighted loss: `clipped` not at all,
            `published` with its negative weight, as in GAID's code (`losses.positive_weights`).

    Raises: OptionInvalid for a choice that does not exist.
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
        pooling: Pooling = "attention",
        perturbation: PerturbationName = "dasp",
        prior: Prior = "uniform",
        prior_std: float = 3e-3,
        trials: int = 20,
        dropout: float = 0.3,
        logit_scale: float = 100.0,
        weighted_loss: bool = True,
        positive_weights: PositiveWeights = "clipped",
        support_loss_weight: float = 0.0,
    ) -> None:
        dim = dim or text_dim
        chosen = {
            "fusion": fusion, "pooling": pooling, "perturbation": perturbation, "prior": prior,
            "positive_weights": positive_weights,
        }  # fmt: skip
        for name, value in chosen.items():
            if value not in CHOICES[name]:
                raise OptionInvalid(f"{name} {value!r} does not exist; choose one of {', '.join(CHOICES[name])}")
        if not 0 < logit_scale <= 100:
            raise OptionInvalid(f"logit_scale must lie above 0 and at most at 100, not {logit_scale}")
        super().__init__(
            visual_dim=visual_dim, audio_dim=audio_dim, text_dim=text_dim, dim=dim, frames=frames, **chosen,
            prior_std=prior_std, trials=trials, dropout=dropout, logit_scale=logit_scale,
            weighted_loss=weighted_loss, support_loss_weight=support_loss_weight,
        )  # fmt: skip
        self.visual_proj = projection(visual_dim, dim)
        self.text_proj = projection(text_dim, dim)
        self.uses_audio = fusion != "none"
        self.audio_proj = projection(audio_dim, dim) if self.uses_audio else None
        self.gate: FrameGate | None = None
        if self.uses_audio:
            self.gate = {"sample": SampleGate, "frame": FrameGate, "token": TokenGate}[fusion](dim)
        self.visual_input = "patches" if fusion == "token" else "frames"
        self.pooling = AttentionPooling(dim, dropout) if pooling == "attention" else MeanPooling()
        self.perturbation: StochasticPerturbation | DirectionalPerturbation | None = None
        if perturbation == "stp":
            self.perturbation = StochasticPerturbation(dim, frames, prior, prior_std, trials)
        elif perturbation == "dasp":
            self.perturbation = DirectionalPerturbation(dim, frames)
        self.has_trials = perturbation == "stp"
        self.logit_scale = logit_scale
        self.weighted_loss = weighted_loss
        self.positive_weights = positive_weights
        self.support_loss_weight = support_loss_weight
        # The mean text of training stands in for a query where there is none (`embed_videos`).
        self.neutral_text: Tensor
        self.register_buffer("neutral_text", torch.zeros(dim))

    # Projections

    def _to_own(self, features: Tensor) -> Tensor:
        weight = self.text_proj.weight
        return features.to(device=weight.device, dtype=weight.dtype)

    def embed_text(self, text: Float[Tensor, "texts text_dim"]) -> Float[Tensor, "texts dim"]:
        """Texts where they meet the videos, before any perturbation."""
        return self.text_proj(self._to_own(text))

    def project_videos(
        self,
        visual: Float[Tensor, "videos frames *patches visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"],
    ) -> tuple[
        Float[Tensor, "videos frames *patches dim"], Float[Tensor, "videos frames dim"], Bool[Tensor, "videos frames"]
    ]:
        """Features where they meet the texts; sound that is not there is 0 and masked, whatever was handed in."""
        mask = audio_mask.to(self.text_proj.weight.device)
        seen = self.visual_proj(self._to_own(visual))
        if self.audio_proj is None:
            return seen, torch.zeros_like(seen), mask
        heard = self._to_own(audio).masked_fill(~mask[..., None], 0)
        return seen, self.audio_proj(heard), mask

    def _check(self, text: Tensor, visual: Tensor, audio: Tensor) -> None:
        given = {
            "text": (text.shape[-1], self.config["text_dim"]),
            "visual": (visual.shape[-1], self.config["visual_dim"]),
            "frames": (visual.shape[1], self.config["frames"]),
        }
        if self.uses_audio:
            given["audio"] = (audio.shape[-1], self.config["audio_dim"])
        if self.perturbation is None:
            given.pop("frames")
        if visual.ndim != (4 if self.visual_input == "patches" else 3):
            raise HeadMismatch(f"this head takes {self.visual_input} as its visual features, not {tuple(visual.shape)}")
        wrong = [
            f"{name} has {found}, the head wants {wanted}" for name, (found, wanted) in given.items() if found != wanted
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
        """Loss of a batch; text i belongs to video i (method, section 4).

        Texts are perturbed by their own video and compared with every video as pooled for them. `gate_by="own_caption"`
        gates each video by its own caption, as GAID's published training does.
        """
        self._check(text, visual, audio)
        words = self.embed_text(text)
        seen, heard, mask = self.project_videos(visual, audio, audio_mask)
        if self.training:
            with torch.no_grad():
                begun = self.neutral_text.any()  # stays on the device: no wait for it
                self.neutral_text.lerp_(words.detach().mean(0), torch.where(begun, 0.05, 1.0).to(words.dtype))
        perturbed, std = words, None
        if self.perturbation is not None:
            std = self.perturbation.deviation(words, direct.fuse_own(self, words, seen, heard, mask)).exp()
            perturbed = self.perturbation.perturb(words, std)
        compare = self._pair_products(words, seen, heard, mask, gate_by, pool_by)
        sims, mean_pooled = compare(perturbed)
        weights = positive_weights(sims, self.positive_weights) if self.weighted_loss else None
        total = info_nce(sims, self.logit_scale, weights, same)
        parts: dict[str, Tensor | float] = {"score": total.detach()}
        if self.support_loss_weight and std is not None:
            support, _ = compare(support_embedding(words, mean_pooled, std))
            of_support = info_nce(support, self.logit_scale, weights, same)
            parts["support"] = of_support.detach()
            total = total + self.support_loss_weight * of_support
        return LossParts(total, parts)

    def _pair_products(self, words: Tensor, seen: Tensor, heard: Tensor, mask: Tensor, gate_by: By, pool_by: By) -> Any:
        """A function from texts to (cosines with all pairs' embeddings, mean embedding of each video over the texts)."""
        texts_side, videos = folded.text_side(self, words), folded.video_side(self, seen, heard, mask)
        owning = (texts_side if gate_by == "own_caption" else None, texts_side if pool_by == "own_caption" else None)
        drops = isinstance(self.pooling, AttentionPooling) and self.training and self.pooling.dropout.p > 0
        pooled = (folded.pool_dropping if drops else folded.pool)(self, texts_side, videos, *owning)
        norms = pooled.norms()

        def compare(texts: Tensor) -> tuple[Tensor, Tensor]:
            products = pooled.products(texts)
            return products / (texts.norm(dim=-1)[:, None] * norms).clamp(min=1e-12), pooled.mean_of_texts()

        return compare

    # Scoring

    def few_texts(self, videos: int, tokens: int = 1) -> int:
        """Up to so many texts `direct` is faster with so many videos of so many tokens per frame, on the head's device."""
        device, perturbation = self.text_proj.weight.device, self.perturbation
        return few_texts(
            videos, tokens, perturbation is not None, isinstance(perturbation, StochasticPerturbation), device
        )

    @torch.no_grad()
    def score(
        self,
        text: Float[Tensor, "texts text_dim"],
        visual: Float[Tensor, "videos frames *patches visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"] | None = None,
        *,
        gate_by: By = "query",
        pool_by: By = "query",
        own_caption: Int[Tensor, " videos"] | None = None,
        pool_caption: Int[Tensor, " videos"] | None = None,
        algorithm: Algorithm = "auto",
        memory: int = 2**30,
        seed: int = 0,
        noise: Noise = "text",
        text_rows: Int[Tensor, " texts"] | None = None,
        video_rows: Int[Tensor, " videos"] | None = None,
    ) -> Float[Tensor, "texts videos"]:
        """Similarity of every text with every video, in blocks within `memory` bytes over the inputs and the result.

        Args:
            audio_mask: frames that have sound; all by default.
            gate_by, pool_by: whose text conditions gate and pooling: the query that asks, or each gallery video's own
                caption, as published evaluations do (method, section 7).
            own_caption: row in `text` of each video's own caption; 0..V-1 by default where there are as many of both.
            pool_caption: row of the own caption that pools, where it is another than the one that gates.
            algorithm: `folded`, `direct` (every tensor made), or by `auto` the faster one; equal within rounding.
            seed: of STP's trials.
            noise: whose STP's trials are. `text`: drawn once per text for all videos, and the best of a pair's scores counts.
                `pair`: as T-MASS publishes it, drawn anew for each pair; the trial is the one that is nearest to the video as
                the query pools it (its frames gated as `gate_by` says), and its score counts, by whichever pooling.
            text_rows, video_rows: where these texts and videos stand in an evaluation of which they are a part; a pair's own
                draws depend on it. As they come by default.

        Raises: HeadMismatch when sizes don't fit or own captions are needed and unknown; OptionInvalid for a wrong word.
        """
        self._check(text, visual, audio)
        for name, value, choices in (
            ("gate_by", gate_by, ("query", "own_caption")),
            ("pool_by", pool_by, ("query", "own_caption")),
            ("algorithm", algorithm, ("auto", "folded", "direct")),
            ("noise", noise, ("text", "pair")),
        ):
            if value not in choices:
                raise OptionInvalid(f"{name} {value!r} does not exist; choose one of {', '.join(choices)}")
        if audio_mask is None:
            audio_mask = torch.ones(visual.shape[:2], dtype=torch.bool, device=visual.device)
        by_own = "own_caption" in (gate_by, pool_by)
        if own_caption is None:
            if by_own and len(text) != len(visual):
                raise HeadMismatch(
                    f"{len(text)} texts for {len(visual)} videos: say with own_caption which text is each video's own"
                )
            own_caption = torch.arange(len(visual)) if by_own else torch.zeros(len(visual), dtype=torch.long)
        training = self.training
        self.eval()
        try:
            words = self.embed_text(text)
            source = all_pairs.VideoSource(self, visual, audio, audio_mask)
            own_caption = own_caption.to(words.device)
            pool_caption = own_caption if pool_caption is None else pool_caption.to(words.device)
            if algorithm == "auto":
                few = self.few_texts(len(visual), source.tokens // source.frames)
                algorithm = "direct" if len(text) <= few else "folded"
            own_noise = None
            if noise == "pair" and isinstance(self.perturbation, StochasticPerturbation):
                places = (
                    len(words) if text_rows is None else text_rows,
                    len(visual) if video_rows is None else video_rows,
                )
                own_noise = PairNoise(self.perturbation, words.shape[1], seed, *places, words.device)
            rest = (memory, seed, own_noise)
            if algorithm == "folded":
                gate_own = own_caption if gate_by == "own_caption" else None
                pool_own = pool_caption if pool_by == "own_caption" else None
                return all_pairs.score(self, words, source, gate_own, pool_own, *rest).float()
            return direct.score(self, words, source, own_caption, pool_caption, gate_by, pool_by, *rest).float()
        finally:
            self.train(training)

    # Explanation and indexing

    @torch.no_grad()
    def explain(
        self,
        text: Float[Tensor, "texts text_dim"],
        visual: Float[Tensor, "videos frames *patches visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"] | None = None,
    ) -> Explanation:
        """Gate, attention and sound weight of all pairs, each (T, V, F) (method, section 9)."""
        self._check(text, visual, audio)
        if audio_mask is None:
            audio_mask = torch.ones(visual.shape[:2], dtype=torch.bool)
        projected = self.project_videos(visual, audio, audio_mask)
        gate, attention = folded.explain(
            self, folded.text_side(self, self.embed_text(text)), folded.video_side(self, *projected)
        )
        return Explanation(gate, attention, gate * attention)

    @torch.no_grad()
    def embed_videos(
        self,
        visual: Float[Tensor, "videos frames *patches visual_dim"],
        audio: Float[Tensor, "videos frames audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"] | None = None,
    ) -> Float[Tensor, "videos dim"]:
        """One unit vector a video that needs no query, for an index of candidates: gated and pooled by the mean training text.

        An approximation of what a query's own gate and pooling give (exact for mean pooling without fusion): re-score.
        """
        if audio_mask is None:
            audio_mask = torch.ones(visual.shape[:2], dtype=torch.bool)
        texts = folded.text_side(self, self.neutral_text[None])
        vectors = []
        for start in range(0, len(visual), 256):
            rows = slice(start, start + 256)
            projected = self.project_videos(visual[rows], audio[rows], audio_mask[rows])
            pooled = folded.pool(self, texts, folded.video_side(self, *projected)).mean_of_texts()
            vectors.append(functional.normalize(pooled, dim=-1))
        return torch.cat(vectors) if vectors else self.neutral_text.new_zeros((0, len(self.neutral_text)))
