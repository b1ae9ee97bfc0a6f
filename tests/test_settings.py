"""Settings: precedence, faults all at once, and files that read back to what was written."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaid.errors import DataMissing, OptionInvalid
from gaid.settings import (
    can_hold,
    check_seed,
    nearest,
    parse_options,
    read_settings,
    resolve,
    resolve_table,
    setting,
    to_toml,
)


@dataclass(frozen=True)
class Inner:
    size: int = setting(4, "how large", least=1)
    kind: Literal["round", "square"] = "round"


@dataclass(frozen=True)
class Outer:
    name: str = "x"
    count: int = setting(2, "how many", least=0, most=10)
    rate: float = setting(0.5, "how fast", above=0.0)
    loud: bool = False
    limit: int | None = None
    sizes: tuple[int, ...] = (1, 2)
    place: Path = Path("here")
    inner: Inner = field(default_factory=Inner)
    open: dict[str, Any] = field(default_factory=dict)


def test_the_later_layer_wins_and_tables_are_merged():
    layers = [
        ("preset", {"count": 3, "rate": 1, "inner": {"size": 8}, "open": {"a": 1, "b": 1}}),
        ("file", {"count": 4, "open": {"b": 2}}),
        ("option", parse_options(["count=5", "inner.kind=square", "open.c=[1, 2]", "open.d=words here"])),
    ]
    found = resolve(Outer, layers)
    assert (found.count, found.rate, found.name) == (5, 1.0, "x")
    assert found.inner == Inner(8, "square")
    assert found.open == {"a": 1, "b": 2, "c": [1, 2], "d": "words here"}
    assert isinstance(found.rate, float)


def test_all_faults_are_told_at_once_with_their_place_and_the_nearest_name():
    layers = [
        ("a.toml", {"cuont": 1, "rate": "fast", "inner": {"sise": 1}, "loud": 1, "open": 3}),
        ("option", parse_options(["count=11", "inner.kind=oval", "rate=0", "count2.x=1"])),
    ]
    with pytest.raises(OptionInvalid) as caught:
        resolve(Outer, layers)
    text = str(caught.value)
    assert text.splitlines() == [text]
    for words in (
        "a.toml: cuont is not a setting; did you mean 'count'?",
        "a.toml: rate = 'fast' should be a valid number",
        "a.toml: inner.sise is not a setting; did you mean 'size'?",
        "a.toml: loud = 1 should be a valid boolean",
        "a.toml: open is a table of settings, not 3",
        "option: count = '11' should be less than or equal to 10",
        "option: inner.kind = 'oval' should be 'round' or 'square'",
        "option: rate = '0' should be greater than 0",
        "option: count2 is not a setting; did you mean 'count'?",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        ("name=3", "name", "3"),
        ("name=a=b", "name", "a=b"),
        ("rate=1e-4", "rate", 1e-4),
        ("loud=yes", "loud", True),
        ("loud=0", "loud", False),
        ("limit=7", "limit", 7),
        ("limit=None", "limit", None),
        ("sizes=3, 4", "sizes", (3, 4)),
        ("place=over/there", "place", Path("over/there")),
    ],
)
def test_words_on_the_command_line_are_read_as_the_field_wants(option, name, value):
    assert getattr(resolve(Outer, [("option", parse_options([option]))]), name) == value


def test_dashes_in_names_of_options_are_underscores():
    assert parse_options(["a-b.c-d=1-2"])["a_b"]["c_d"].text == "1-2"


@pytest.mark.parametrize("value", [True, 2.5, "3", [3]])
def test_a_file_must_give_a_whole_number_as_one(value):
    with pytest.raises(OptionInvalid, match="should be a valid integer"):
        resolve(Outer, [("file", {"count": value})])


def test_options_without_a_value_are_all_named():
    with pytest.raises(OptionInvalid, match=r"'count' is not of the form name=value; '=3' is not"):
        parse_options(["count", "=3", "ok=1"])


def test_not_a_number_is_in_no_range():
    with pytest.raises(OptionInvalid, match="should be greater than 0"):
        resolve(Outer, [("option", parse_options(["rate=nan"]))])


def test_a_setting_without_default_is_asked_for():
    @dataclass
    class Needs:
        what: int

    with pytest.raises(OptionInvalid, match="what is needed and not given"):
        resolve(Needs, [])


@pytest.mark.slow
@given(
    st.builds(
        Outer,
        name=st.text(st.characters(codec="utf-8", exclude_characters="\r")),
        count=st.integers(0, 10),
        rate=st.floats(0, exclude_min=True, allow_nan=False),
        loud=st.booleans(),
        limit=st.none() | st.integers(-(2**62), 2**62),
        sizes=st.lists(st.integers(0, 9)).map(tuple),
        inner=st.builds(Inner, st.integers(1, 9), st.sampled_from(["round", "square"])),
        open=st.dictionaries(st.text("ab", min_size=1), st.none() | st.integers(0, 9) | st.text("xyz") | st.booleans()),
    )
)
def test_what_is_written_reads_back_the_same(config):
    assert resolve(Outer, [("file", tomllib.loads(to_toml(config)))]) == config


def test_a_missing_or_broken_file_is_one_line(tmp_path):
    with pytest.raises(DataMissing, match="no such settings file"):
        read_settings(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = 1\nb = \n")
    with pytest.raises(OptionInvalid, match=r"bad.toml: not valid TOML .*line 2"):
        read_settings(tmp_path / "bad.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(OptionInvalid, match="can't be read as a text file"):
        read_settings(tmp_path / "bytes.toml")


def test_a_table_that_no_dataclass_describes_holds_what_was_given_and_nothing_else():
    known = {"dim": int, "kind": Literal["a", 1] | None, "rates": tuple[float, ...], "any": Any}
    layers = [("file", {"dim": 3, "any": [1]}), ("option", parse_options(["kind=none", "rates=1, 0.5", "any=true"]))]
    assert resolve_table(known, layers, "head.") == {"dim": 3, "kind": None, "rates": (1.0, 0.5), "any": True}
    with pytest.raises(OptionInvalid, match=r"option: head.dmi is not a setting; did you mean 'dim'"):
        resolve_table(known, [("option", parse_options(["dmi=3"]))], "head.")


def test_what_a_setting_can_be_of():
    good = (int, float | None, Literal["a", 1], tuple[int, ...], dict[str, Any], Inner, Any)
    bad = (list[int], complex, int | bytes, tuple[bytes, ...])
    assert [can_hold(of) for of in (*good, *bad)] == [True] * len(good) + [False] * len(bad)


def test_a_name_like_none_known_gets_the_whole_list():
    assert nearest("zzz", ["beta", "alpha"]) == "known are alpha, beta"


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, float("inf"), "1", True])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(OptionInvalid, match="a seed is a whole number from 0 to 4294967295"):
        check_seed(seed)
    assert check_seed(0) == 0
    assert check_seed(2**32 - 1) == 2**32 - 1


def test_a_byte_order_mark_before_the_settings_is_no_setting(tmp_path):
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbfepochs = 3\n")
    assert read_settings(tmp_path / "c.toml") == {"epochs": 3}
