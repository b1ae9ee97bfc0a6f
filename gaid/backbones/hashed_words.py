"""Words as numbers, for a text tower with random weights whose tokeniser comes with its checkpoint."""

import hashlib


def hashed_words(text: str, vocabulary: int) -> list[int]:
    """A number below `vocabulary` for each word of a text, from its digest."""
    digests = (hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest() for word in text.lower().split())
    return [int.from_bytes(digest[:8], "big") % vocabulary for digest in digests]
