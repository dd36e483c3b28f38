"""Range checks on columns, read off the annotations of a record type.

A range is stated once, in `schemas.field`; decoding enforces it record by record,
this module enforces it on whole columns after units were converted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from schemas.batch import Columns
from schemas.error import ValidationError


@dataclass(frozen=True, slots=True)
class Check:
    """What one field of a record may hold."""

    field: str
    kind: type
    nullable: bool
    meta: Meta

    def apply(self, column: NDArray[Any], problems: dict[int, ValidationError]) -> None:
        """Add a problem for each row outside the range, unless it has one already."""
        bad = self._text(column) if self.kind is str else self._number(column)
        for row in bad.nonzero()[0].tolist():
            problems.setdefault(row, ValidationError("range", self._message(column[row])))

    def _number(self, column: NDArray[Any]) -> NDArray[np.bool_]:
        meta = self.meta
        bad = np.zeros(len(column), np.bool_)
        limits: list[tuple[float | None, Callable[[Any, Any], Any]]] = [
            (meta.ge, np.less),
            (meta.gt, np.less_equal),
            (meta.le, np.greater),
            (meta.lt, np.greater_equal),
        ]
        for limit, outside in limits:
            if limit is not None:
                bad |= outside(column, limit)
        if column.dtype == np.float64 and not self.nullable:
            bad |= np.isnan(column)
        return bad

    def _text(self, column: NDArray[Any]) -> NDArray[np.bool_]:
        shortest, longest = self._lengths
        lengths = np.fromiter(map(len, column), np.int64, len(column))
        return (lengths < shortest) | (lengths > longest)

    @property
    def _lengths(self) -> tuple[int, int]:
        return self.meta.min_length or 0, self.meta.max_length or 1 << 30

    def holds(self, texts: list[str]) -> bool:
        """Whether all of these are as long as they may be."""
        shortest, longest = self._lengths
        lengths = set(map(len, texts))
        return not lengths or (min(lengths) >= shortest and max(lengths) <= longest)

    def _message(self, value: Any) -> str:
        meta = self.meta
        if self.kind is str:
            return f"{self.field} must have {meta.min_length or 0}..{meta.max_length} characters"
        if value != value:
            return f"{self.field} is missing"
        low = f">= {meta.ge:g}" if meta.ge is not None else f"> {meta.gt:g}"
        unit = (meta.extra_json_schema or {}).get("unit", "")
        return f"{self.field}={value:g} must be {low} and <= {meta.le:g} {unit}".rstrip()


class Ranges:
    """The checks of a record, in one pass over its numbers; a column is looked at alone where something is outside.

    Parameters
    ----------
    checks
        In the order in which a row's problems count: the first is told.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = checks
        self._numbers = [k for k, check in enumerate(checks) if check.kind is not str]
        self._texts = [k for k, check in enumerate(checks) if check.kind is str]
        metas = [checks[k].meta for k in self._numbers]
        self._low = np.array([[_least(m.ge, m.gt, -np.inf)] for m in metas]).reshape(-1, 1)
        self._high = np.array([[_least(m.le, m.lt, np.inf)] for m in metas]).reshape(-1, 1)
        self._nullable = np.array([[checks[k].nullable] for k in self._numbers], np.bool_).reshape(-1, 1)

    def apply(self, columns: Columns, problems: dict[int, ValidationError]) -> None:
        """Add a problem for each row that is outside some range, unless it has one already."""
        suspect = [k for k in self._texts if not self._checks[k].holds(columns[self._checks[k].field].tolist())]
        if self._numbers:
            numbers = np.array([columns[self._checks[k].field] for k in self._numbers], np.float64)
            inside = (numbers >= self._low) & (numbers <= self._high) | self._nullable & np.isnan(numbers)
            if not inside.all():
                suspect += [self._numbers[k] for k in np.flatnonzero(~inside.all(axis=1)).tolist()]
        for k in sorted(suspect):
            self._checks[k].apply(columns[self._checks[k].field], problems)


def _least(inclusive: float | None, exclusive: float | None, unlimited: float) -> float:
    """The limit nearest to the allowed side that is itself allowed."""
    if inclusive is not None:
        return float(inclusive)
    return unlimited if exclusive is None else float(np.nextafter(exclusive, -unlimited))


def checks_of(record: type[Struct]) -> list[Check]:
    """The checks that a record's annotations state, one per constrained field."""
    checks = []
    for name, annotation in get_type_hints(record, include_extras=True).items():
        nullable = False
        if get_origin(annotation) in (Union, UnionType):
            members = get_args(annotation)
            nullable = NoneType in members
            annotation = next(a for a in members if a is not NoneType)
        if get_origin(annotation) is not Annotated:
            continue
        kind, *extras = get_args(annotation)
        checks += [Check(name, kind, nullable, meta) for meta in extras if isinstance(meta, Meta)]
    return checks
