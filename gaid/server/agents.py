"""Tools for agents over the Model Context Protocol: the same functions that the API answers with, on standard input and output."""

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

import gaid
from gaid.errors import GaidError
from gaid.retrieval.lens import Sense
from gaid.retrieval.searcher import Searcher
from gaid.server.answers import LONGEST_TEXT, MOST_OFFSET, MOST_TOP, AskedByText, AskedOfClip
from gaid.server.library import ServedLibrary
from gaid.server.refusal import Refusal
from gaid.server.renewal import Renewal
from gaid.server.turns import Turns

T = TypeVar("T")

ADDRESSES = {"thumbnails", "media", "preview"}  # of a server that an agent does not have
INSTRUCTIONS = (
    "Searches a library of videos by what they show and sound like. Call `library` for its size and senses, `search` with a short "
    "description of the wanted moment, and `clip` with a key from an answer for captions and the file."
)
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Key = Annotated[str, Field(max_length=64, description="The key of a clip, from an answer.")]


def serve_agents(searcher: Searcher, opening: Callable[[], Searcher]) -> None:
    """Answers an agent on standard input and output until the input ends. `opening` opens the library again when its store has
    changed."""
    library = ServedLibrary(searcher)
    library.warm_up()
    with suppress(KeyboardInterrupt):
        make_tools(library, Renewal(opening)).run("stdio")


class _Newest:
    """A library as it is on the disk."""

    def __init__(self, library: ServedLibrary, renewal: Renewal | None) -> None:
        self._library, self._renewal = library, renewal

    def ask(self, question: Callable[[ServedLibrary], T]) -> T:
        """The answer of the library, which is opened again first where it has changed."""
        newer = self._renewal.newer(self._library) if self._renewal is not None else None
        if newer is not None:
            newer.warm_up()
            self._library = newer
        return question(self._library)


def make_tools(library: ServedLibrary, renewal: Renewal | None = None) -> MCPServer:
    """The tools `library`, `search` and `clip`."""
    server = MCPServer("gaid", instructions=INSTRUCTIONS, version=gaid.__version__, log_level="ERROR")
    turns = Turns("search", threads=1, waiting=64, seconds=60.0)
    newest = _Newest(library, renewal)

    async def take(question: Callable[[ServedLibrary], T]) -> T:
        try:
            return await turns.take(newest.ask, question)
        except (GaidError, Refusal) as error:
            raise ToolError(str(error)) from None

    @server.tool("library")
    async def about() -> dict[str, Any]:
        """What is in the library: how many clips, which senses it is searched by, its folders, and what its answers rest on."""
        return _plain(await take(ServedLibrary.facts))

    @server.tool()
    async def search(
        query: Annotated[Text, Field(description="What the clip shows or sounds like; -WORD leaves out.")] = "",
        like: Key | None = None,
        sense: Sense = "all",
        folder: Text | None = None,
        longer: Annotated[float | None, Field(description="Seconds that a clip lasts at least.")] = None,
        shorter: Annotated[float | None, Field(description="Seconds that a clip lasts at most.")] = None,
        since: Annotated[Text | None, Field(description="Day on which its file was last changed, or later.")] = None,
        until: Annotated[Text | None, Field(description="Day on which its file was last changed, or earlier.")] = None,
        top: Annotated[int, Field(ge=1, le=MOST_TOP)] = 10,
        offset: Annotated[int, Field(ge=0, le=MOST_OFFSET)] = 0,
    ) -> dict[str, Any]:
        """The clips that fit a description, or that are like a clip, best first, each with the moment (start and end in seconds) that
        fits best. `fitting` is how many of them reach the threshold: 0 says that nothing fits."""
        asked = AskedByText(
            q=query, like=like, sense=sense, folder=folder, longer=longer, shorter=shorter, since=since, until=until,
            top=top, offset=offset,
        )  # fmt: skip
        found = await take(lambda library: library.search(asked))
        return _plain(found) | {"hits": [_plain(hit) for hit in found.hits]}

    @server.tool()
    async def clip(
        key: Key,
        query: Annotated[Text, Field(description="A description, for how well each frame fits it.")] = "",
    ) -> dict[str, Any]:
        """A clip: its length, its captions, the path of its file, and, with a query, how well each of its frames fits."""
        facts = _plain(await take(lambda library: library.clip(key)))
        facts["path"] = await take(lambda library: library.path(key))
        if query:
            weights = await take(lambda library: library.weights(key, AskedOfClip(q=query)))
            facts["frames"] = weights.model_dump()["frames"]
        return facts

    return server


def _plain(answer: BaseModel) -> dict[str, Any]:
    return answer.model_dump(exclude=ADDRESSES)
