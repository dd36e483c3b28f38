"""What the compiled reader has to know of a record type: each field's cells, limits, default and meaning of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from schemas.json_scan import (
    BOOLEAN,
    CELL,
    DEFAULT,
    FIELD_WORDS,
    FLOAT,
    HIGH,
    INTEGER,
    KIND,
    LOW,
    NULL,
    PADDING,
    REQUIRED,
    TOKEN,
    WHOLE,
)

_WORD: Final = 8
_NUMBERS: Final = {float: FLOAT, int: INTEGER, bool: BOOLEAN}


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it is read.

    Parameters
    ----------
    name
        Its name.
    cell
        Of `schemas.json_scan`.
    null
        Whether null is a number that is missing; of tokens, whether one may be a flat object.
    limits
        Least and greatest number.
    hint
        Its annotation.
    default
        Its value where none is sent; `NODEFAULT` where one must be.
    """

    name: str
    cell: int
    null: bool
    limits: tuple[float, float]
    hint: Any
    default: Any

    @property
    def cell_without(self) -> int:
        """The cell where no value is sent, of numbers that have a default."""
        if self.cell in (FLOAT, WHOLE):
            return int(np.float64(np.nan if self.default is None else self.default).view(np.int64))
        return int(self.default)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a record type is read.

    Parameters
    ----------
    names
        Of the fields, in the record's order.
    fields
        Floats first, then integers, truths and tokens.
    field
        As `scan` takes them, int64 `[field, 8]`; the defaults of tokens are not filled in.
    hints
        Of tokens: the one of kind `k` is number `(k - 1) // 2`.
    """

    names: Sequence[str]
    fields: Sequence[Field]
    field: NDArray[np.int64]
    hints: Sequence[Any]


def plan_of(record: type[Struct]) -> Plan | None:
    """The plan of a record type; None for one that says more than a plan holds."""
    config = record.__struct_config__
    if config.array_like or config.tag is not None or config.forbid_unknown_fields or hasattr(record, "__post_init__"):
        return None
    hints = get_type_hints(record, include_extras=True)
    found = [_field(f, hints[f.name]) for f in msgspec.structs.fields(record)]
    fields = sorted((f for f in found if f is not None), key=lambda f: max(f.cell, WHOLE))
    if not fields or len(fields) < len(found):
        return None
    kinds: list[Any] = []
    field = np.zeros((len(fields), FIELD_WORDS), np.int64)
    for at, one in enumerate(fields):
        field[at, CELL], field[at, NULL] = one.cell, one.null
        field[at, [LOW, HIGH]] = np.array(one.limits).view(np.int64)
        field[at, REQUIRED] = one.default is msgspec.NODEFAULT
        if one.cell == TOKEN:
            if one.hint not in kinds:
                kinds.append(one.hint)
            field[at, KIND] = 1 + 2 * kinds.index(one.hint)
        elif not field[at, REQUIRED]:
            field[at, DEFAULT] = one.cell_without
    return Plan(record.__struct_fields__, fields, field, kinds)


def _field(field: msgspec.structs.FieldInfo, hint: Any) -> Field | None:
    if field.encode_name != field.name or len(field.name) > PADDING - 2 * _WORD:
        return None
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    numbers = [m for m in members if m is not NoneType]
    metas = [m for n in numbers if get_origin(n) is Annotated for m in get_args(n)[1:] if isinstance(m, Meta)]
    types = {get_args(n)[0] if get_origin(n) is Annotated else n for n in numbers}
    null = NoneType in members
    # A default that is made anew for each record cannot be shared: msgspec makes it.
    default = field.default if field.default_factory is msgspec.NODEFAULT else msgspec.NODEFAULT
    if not types & {float, int, bool} or (null and types == {bool}) or (len(types) > 1 and types != {float, int}):
        return Field(field.name, TOKEN, types == {dict[str, str]}, (0.0, 0.0), hint, default)
    if len(types) > 1 or any(m.multiple_of is not None for m in metas):
        return None
    cell = _NUMBERS[types.pop()]
    return Field(field.name, WHOLE if cell == INTEGER and null else cell, null, _limits(metas), hint, default)


def _limits(metas: Sequence[Meta]) -> tuple[float, float]:
    """Least and greatest number allowed."""
    low = [float(m.ge) for m in metas if m.ge is not None]
    low += [float(np.nextafter(m.gt, np.inf)) for m in metas if m.gt is not None]
    high = [float(m.le) for m in metas if m.le is not None]
    high += [float(np.nextafter(m.lt, -np.inf)) for m in metas if m.lt is not None]
    return max(low, default=-np.inf), min(high, default=np.inf)
