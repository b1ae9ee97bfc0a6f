"""What a head is: the interface that training, evaluation and search rely on. The heads themselves are beside this file."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

By = Literal["query", "own_caption"]
Algorithm = Literal["auto", "folded", "direct"]
Noise = Literal["text", "pair"]


@dataclass
class LossParts:
    """A loss to go back from (`total`, a scalar tensor) and its parts for the log: on the device, so that no step waits."""

    total: Tensor
    parts: dict[str, Tensor | float] = field(default_factory=dict)


@dataclass
class Explanation:
    """Which frames counted for each (text, video) pair, and how much of that was their sound (method, section 9).

    `gate`: share of the sound in each fused frame, 0 to 1. `attention`: weight of each frame in the video embedding,
    adding up to 1. `sound_weight`: their product, the weight with which a frame's sound enters the video embedding.
    """

    gate: Float[Tensor, "texts videos frames"]
    attention: Float[Tensor, "texts videos frames"]
    sound_weight: Float[Tensor, "texts videos frames"]


@runtime_checkable
class Head(Protocol):
    """A head as training and evaluation use it. Features come as the store holds them; text, visual and audio may be float16.

    A researcher's own class is built as `MyHead(visual_dim=, audio_dim=, text_dim=, dim=, frames=, **options)`; it is an
    `nn.Module` with `loss` and `score`. The other members have defaults in `HeadBase`.
    """

    config: dict[str, Any]
    uses_audio: bool
    has_video_embedding: bool
    visual_input: str
    audio_input: str

    def loss(
        self,
        text: Float[Tensor, "batch text_dim"],
        visual: Float[Tensor, "batch frames visual_dim"],
        audio: Float[Tensor, "batch frames audio_dim"],
        audio_mask: Bool[Tensor, "batch frames"],
        same: Bool[Tensor, "batch batch"] | None = None,
    ) -> LossParts:
        """Loss of a batch whose i-th text belongs to its i-th video; `same[i, k]`: no negatives of each other."""
        ...

    def score(
        self,
        text: Float[Tensor, "texts text_dim"],
        visual: Float[Tensor, "videos frames visual_dim"],
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
    ) -> Float[Tensor, "texts videos"]:
        """Similarity of every text with every video, float32, higher is nearer."""
        ...


class HeadBase(nn.Module):
    """An `nn.Module` with the defaults of `Head`: uses sound, can't explain itself, has no video embedding of its own."""

    uses_audio = True
    has_video_embedding = False
    # Whether `loss` does the same operations on every batch of a size and keeps nothing in Python from one to the next: then
    # training records a step on a GPU once and replays it.
    capturable = False
    visual_input = "frames"  # or "patches": `visual` is then (videos, frames, patches, visual_dim)
    audio_input = "frames"  # or "tokens": `audio` is then (videos, frames, tokens, audio_dim)
    has_trials = False  # or True: `score` draws noise, and takes `noise`, `text_rows`, `video_rows` (`GatedHead.score`)

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config: dict[str, Any] = config

    def explain(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor | None = None
    ) -> Explanation | None:
        """Which frames counted; None for a head that does not say."""
        return None
