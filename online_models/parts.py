"""Several states over one source: the batch is decoded once, and every part takes its step over it.

To the runtime they are one state: captured, restored, undone and compared together. Parts that a setting asks for
may come and go between restarts: one that comes begins where the snapshot stands, knowing nothing, one that goes is
left out, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from inspect import signature
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from online_models.capture import Capture
from online_models.partition import PartitionState, Undo
from online_models.served import Shelf
from online_models.taken import Key
from schemas.batch import Batch, Control, Result
from schemas.error import StateError


class _Piece(Struct, frozen=True):
    """Wire form: a part's piece, and the names of all parts, so that a state with other parts is not taken for this."""

    parts: list[str]
    part: str
    piece: memoryview


class Parts:
    """States that step over the same batches.

    Parameters
    ----------
    parts
        By name. Outputs of one row to one topic stand in this order, so it is part of their ids.
    optional
        What the names of parts begin with, up to a dot, that may come and go.
    """

    def __init__(self, parts: Mapping[str, PartitionState], optional: Collection[str] = ()) -> None:
        self.parts: Final = dict(parts)
        self._names = list(self.parts)
        self._optional = frozenset(optional)

    def __len__(self) -> int:
        """Keys known to the first part."""
        return len(next(iter(self.parts.values())))

    @property
    def row_bytes(self) -> int:
        """Bytes of one key's state in all parts."""
        return sum(part.row_bytes for part in self.parts.values())

    def step(self, batch: Batch) -> Result:
        """Every part's step over the batch, one after another."""
        results: list[Result] = []
        for part in self.parts.values():
            results.append(part.follow(batch, results))
        return Result.merge(results)

    def control(self, control: Control) -> Result:
        """Hand a control to every part."""
        return Result.merge([part.control(control) for part in self.parts.values()])

    def use(self, shelf: Shelf) -> None:
        """Take trained models from this shelf from now on."""
        for part in self.parts.values():
            part.use(shelf)

    def wanted(self) -> list[str]:
        """Hashes of the trained models that the parts ask."""
        return [sha for part in self.parts.values() for sha in part.wanted()]

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Gauges of all parts."""
        return {name: gauge for part in self.parts.values() for name, gauge in part.gauges().items()}

    def renew(self) -> None:
        """Everything is due to be captured once more."""
        for part in self.parts.values():
            part.renew()

    @property
    def renewed(self) -> bool:
        """What was captured since `renew` was called is everything."""
        return all(part.renewed for part in self.parts.values())

    def capture(self, *, whole: bool = False, renew_bytes: int = 0) -> Capture:
        """What changed in every part since the last capture, and what is due; or everything."""
        each = renew_bytes // self.row_bytes  # rows, so that all parts come round together
        found = {
            name: part.capture(whole=whole, renew_bytes=each * part.row_bytes) for name, part in self.parts.items()
        }
        pieces = (
            msgspec.msgpack.encode(_Piece(self._names, name, memoryview(piece)))
            for name, capture in found.items()
            for piece in capture
        )
        return Capture(sum(map(len, found.values())), sum(capture.size for capture in found.values()), pieces)

    def load(self, piece: bytes | memoryview) -> None:
        """Take a piece of a capture in.

        Raises
        ------
        StateError
            When it is damaged or of a state with other parts.
        """
        try:
            found = msgspec.msgpack.decode(piece, type=_Piece)
        except msgspec.DecodeError as exc:
            raise StateError("damaged", f"a capture does not decode: {exc}") from exc
        if self._lasting(found.parts) != self._lasting(self._names):
            raise StateError("layout", f"it has the parts {', '.join(found.parts)}, not {', '.join(self._names)}")
        if found.part in self.parts:
            self.parts[found.part].load(found.piece)

    def _lasting(self, names: Sequence[str]) -> list[str]:
        """Those of the parts that cannot come and go."""
        return [name for name in names if name.split(".")[0] not in self._optional]

    def checkpoint(self, keys: Sequence[Key]) -> list[Undo]:
        """What it takes to undo a step over records of these keys."""
        return [part.checkpoint(keys) for part in self.parts.values()]

    def rollback(self, undo: Sequence[Undo]) -> None:
        """Undo the step that followed a checkpoint."""
        for part, own in zip(self.parts.values(), undo, strict=True):
            part.rollback(own)

    def digest(self) -> str:
        """Digest of everything."""
        return blake2b("".join(part.digest() for part in self.parts.values()).encode(), digest_size=16).hexdigest()


class State(Protocol):
    """A part's class."""

    def __call__(self, *args: Any, **options: Any) -> PartitionState:
        """The state of a partition that has seen nothing."""
        ...

    def warm(self) -> None:
        """Compile its kernels."""
        ...


class Each(NamedTuple):
    """A part for each value of an option, which may be none: named `<name>.<what the value is called>`.

    Parameters
    ----------
    state
        The parts' class; its first parameter is the value.
    option
        Name of the option, a sequence.
    called
        What a value is called.
    """

    state: State
    option: str
    called: Callable[[Any], str]


class PartsOf:
    """Makes `Parts`, each time anew.

    Parameters
    ----------
    parts
        Each part's class, by name, or what there is one part each of.
    """

    def __init__(self, **parts: State | Each) -> None:
        self._each = {name: part for name, part in parts.items() if isinstance(part, Each)}
        self._parts = {name: part for name, part in parts.items() if not isinstance(part, Each)}

    def __call__(self, **options: Any) -> Parts:
        """States of a partition that has seen nothing; each part is given the options that its class takes.

        Raises
        ------
        TypeError
            When no part takes one of them.
        """
        values = {name: options.pop(each.option, ()) for name, each in self._each.items()}
        taken = {name: options.keys() & signature(part).parameters.keys() for name, part in self._parts.items()}
        if strange := sorted(options.keys() - set().union(*taken.values())):
            raise TypeError(f"none of the parts {', '.join(self._parts)} takes {', '.join(strange)}")
        made = {name: part(**{key: options[key] for key in taken[name]}) for name, part in self._parts.items()}
        for name, each in self._each.items():
            made |= {f"{name}.{each.called(value)}": each.state(value) for value in values[name]}
        return Parts(made, self._each)

    def warm(self) -> None:
        """Compile every part's kernels."""
        for part in (*self._parts.values(), *(each.state for each in self._each.values())):
            part.warm()
