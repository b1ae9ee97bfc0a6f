"""What folded scoring holds of texts and of videos, each computed once for all pairs, and what it asks of a folded pooling."""

from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Bool, Float
from torch import Tensor

from gaid.heads.gate import Gate
from gaid.heads.scoring.algebra import Form, Hulls, Lines, Pairs, Pooled, centre


@dataclass
class TextSide:
    """What a head needs of the texts: their part of the gates' logits, and what they ask of the frames (`Pooling.ask`)."""

    text: Float[Tensor, "texts dim"]
    gate: Float[Tensor, " texts"]
    query: Float[Tensor, "texts asked"]

    def rows(self, rows: "slice | Tensor") -> "TextSide":
        """Some of the texts."""
        return TextSide(self.text[rows], self.gate[rows], self.query[rows])


@dataclass
class VideoSide:
    """What a head needs of the videos: the ends of their frames, their part of the gates' logits, and how both are used.

    What is computed of them is computed when it is first asked for: training with dropout stops before the basis.
    """

    ends: Float[Tensor, "videos ends frames dim"]
    mask: Bool[Tensor, "videos frames"]
    of_frames: Float[Tensor, "videos frames *patches"]
    gate: Gate
    pooling: "FoldedPooling"

    @property
    def centred(self) -> Float[Tensor, "videos ends frames dim"]:
        """The ends as a layer norm centres them."""
        return centre(self.ends)

    @cached_property
    def lengths(self) -> Lines | Hulls:
        """Squared norms of the fused frames."""
        return self.gate.lengths(self.ends)

    @cached_property
    def basis(self) -> tuple[Float[Tensor, "videos vectors dim"], tuple[Form, ...]]:
        """The vectors that pooled embeddings combine, and the forms of their lengths on the way."""
        return self.pooling.basis(self)


class FoldedPooling:
    """A pooling in terms of the ends of frames: what is the same for all videos is computed once (`Pooling.fold`)."""

    def attention(
        self, texts: TextSide, videos: VideoSide, shares: Tensor, own: bool
    ) -> tuple[Float[Tensor, "videos frames #texts"], Float[Tensor, "videos frames #texts"]]:
        """Weights of the frames, adding up to 1, and what each fused frame is multiplied by before they weigh it.

        `own`: the texts are the videos' own captions, one each.
        """
        raise NotImplementedError

    def basis(self, videos: VideoSide) -> tuple[Float[Tensor, "videos vectors dim"], tuple[Form, ...]]:
        """The vectors that pooled embeddings combine, and the forms of their lengths on the way."""
        raise NotImplementedError

    def pool(self, videos: VideoSide, coefficients: Float[Tensor, "videos n #texts"], drop: bool) -> Pooled | Pairs:
        """Embeddings of all pairs from the weighted mean of the frames, given as coefficients of their ends."""
        raise NotImplementedError

    def pool_tokens(self, videos: VideoSide, coefficients: Float[Tensor, "videos n #texts"], drop: bool) -> Pairs:
        """The same where tokens are fused: a frame has many ends, so folding goes no further than the weighted mean."""
        raise NotImplementedError
