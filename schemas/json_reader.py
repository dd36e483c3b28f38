"""JSON records straight to columns: the compiled scan, and the meaning of the texts it numbers.

What a text means in its field msgspec says, by the field's own annotation, once for each text
that is new; so constraints, enumerations and times are its own. A text keeps its number from batch to batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.batch import Columns
from schemas.json_plan import Plan, plan_of
from schemas.json_scan import (
    BOOLEAN,
    DEFAULT,
    FIELD,
    FIELDS,
    FOLLOWER,
    INTEGER,
    KEY,
    PADDING,
    REQUIRED,
    SEEN,
    TABLE,
    TOKEN,
    scan,
)
from schemas.memory import address_of
from schemas.token_table import TokenTable

_TOKENS: Final = 1 << 16
"""With more the table is begun anew, so that names that are gone do not stay for ever."""


class JsonReader:
    """Reads values of one record type.

    Parameters
    ----------
    plan
        Of the type.
    """

    def __init__(self, plan: Plan) -> None:
        fields = plan.fields
        self._names = tuple(f.name for f in fields)
        self._order = [(name, self._names.index(name)) for name in plan.names]
        self._defaults = [(at, f.default) for at, f in enumerate(fields) if f.cell == TOKEN]
        self._field = plan.field
        n = len(fields)
        self._follower = np.append(np.arange(1, n + 1) % n, 0)
        self._seen = np.zeros(n, np.int64)
        self._plan = np.zeros(6, np.int64)
        self._plan[FIELDS] = n
        self._plan[[FIELD, FOLLOWER, SEEN]] = [address_of(a) for a in (self._field, self._follower, self._seen)]
        self._integers, self._truths, self._tokens = (
            sum(f.cell < c for f in fields) for c in (INTEGER, BOOLEAN, TOKEN)
        )
        self._decoders = [msgspec.json.Decoder(list[hint]) for hint in plan.hints]  # type: ignore[valid-type]
        self._lock = Lock()
        self._empty(0, 0)

    @classmethod
    def of(cls, record: type[Struct]) -> JsonReader | None:
        """The reader of a record type; None where only msgspec can read it."""
        plan = plan_of(record)
        return None if plan is None else cls(plan)

    def read(self, values: Sequence[bytes]) -> tuple[Columns, NDArray[np.int64]]:
        """Read values.

        Returns
        -------
        columns
            A row per value.
        left
            Rows that this reader does not take, in order; anything is in the columns there.
        """
        n = len(values)
        size = np.fromiter(map(len, values), np.int64, n)
        data = np.frombuffer(b"".join((*values, bytes(PADDING))), np.uint8)
        cells = np.empty((len(self._names), n), np.int64)
        left = np.empty(n, np.int64)
        with self._lock:
            table = self._table
            tokens = n * len(self._defaults)
            words = tokens + len(data) // 8
            if len(table) > _TOKENS or not table.has_room(tokens, words):
                table = self._empty(tokens, words)
            known = len(table)
            lefts = scan(data, size, cells, left, self._plan)
            end = len(table)
            invalid = [n for kind in table.kinds(known) for n in self._learn(kind, known, end)] if end > known else []
            objects = self._meaning.take(cells[self._tokens :])
        left = left[:lefts]
        if invalid:
            left = np.union1d(left, np.flatnonzero(np.isin(cells[self._tokens :], invalid).any(axis=0)))
        columns = [
            *cells[: self._integers].view(np.float64),
            *cells[self._integers : self._truths],
            *cells[self._truths : self._tokens].astype(np.bool_),
            *objects,
        ]
        return {name: columns[at] for name, at in self._order}, left

    def _empty(self, tokens: int, words: int) -> TokenTable:
        """Forget every text but the names, and make room for so many more."""
        n = len(self._names) + len(self._defaults)
        room = _TOKENS + n + 2 * tokens
        self._table = table = TokenTable(room, 4 * room + 2 * words)
        self._plan[TABLE] = table.address
        self._meaning = np.empty(room, np.object_)
        for name in self._names:
            table.add(KEY, name.encode())
        for at, default in self._defaults:
            if not self._field[at, REQUIRED]:
                self._field[at, DEFAULT] = number = table.add(-1 - at, b"")
                self._meaning[number] = default
        return table

    def _learn(self, kind: int, first: int, end: int) -> list[int]:
        """Find what the tokens of a kind among `[first, end)` mean; returns those that mean nothing in their field."""
        numbers, texts = self._table.listed(kind, first, end)
        try:
            self._meaning[numbers] = self._decoders[(kind - 1) // 2].decode(texts)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if len(numbers) == 1:
                self._table.forget(int(numbers[0]))
                return [int(numbers[0])]
            middle = int(numbers[len(numbers) // 2])
            return self._learn(kind, first, middle) + self._learn(kind, middle, end)
        return []


class _Text(Struct):
    text: str


def warm() -> None:
    """Compile the scan."""
    reader = JsonReader.of(_Text)
    assert reader is not None
    reader.read([b'{"text":"new"}'])
