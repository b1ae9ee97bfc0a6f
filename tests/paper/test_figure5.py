"""Figure 5 over captions that are hard to draw."""

import numpy as np
import pytest

from gaid.paper.figure5 import Panel, _draw


@pytest.mark.slow
@pytest.mark.parametrize(
    ("caption", "drawn"),
    [
        ("he gives away $100 and then $50 more", "he gives away $100 and then $50 more"),
        ("tickets cost $5 and $x^ 2$", "tickets cost $5 and $x^ 2$"),
        ("price: $\\alpha and $5_", "price: $\\alpha and $5_"),
        ("nul\x00in", "nul\\x00in"),
        ("half \ud83d a sign", "half \\ud83d a sign"),
        ("very long " * 400, "very long very long"),
        ("日本語", "日本語"),
    ],
)
def test_a_caption_is_drawn_as_it_reads(tmp_path, caption, drawn):
    values = {name: np.ones(3) / 3 for name in ("gate", "attention", "sound weight")}
    panel = Panel(caption, 3.0, np.zeros((8, 24, 3), np.uint8), np.zeros(100), values, None)
    png, svg = _draw([panel], "folder", tmp_path)
    assert png.stat().st_size > 1000
    text = svg.read_text(encoding="utf-8")
    assert f"<!-- {drawn}" in text
    assert len(text) < 1_000_000
