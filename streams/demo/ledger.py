"""The account of every input: which of its outputs were seen, and when.

Inputs are counted by the broker's own offsets and outputs by the origin they
carry, so that `lost` is a finding and not an assumption.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

KEYED: Final = 1
ANSWER: Final = 2
"""Forecast, prediction or score: what a subscriber waits for."""
DERIVED: Final = 4
REJECTED: Final = 8
"""Dead letter or late: accounted for, with the reason."""

LATENCY_BUCKETS_MS: Final = 120_000
_FIRST_CAPACITY = 1 << 14


class PartitionLedger:
    """Account of one partition of one input topic.

    Parameters
    ----------
    required
        Bits that an accepted record must collect; a rejected one needs none.
    """

    def __init__(self, required: int) -> None:
        self.required = required
        self.base = 0
        self.end = 0
        self.repeats = 0
        self._seen: NDArray[np.uint8] = np.zeros(_FIRST_CAPACITY, np.uint8)
        self._sent_ms: NDArray[np.int64] = np.zeros(_FIRST_CAPACITY, np.int64)
        self._answered_ms: NDArray[np.int64] = np.zeros(_FIRST_CAPACITY, np.int64)
        self._histogram = np.zeros(LATENCY_BUCKETS_MS, np.int64)

    def sent(self, offset: int, timestamp_ms: int) -> None:
        """Note when a record was due to be sent."""
        if offset >= self.base:
            i = self._index(offset)  # first: it may replace the arrays by longer ones
            self._sent_ms[i] = timestamp_ms

    def saw(self, offset: int, bit: int, now_ms: int) -> bool:
        """Note one output; False when this very output was seen before (a repeat)."""
        if offset < self.base:
            self.repeats += 1
            return False
        i = self._index(offset)
        if self._seen[i] & bit:
            self.repeats += 1
            return False
        self._seen[i] |= bit
        if bit == ANSWER:
            self._answered_ms[i] = now_ms
        return True

    def lost(self, end: int) -> int:
        """Records in `[0, end)` that have neither all their outputs nor a rejection."""
        self.end = max(self.end, end)
        if self.end == self.base:
            return 0
        self._index(self.end - 1)
        return int(np.count_nonzero(~self._accounted(self.end - self.base)))

    def latency_histogram(self) -> NDArray[np.int64]:
        """Counts per millisecond from due time to the answer's arrival here."""
        return self._histogram + self._latencies(self.end - self.base)

    def compact(self) -> None:
        """Forget the accounted prefix, keeping its latencies, so that a long run stays small."""
        n = self.end - self.base
        open_rows = np.flatnonzero(~(self._accounted(n) & (self._sent_ms[:n] > 0)))
        done = int(open_rows[0]) if len(open_rows) else n
        if done < _FIRST_CAPACITY:
            return
        self._histogram += self._latencies(done)
        columns: tuple[NDArray[Any], ...] = (self._seen, self._sent_ms, self._answered_ms)
        for column in columns:
            column[: len(column) - done] = column[done:].copy()
            column[len(column) - done :] = 0
        self.base += done

    def _accounted(self, n: int) -> NDArray[np.bool_]:
        seen = self._seen[:n]
        accounted: NDArray[np.bool_] = (seen & REJECTED > 0) | (seen & self.required == self.required)
        return accounted

    def _latencies(self, n: int) -> NDArray[np.int64]:
        sent, answered = self._sent_ms[:n], self._answered_ms[:n]
        both = (sent > 0) & (answered > 0)
        waited = np.clip(answered[both] - sent[both], 0, LATENCY_BUCKETS_MS - 1)
        return np.bincount(waited, minlength=LATENCY_BUCKETS_MS)

    def _index(self, offset: int) -> int:
        i = offset - self.base
        if i >= len(self._seen):
            size = max(2 * len(self._seen), i + 1)
            self._seen = _grown(self._seen, size)
            self._sent_ms = _grown(self._sent_ms, size)
            self._answered_ms = _grown(self._answered_ms, size)
        self.end = max(self.end, offset + 1)
        return i


def quantile_ms(histogram: NDArray[np.int64], q: float) -> float | None:
    """The q-quantile of a millisecond histogram; None when it is empty.

    >>> quantile_ms(np.bincount([1, 1, 1, 9]), 0.5), quantile_ms(np.bincount([1, 1, 1, 9]), 0.99)
    (1.0, 9.0)
    """
    total = histogram.sum()
    if total == 0:
        return None
    return float(np.searchsorted(np.cumsum(histogram), q * total))


def _grown(column: NDArray[Any], size: int) -> NDArray[Any]:
    grown = np.zeros(size, column.dtype)
    grown[: len(column)] = column
    return grown
