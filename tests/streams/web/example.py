"""A plain record of any type, for tests that care for few of its fields."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

R = TypeVar("R", bound=Struct)


def example(record: type[R], **changed: Any) -> R:
    """One of the type: required fields have the plainest value, and those given have theirs."""
    hints = get_type_hints(record)
    required = {f.name: _plain(hints[f.name]) for f in fields(record) if f.default is NODEFAULT}
    return record(**{**required, **changed})


def _plain(hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Annotated, Union, UnionType):
        return _plain(arguments[0])
    if origin is Literal:
        return arguments[0]
    if origin is list:
        return [_plain(arguments[0])] * 4
    if isinstance(hint, type) and issubclass(hint, Struct):
        return example(hint)
    return {str: "x", int: 1, float: 1.0, bool: False}.get(hint, {})
