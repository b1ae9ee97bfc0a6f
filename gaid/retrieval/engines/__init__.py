"""Engines: databases of vectors into which a library is pushed, and from which a search takes candidates.

What an engine must do is a `Protocol` (`protocol`); its client is a module of its own (`lance`). `collection` says what a
collection was pushed from and finds candidates in it; `push` brings it up to date. Why there is one client, and which:
docs/engines.md.
"""

from gaid.retrieval.engines.protocol import Engine


def open_engine(uri: str) -> Engine:
    """The engine at an address: a folder, or s3://, gs:// or az:// with a bucket and a folder in it, of LanceDB.

    Raises OptionInvalid for another address, DependencyMissing.
    """
    from gaid.retrieval.engines.lance import LanceEngine

    return LanceEngine(uri)
