"""Searches by a file that a client sends: kept for as long as it takes to decode it, by the processes that decode clips."""

import tempfile
from pathlib import Path
from typing import Literal

from starlette.requests import Request

from gaid.retrieval.queries import Query
from gaid.server.answers import Asked, SearchAnswer
from gaid.server.rates import client_of
from gaid.server.refusal import Refusal
from gaid.server.served import Served


async def search_like(
    served: Served, request: Request, asked: Asked, kind: Literal["picture", "sound"]
) -> SearchAnswer:
    """The clips like the file in a request's body. Raises Refusal, MediaError, OptionInvalid."""
    client = client_of(request.client.host if request.client else "local")
    with served.uploads.at_work(client), tempfile.TemporaryDirectory(prefix="gaid-") as folder:
        file = Path(folder, "example")
        with file.open("wb") as out:
            async for piece in request.stream():
                out.write(piece)
        if not file.stat().st_size:
            raise Refusal(400, "BodyMissing", f"send the {kind}'s file as the body of the request")
        query = Query(picture=file) if kind == "picture" else Query(sound=file)
        example = await served.encoding.take(served.examples.read, query)
    if not any(example.senses):
        raise Refusal(422, "MediaError", f"the file has no {kind} to search by")
    (answer,) = await served.searches.take(served.library.answer, [Query(example=example)], asked)
    return answer.model_copy(update={"query": f"like the {kind}"})
