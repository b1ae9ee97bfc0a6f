"""What the API takes and gives, as its OpenAPI description shows it. The facts are `gaid.server.library`'s."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gaid.retrieval.lens import Sense

MOST_TOP, MOST_OFFSET, LONGEST_TEXT = 100, 1000, 1000


class Asked(BaseModel):
    """How clips are searched, beside the sentence or example."""

    model_config = ConfigDict(extra="forbid")

    sense: Annotated[Sense, Field(description="Which sense ranks: one of the library's `senses`.")] = "all"
    folder: Annotated[str | None, Field(max_length=LONGEST_TEXT, description="Only clips in this folder.")] = None
    longer: Annotated[float | None, Field(description="Only clips of at least so many seconds.")] = None
    shorter: Annotated[float | None, Field(description="Only clips of at most so many seconds.")] = None
    since: Annotated[
        str | None,
        Field(max_length=40, description="Only clips whose file was changed on this day or later: 2024-05-31."),
    ] = None
    until: Annotated[
        str | None, Field(max_length=40, description="Only clips whose file was changed on this day or earlier.")
    ] = None
    top: Annotated[int, Field(ge=1, le=MOST_TOP, description="How many clips to list.")] = 20
    offset: Annotated[int, Field(ge=0, le=MOST_OFFSET, description="How many of the best clips to leave out.")] = 0


class AskedByText(Asked):
    """A search by a sentence, or by a clip of the library."""

    q: Annotated[str, Field(max_length=LONGEST_TEXT, description="A sentence; -WORD leaves out what it describes.")] = (
        ""
    )
    like: Annotated[str | None, Field(max_length=64, description="The key of a clip, in place of a sentence.")] = None


class LibraryFacts(BaseModel):
    """The library that is served."""

    name: str
    clips: Annotated[int, Field(description="How many clips can be found.")]
    senses: list[str]
    folders: Annotated[
        list[str],
        Field(description="Folders of the clips, each with those above it; none where there are more than 500."),
    ]
    heard: Annotated[str, Field(description="Which sound the head hears, in words; empty for a head without a choice.")]
    notes: list[str]
    thresholds: Annotated[
        dict[str, float],
        Field(description="From which score on a clip fits a sentence, per sense that was asked so far."),
    ]


class FoundClip(BaseModel):
    """A clip of an answer. Times are seconds from the clip's start; `start` and `end` say where the clip lies in its file."""

    model_config = ConfigDict(extra="allow")

    key: str
    place: int
    video: Annotated[str, Field(description="The clip's id.")]
    score: float
    sound: Annotated[float | None, Field(description="The share of the sound in what was compared.")] = None
    audio: Annotated[str, Field(description="sound, silent, no track or failed.")]
    duration: float
    start: float | None = None
    end: float | None = None
    senses: Annotated[dict[str, float], Field(description="What each sense adds to the score.")]
    carried: Annotated[str | None, Field(description="The sense that found it.")] = None
    moment: Annotated[tuple[float, float] | None, Field(description="The part that fits best.")] = None
    words: Annotated[str | None, Field(description="What is said there, where that adds to the score.")] = None
    thumbnails: Annotated[list[str], Field(description="Addresses of pictures of the moment.")]
    media: Annotated[str, Field(description="Address of the clip's file.")]
    preview: Annotated[str, Field(description="Address of a preview from the moment on, for files no browser plays.")]


class SearchAnswer(BaseModel):
    """The clips that answer a search, best first."""

    query: str
    fitting: Annotated[int | None, Field(description="How many of the listed clips reach the threshold.")] = None
    hits: list[FoundClip]
    clips: Annotated[int, Field(description="How many clips the filters left to search.")]
    notes: Annotated[list[str], Field(description="What could not be judged.")]
    seconds: Annotated[float, Field(description="How long the search took.")]


class ClipFacts(BaseModel):
    """A clip. Times are seconds from its start; `start` and `end` say where it lies in its file."""

    key: str
    video: Annotated[str, Field(description="The clip's id.")]
    duration: float
    audio: Annotated[str, Field(description="sound, silent, no track or failed.")]
    senses: Annotated[list[str], Field(description="Which senses the clip has.")]
    captions: list[str]
    times: Annotated[list[float], Field(description="When the frames are that features were made of.")]
    start: float | None = None
    end: float | None = None
    type: Annotated[str | None, Field(description="The file's type; null where browsers may not play it.")] = None
    thumbnails: Annotated[list[str], Field(description="Addresses of pictures of the frames.")]
    media: str
    preview: str


class FrameWeights(BaseModel):
    """One frame of a clip under a query. Fields that a head does not have are null."""

    model_config = ConfigDict(extra="allow")

    time: Annotated[float, Field(description="Seconds from the clip's start.")]
    score: Annotated[float, Field(description="How well a clip would fit that shows this frame all the time.")]
    picture: Annotated[float | None, Field(description="The score without the sound.")] = None
    sound: Annotated[float | None, Field(description="What the sound adds; null where the frame has none.")] = None
    gate: Annotated[float | None, Field(description="The share of the sound in the frame, 0 to 1.")] = None
    attention: Annotated[float | None, Field(description="The frame's weight in the clip.")] = None
    sound_weight: Annotated[float | None, Field(description="The product of the two.")] = None


class Weights(BaseModel):
    """The strip of a clip under a query."""

    key: str
    query: str
    frames: list[FrameWeights]


class AskedOfClip(BaseModel):
    """A query about one clip: a sentence, or another clip."""

    model_config = ConfigDict(extra="forbid")

    q: Annotated[str, Field(max_length=LONGEST_TEXT, description="A sentence.")] = ""
    like: Annotated[str | None, Field(max_length=64, description="The key of a clip, in place of a sentence.")] = None
    sense: Sense = "all"


class Fault(BaseModel):
    """What is wrong with a request."""

    kind: str
    message: str


class FaultAnswer(BaseModel):
    """Every answer that is not a success."""

    error: Fault


def fault_content(kind: str, message: str) -> dict[str, Any]:
    """The body of an answer that is not a success."""
    return {"error": {"kind": kind, "message": message}}
