"""The type of all heads, on which training, evaluation and search rely. The heads themselves are beside this file.

Your own class needs only `loss` and `score`: `adapt` turns it into a `Head`, once, where it is loaded, and everything that it
does not define comes from here.
"""

import inspect
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gaid.devices import default_memory
from gaid.errors import OptionInvalid

By = Literal["query", "own_caption"]
Algorithm = Literal["auto", "folded", "direct"]
Noise = Literal["text", "pair"]


@dataclass
class LossParts:
    """The loss that training minimises (`total`, a scalar tensor) and its parts for the log, all on the device."""

    total: Tensor
    parts: dict[str, Tensor | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scoring:
    """The options of `Head.score`, checked. Raises OptionInvalid for a value that is not one of the choices."""

    gate_by: By
    pool_by: By
    own_caption: Int[Tensor, " videos"] | None
    pool_caption: Int[Tensor, " videos"] | None
    algorithm: Algorithm
    memory: int
    seed: int
    noise: Noise
    text_rows: Int[Tensor, " texts"] | None
    video_rows: Int[Tensor, " videos"] | None

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("gate_by", self.gate_by, get_args(By)),
            ("pool_by", self.pool_by, get_args(By)),
            ("algorithm", self.algorithm, get_args(Algorithm)),
            ("noise", self.noise, get_args(Noise)),
        ):
            if value not in choices:
                raise OptionInvalid(f"{name} {value!r} does not exist; choose one of {', '.join(choices)}")

    @property
    def by_own(self) -> bool:
        """Whether an own caption gates or pools the videos."""
        return "own_caption" in (self.gate_by, self.pool_by)


@dataclass
class Explanation:
    """Which frames and whose audio a score relied on, for each (text, video) pair (docs/method.md, section 9).

    `gate`: share of the audio in each fused frame, 0 to 1. `attention`: weight of each frame in the video embedding,
    adding up to 1. `sound_weight`: their product, the weight with which a frame's audio enters the video embedding.
    """

    gate: Float[Tensor, "texts videos frames"]
    attention: Float[Tensor, "texts videos frames"]
    sound_weight: Float[Tensor, "texts videos frames"]


def every_frame(visual: Tensor) -> Bool[Tensor, "videos frames"]:
    """The mask of videos whose frames all have audio."""
    return torch.ones(visual.shape[:2], dtype=torch.bool, device=visual.device)


class Head(nn.Module):
    """A head as the rest of the package uses it. The members are the defaults for what a class does not define.

    A class of your own is built as `MyHead(visual_dim=, audio_dim=, text_dim=, dim=, frames=, **options)`. It is any
    `nn.Module` with `loss` and `score` (`adapt` adds the rest), or derives from `HeadBase`. Features arrive as the store
    holds them: text, visual and audio may be float16.
    """

    config: Mapping[str, Any] = types.MappingProxyType({})  # sizes and options; sizes that are missing are not checked
    # Settings of training that a class of your own brings, as a preset does.
    training_defaults: ClassVar[Mapping[str, Any]] = types.MappingProxyType({})
    # Factors of the learning rate for parameters by their names; 1 for all others.
    rates: Mapping[str, float] = types.MappingProxyType({})
    text_blocks = 0  # or how many first blocks of a text encoder `start_as_text` takes
    uses_audio = True
    uses_visual = True
    text_input = (
        "text"  # or "both": `text` is then (texts, text_dim + audio_dim), the second in the sound's own text space
    )
    visual_input = "frames"  # or "patches": `visual` is then (videos, frames, patches, visual_dim)
    # Or "tokens": `audio` is then (videos, frames, tokens, audio_dim); or "clip": (videos, tokens, audio_dim).
    audio_input = "frames"
    has_video_embedding = False  # or True: `embed_videos` and `embed_text` give vectors for an index of candidates
    meets_library = (
        False  # or True: `meet_library` is called with a library's sounds before the head scores or is trained
    )
    fits_validation = False  # or True: training calls `fit` with the validation part before its first evaluation
    # The tensors that `meet_library` sets. The vectors of `embed_videos` and the order among clips with sound do not depend on them.
    library_tensors: tuple[str, ...] = ()
    has_trials = False  # or True: `score` draws noise, and is given `noise`, `text_rows`, `video_rows`
    # Whether `loss` does the same operations on every batch of a size and keeps nothing in Python from one to the next:
    # training then records a step on a GPU once and replays it. Not inherited: a derived class may do what can't be recorded.
    capturable = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.capturable = bool(vars(cls).get("capturable"))

    def loss(
        self,
        text: Float[Tensor, "batch text_dim"],
        visual: Float[Tensor, "batch frames *patches visual_dim"],
        audio: Float[Tensor, "batch steps *tokens audio_dim"],
        audio_mask: Bool[Tensor, "batch frames"],
        same: Bool[Tensor, "batch batch"] | None = None,
    ) -> LossParts:
        """Loss of a batch whose i-th text belongs to its i-th video; `same[i, k]`: they are not negatives of each other."""
        raise NotImplementedError

    def score(
        self,
        text: Float[Tensor, "texts text_dim"],
        visual: Float[Tensor, "videos frames *patches visual_dim"],
        audio: Float[Tensor, "videos steps *tokens audio_dim"],
        audio_mask: Bool[Tensor, "videos frames"] | None = None,
        *,
        gate_by: By = "query",
        pool_by: By = "query",
        own_caption: Int[Tensor, " videos"] | None = None,
        pool_caption: Int[Tensor, " videos"] | None = None,
        algorithm: Algorithm = "auto",
        memory: int | None = None,
        seed: int = 0,
        noise: Noise = "text",
        text_rows: Int[Tensor, " texts"] | None = None,
        video_rows: Int[Tensor, " videos"] | None = None,
    ) -> Float[Tensor, "texts videos"]:
        """Similarity of every text with every video, float32, higher is nearer. Several threads may call it at once.

        Args:
            audio_mask: frames that have audio; all by default.
            gate_by: whose text conditions the gate: the query's, or each gallery video's own caption, as published evaluations
                do (docs/method.md, section 7).
            pool_by: whose text conditions the pooling, likewise.
            own_caption: row in `text` of each video's own caption; 0..V-1 by default where there are as many of both.
            pool_caption: row of the own caption that pools, where it is another than the one that gates.
            algorithm: `folded`, `direct` (every tensor made), or by `auto` the faster one; equal within rounding.
            memory: bytes that are held at most beside the inputs and the result; by default what suits the head's device
                (`devices.default_memory`).
            seed: of STP's trials; they are the same on every device.
            noise: whose STP's trials are. `text`: drawn once per text for all videos, and the best of a pair's scores counts.
                `pair`: as T-MASS publishes it, drawn anew for each pair; the trial is the one that is nearest to the video as
                the query pools it (its frames gated as `gate_by` says), and its score counts, by whichever pooling.
            text_rows: where these texts stand in an evaluation of which they are a part; their draws depend on it. As they
                come by default.
            video_rows: where these videos stand, likewise; a pair's own draws depend on it.

        Raises: HeadMismatch when sizes don't fit or own captions are needed and unknown; OptionInvalid for an unknown choice.
        """
        if memory is None:
            memory = default_memory(str(next(self.parameters(), text).device))
        how = Scoring(
            gate_by, pool_by, own_caption, pool_caption, algorithm, memory, seed, noise, text_rows, video_rows
        )
        with torch.no_grad():
            mask = every_frame(visual) if audio_mask is None else audio_mask
            return self.score_pairs(text, visual, audio, mask, how).float()

    def score_pairs(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor, how: "Scoring"
    ) -> Float[Tensor, "texts videos"]:
        """Implements `score` for checked options; a class that overrides `score` needs none.

        It neither reads nor changes the module's training mode: other threads may score at the same time.
        """
        raise NotImplementedError

    def explain(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor | None = None
    ) -> Explanation | None:
        """Gate, attention and sound weight of all pairs; None from a head that can't give them."""
        return None

    def evidence(self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor) -> dict[str, Tensor]:
        """What each sense finds in all pairs, by its name, each (texts, videos); empty from a head whose score is no sum of such."""
        return {}

    def embed_text(self, text: Tensor) -> Tensor:
        """Texts in the space that they share with the videos, (texts, dim); for heads with `has_text_embedding`."""
        raise NotImplementedError

    def embed_videos(self, visual: Tensor, audio: Tensor, audio_mask: Tensor | None = None) -> Tensor:
        """A vector per video that needs no query, (videos, dim); for heads with `has_video_embedding`."""
        raise NotImplementedError

    def meet_library(self, sounds: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Takes what it needs to know of a library, from the (audio, audio_mask) of its clips, block by block; for heads with
        `meets_library`, which keep it among their tensors."""
        raise NotImplementedError

    def start_as_text(self, blocks: Sequence[Mapping[str, Tensor]], positions: Tensor) -> None:
        """Takes the weights of a text encoder's first blocks, by CLIP's names, and its positions (length, dim); for heads with
        `text_blocks`."""
        raise NotImplementedError

    def fit(
        self, text: Tensor, visual: Tensor, audio: Tensor, audio_mask: Tensor, caption_video: Int[Tensor, " texts"]
    ) -> dict[str, float]:
        """Chooses its numbers on clips with captions, and returns them by name; for heads with `fits_validation`, which keep them
        among their tensors."""
        raise NotImplementedError

    def few_texts(self, videos: int, tokens: int = 1) -> int:
        """How many texts at most are scored faster one by one, each with its own candidates; 0 where that is never so."""
        return 0

    @property
    def vector_parts(self) -> Mapping[str, slice]:
        """Where in a clip's vector (`embed_videos`) each sense lies, `picture` and `sound`, for a head whose vectors follow from the
        clips alone, and whose score by one sense is the product of that part; else empty."""
        return {}

    @property
    def has_text_embedding(self) -> bool:
        """Whether texts have a vector of their own (`embed_text`)."""
        return type(self).embed_text is not Head.embed_text

    @property
    def trains_by_own_caption(self) -> bool:
        """Whether `loss` takes `gate_by`, as training under the published protocol needs."""
        return "gate_by" in inspect.signature(self.loss).parameters

    @property
    def scores_by_pool_caption(self) -> bool:
        """Whether `score` takes `pool_caption`, by which another caption pools a video than the one that gates it."""
        parameters = inspect.signature(self.score).parameters
        return "pool_caption" in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


class HeadBase(Head):
    """A base for your own class: keeps its sizes and options as `config`."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config: dict[str, Any] = config


def adapt_class(cls: type[nn.Module]) -> type[Head]:
    """The class itself if it derives from `Head`, else one that derives from it and from `Head`; weights keep their names."""
    if issubclass(cls, Head):
        return cls
    own = {"__module__": cls.__module__, "__doc__": cls.__doc__, "capturable": vars(cls).get("capturable", False)}
    return cast(type[Head], types.new_class(cls.__name__, (cls, Head), {}, lambda body: body.update(own)))


def adapt(module: nn.Module) -> Head:
    """The module as a `Head`: the same object, which has from `Head` what its class does not define.

    Raises OptionInvalid for one without `loss` or `score`.
    """
    module.__class__ = adapt_class(type(module))
    head = cast(Head, module)
    scores = head.score != Head.score.__get__(head) or head.score_pairs != Head.score_pairs.__get__(head)
    has = {"loss": head.loss != Head.loss.__get__(head), "score": scores}
    for name in (name for name, own in has.items() if not own):
        raise OptionInvalid(f"{type(head).__name__} is not a head: it has no `{name}`; see examples/own_head.py")
    return head
