"""Settings from TOML files, presets and options into dataclasses, and back. Knows no field: the dataclasses say it all.

A field's type, default and `metadata` (made by `setting`: a help line, a range) are the only schema; pydantic holds values to
it. Layers of settings are laid over the defaults in the order given, the last wins, and the faults of all layers are
reported at once, each with the layer that it came from.
"""

import difflib
import json
import tomllib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tomli_w

from gaid.errors import DataMissing, OptionInvalid

if TYPE_CHECKING:
    from pydantic import ValidationError

T = TypeVar("T")
Layers = Sequence[tuple[str, Mapping[str, Any]]]
"""(where it came from, settings), the later before the earlier."""

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


def resolve(kind: type[T], layers: Layers) -> T:
    """An instance of the dataclass `kind` from layers of settings. Tables are merged key by key.

    Raises OptionInvalid, which lists every unknown name (with the nearest known one), every value of the wrong type and every
    value out of range, each with its layer, and the settings that are needed and not given.
    """
    faults: list[str] = []
    found = _resolved(kind, layers, "", faults)
    _raise(faults)
    return found


def resolve_table(known: Mapping[str, Any], layers: Layers, prefix: str) -> dict[str, Any]:
    """The settings that layers give, of a table that no dataclass describes: its `known` names, each with its type.

    `prefix` stands before the names in errors. Raises OptionInvalid as `resolve` does.
    """
    faults: list[str] = []
    values = _values({name: (of, {}) for name, of in known.items()}, layers, prefix, faults)
    _raise(faults)
    return values


def open_table(layers: Layers) -> dict[str, Any]:
    """The settings that layers give, of a table whose names and types nobody knows here."""
    return {name: _open_value(value) for _, table in layers for name, value in table.items()}


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


def _raise(faults: list[str]) -> None:
    if faults:
        raise OptionInvalid("; ".join(faults))


def _resolved(kind: Any, layers: Layers, prefix: str, faults: list[str]) -> Any:
    hints = get_type_hints(kind)
    values = _values({f.name: (hints[f.name], f.metadata) for f in fields(kind)}, layers, prefix, faults)
    needed = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING and f.name not in values]
    faults += [f"{prefix}{name} is needed and not given" for name in needed]
    return None if faults else kind(**values)


def _values(
    known: Mapping[str, tuple[Any, Mapping[str, Any]]], layers: Layers, prefix: str, faults: list[str]
) -> dict[str, Any]:
    """What layers give, checked, by name; `known` has each name's type and metadata."""
    values: dict[str, Any] = {}
    tables: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for source, settings in layers:
        for name, value in settings.items():
            at = f"{source}: {prefix}{name}"
            if name not in known:
                faults.append(f"{at} is not a setting; {nearest(name, known)}")
                continue
            of, metadata = known[name]
            if not _is_table(of):
                try:
                    values[name] = _value(of, metadata, value)
                except ValueError as error:
                    faults.append(f"{at} = {_shown(value)} {error}")
            elif isinstance(value, Mapping):
                tables.setdefault(name, []).append((source, value))
            else:
                faults.append(f"{at} is a table of settings, not {_shown(value)}")
    for name, inner in tables.items():
        of = known[name][0]
        values[name] = _resolved(of, inner, f"{prefix}{name}.", faults) if is_dataclass(of) else open_table(inner)
    return values


def _is_table(of: Any) -> bool:
    return is_dataclass(of) or get_origin(of) is dict


def _value(of: Any, metadata: Mapping[str, Any], value: Any) -> Any:
    """`value` as the type `of`. Words are read as the type wants; other values must be of it. Raises ValueError that says why."""
    from pydantic import Field, TypeAdapter, ValidationError

    if of is Any:
        return _open_value(value)
    if type(None) in get_args(of) and _is_none(value):
        return None
    bounds = {name: metadata.get(bound) for name, bound in (("ge", "least"), ("gt", "above"), ("le", "most"))}
    adapter: Any = TypeAdapter(Annotated[of, Field(**bounds)])
    try:
        if not isinstance(value, Words):
            return adapter.validate_json(json.dumps(value, default=str), strict=True)
        if get_origin(of) is tuple:
            return adapter.validate_python([item.strip() for item in value.text.split(",")])
        if get_origin(of) is Literal:
            return adapter.validate_python(next((one for one in get_args(of) if str(one) == value.text), value.text))
        return adapter.validate_strings(value.text)
    except ValidationError as error:
        raise ValueError(_reasons(error)) from None


def _reasons(error: "ValidationError") -> str:
    """What the value should be, in pydantic's words."""
    return " or ".join(dict.fromkeys(one["msg"].removeprefix("Input ").split(", unable")[0] for one in error.errors()))


def _is_none(value: Any) -> bool:
    return value is None or (value.text if isinstance(value, Words) else str(value)).lower() == _NONE


def _open_value(value: Any) -> Any:
    """A value whose type nobody declared: words are read as TOML reads them, else they are a string."""
    if isinstance(value, Mapping):
        return {key: _open_value(inner) for key, inner in value.items()}
    if isinstance(value, Words):
        if _is_none(value):
            return None
        try:
            return tomllib.loads(f"value = {value.text}")["value"]
        except tomllib.TOMLDecodeError:
            return value.text
    return None if isinstance(value, str) and value == _NONE else value


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


def _shown(value: Any) -> str:
    return repr(value.text if isinstance(value, Words) else value)
