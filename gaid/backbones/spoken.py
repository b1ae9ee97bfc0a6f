"""Words as a transcriber or a subtitle writes them, made into what was said: no marks, no notes about other sounds."""

import html
import re

# Markup of subtitles, and what stands in brackets or between musical notes: [applause], (dog barks), ♪ la la ♪.
_MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")
_NOTES = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|[♪♫][^♪♫]*(?:[♪♫]|$)")


def clean(text: str) -> str:
    """The words that are said, with single spaces; empty where the text only describes other sounds."""
    words = " ".join(_NOTES.sub(" ", html.unescape(_MARKUP.sub("", text))).split())
    return words if any(character.isalnum() for character in words) else ""
