"""What the routes of a server share: the library, turns at searching and decoding, and what was made of clips' files."""

from collections.abc import Sequence

from gaid.retrieval.examples import ExampleFiles
from gaid.retrieval.queries import Query
from gaid.server.answers import AskedByText, SearchAnswer
from gaid.server.library import ServedLibrary
from gaid.server.media import ClipMedia
from gaid.server.pictures import Thumbnails
from gaid.server.previews import Previews
from gaid.server.rates import Rates
from gaid.server.turns import Together, Turns


class Served:
    """A library with what it takes to serve it. Searches take turns, since a searcher is asked by one thread at a time."""

    def __init__(self, library: ServedLibrary) -> None:
        self.library = library
        self.searches = Turns("search", threads=1, waiting=256, seconds=30.0)
        self.sentences = Together(self.searches, self._answer)
        self.decoding = Turns("decode", threads=4, waiting=256, seconds=60.0)
        self.encoding = Turns("encode", threads=1, waiting=16, seconds=60.0)
        self.uploads = Rates(at_once=2, in_all=32)
        self.media = ClipMedia(library.searcher)
        self.examples = ExampleFiles(library.store, library.searcher.bench.device, self.media.pool)
        self.thumbnails = Thumbnails(self.media, self.decoding)
        self.previews = Previews()

    async def search(self, asked: AskedByText) -> SearchAnswer:
        """The clips that answer a sentence, or that are like a clip; sentences that wait are answered together. Raises Refusal,
        OptionInvalid, DataMissing."""
        query = self.library.query(asked.q, asked.like)
        if query.is_example or query.without:
            return await self.searches.take(self.library.search, asked)
        return await self.sentences.take((query, asked), asked.model_dump_json(exclude={"q"}))

    def _answer(self, sentences: Sequence[tuple[Query, AskedByText]]) -> list[SearchAnswer]:
        return self.library.answer([query for query, _ in sentences], sentences[0][1])

    async def close(self) -> None:
        """Ends all work."""
        await self.previews.close()
        self.searches.close()
        self.decoding.close()
        self.encoding.close()
        self.media.close()
