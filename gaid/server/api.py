"""The routes of the API, with what OpenAPI says of them. What they answer is made elsewhere in this room."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from gaid.media.preview import PreviewRequest, preview_type
from gaid.server.answers import Asked, AskedByText, AskedOfClip, ClipFacts, LibraryFacts, SearchAnswer, Weights
from gaid.server.previews import LONGEST, PreviewAnswer
from gaid.server.ranges import InMemory, PartAnswer
from gaid.server.refusal import Refusal
from gaid.server.served import Served
from gaid.server.uploads import search_like

Key = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{11}$", description="The key of a clip.")]
Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
GET = ["GET", "HEAD"]
FILE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def make_api(served: Served) -> APIRouter:
    """The routes of a library's API."""
    api = APIRouter()
    _add_searches(api, served)
    _add_clips(api, served)
    _add_media(api, served)
    return api


def _add_searches(api: APIRouter, served: Served) -> None:
    @api.get("/library")
    async def facts() -> LibraryFacts:
        """The library: how many clips, which senses, what its answers rest on."""
        return await served.searches.take(served.library.facts)

    @api.get("/search")
    async def search(asked: Annotated[AskedByText, Query()]) -> SearchAnswer:
        """The clips that fit a sentence, or that are like a clip of the library."""
        return await served.search(asked)

    @api.post("/search/picture", openapi_extra=FILE)
    async def by_picture(asked: Annotated[Asked, Query()], request: Request) -> SearchAnswer:
        """The clips that look like a picture or video, whose file is the request's body."""
        return await search_like(served, request, asked, "picture")

    @api.post("/search/sound", openapi_extra=FILE)
    async def by_sound(asked: Annotated[Asked, Query()], request: Request) -> SearchAnswer:
        """The clips that sound like a sound, whose file is the request's body."""
        return await search_like(served, request, asked, "sound")


def _add_clips(api: APIRouter, served: Served) -> None:
    @api.get("/clips/{key}")
    async def clip(key: Key) -> ClipFacts:
        """A clip: its length, its captions, its frames, and whether browsers play its file."""
        facts = await served.searches.take(served.library.clip, key)
        try:
            video, _, looked = await served.decoding.take(_open_closed, served, facts.video)
        except Refusal:  # the clip is known, its file is not there
            return facts
        return facts.model_copy(update={"start": video.start, "end": video.end, "type": looked.type})

    @api.get("/clips/{key}/weights")
    async def weights(key: Key, asked: Annotated[AskedOfClip, Query()]) -> Weights:
        """How well each frame of a clip fits a query, and by which sense."""
        return await served.searches.take(served.library.weights, key, asked)


def _open_closed(served: Served, clip: str) -> Any:
    """A clip's file, looked into and closed again."""
    video = served.media.video(clip)
    file, looked = served.media.open(video)
    file.close()
    return video, file, looked


def _add_media(api: APIRouter, served: Served) -> None:
    @api.api_route("/clips/{key}/media", methods=GET, response_class=Response)
    async def file(key: Key, request: Request) -> Response:
        """The clip's file, or the bytes that a Range header asks for. 415 where browsers may not play it: take the preview."""
        clip = served.library.id_of(key)
        video = await served.decoding.take(served.media.video, clip)
        opened, looked = await served.decoding.take(served.media.open, video)
        if looked.type is None:
            opened.close()
            preview = f"{request.url.path.removesuffix('/media')}/preview"
            raise Refusal(
                415, "MediaUnplayable", f"browsers may not play this file; {preview} is a preview of it",
                {"Link": f'<{preview}>; rel="alternate"'},
            )  # fmt: skip
        return PartAnswer(opened, looked.type, request)

    @api.get("/clips/{key}/thumbnail", response_class=Response)
    async def thumbnail(
        key: Key, at: Annotated[Seconds, Query(description="Seconds from the clip's start.")] = 0.0
    ) -> Response:
        """The frame nearest to a time, as a JPEG."""
        picture = await served.thumbnails.at(served.library.id_of(key), at)
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    @api.get("/clips/{key}/preview", response_class=Response)
    async def preview(
        key: Key,
        request: Request,
        start: Annotated[Seconds, Query(description="Seconds from the clip's start.")] = 0.0,
        end: Annotated[Seconds | None, Query(description=f"At most {LONGEST:g} s later, as by default.")] = None,
    ) -> Response:
        """A part of the clip as a small video that every browser plays, made while it is sent."""
        kind = preview_type()
        if kind is None:
            raise Refusal(501, "PreviewUnavailable", "FFmpeg has no encoder for previews here")
        asked = await served.decoding.take(_preview_of, served, key, start, end)
        made = await served.previews.get(asked)
        if made.done:
            served.previews.leave(asked, made)
            return PartAnswer(InMemory(bytes(made.data), f'"{abs(hash(asked)):x}"'), kind, request)
        return PreviewAnswer(served.previews, asked, made, kind)


def _preview_of(served: Served, key: str, start: float, end: float | None) -> PreviewRequest:
    """What of which file a preview shows. Raises Refusal, DataMissing."""
    library = served.library  # it may be replaced meanwhile
    store, row = library.store, library.row(key)
    duration = float(store.rows("videos/duration", np.array([row]))[0])
    if start >= duration or (end is not None and end <= start):
        raise Refusal(400, "OptionInvalid", f"start and end lie within the clip's {duration:g} s, one after the other")
    end = min(duration if end is None else end, duration, start + LONGEST)
    video = served.media.video(store.ids[row])
    begin = video.start or 0.0
    sound = None if video.audio_path is None else str(video.audio_path.absolute())
    return PreviewRequest(str(video.path.absolute()), begin + start, begin + end, sound)
