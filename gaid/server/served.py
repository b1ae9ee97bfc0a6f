"""What the routes of a server share: the library, turns at searching and decoding, and what was made of clips' files."""

import asyncio
from collections.abc import Sequence
from functools import partial

from gaid.console import show
from gaid.media.limits import DecodeLimits
from gaid.media.pool import DecodePool
from gaid.retrieval.examples import ExampleFiles
from gaid.retrieval.queries import Query
from gaid.server.answers import AskedByText, SearchAnswer
from gaid.server.library import ServedLibrary
from gaid.server.media import ClipMedia
from gaid.server.pictures import Thumbnails
from gaid.server.previews import Previews
from gaid.server.rates import Rates
from gaid.server.refusal import Refusal
from gaid.server.renewal import SECONDS, Renewal, in_background
from gaid.server.turns import Together, Turns

LIMITS = DecodeLimits(seconds=20.0, memory_bytes=3 << 30, pixels=40_000_000)
DECODERS = 2


class Served:
    """A library with what it takes to serve it. Searches take turns, since a searcher is asked by one thread at a time. Routes ask
    for `library`, `media`, ... anew each time: `follow` replaces them by those of a library that has grown."""

    def __init__(self, library: ServedLibrary) -> None:
        self.searches = Turns("search", threads=1, waiting=256, seconds=30.0)
        self.sentences = Together(self.searches, self._answer)
        self.decoding = Turns("decode", threads=4, waiting=256, seconds=60.0)
        self.encoding = Turns("encode", threads=1, waiting=16, seconds=60.0)
        self.uploads = Rates(at_once=2, in_all=32)
        self.previews = Previews()
        self._pool = DecodePool(DECODERS, LIMITS)
        self._take(library)

    def _take(self, library: ServedLibrary) -> None:
        """Serves this library from now on."""
        self.library = library
        self.media = ClipMedia(library.searcher, self._pool)
        self.examples = ExampleFiles(library.store, library.searcher.bench.device, self._pool)
        self.thumbnails = Thumbnails(self.media, self.decoding)
        self.previews.forget()

    async def follow(self, renewal: Renewal) -> None:
        """Serves the library as it is on the disk, until this is cancelled. The one before answers until the new one is ready."""
        while True:
            await asyncio.sleep(SECONDS)
            newer = await in_background(partial(renewal.newer, self.library))
            if newer is None:
                continue
            try:
                await self.searches.take(newer.warm_up)
            except Refusal:
                continue  # busy: at the next look
            except Exception as error:
                renewal.give_up(newer.store.state, error)
                continue
            self._take(newer)
            show(f"the library has changed: {len(newer.searcher.rows):,} clips now")

    async def search(self, asked: AskedByText) -> SearchAnswer:
        """The clips that answer a sentence, or that are like a clip; sentences that wait are answered together. Raises Refusal,
        OptionInvalid, DataMissing."""
        library = self.library
        query = library.query(asked.q, asked.like)
        if query.is_example or query.without:
            return await self.searches.take(library.search, asked)
        return await self.sentences.take((query, asked), asked.model_dump_json(exclude={"q"}))

    def _answer(self, sentences: Sequence[tuple[Query, AskedByText]]) -> list[SearchAnswer]:
        return self.library.answer([query for query, _ in sentences], sentences[0][1])

    async def close(self) -> None:
        """Ends all work."""
        await self.previews.close()
        self.searches.close()
        self.decoding.close()
        self.encoding.close()
        self._pool.close()
