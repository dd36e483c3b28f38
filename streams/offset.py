"""Exact commit positions: what was handed out, what is done, how far it is safe to commit.

Faust's own bookkeeping tracks single offsets and acks what it skips during a
rebalance; with chunks it would commit over work that was never done. Here every
chunk that leaves the client is registered as a span before anything else can
happen to it, only the runner finishes spans, and a position is committed from
the left only. Seek and revoke forget the partition's spans: what arrives late
for them is recognised as dead.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

P = TypeVar("P")


class Span:
    """Consecutive records of one partition, from offset `first` up to but not including `end`.

    `forgotten` is set by a seek or revoke: its records come again, here or elsewhere.
    """

    __slots__ = ("done", "end", "first", "forgotten")

    def __init__(self, first: int, end: int) -> None:
        self.first = first
        self.end = end
        self.done = False
        self.forgotten = False

    def __repr__(self) -> str:
        return f"Span({self.first}, {self.end}{', done' if self.done else ''})"


class _Partition:
    """One partition between two seeks; `floor` is where a restart would go on."""

    __slots__ = ("finished", "floor", "position", "spans")

    def __init__(self, position: int | None) -> None:
        self.position = position
        self.finished = position
        self.floor = position
        self.spans: deque[Span] = deque()


class OffsetTracker(Generic[P]):
    """Spans of every assigned partition, in order.

    Registered by the consumer's thread and finished on the event loop, hence the lock.
    `P` is whatever names a partition.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._partitions: dict[P, _Partition] = {}
        self._busy: set[Span] = set()

    def register(self, partition: P, first: int, end: int) -> Span:
        """Note that records `[first, end)` left the client.

        Raises
        ------
        ValueError
            When they begin before the end of what was registered since the last
            seek: the client went back by itself, and positions can no longer be trusted.
        """
        with self._lock:
            state = self._partitions.setdefault(partition, _Partition(None))
            if state.position is not None and first < state.position:
                raise ValueError(f"{partition} went back from {state.position} to {first} without a seek")
            if state.floor is None:
                state.floor = first
            state.position = end
            span = Span(first, end)
            state.spans.append(span)
            return span

    def begin(self, span: Span) -> bool:
        """Start work on a span; False when a seek or revoke has forgotten it."""
        with self._lock:
            if span.forgotten:
                return False
            self._busy.add(span)
            return True

    def finish(self, span: Span) -> None:
        """The span's outputs were all handed to the producer: it may be committed."""
        with self._lock:
            span.done = True

    def leave(self, span: Span) -> None:
        """Work on the span ended, finished or not."""
        with self._lock:
            self._busy.discard(span)

    @property
    def busy(self) -> int:
        """Spans being worked on."""
        return len(self._busy)

    def committable(self, partition: P) -> int | None:
        """Position to commit: the end of the last span before the first unfinished one.

        None when that is committed already. The answer stays the same until
        `committed` confirms it, so a commit that failed is tried again.
        """
        with self._lock:
            state = self._partitions.get(partition)
            if state is None:
                return None
            while state.spans and state.spans[0].done:
                state.finished = state.spans.popleft().end
            if state.finished is None or state.floor is None or state.finished <= state.floor:
                return None
            return state.finished

    def committed(self, positions: Mapping[P, int]) -> None:
        """Positions that the broker confirmed."""
        with self._lock:
            for partition, position in positions.items():
                state = self._partitions.get(partition)
                if state is not None:
                    state.floor = position

    def seek(self, positions: Mapping[P, int | None]) -> None:
        """The client's positions were set: forget what was registered for these partitions.

        None is a position that is not known yet.
        """
        with self._lock:
            for partition, position in positions.items():
                self._forget(partition)
                self._partitions[partition] = _Partition(position)

    def revoke(self, partitions: Iterable[P]) -> None:
        """Forget partitions that were taken away."""
        with self._lock:
            for partition in partitions:
                self._forget(partition)

    def _forget(self, partition: P) -> None:
        state = self._partitions.pop(partition, None)
        for span in state.spans if state is not None else ():
            span.forgotten = True

    def partitions(self) -> list[P]:
        """Partitions that have a position."""
        with self._lock:
            return list(self._partitions)

    def floor(self, partition: P) -> int | None:
        """Offset from which a restart would go on; None when it is not known."""
        with self._lock:
            state = self._partitions.get(partition)
            return None if state is None else state.floor

    def uncommitted(self, partition: P) -> int:
        """Offsets handed out beyond the committed position."""
        with self._lock:
            state = self._partitions.get(partition)
            if state is None or state.position is None or state.floor is None:
                return 0
            return max(0, state.position - state.floor)
