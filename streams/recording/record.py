"""Topics into a file: what `dwcp record` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from schemas.error import DwcpError, InfraError
from streams.recording.file import RecordingFile
from streams.recording.format import Recorded
from streams.recording.log import Log

_CHUNK: Final = 1_000
"""Records per write; always the same, so that compressed files repeat byte for byte."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which records are wanted: their broker timestamps `[since, until)` and how many at most."""

    since_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None

    def holds(self, record: Recorded) -> bool:
        """Whether a record's timestamp is inside."""
        return (self.since_ms is None or record.timestamp_ms >= self.since_ms) and (
            self.until_ms is None or record.timestamp_ms < self.until_ms
        )


@dataclass(slots=True)
class Tally:
    """What was recorded so far: records by topic, and the time they span."""

    records: Counter[str] = field(default_factory=Counter)
    first_ms: int | None = None
    last_ms: int | None = None

    def add(self, record: Recorded) -> None:
        """Count a record."""
        self.records[record.topic] += 1
        at = record.timestamp_ms
        self.first_ms = at if self.first_ms is None else min(self.first_ms, at)
        self.last_ms = at if self.last_ms is None else max(self.last_ms, at)

    @property
    def total(self) -> int:
        """How many."""
        return sum(self.records.values())


Progress = Callable[[int, int], Any]
"""Called with the offsets passed and the records written."""


def record(
    log: Log, file: RecordingFile, window: Window, follow: bool, stopped: Callable[[], bool], progress: Progress
) -> Tally:
    """Write what a log holds, and with `follow` what comes after, until stopped.

    Raises
    ------
    InfraError
        When the broker fails. What was written while following is kept; before the
        present end was reached nothing is, because it would look like a whole recording.
    """
    tally = Tally()
    _write(log.read(stopped), file, window, tally, progress)
    if not follow:
        return tally
    try:
        _write(log.follow(lambda: stopped() or tally.total == window.limit), file, window, tally, progress)
    except DwcpError as exc:
        file.close()
        raise InfraError(f"{exc}; the {tally.total:,} records before that are in {file.path}") from exc
    return tally


def _write(
    records: Iterator[Recorded | None], file: RecordingFile, window: Window, tally: Tally, progress: Progress
) -> None:
    """Write the records that are wanted, in chunks; a None says that nothing is waiting."""
    chunk: list[Recorded] = []
    passed = 0
    for item in chain(records, [None]):
        if item is None:
            file.write(chunk)
            chunk = []
            progress(passed, tally.total)
            continue
        passed += 1
        if window.holds(item) and tally.total != window.limit:
            chunk.append(item)
            tally.add(item)
        if len(chunk) == _CHUNK:
            file.write(chunk)
            chunk = []
            progress(passed, tally.total)
        if tally.total == window.limit:
            file.write(chunk)
            return
