"""A trained head as a folder that others can use: weights, description, and a card that says what its figures rest on.

`publish` writes it; `gaid.load` reads it back (`gaid.runs.model`). Figures come from `evaluation` and `audit`. Nothing is uploaded.
"""

from gaid.publishing.publish import Published, publish

__all__ = ["Published", "publish"]
