"""Sums per link: what an experiment or a comparison remembers, and nothing of single requests.

They are the same for the same records in the same order, however those were cut into batches, and
what is captured is loaded bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from online_models.experiment.promotion import Paired
from online_models.room import Rows
from online_models.slot import SlotTable, row_dtype
from schemas.error import StateError
from schemas.field import LINK_TYPES

Values = NDArray[np.float64]


class _Captured(Struct, frozen=True):
    """Wire form."""

    layout: str
    keys: list[bytes]
    rows: bytes


class LinkSums:
    """One row of sums per link.

    Parameters
    ----------
    row
        What is summed.
    meaning
        What the row's values are of; sums of something else are not loaded.
    """

    def __init__(self, row: np.dtype[Any], meaning: str) -> None:
        self._table = SlotTable(row)
        self._layout = f"{meaning} {row.descr}"

    def __len__(self) -> int:
        return len(self._table)

    @property
    def rows(self) -> Rows:
        """The sums, one row per link; a view, valid until more is added."""
        return self._table.rows

    def capture(self) -> bytes:
        """Everything, to be loaded after a restart."""
        keys = [key or b"" for key in self._table.keys]
        return msgspec.msgpack.encode(_Captured(self._layout, keys, self.rows.tobytes()))

    def load(self, captured: bytes) -> None:
        """Take in what was captured.

        Raises
        ------
        StateError
            When it is of something else, or damaged.
        """
        try:
            found = msgspec.msgpack.decode(captured, type=_Captured)
        except msgspec.DecodeError as exc:
            raise StateError("damaged", f"captured sums do not decode: {exc}") from exc
        if found.layout != self._layout:
            raise StateError("layout", f"captured sums are of {found.layout[:80]}, not of {self._layout[:80]}")
        if len(found.rows) != len(found.keys) * self._table.dtype.itemsize:
            raise StateError("damaged", f"{len(found.keys)} links with {len(found.rows)} bytes of sums")
        self._table.put(found.keys, np.frombuffer(found.rows, self._table.dtype))


class LossSums(LinkSums):
    """Losses of champion and challenger on the same labels, for `online_models.experiment.promotion`."""

    def __init__(self) -> None:
        row = row_dtype(("labels", "i8"), ("champion", "f8"), ("challenger", "f8"), ("kind", "i8"))
        super().__init__(row, "losses")

    def add(self, link: Sequence[bytes], kind: NDArray[np.int64], champion: Values, challenger: Values) -> None:
        """Count labels.

        Parameters
        ----------
        link
            Keys of the links, `n` of them.
        kind
            Index of each link's type in `LINK_TYPES`, `[n]`.
        champion, challenger
            Loss of both on each label, `[n]`; a pair of which one is not a finite number is left out.
        """
        paired = np.isfinite(champion) & np.isfinite(challenger)
        slot = self._table.index([key for key, kept in zip(link, paired.tolist(), strict=True) if kept])
        if len(slot):
            _add_losses(self.rows, slot, kind[paired], champion[paired], challenger[paired])

    @property
    def labels(self) -> int:
        """Labels so far: the information of a look."""
        return int(self.rows["labels"].sum())

    def paired(self) -> Paired:
        """The losses, for a decision."""
        rows = self.rows
        kind = [LINK_TYPES[k] for k in rows["kind"].tolist()]
        return Paired(kind, rows["labels"].astype(np.float64), rows["champion"].copy(), rows["challenger"].copy())


class LinkLevels(LinkSums):
    """What each link had before: the base that live windows are held against in `online_models.experiment.rollback`.

    Values are logarithms, best of throughput as a share of the bandwidth that was available: a link that
    lost half its capacity is then not taken for a model that halved it.

    Parameters
    ----------
    least
        Values without which a link has no base.
    """

    def __init__(self, least: int = 30) -> None:
        super().__init__(row_dtype(("known", "i8"), ("total", "f8")), "levels")
        self._least = least

    def add(self, link: Sequence[bytes], value: Values) -> None:
        """Take values `[n]` of links into their base; not finite ones are left out."""
        known = np.isfinite(value)
        slot = self._table.index([key for key, kept in zip(link, known.tolist(), strict=True) if kept])
        if len(slot):
            _add_levels(self.rows, slot, value[known])

    def lifts(self, link: Sequence[bytes], value: Values) -> Values:
        """Mean of each link's values, less its base: one per link that has both. Changes no base."""
        found: dict[bytes, list[float]] = {}
        for key, one in zip(link, value.tolist(), strict=True):
            if np.isfinite(one):
                found.setdefault(key, []).append(one)
        known, rows = self._table.peek(list(found))
        return np.array(
            [
                np.mean(found[key]) - row["total"] / row["known"]
                for key, row in zip(known, rows, strict=True)
                if key is not None and row["known"] >= self._least
            ],
            np.float64,
        )


@njit(cache=True)
def _add_losses(
    rows: Rows, slot: NDArray[np.intp], kind: NDArray[np.int64], champion: Values, challenger: Values
) -> None:
    for row in range(len(slot)):
        at = slot[row]
        rows[at].labels += 1
        rows[at].kind = kind[row]
        rows[at].champion += champion[row]
        rows[at].challenger += challenger[row]


@njit(cache=True)
def _add_levels(rows: Rows, slot: NDArray[np.intp], value: Values) -> None:
    for row in range(len(slot)):
        rows[slot[row]].known += 1
        rows[slot[row]].total += value[row]
