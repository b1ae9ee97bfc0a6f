"""Settings from TOML files, presets and options into dataclasses, and back. Knows no field: the dataclasses say it all.

A field's type, default and `metadata` (made by `setting`: a help line, a range) are the only schema. Layers of settings
are laid over the defaults in the order given, the last wins, and all faults of all layers are told at once.
"""

import difflib
import tomllib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tomli_w

from gaid.errors import DataMissing, OptionInvalid

T = TypeVar("T")

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
# What stands for None, which TOML can't write.
_NONE = "none"


@dataclass(frozen=True)
class Words:
    """A value as typed on the command line: what it means depends on the field's type."""

    text: str


GREATEST_SEED = 2**32 - 1
"""Every generator that we draw from takes seeds up to this."""


def check_seed(seed: int) -> int:
    """The seed, if all generators take it. Raises OptionInvalid."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= GREATEST_SEED:
        raise OptionInvalid(f"--seed {seed}: a seed is a whole number from 0 to {GREATEST_SEED}")
    return seed


def setting(
    default: Any,
    help: str = "",
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> Any:
    """A dataclass field with a line of help and a range: `least` <= value <= `most`, or value > `above`."""
    return field(default=default, metadata={"help": help, "least": least, "above": above, "most": most})


def read_settings(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises DataMissing or OptionInvalid with the line that is wrong."""
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataMissing(f"{path}: no such settings file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise OptionInvalid(f"{path}: can't be read as a text file ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise OptionInvalid(f"{path}: not valid TOML ({error})") from None


def parse_options(options: Iterable[str]) -> dict[str, Any]:
    """`["epochs=3", "head.dim=128"]` as nested tables; a later option wins over an earlier one."""
    tables: dict[str, Any] = {}
    faults = []
    for option in options:
        name, equals, value = option.partition("=")
        keys = [key.strip().replace("-", "_") for key in name.split(".")]
        if not equals or not all(keys):
            faults.append(f"{option!r} is not of the form name=value")
            continue
        table = tables
        for key in keys[:-1]:
            inner = table.setdefault(key, {})
            if not isinstance(inner, dict):
                inner = table[key] = {}
            table = inner
        table[keys[-1]] = Words(value.strip())
    if faults:
        raise OptionInvalid("; ".join(faults))
    return tables


def resolve(kind: type[T], layers: Sequence[tuple[str, Mapping[str, Any]]]) -> T:
    """An instance of the dataclass `kind` from layers of (where it came from, settings), the later before the earlier.

    Tables are merged key by key. Raises OptionInvalid, which lists every unknown name (with the nearest known one),
    every value of the wrong type and every value out of range, each with the layer that it came from.
    """
    faults: list[str] = []
    values = _merged(kind, layers, "", faults)
    if faults:
        raise OptionInvalid("; ".join(faults))
    return kind(**values)


def can_hold(of: Any) -> bool:
    """Whether a setting can be of this type."""
    if get_origin(of) in (Union, types.UnionType):
        return all(choice is type(None) or can_hold(choice) for choice in get_args(of))
    if get_origin(of) is tuple:
        return can_hold(get_args(of)[0])
    return of in (Any, bool, int, float, str, Path) or get_origin(of) in (Literal, dict) or is_dataclass(of)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the known one most like it, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(known)}" if known else "none is known here"


def to_tables(config: Any) -> dict[str, Any]:
    """A dataclass as nested tables that TOML can hold; None is written as the word "none"."""
    return {f.name: _plain(getattr(config, f.name)) for f in fields(config)}


def to_toml(config: Any) -> str:
    """A dataclass as the text of a TOML file that `resolve` reads back to the same."""
    return tomli_w.dumps(to_tables(config))


def describe(kind: type) -> list[tuple[str, str, str, str]]:
    """(name, type, default, help) of every setting, nested ones with their dots: for help texts and docs."""
    rows = []
    hints = get_type_hints(kind)
    for f in fields(kind):
        of = hints[f.name]
        if is_dataclass(of):
            rows += [(f"{f.name}.{name}", *rest) for name, *rest in describe(of)]  # type: ignore[arg-type]
            continue
        default = f.default if f.default_factory is MISSING else f.default_factory()
        shown = "" if default is MISSING else str(_plain(default))
        rows.append((f.name, _name(of), shown, f.metadata.get("help", "")))
    return rows  # type: ignore[return-value]


def _merged(kind: type, layers: Sequence[tuple[str, Mapping]], prefix: str, faults: list[str]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}
    values: dict[str, Any] = {}
    inner: dict[str, list[tuple[str, Mapping]]] = {}
    for source, settings in layers:
        for name, value in settings.items():
            at = f"{source}: {prefix}{name}"
            if name not in known:
                faults.append(f"{at} is no setting; {nearest(name, known)}")
                continue
            of = hints[name]
            if is_dataclass(of) or get_origin(of) is dict:
                if isinstance(value, Mapping):
                    inner.setdefault(name, []).append((source, value))
                else:
                    faults.append(f"{at} is a table of settings, not {_shown(value)}")
                continue
            try:
                values[name] = _converted(value, of)
            except ValueError:
                faults.append(f"{at} = {_shown(value)} is no {_name(of)}")
                continue
            outside = _out_of_range(values[name], known[name].metadata)
            if outside:
                faults.append(f"{at} = {_shown(value)} must be {outside}")
    for name, tables in inner.items():
        of = hints[name]
        if is_dataclass(of):
            values[name] = of(**_merged(of, tables, f"{prefix}{name}.", faults))  # type: ignore[arg-type, operator]
        else:  # an open table: whoever takes it knows its names
            values[name] = {key: _open_value(value) for _, table in tables for key, value in table.items()}
    missing = [n for n, f in known.items() if n not in values and f.default is f.default_factory is MISSING]
    faults += [f"{prefix}{name} is needed and not given" for name in missing]
    for name in missing:  # only so that faults of other tables can still be collected
        values[name] = None
    return values


def _converted(value: Any, of: Any) -> Any:
    """`value` as the type `of`, or ValueError. Words are read as the type wants; other values must already be of it."""
    origin = get_origin(of)
    if of is Any:
        return _open_value(value)
    if origin in (Union, types.UnionType):
        if type(None) in get_args(of) and (value is None or _text(value).lower() == _NONE):
            return None
        for choice in get_args(of):
            if choice is not type(None):
                try:
                    return _converted(value, choice)
                except ValueError:
                    continue
        raise ValueError
    if origin is Literal:
        for choice in get_args(of):
            if value == choice or _text(value) == str(choice):
                return choice
        raise ValueError
    if origin is tuple:
        items = value.text.split(",") if isinstance(value, Words) else value
        if not isinstance(items, (list, tuple)):
            raise ValueError
        of_item = get_args(of)[0]
        return tuple(_converted(Words(i.strip()) if isinstance(value, Words) else i, of_item) for i in items)
    if of is bool:
        if isinstance(value, bool):
            return value
        word = _text(value).lower()
        if isinstance(value, Words) and word in _TRUE + _FALSE:
            return word in _TRUE
        raise ValueError
    if of in (int, float):
        if isinstance(value, Words):
            return of(value.text)
        if isinstance(value, bool) or not isinstance(value, (int, float) if of is float else int):
            raise ValueError
        return of(value)
    if of in (str, Path):
        if isinstance(value, Words):
            return of(value.text)
        if not isinstance(value, (str, Path)):
            raise ValueError
        return of(value)
    raise TypeError(f"a setting can't be of type {of}")


def _open_value(value: Any) -> Any:
    """A value whose type nobody declared: words are read as TOML reads them, else they are a string."""
    if isinstance(value, Mapping):
        return {key: _open_value(inner) for key, inner in value.items()}
    if isinstance(value, Words):
        if value.text.lower() == _NONE:
            return None
        try:
            return tomllib.loads(f"value = {value.text}")["value"]
        except tomllib.TOMLDecodeError:
            return value.text
    return None if isinstance(value, str) and value == _NONE else value


def _out_of_range(value: Any, metadata: Mapping[str, Any]) -> str:
    """What the value must be, in words, if it isn't; a NaN is in no range."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    least, above, most = (metadata.get(bound) for bound in ("least", "above", "most"))
    inside = (least is None or value >= least) and (above is None or value > above) and (most is None or value <= most)
    if inside and value == value:
        return ""
    bounds = (("at least", least), ("above", above), ("at most", most))
    return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None) or "a number"


def _plain(value: Any) -> Any:
    if value is None:
        return _NONE
    if is_dataclass(value):
        return to_tables(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _text(value: Any) -> str:
    if isinstance(value, Words):
        return value.text
    return value if isinstance(value, str) else ""


def _shown(value: Any) -> str:
    return repr(value.text if isinstance(value, Words) else value)


def _name(of: Any) -> str:
    origin = get_origin(of)
    if origin in (Union, types.UnionType):
        return " or ".join(_NONE if choice is type(None) else _name(choice) for choice in get_args(of))
    if origin is Literal:
        return "|".join(str(choice) for choice in get_args(of))
    if origin is tuple:
        return f"list of {_name(get_args(of)[0])}"
    if origin is dict:
        return "table"
    names = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
    return names.get(of, getattr(of, "__name__", str(of)))
