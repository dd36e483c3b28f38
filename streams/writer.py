"""Snapshots on their way to the broker: they wait for their offset to be committed, then go out piece by piece.

A piece is made when its turn comes, and steps have theirs in between: no step waits for a whole snapshot, and
no commit for any. Half a snapshot is none to who reads it, so writing may end at any piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import Counter

from schemas.error import InfraError
from schemas.header import Headers
from streams.changelog import Changelog
from streams.fatal import die
from streams.message import Messages
from streams.publisher import Publish
from streams.snapshot import Id


@dataclass(slots=True)
class Renewal:
    """A round of renewal: its first snapshot, its bytes so far, and where in the topic it begins (0: not known)."""

    first: Id
    size: int = 0
    begins: int = 0


@dataclass(slots=True)
class Pending:
    """A snapshot that is not published yet: its records, made one by one, and the rounds that it opens and closes."""

    next_offset: int
    records: Iterator[tuple[bytes, Headers]]
    opens: Renewal | None
    closes: Renewal | None


class Writer:
    """Writes the snapshots of one agent's partitions, one at a time of each.

    Parameters
    ----------
    changelog
        Where snapshots are.
    publish, flush
        Hands records over, and waits until they are there.
    written_bytes
        What is counted.
    """

    def __init__(
        self, changelog: Changelog, publish: Publish, flush: Callable[[], Awaitable[None]], written_bytes: Counter
    ) -> None:
        self._changelog = changelog
        self._publish = publish
        self._flush = flush
        self._bytes = written_bytes
        self._pending: dict[int, Pending] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def __contains__(self, partition: int) -> bool:
        """A snapshot of this partition waits, or is being written."""
        return partition in self._pending

    def add(self, partition: int, pending: Pending) -> None:
        """A snapshot, to be written once its offset is committed."""
        self._pending[partition] = pending

    def drop(self, partition: int) -> None:
        """Write nothing more of this partition."""
        self._pending.pop(partition, None)
        if task := self._tasks.pop(partition, None):
            task.cancel()

    def committed(self, positions: Iterable[tuple[int, int]]) -> None:
        """Begin to write the snapshots that waited for these offsets."""
        for p, offset in positions:
            pending = self._pending.get(p)
            if pending is not None and pending.next_offset <= offset and p not in self._tasks:
                self._tasks[p] = asyncio.create_task(self._write(p, pending))
                self._tasks[p].add_done_callback(_check)

    async def written(self) -> None:
        """Wait until everything that is being written was handed over."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def _write(self, partition: int, pending: Pending) -> None:
        loop = asyncio.get_running_loop()
        if pending.opens is not None:
            pending.opens.begins = await loop.run_in_executor(None, self._changelog.end, partition)
        for value, own in pending.records:
            await self._publish(self._changelog.topic, Messages.of([None], [value], [own]), partition=partition)
            self._bytes.inc(len(value))
            await asyncio.sleep(0)
        if pending.closes is not None and pending.closes.begins:
            await self._flush()  # what replaces the old ones is on the broker before they go
            await loop.run_in_executor(None, self._changelog.trim, {partition: pending.closes.begins})
        del self._pending[partition], self._tasks[partition]


def _check(task: asyncio.Task[None]) -> None:
    """End the process where a snapshot could not be written: a restart continues from the last one."""
    if not task.cancelled() and (failed := task.exception()) is not None:
        die(InfraError(f"a snapshot could not be written: {type(failed).__name__}: {failed}"))
