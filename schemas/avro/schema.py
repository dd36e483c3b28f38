"""The Avro schema of a record type, derived from its annotations.

Fields carry `doc` and `unit`, and the range as `minimum`, `maximum` and so on: readers
skip attributes they do not know. A raw topic's schema is that of the keyed record it
becomes: producers who choose Avro send canonical names and units. There are no logical
types: libraries disagree whether they belong to the canonical form, so to the fingerprint.
"""

from __future__ import annotations

import inspect
import re
import sys
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields as struct_fields

from schemas.glossary import NONE, meaning_of
from schemas.topic import INPUTS, KEYED

Schema = dict[str, Any]
"""An Avro record schema as JSON objects."""

NAMESPACE: Final = "dwcp"

_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PRIMITIVES: Final[dict[Any, str]] = {bool: "boolean", int: "long", float: "double", str: "string"}
_LIMITS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "min_length": "minLength",
    "max_length": "maxLength",
}
_SHAPE: Final = frozenset({"type", "name", "namespace", "fields", "symbols", "default", "items", "values"})


@cache
def schema_of(record: type[Struct]) -> Schema:
    """The schema that a record type has on the wire.

    Raises
    ------
    TypeError
        For an annotation that Avro has no type for, naming the field.
    """
    canonical = canonical_record(record)
    schema: Schema = {"type": "record", "name": record.__name__, "namespace": NAMESPACE}
    if canonical is record:
        return schema | {"doc": _doc_of(record), "fields": _Deriver(record.__name__).fields(record)}
    fields = _Deriver(record.__name__).fields(canonical)
    doc = f"What a producer sends to be taken as {canonical.__name__}: {_doc_of(canonical)}"
    return schema | {"doc": doc, "fields": [f for f in fields if f["name"] in record.__struct_fields__]}


def canonical_record(record: type[Struct]) -> type[Struct]:
    """The record whose fields a schema has: of a raw one the keyed one it becomes, else itself."""
    keyed = {topic.dataset: topic.record for topic in KEYED}
    return next((k for t in INPUTS if t.record is record and (k := keyed[t.dataset])), record)


def shape_of(schema: Any) -> Any:
    """What readers resolve against: the schema without documentation, units and ranges."""
    if isinstance(schema, list):
        return [shape_of(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    shape = {}
    for name, value in schema.items():
        if name in _SHAPE:
            shape[name] = value if name in ("default", "symbols") else shape_of(value)
    return shape


class _Deriver:
    """Derives one schema; a named type is defined where it comes first and named after that."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._defined: dict[str, Any] = {}

    def fields(self, record: type[Struct]) -> list[Schema]:
        """The fields of a record, in its order."""
        hints = get_type_hints(record, include_extras=True)
        return [self._field(record, f.name, hints[f.name], f.default) for f in struct_fields(record)]

    def _field(self, record: type[Struct], name: str, annotation: Any, default: Any) -> Schema:
        members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        kinds = [m for m in members if m is not NoneType]
        if len(kinds) != 1:
            raise TypeError(f"{record.__name__}.{name}: {annotation} has no Avro type; only X and X | None do")
        meta = _meta_of(kinds[0])
        unit = (meta.extra_json_schema or {}).get("unit", "")
        kind = self._type(record, name, _bare(kinds[0]))
        meaning = meaning_of(record.__name__, name)
        found: Schema = {"name": name, "type": kind}
        if len(members) > len(kinds):
            # Avro wants the type of the default first.
            found["type"] = ["null", kind] if default in (None, NODEFAULT) else [kind, "null"]
        if default is not NODEFAULT:
            found["default"] = default
        found["doc"] = meaning.doc if meaning else meta.description or ""
        found["unit"] = (meaning.unit if meaning else "") or unit or ("" if _is_number(kind) else NONE)
        found |= {attribute: limit for key, attribute in _LIMITS.items() if (limit := getattr(meta, key)) is not None}
        if get_origin(_bare(kinds[0])) is Literal and kind == "string":
            found["allowed"] = list(get_args(_bare(kinds[0])))
        return found

    def _type(self, record: type[Struct], name: str, kind: Any) -> Any:
        if kind in _PRIMITIVES:
            return _PRIMITIVES[kind]
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is list:
            return {"type": "array", "items": self._type(record, name, _bare(arguments[0]))}
        if origin is dict and arguments[0] is str:
            return {"type": "map", "values": self._type(record, name, _bare(arguments[1]))}
        if origin is Literal:
            return self._enum(record, name, kind)
        if isinstance(kind, type) and issubclass(kind, Struct):
            inner = {"type": "record", "name": kind.__name__, "doc": _doc_of(kind), "fields": self.fields(kind)}
            return self._once(kind.__name__, inner)
        raise TypeError(f"{record.__name__}.{name}: {kind} has no Avro type")

    def _enum(self, record: type[Struct], name: str, kind: Any) -> Any:
        symbols = get_args(kind)
        if not all(isinstance(symbol, str) and _SYMBOL.fullmatch(symbol) for symbol in symbols):
            return "string"
        # The alias's own name; of a Literal without one, the field's.
        aliases = vars(sys.modules[record.__module__])
        camel = "".join(part.capitalize() for part in name.split("_"))
        enum = next((alias for alias, value in aliases.items() if value == kind), camel)
        return self._once(enum, {"type": "enum", "name": enum, "symbols": list(symbols)})

    def _once(self, name: str, definition: Schema) -> Any:
        known = self._defined.setdefault(name, definition)
        if known is definition:
            return definition
        if known != definition:
            raise TypeError(f"{self._root} has two types called {name}: name one of them otherwise")
        return name


def _meta_of(annotation: Any) -> Meta:
    extras = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, Meta)), Meta())


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_number(kind: Any) -> bool:
    """Whether values are numbers, or lists or maps of numbers or records of them."""
    if isinstance(kind, dict):
        inner = kind.get("items") or kind.get("values")
        return _is_number(inner) if inner else kind["type"] in ("long", "double")
    return kind in ("long", "double")


def _doc_of(record: type[Struct]) -> str:
    return " ".join((inspect.getdoc(record) or "").split("\n\n")[0].split())
