"""Records of any type within their ranges, generated from their annotations."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from msgspec import Meta, Struct

from schemas.ingest import CompressionIngest, NetworkIngest, SystemIngest
from schemas.topic import INPUTS, TOPICS

R = TypeVar("R", bound=Struct)

INT64 = 1 << 63

TOPICS_WITH_RECORD = [t for t in TOPICS if t.record is not None]
WRITTEN = [t for t in TOPICS_WITH_RECORD if t not in INPUTS]
INGEST = {"network": NetworkIngest, "compression": CompressionIngest, "system": SystemIngest}


def records(record: type[R]) -> st.SearchStrategy[R]:
    """Records that satisfy every range."""
    hints = get_type_hints(record, include_extras=True)
    return st.builds(record, **{name: values(hint) for name, hint in hints.items()})


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return st.one_of(*map(values, arguments))
    if origin is Annotated:
        return _plain(arguments[0], next(a for a in arguments[1:] if isinstance(a, Meta)))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(values(arguments[0]), max_size=5)
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    return records(hint) if isinstance(hint, type) and issubclass(hint, Struct) else _plain(hint, Meta())


def _plain(kind: Any, meta: Meta) -> st.SearchStrategy[Any]:
    if kind is str and meta.pattern:
        return st.from_regex(meta.pattern, fullmatch=True)
    if kind is str:
        return st.text(min_size=meta.min_length or 0, max_size=min(meta.max_length or 20, 20))
    if kind is int:
        low = meta.ge if meta.ge is not None else -INT64 if meta.gt is None else int(meta.gt) + 1
        return st.integers(int(low), int(meta.le if meta.le is not None else INT64 - 1))
    if kind is float:
        low = meta.ge if meta.ge is not None else meta.gt
        return st.floats(low, meta.le, exclude_min=meta.gt is not None, allow_nan=False, allow_infinity=False)
    return {bool: st.booleans(), NoneType: st.none()}[kind]
