"""What every agent's state is: a row of arrays per key, and arrays that all keys share.

Because it is nothing but arrays, a state can be copied, compared and written down as bytes without
knowing what it computes. `capture` gives what changed, `load` takes it back in; two
states that loaded the same captures and stepped over the same records are equal bit for bit.

A key that was silent for `idle_ms` of event time is forgotten when the partition's clock
(its newest event time) passes a full hour: a moment that depends on the records alone, so that a replay
forgets at the same record. Of many the longest silent go first, and the others at the next hours, so that no
step waits long.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from online_models.capture import Capture, Piece, capture_of
from online_models.room import Rows
from online_models.served import Served, Shelf
from online_models.slot import SlotTable
from online_models.taken import Key
from schemas.batch import Batch, Control, Result
from schemas.error import StateError

IDLE_MS: Final = 7 * 24 * 3_600_000
"""How long a silent key is remembered, in event time: a week, the longest season that the models know."""

HOUR_MS: Final = 3_600_000

FORGOTTEN: Final = 4096
"""So many keys are forgotten at a full hour, and those silent as long: ten to fifteen us each, with a link's rows."""

Arrays = Mapping[str, NDArray[Any]]


class Undo(NamedTuple):
    """What `PartitionState.rollback` needs: copies of some rows and of all shared arrays."""

    keys: list[Key]
    known: list[Key]
    rows: Rows
    shared: dict[str, NDArray[Any]]


class PartitionState(ABC):
    """State of one partition of an agent's source.

    Parameters
    ----------
    row
        One key's state; it has a field `clock`, its newest event time in ms.
    shared
        Arrays that all keys share, updated in place and never replaced.
    idle_ms
        How long a silent key is remembered, in event time.
    served
        Trained models that it asks.
    """

    revision: ClassVar[int] = 1
    """Raised when the meaning of a field changes while its type does not."""

    turn_ms: ClassVar[int] = HOUR_MS
    """No batch that is applied goes on past a multiple of this of the partition's clock; an hour has a whole number."""

    def __init__(
        self, row: np.dtype[Any], shared: Arrays, idle_ms: int = IDLE_MS, served: Sequence[Served] = ()
    ) -> None:
        shared = {**shared, **{name: array for one in served for name, array in one.shared.items()}}
        for name, dtype in [("row", row), *((name, array.dtype) for name, array in shared.items())]:
            if dtype.names and dtype.itemsize != sum(dtype[field].itemsize for field in dtype.names):
                raise TypeError(f"{name} has hidden padding, which copies leave undefined: use row_dtype")
        self._table = SlotTable(row)
        self._clock = np.zeros(1, np.int64)
        self._shared = {"partition_clock": self._clock, **shared}
        self._captured: dict[str, NDArray[Any]] = {}
        self._gone: list[Key] = []
        self._idle_ms = idle_ms
        self._served = tuple(served)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def row_bytes(self) -> int:
        """Bytes of one key's state."""
        return int(self._table.dtype.itemsize)

    @abstractmethod
    def apply(self, batch: Batch) -> Result:
        """Apply a batch in which no key is forgotten."""

    @abstractmethod
    def restored(self) -> None:
        """Rebuild what is derived from the shared arrays, after they were set from outside."""

    @abstractmethod
    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """What the state says of itself: by name, numerator and denominator; without one it is a sum."""

    @classmethod
    @abstractmethod
    def warm(cls) -> None:
        """Compile every kernel that a step needs."""

    def step(self, batch: Batch) -> Result:
        """Apply a batch: the records it yields, and the rows it rejects."""
        if not len(batch):
            return Result()
        before = int(self._clock[0])
        newest = max(batch.newest_ms, before)
        if newest // self.turn_ms == before // self.turn_ms:
            self._clock[0] = newest
            return self.apply(batch)
        clock = np.maximum.accumulate(np.concatenate((self._clock, batch.columns["timestamp"])))
        turn = clock // self.turn_ms
        cuts = [0, *np.flatnonzero(turn[1:] != turn[:-1]).tolist(), len(batch)]
        results = []
        for first, end in pairwise(cuts):
            if first == end:
                continue
            if clock[first + 1] // HOUR_MS != clock[first] // HOUR_MS:
                self._forget_idle(int(clock[first + 1]))
            self._clock[0] = clock[end]
            results.append((first, self.apply(batch.take(first, end))))
        return Result.join(results)

    def follow(self, batch: Batch, results: Sequence[Result]) -> Result:
        """A step of a part (`online_models.parts`) that may look at what the parts before it yielded."""
        return self.step(batch)

    def control(self, control: Control) -> Result:
        """Take a control in, between two batches; announced models are taken here.

        It may change what all keys share, and no key's row. Outputs are of row 0: the control.
        """
        for one in self._served:
            one.control(control)
        return Result()

    def use(self, shelf: Shelf) -> None:
        """Take trained models from this shelf from now on."""
        for one in self._served:
            one.use(shelf)

    def wanted(self) -> list[str]:
        """Hashes of the trained models that it asks."""
        return [sha256 for one in self._served for sha256 in one.wanted()]

    def _forget_idle(self, clock_ms: int) -> None:
        clock = self._table.rows["clock"]
        idle = np.flatnonzero(clock < clock_ms - self._idle_ms)
        if len(idle) > FORGOTTEN:
            silent = clock[idle]
            idle = idle[silent <= np.partition(silent, FORGOTTEN - 1)[FORGOTTEN - 1]]
        del clock  # rows that are looked at cannot be moved
        if len(idle):
            keys = self._table.keys
            gone = [keys[slot] for slot in idle.tolist()]
            self._table.drop(gone)
            self._gone += gone

    @cached_property
    def layout(self) -> str:
        """Digest of what the bytes of a capture mean; one with another layout is not readable here."""
        said = [type(self).__qualname__, str(self.revision), repr(self._table.dtype.descr)]
        said += [f"{name} {array.dtype.descr} {array.shape}" for name, array in sorted(self._shared.items())]
        return blake2b("\n".join(said).encode(), digest_size=16).hexdigest()

    def renew(self) -> None:
        """Everything is due to be captured once more, a part at a time."""
        self._captured.clear()
        self._table.renew()

    @property
    def renewed(self) -> bool:
        """What was captured since `renew` was called, this included, is everything."""
        return self._table.renewed

    def capture(self, *, whole: bool = False, renew_bytes: int = 0) -> Capture:
        """What changed since the last capture, or everything, in pieces.

        The bytes are those of this moment, whenever they are asked for: stepping on does not change them.

        Parameters
        ----------
        whole
            Everything, at once.
        renew_bytes
            About how much of what is due (see `renew`) to add.
        """
        if whole:
            self.renew()
        taken = self._table.take(None if whole else renew_bytes // self.row_bytes)
        changed = {
            name: array.copy()
            for name, array in self._shared.items()
            if name not in self._captured or self._captured[name].tobytes() != array.tobytes()
        }
        self._captured |= changed
        gone, self._gone = self._gone, []
        shared = {name: memoryview(array.tobytes()) for name, array in changed.items()}
        return capture_of(self.layout, len(self._table), gone, taken, shared)

    def load(self, piece: bytes | memoryview) -> None:
        """Take a piece of a capture in, on top of those before it.

        Raises
        ------
        StateError
            When it has another layout or is damaged; the state is then of no use.
        """
        try:
            found = msgspec.msgpack.decode(piece, type=Piece)
        except msgspec.DecodeError as exc:
            raise StateError("damaged", f"a capture does not decode: {exc}") from exc
        if found.layout != self.layout:
            raise StateError("layout", "it was written by another version of the state")
        if len(found.rows) != len(found.keys) * self._table.dtype.itemsize:
            raise StateError("damaged", f"{len(found.keys)} keys with {len(found.rows)} bytes of rows")
        self._table.drop(found.gone)
        self._table.reserve(found.total)
        self._table.put(found.keys, np.frombuffer(found.rows, self._table.dtype))
        self._table.settle()
        if found.shared:
            self._load_shared(found.shared)

    def _load_shared(self, shared: Mapping[str, memoryview]) -> None:
        for name, held in shared.items():
            array = self._shared[name]
            array[...] = np.frombuffer(held, array.dtype).reshape(array.shape)
            self._captured[name] = array.copy()
        self._rebuild()

    def _rebuild(self) -> None:
        for one in self._served:
            one.rebuild()
        self.restored()

    def digest(self) -> str:
        """Digest of everything, independent of the order in which keys were first seen."""
        found = blake2b(self.layout.encode(), digest_size=16)
        rows = self._table.rows
        order = sorted(enumerate(self._table.keys), key=lambda item: item[1] or b"")
        for slot, key in order:
            found.update(repr(key).encode() + rows[slot].tobytes())
        for name, array in sorted(self._shared.items()):
            found.update(name.encode() + array.tobytes())
        return found.hexdigest()

    def checkpoint(self, keys: Sequence[Key]) -> Undo:
        """What it takes to undo a step over records of these keys in which nothing is forgotten."""
        known, rows = self._table.peek(keys)
        return Undo(list(keys), known, rows, {name: array.copy() for name, array in self._shared.items()})

    def rollback(self, undo: Undo) -> None:
        """Undo the step that followed a checkpoint."""
        self._table.drop(set(undo.keys) - set(undo.known))
        self._table.put(undo.known, undo.rows)
        for name, array in undo.shared.items():
            self._shared[name][...] = array
        self._rebuild()
