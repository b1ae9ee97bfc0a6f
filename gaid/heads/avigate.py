"""AVIGATE's head (Jeong et al., CVPR 2025; method, section 5): fusion that does not see the text, so a video is encoded once.

Its published form reads an audio encoder's tokens. So does it here where the store holds any (`audio_input` "tokens"); of
another it reads the one embedding of each frame's window of sound ("frames"). Sound of frames that have none is not
attended to, so what is read is ragged; in a video without any the gates are 0.
"""

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from gaid.errors import HeadMismatch, OptionInvalid
from gaid.heads.base import HeadBase, LossParts, Scoring, every_frame
from gaid.heads.losses import info_nce
from gaid.heads.projection import projection

FUSED = 0.05
"""Share of the transformer's output in a frame; the rest is the frame as it came."""


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), CLIP's activation."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def _mlp(dim: int, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, 4 * dim, bias=bias), QuickGELU(), nn.Linear(4 * dim, dim, bias=bias))


def _gate(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2 * dim, dim // 2, bias=False), QuickGELU(), nn.Linear(dim // 2, 1, bias=False))


class ResamplerBlock(nn.Module):
    """Queries look at one another, then at the sound, then at themselves; pre-norm."""

    def __init__(self, dim: int, attention_heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, attention_heads, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(dim, attention_heads, batch_first=True)
        self.mlp = _mlp(dim)
        self.norm_attention, self.norm_mlp, self.norm_cross = (nn.LayerNorm(dim) for _ in range(3))

    def forward(self, x: Tensor, audio: Tensor, unheard: Tensor) -> Tensor:
        """Queries (V, Q, D) after reading `audio` (V, N, D) where `unheard` (V, N) is false."""
        inner = self.norm_attention(x)
        x = x + self.attention(inner, inner, inner, need_weights=False)[0]
        heard = self.norm_cross(audio)
        x = x + self.cross_attention(self.norm_cross(x), heard, heard, key_padding_mask=unheard, need_weights=False)[0]
        out: Tensor = x + self.mlp(self.norm_mlp(x))
        return out


class FusionBlock(nn.Module):
    """Frames take in the resampled sound as far as two gates let them, then look at one another; pre-norm."""

    def __init__(self, dim: int, attention_heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, attention_heads, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(dim, attention_heads, batch_first=True)
        self.mlp, self.cross_mlp = _mlp(dim), _mlp(dim, bias=False)
        self.attention_gate, self.mlp_gate = _gate(dim), _gate(dim)
        self.norm_attention, self.norm_mlp, self.norm_cross, self.norm_cross_mlp = (nn.LayerNorm(dim) for _ in range(4))

    def forward(self, x: Tensor, audio: Tensor, any_sound: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (V, F, D) after the block, and its two gates (V)."""
        both = torch.cat([x.mean(1), audio.mean(1)], dim=-1)
        attention_gate = torch.tanh(self.attention_gate(both)) * any_sound
        mlp_gate = torch.tanh(self.mlp_gate(both)) * any_sound
        heard = self.cross_attention(self.norm_cross(x), audio, audio, need_weights=False)[0]
        x = x + attention_gate[:, None] * heard
        x = x + mlp_gate[:, None] * self.cross_mlp(self.norm_cross_mlp(x))
        inner = self.norm_attention(x)
        x = x + self.attention(inner, inner, inner, need_weights=False)[0]
        return x + self.mlp(self.norm_mlp(x)), attention_gate[:, 0], mlp_gate[:, 0]


class AvigateHead(HeadBase):
    """Sound resampled to a few tokens, fused into the frames by gates of whole videos, compared frame by frame and as a mean.

    Args:
        visual_dim, audio_dim, text_dim: sizes of the backbones' embeddings.
        dim: size in which they meet (D), a multiple of `attention_heads`; the text's size by default.
        frames: frames a video (F).
        attention_heads: of every attention; D / 64 by default, 1 at least.
        layers: blocks of the resampler and of the fusion each. queries: tokens that the sound is resampled to.
        audio_input: "frames", an embedding a frame's sound, or "tokens", several: audio is then (videos, frames, tokens,
            audio_dim), and `audio_dim` is a token's size. Training on a store that holds tokens takes them unless told.
        logit_scale: s, what cosines are multiplied by; frozen.
        margin, margin_scale: the adaptive margin's highest value (delta) and its scale (beta).

    Raises: OptionInvalid where the dimension can't be shared among the attention heads, and for another `audio_input`.
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
        audio_input: Literal["frames", "tokens"] = "frames",
        logit_scale: float = 100.0,
        margin: float = 0.1,
        margin_scale: float = 0.2,
    ) -> None:
        dim = dim or text_dim
        attention_heads = attention_heads or max(1, dim // 64)
        if dim % attention_heads:
            raise OptionInvalid(f"dim {dim} can't be shared among {attention_heads} attention heads; set head.dim")
        if audio_input not in ("frames", "tokens"):
            raise OptionInvalid(f"audio_input {audio_input!r} does not exist; choose frames or tokens")
        super().__init__(
            visual_dim=visual_dim, audio_dim=audio_dim, text_dim=text_dim, dim=dim, frames=frames,
            attention_heads=attention_heads, layers=layers, queries=queries, audio_input=audio_input, logit_scale=logit_scale, margin=margin,
            margin_scale=margin_scale,
        )  # fmt: skip
        self.audio_input = audio_input
        self.visual_proj = projection(visual_dim, dim)
        self.audio_proj = projection(audio_dim, dim)
        self.text_proj = projection(text_dim, dim)
        self.queries = nn.Parameter(nn.init.orthogonal_(torch.empty(queries, dim)))
        self.query_positions = nn.Parameter(torch.randn(queries, dim) * 0.02)
        self.frame_positions = nn.Parameter(torch.randn(frames, dim) * 0.02)
        self.resampler = nn.ModuleList(ResamplerBlock(dim, attention_heads) for _ in range(layers))
        self.fusion = nn.ModuleList(FusionBlock(dim, attention_heads) for _ in range(layers))
        self.logit_scale, self.margin, self.margin_scale = logit_scale, margin, margin_scale

    def embed_text(self, text: Float[Tensor, "texts text_dim"]) -> Float[Tensor, "texts dim"]:
        """Texts as unit vectors where they meet the videos."""
        weight = self.text_proj.weight
        return functional.normalize(self.text_proj(text.to(weight.device, weight.dtype)), dim=-1)

    def resample(
        self, audio: Float[Tensor, "videos sounds dim"], mask: Bool[Tensor, "videos sounds"]
    ) -> Float[Tensor, "videos queries dim"]:
        """The sound (after its projection) as `queries` tokens; anything, but finite, where a video has none."""
        # Where all keys are masked a softmax is 0/0: such a video reads its zeros instead, and its gates are 0.
        unheard = ~mask & mask.any(1, keepdim=True)
        x = (self.queries + self.query_positions).expand(len(audio), -1, -1)
        for block in self.resampler:
            x = block(x, audio, unheard)
        return x

    def fuse(
        self,
        visual: Float[Tensor, "videos frames dim"],
        audio: Float[Tensor, "videos sounds dim"],
        mask: Bool[Tensor, "videos sounds"],
    ) -> tuple[Float[Tensor, "videos frames dim"], Float[Tensor, "layers videos"], Float[Tensor, "layers videos"]]:
        """Fused frames (projected inputs), and each block's two gates a video."""
        placed = visual + self.frame_positions
        sound = self.resample(audio, mask)
        any_sound = mask.any(1, keepdim=True).to(placed.dtype)
        x, attention_gates, mlp_gates = placed, [], []
        for block in self.fusion:
            x, attention_gate, mlp_gate = block(x, sound, any_sound)
            attention_gates.append(attention_gate)
            mlp_gates.append(mlp_gate)
        return (1 - FUSED) * placed + FUSED * x, torch.stack(attention_gates), torch.stack(mlp_gates)

    def project_videos(self, visual: Tensor, audio: Tensor, audio_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features where they meet the texts: sound as (videos, sounds, dim), a sound a frame or a token, and which count.

        Sound that is not there is 0, whatever was handed in.
        """
        weight = self.text_proj.weight
        mask = audio_mask.to(weight.device)
        if audio.ndim == 4:
            mask = mask.repeat_interleave(audio.shape[2], dim=1)
            audio = audio.flatten(1, 2)
        heard = audio.to(weight.device, weight.dtype).masked_fill(~mask[..., None], 0)
        return self.visual_proj(visual.to(weight.device, weight.dtype)), self.audio_proj(heard), mask

    def encode_videos(self, visual: Tensor, audio: Tensor, audio_mask: Tensor) -> Float[Tensor, "videos frames dim"]:
        """Fused frames as unit vectors."""
        return functional.normalize(self.fuse(*self.project_videos(visual, audio, audio_mask))[0], dim=-1)

    def similarity(
        self, text: Float[Tensor, "texts dim"], fused: Float[Tensor, "videos frames dim"]
    ) -> Float[Tensor, "texts videos"]:
        """(soft maximum of the cosines with the frames + cosine with their mean) / 2, of unit vectors; times s it is the logit."""
        videos, frames, dim = fused.shape
        cosines = (text @ fused.reshape(-1, dim).t()).view(len(text), videos, frames)
        soft = torch.logsumexp(self.logit_scale * cosines, dim=-1) / self.logit_scale
        return (soft + text @ functional.normalize(fused.mean(1), dim=-1).t()) / 2

    def adaptive_margin(
        self, text: Float[Tensor, "batch dim"], visual: Float[Tensor, "batch frames dim"]
    ) -> Float[Tensor, "batch batch"]:
        """What is added to each negative's similarity: the more, the less two pairs have in common. No gradient."""
        with torch.no_grad():
            placed = functional.normalize(visual + self.frame_positions, dim=-1)
            video = functional.normalize(placed.mean(1), dim=-1)
            alike = (text @ text.t() + video @ video.t()) / 2
            return (self.margin_scale * (1 - alike)).clamp(max=self.margin).fill_diagonal_(0)

    def _check(self, visual: Tensor, audio: Tensor) -> None:
        if audio.ndim != (4 if self.audio_input == "tokens" else 3):
            raise HeadMismatch(f"this head takes {self.audio_input} as its sound, not {tuple(audio.shape)}")
        wanted = (self.config["frames"], self.config["visual_dim"])
        if tuple(visual.shape[1:]) != wanted or audio.shape[-1] != self.config["audio_dim"]:
            raise HeadMismatch(
                f"features do not fit this head: visual {tuple(visual.shape[1:])}, audio {audio.shape[-1]}; "
                f"it wants {wanted} and {self.config['audio_dim']}"
            )

    def loss(
        self,
        text: Float[Tensor, "batch text_dim"],
        visual: Float[Tensor, "batch frames visual_dim"],
        audio: Float[Tensor, "batch frames *tokens audio_dim"],
        audio_mask: Bool[Tensor, "batch frames"],
        same: Bool[Tensor, "batch batch"] | None = None,
    ) -> LossParts:
        """InfoNCE with the adaptive margin; text i belongs to video i."""
        self._check(visual, audio)
        words = self.embed_text(text)
        seen, heard, mask = self.project_videos(visual, audio, audio_mask)
        fused = functional.normalize(self.fuse(seen, heard, mask)[0], dim=-1)
        similarity = self.similarity(words, fused) + self.adaptive_margin(words.detach(), seen.detach())
        total = info_nce(similarity, self.logit_scale, None, same)
        return LossParts(total, {"score": total.detach()})

    def score_pairs(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor, how: Scoring
    ) -> Float[Tensor, "texts videos"]:
        """No video depends on a text, so whose caption gates or pools changes nothing, and there is one way to score."""
        self._check(visual, audio)
        text = self.embed_text(text)
        scores = text.new_empty(len(text), len(visual))
        frames, dim = visual.shape[1], self.config["dim"]
        per_video = frames * (3 * len(text) + 16 * dim)
        if audio.ndim == 4:  # a token is widened, projected, normed, and once a key and once a value
            per_video += frames * audio.shape[2] * (self.config["audio_dim"] + 6 * dim)
        step = max(1, how.memory // (4 * per_video))
        for start in range(0, len(visual), step):
            rows = slice(start, start + step)
            scores[:, rows] = self.similarity(text, self.encode_videos(visual[rows], audio[rows], audio_mask[rows]))
        return scores

    @torch.no_grad()
    def embed_videos(
        self, visual: Tensor, audio: Tensor, audio_mask: Tensor | None = None
    ) -> Float[Tensor, "videos dim"]:
        """The unit mean of each video's fused frames: half of its score, and what an index may hold; re-score for the rest."""
        audio_mask = every_frame(visual) if audio_mask is None else audio_mask
        step = 256 if audio.ndim == 3 else max(1, 256 // max(1, audio.shape[2]))
        blocks = [slice(start, start + step) for start in range(0, len(visual), step)]
        parts = [
            functional.normalize(self.encode_videos(visual[rows], audio[rows], audio_mask[rows]).mean(1), dim=-1)
            for rows in blocks
        ]
        return torch.cat(parts) if parts else self.queries.new_zeros((0, self.config["dim"]))


# Published names of blocks; `attn`, `cross_attn` and the norms' numbers are as CLIP has them.
_BLOCK = {
    "attn": "attention",
    "cross_attn": "cross_attention",
    "ln_1": "norm_attention",
    "ln_2": "norm_mlp",
    "ln_3": "norm_cross",
    "ln_4": "norm_cross_mlp",
    "mlp.c_fc": "mlp.0",
    "mlp.c_proj": "mlp.2",
    "cross_ff.cross_fc": "cross_mlp.0",
    "cross_ff.cross_proj": "cross_mlp.2",
    "attn_gate.ag_fc": "attention_gate.0",
    "attn_gate.ag_proj": "attention_gate.2",
    "ff_gate.fg_fc": "mlp_gate.0",
    "ff_gate.fg_proj": "mlp_gate.2",
}
_STACKS = {"transformer_Fusion": "resampler", "transformerClip": "fusion"}
_WHOLE = ("query_tokens", "query_position_embeddings.weight", "frame_position_embeddings.weight")


def is_avigate(names: Any) -> bool:
    """Whether a published checkpoint's names are AVIGATE's."""
    return "query_tokens" in names or any(name.startswith("transformer_Fusion.") for name in names)


def belongs_to_avigate(name: str) -> bool:
    """Whether a published name lies in AVIGATE's head."""
    return name in _WHOLE or name.partition(".resblocks.")[0] in _STACKS


def load_avigate(given: dict[str, Tensor], frames: int | None, num_heads: int | None) -> AvigateHead:
    """A head with AVIGATE's published weights. A full checkpoint has more frame positions than frames: the first count."""
    lacking = [name for name in _WHOLE if name not in given]
    lacking += [f"{stack}.*" for stack in _STACKS if not any(name.startswith(f"{stack}.resblocks.") for name in given)]
    if lacking:
        raise HeadMismatch(f"the checkpoint lacks weights of avigate: {', '.join(lacking)}")
    positions = given["frame_position_embeddings.weight"]
    dim, queries = given["query_tokens"].shape
    frames = min(frames or 12, len(positions))
    layers = len({name.split(".")[2] for name in given if name.startswith("transformerClip.resblocks.")})
    head = AvigateHead(dim, dim, dim, dim, frames, attention_heads=num_heads, layers=layers, queries=queries)
    ours = {
        "queries": given["query_tokens"].t(),
        "query_positions": given["query_position_embeddings.weight"],
        "frame_positions": positions[:frames],
    }
    strange = []
    for name, value in given.items():
        stack, _, rest = name.partition(".resblocks.")
        number, _, inner = rest.partition(".")
        match = next(
            (theirs for theirs in sorted(_BLOCK, key=len, reverse=True) if inner.startswith(f"{theirs}.")), None
        )
        if stack in _STACKS and match is not None:
            ours[f"{_STACKS[stack]}.{number}.{_BLOCK[match]}{inner.removeprefix(match)}"] = value
        elif name not in _WHOLE:
            strange.append(name)
    if strange:
        raise HeadMismatch(f"keys that belong to no published head: {', '.join(sorted(strange)[:5])}")
    without = {"visual_proj.weight", "audio_proj.weight", "text_proj.weight"}  # the published head has none
    missing = sorted(head.state_dict().keys() - ours.keys() - without)
    if missing:
        raise HeadMismatch(f"the checkpoint lacks weights of avigate: {', '.join(missing[:5])}")
    for name, value in head.state_dict().items():
        if name not in without and ours[name].shape != value.shape:
            raise HeadMismatch(f"{name} has shape {tuple(ours[name].shape)}, expected {tuple(value.shape)}")
    head.load_state_dict(ours, strict=False)
    return head.eval()
