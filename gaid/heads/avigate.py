"""AVIGATE's head (Jeong et al., CVPR 2025; docs/method.md, section 5): its fusion does not depend on the text, so each video
is encoded once.

The published form reads all tokens of the whole clip's sound, and so does this one where the store holds them (`audio_input`
"clip"); from other stores it reads tokens of each frame's sound ("tokens") or one embedding per frame ("frames"). Frames
without audio are masked in its attention, and in a video without any audio the gates are 0, unless they stay open as in the
published form.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from gaid.errors import HeadMismatch, OptionInvalid
from gaid.heads.base import HeadBase, LossParts, Scoring, every_frame
from gaid.heads.losses import info_nce
from gaid.heads.projection import check_one_size, projection

FUSED = 0.05
"""Share of the transformer's output in a fused frame; the rest is the frame's own embedding."""


# CLIP's names of a text block's parts, and those of a block here that start as them.
_AS_IN_TEXT = {
    "attn": "attention",
    "ln_1": "norm_attention",
    "ln_2": "norm_mlp",
    "mlp.c_fc": "mlp.0",
    "mlp.c_proj": "mlp.2",
}


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), CLIP's activation."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def _mlp(dim: int, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, 4 * dim, bias=bias), QuickGELU(), nn.Linear(4 * dim, dim, bias=bias))


def _gate(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2 * dim, dim // 2, bias=False), QuickGELU(), nn.Linear(dim // 2, 1, bias=False))


class ResamplerBlock(nn.Module):
    """Self-attention among the queries, cross-attention to the audio, then an MLP; each after its norm."""

    def __init__(self, dim: int, attention_heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, attention_heads, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(dim, attention_heads, batch_first=True)
        self.mlp = _mlp(dim)
        self.norm_attention, self.norm_mlp, self.norm_cross = (nn.LayerNorm(dim) for _ in range(3))

    def forward(self, x: Tensor, audio: Tensor, absent: Tensor) -> Tensor:
        """Queries (V, Q, D) after attending to `audio` (V, N, D) where `absent` (V, N) is false."""
        inner = self.norm_attention(x)
        x = x + self.attention(inner, inner, inner, need_weights=False)[0]
        keys = self.norm_cross(audio)
        x = x + self.cross_attention(self.norm_cross(x), keys, keys, key_padding_mask=absent, need_weights=False)[0]
        out: Tensor = x + self.mlp(self.norm_mlp(x))
        return out


class FusionBlock(nn.Module):
    """Cross-attention to the resampled audio, scaled by two gates per video; then self-attention and an MLP; each after its norm."""

    def __init__(self, dim: int, attention_heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, attention_heads, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(dim, attention_heads, batch_first=True)
        self.mlp, self.cross_mlp = _mlp(dim), _mlp(dim, bias=False)
        self.attention_gate, self.mlp_gate = _gate(dim), _gate(dim)
        self.norm_attention, self.norm_mlp, self.norm_cross, self.norm_cross_mlp = (nn.LayerNorm(dim) for _ in range(4))

    def forward(self, x: Tensor, audio: Tensor, any_audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (V, F, D) after the block, and its two gates (V)."""
        both = torch.cat([x.mean(1), audio.mean(1)], dim=-1)
        attention_gate = torch.tanh(self.attention_gate(both)) * any_audio
        mlp_gate = torch.tanh(self.mlp_gate(both)) * any_audio
        attended = self.cross_attention(self.norm_cross(x), audio, audio, need_weights=False)[0]
        x = x + attention_gate[:, None] * attended
        x = x + mlp_gate[:, None] * self.cross_mlp(self.norm_cross_mlp(x))
        inner = self.norm_attention(x)
        x = x + self.attention(inner, inner, inner, need_weights=False)[0]
        return x + self.mlp(self.norm_mlp(x)), attention_gate[:, 0], mlp_gate[:, 0]


class AvigateHead(HeadBase):
    """Audio is resampled to a few tokens and fused into the frames by gates per video; texts meet the frames and their mean.

    Args:
        visual_dim: size of the visual backbone's embedding.
        audio_dim: of the audio backbone's.
        text_dim: of the text backbone's.
        dim: size in which they meet (D), a multiple of `attention_heads`; the text's size by default.
        frames: frames per video (F).
        attention_heads: of every attention layer; D / 64 by default, at least 1.
        layers: blocks in the resampler, and again in the fusion.
        queries: tokens that the audio is resampled to.
        audio_input: "frames" for one audio embedding per frame; "tokens" for several: audio is then (videos, frames, tokens,
            audio_dim), and `audio_dim` is a token's size; "clip" for tokens of the whole clip, (videos, tokens, audio_dim).
            `gaid train-head` chooses tokens where the store holds them, those of the clip first.
        gates_without_audio: "closed" where a video without audio is its frames alone; "open" where it is fused with the tokens
            that the encoder gave for no sound, as the published form does (for `audio_input` "clip").
        query_rate: how many times the learning rate the queries learn at; 100 as published.
        logit_scale: factor on the cosines (s); frozen.
        margin: maximum of the adaptive margin (delta).
        margin_scale: its scale (beta).
        projections: whether visual and text each get a learnt linear layer. The published head has none; without them their
            sizes must be equal. The audio always has one, as it is published.

    Raises: OptionInvalid where `dim` is not a multiple of `attention_heads`, for another `audio_input`, for open gates where
        the audio is not the clip's, for a `query_rate` that is not above 0, and for embeddings of several sizes without projections.
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
        attention_heads: int | None = None,
        layers: int = 4,
        queries: int = 12,
        audio_input: Literal["frames", "tokens", "clip"] = "frames",
        gates_without_audio: Literal["closed", "open"] = "closed",
        query_rate: float = 1.0,
        logit_scale: float = 100.0,
        margin: float = 0.1,
        margin_scale: float = 0.2,
        projections: bool = True,
    ) -> None:
        dim = dim or text_dim
        attention_heads = attention_heads or max(1, dim // 64)
        if dim % attention_heads:
            raise OptionInvalid(
                f"dim {dim} is not a multiple of {attention_heads} attention heads; set head.dim or head.attention_heads"
            )
        if audio_input not in ("frames", "tokens", "clip"):
            raise OptionInvalid(f"audio_input {audio_input!r} does not exist; choose frames, tokens or clip")
        if query_rate <= 0:
            raise OptionInvalid(f"query_rate {query_rate:g} must be above 0")
        if gates_without_audio == "open" and audio_input != "clip":
            raise OptionInvalid(
                "gates_without_audio=open needs audio_input=clip: only a clip's tokens say what no sound is"
            )
        super().__init__(
            visual_dim=visual_dim, audio_dim=audio_dim, text_dim=text_dim, dim=dim, frames=frames,
            attention_heads=attention_heads, layers=layers, queries=queries, audio_input=audio_input,
            gates_without_audio=gates_without_audio, query_rate=query_rate, logit_scale=logit_scale, margin=margin, margin_scale=margin_scale,
            projections=projections,
        )  # fmt: skip
        self.audio_input, self.gates_without_audio = audio_input, gates_without_audio
        self.rates, self.text_blocks = {"queries": query_rate}, layers
        if not projections:
            check_one_size(dim, visual=visual_dim, text=text_dim)
        self.visual_proj = projection(visual_dim, dim, projections)
        self.audio_proj = projection(audio_dim, dim)
        self.text_proj = projection(text_dim, dim, projections)
        self.queries = nn.Parameter(nn.init.orthogonal_(torch.empty(queries, dim)))
        self.query_positions = nn.Parameter(torch.randn(queries, dim) * 0.02)
        self.frame_positions = nn.Parameter(torch.randn(frames, dim) * 0.02)
        self.resampler = nn.ModuleList(ResamplerBlock(dim, attention_heads) for _ in range(layers))
        self.fusion = nn.ModuleList(FusionBlock(dim, attention_heads) for _ in range(layers))
        self.logit_scale, self.margin, self.margin_scale = logit_scale, margin, margin_scale

    @torch.no_grad()
    def start_as_text(self, blocks: Sequence[Mapping[str, Tensor]], positions: Tensor) -> None:
        """Both stacks start as the blocks, but for their attention to the audio and their gates, and the frames' positions as
        the first ones, as published."""
        for stack in (self.resampler, self.fusion):
            for block, weights in zip(stack, blocks, strict=False):  # a small text encoder may have fewer
                for theirs, ours in _AS_IN_TEXT.items():
                    part = block.get_submodule(ours)
                    part.load_state_dict(
                        {
                            name.removeprefix(f"{theirs}."): value
                            for name, value in weights.items()
                            if name.startswith(f"{theirs}.")
                        }
                    )
        count = min(len(positions), len(self.frame_positions))
        self.frame_positions[:count] = positions[:count]

    def embed_text(self, text: Float[Tensor, "texts text_dim"]) -> Float[Tensor, "texts dim"]:
        """Texts as unit vectors in the space that they share with the videos."""
        like = self.queries
        return functional.normalize(self.text_proj(text.to(like.device, like.dtype)), dim=-1)

    def resample(
        self, audio: Float[Tensor, "videos steps dim"], mask: Bool[Tensor, "videos steps"]
    ) -> Float[Tensor, "videos queries dim"]:
        """The audio (after its projection) as `queries` tokens; finite, but without meaning, for a video without audio."""
        # With all keys masked a softmax is 0/0: such a video attends to its zeros instead, and its gates are 0.
        absent = ~mask & mask.any(1, keepdim=True)
        x = (self.queries + self.query_positions).expand(len(audio), -1, -1)
        for block in self.resampler:
            x = block(x, audio, absent)
        return x

    def fuse(
        self,
        visual: Float[Tensor, "videos frames dim"],
        audio: Float[Tensor, "videos steps dim"],
        mask: Bool[Tensor, "videos steps"],
    ) -> tuple[Float[Tensor, "videos frames dim"], Float[Tensor, "layers videos"], Float[Tensor, "layers videos"]]:
        """Fused frames from projected inputs, and the two gates of each block for each video."""
        placed = visual + self.frame_positions
        resampled = self.resample(audio, mask)
        any_audio = mask.any(1, keepdim=True).to(placed.dtype)
        x, attention_gates, mlp_gates = placed, [], []
        for block in self.fusion:
            x, attention_gate, mlp_gate = block(x, resampled, any_audio)
            attention_gates.append(attention_gate)
            mlp_gates.append(mlp_gate)
        return (1 - FUSED) * placed + FUSED * x, torch.stack(attention_gates), torch.stack(mlp_gates)

    def project_videos(self, visual: Tensor, audio: Tensor, audio_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features in the space that they share with the texts: audio as (videos, steps, dim), one step per frame or per token,
        and which steps have audio. Steps without audio are 0, whatever they were.
        """
        like = self.queries
        mask = audio_mask.to(like.device)
        if self.audio_input == "tokens":
            mask = mask.repeat_interleave(audio.shape[2], dim=1)
            audio = audio.flatten(1, 2)
        elif self.audio_input == "clip":
            mask = mask.any(1, keepdim=True).expand(-1, audio.shape[1])
            if self.gates_without_audio == "open":
                mask = torch.ones_like(mask)
        audio = audio.to(like.device, like.dtype).masked_fill(~mask[..., None], 0)
        return self.visual_proj(visual.to(like.device, like.dtype)), self.audio_proj(audio), mask

    def encode_videos(self, visual: Tensor, audio: Tensor, audio_mask: Tensor) -> Float[Tensor, "videos frames dim"]:
        """Fused frames as unit vectors."""
        return functional.normalize(self.fuse(*self.project_videos(visual, audio, audio_mask))[0], dim=-1)

    def similarity(
        self, text: Float[Tensor, "texts dim"], fused: Float[Tensor, "videos frames dim"]
    ) -> Float[Tensor, "texts videos"]:
        """(soft maximum of the cosines with the frames + cosine with their mean) / 2, of unit vectors; the logit is s times this."""
        videos, frames, dim = fused.shape
        cosines = (text @ fused.reshape(-1, dim).t()).view(len(text), videos, frames)
        soft = torch.logsumexp(self.logit_scale * cosines, dim=-1) / self.logit_scale
        return (soft + text @ functional.normalize(fused.mean(1), dim=-1).t()) / 2

    def adaptive_margin(
        self, text: Float[Tensor, "batch dim"], visual: Float[Tensor, "batch frames dim"]
    ) -> Float[Tensor, "batch batch"]:
        """What is added to each negative's similarity: the less two pairs resemble each other, the more. Without gradient."""
        with torch.no_grad():
            placed = functional.normalize(visual + self.frame_positions, dim=-1)
            video = functional.normalize(placed.mean(1), dim=-1)
            alike = (text @ text.t() + video @ video.t()) / 2
            return (self.margin_scale * (1 - alike)).clamp(max=self.margin).fill_diagonal_(0)

    def _check(self, visual: Tensor, audio: Tensor) -> None:
        if audio.ndim != (4 if self.audio_input == "tokens" else 3):
            raise HeadMismatch(f"this head takes {self.audio_input} as its audio, not shape {tuple(audio.shape)}")
        if self.audio_input == "frames" and audio.shape[1] != visual.shape[1]:
            raise HeadMismatch(f"{visual.shape[1]} frames have {audio.shape[1]} audio embeddings; expected one each")
        wanted = (self.config["frames"], self.config["visual_dim"])
        if tuple(visual.shape[1:]) != wanted or audio.shape[-1] != self.config["audio_dim"]:
            raise HeadMismatch(
                f"features do not fit this head: visual {tuple(visual.shape[1:])}, audio {audio.shape[-1]}; "
                f"it takes {wanted} and {self.config['audio_dim']}"
            )

    def loss(
        self,
        text: Float[Tensor, "batch text_dim"],
        visual: Float[Tensor, "batch frames visual_dim"],
        audio: Float[Tensor, "batch steps *tokens audio_dim"],
        audio_mask: Bool[Tensor, "batch frames"],
        same: Bool[Tensor, "batch batch"] | None = None,
    ) -> LossParts:
        """InfoNCE with the adaptive margin; text i belongs to video i."""
        self._check(visual, audio)
        text = self.embed_text(text)
        visual, audio, mask = self.project_videos(visual, audio, audio_mask)
        fused = functional.normalize(self.fuse(visual, audio, mask)[0], dim=-1)
        similarity = self.similarity(text, fused) + self.adaptive_margin(text.detach(), visual.detach())
        total = info_nce(similarity, self.logit_scale, None, same)
        return LossParts(total, {"score": total.detach()})

    def score_pairs(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor, how: Scoring
    ) -> Float[Tensor, "texts videos"]:
        """No video depends on a text: whose caption gates or pools makes no difference, and there is one algorithm."""
        self._check(visual, audio)
        text = self.embed_text(text)
        scores = text.new_empty(len(text), len(visual))
        frames, dim = visual.shape[1], self.config["dim"]
        per_video = frames * (3 * len(text) + 16 * dim)
        if self.audio_input != "frames":  # a token is widened, projected, normed, and once a key and once a value
            per_video += audio.shape[1:-1].numel() * (self.config["audio_dim"] + 6 * dim)
        step = max(1, how.memory // (4 * per_video))
        for start in range(0, len(visual), step):
            rows = slice(start, start + step)
            scores[:, rows] = self.similarity(text, self.encode_videos(visual[rows], audio[rows], audio_mask[rows]))
        return scores

    @torch.no_grad()
    def embed_videos(
        self, visual: Tensor, audio: Tensor, audio_mask: Tensor | None = None
    ) -> Float[Tensor, "videos dim"]:
        """The unit mean of each video's fused frames, for an index of candidates. It is one of the two terms of the score:
        re-score the candidates."""
        audio_mask = every_frame(visual) if audio_mask is None else audio_mask
        step = max(1, 256 * visual.shape[1] // max(1, audio.shape[1:-1].numel()))
        blocks = [slice(start, start + step) for start in range(0, len(visual), step)]
        parts = [
            functional.normalize(self.encode_videos(visual[rows], audio[rows], audio_mask[rows]).mean(1), dim=-1)
            for rows in blocks
        ]
        return torch.cat(parts) if parts else self.queries.new_zeros((0, self.config["dim"]))
