"""`write_page` is one function for whatever has a page."""

import pytest

from gaid.report import write_page


def test_what_has_no_page_is_refused_by_name(tmp_path):
    with pytest.raises(
        TypeError, match="a dict has no page; results of evaluate, search, audit, senses and stress have one"
    ):
        write_page({}, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
