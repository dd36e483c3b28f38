"""A file onto topics: when each record is due, where it goes, and that it arrived.

Open loop: when a record is sent follows from its timestamp and the speed alone, so a
slow broker shows as delay and does not stretch the recording.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final, Protocol

from schemas.error import DwcpError, InfraError
from streams.partition import murmur2_partition
from streams.recording.file import RecordingFile, read_recording
from streams.recording.format import Recorded
from streams.sink import KafkaSink

_TICK_S: Final = 0.01
_NAP_S: Final = 0.1
_BATCH: Final = 2_000


@dataclass(slots=True)
class Survey:
    """What a recording holds, read to its end before anything is sent."""

    records: int = 0
    partitions: dict[str, int] = field(default_factory=dict)
    first_ms: int = 0
    last_ms: int = 0


def survey(path: Path, limit: int | None = None) -> Survey:
    """Read a recording to its end: how many records, on which partitions, from when to when.

    Raises
    ------
    ConfigError
        When it is damaged; nothing has been sent then.
    """
    found = Survey()
    for record in read_recording(path, limit):
        if not found.records:
            found.first_ms = found.last_ms = record.timestamp_ms
        found.records += 1
        found.partitions[record.topic] = max(found.partitions.get(record.topic, 0), record.partition + 1)
        found.first_ms = min(found.first_ms, record.timestamp_ms)
        found.last_ms = max(found.last_ms, record.timestamp_ms)
    return found


class Target(Protocol):
    """Where a replay goes."""

    def send(self, records: Sequence[Recorded]) -> None:
        """Take records, in order."""

    def close(self) -> None:
        """Return when all of them are there."""


class FileTarget:
    """Writes the records again; to standard output, mostly."""

    def __init__(self, file: RecordingFile, topics: Mapping[str, str]) -> None:
        self._file = file
        self._topics = topics

    def send(self, records: Sequence[Recorded]) -> None:
        """Write records."""
        self._file.write([r._replace(topic=self._topics.get(r.topic, r.topic)) for r in records])

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class BrokerTarget:
    """Sends records with their keys, headers, timestamps and partitions.

    Where a topic has fewer partitions than the recording used, all its records are
    placed by murmur2 of the key, as the worker's own publisher places them.

    Parameters
    ----------
    sink
        The producer.
    found
        What the recording holds.
    topics
        New names by old.
    keep_time
        Original timestamps; else the moment of sending.
    """

    def __init__(self, sink: KafkaSink, found: Survey, topics: Mapping[str, str], keep_time: bool) -> None:
        self.sink = sink
        self._topics = topics
        self._keep_time = keep_time
        counts = {old: sink.partitions_of(topics.get(old, old)) for old in found.partitions}
        self.placed_by_key = {old: n for old, n in counts.items() if n < found.partitions[old]}

    def send(self, records: Sequence[Recorded]) -> None:
        """Hand records to the producer."""
        for topic, group in groupby(records, lambda r: r.topic):
            run = list(group)
            self.sink.send(
                self._topics.get(topic, topic),
                [r.key for r in run],
                [r.value for r in run],
                [max(r.timestamp_ms, 0) if self._keep_time else 0 for r in run],
                [list(r.headers) for r in run],
                [self._partition(r) for r in run],
            )

    def close(self) -> None:
        """Return when every record was delivered."""
        self.sink.close()

    def _partition(self, record: Recorded) -> int:
        count = self.placed_by_key.get(record.topic)
        if count is None:
            return record.partition
        return record.partition % count if record.key is None else murmur2_partition(record.key, count)


def paced(
    records: Iterable[Recorded],
    speed: float | None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[Recorded]]:
    """Records in batches, each when it is due; at once without a speed.

    Parameters
    ----------
    records
        In order. One whose timestamp lies before its predecessor's is due with it.
    speed
        Seconds of recorded time per second.
    now, sleep
        The clock, in seconds.

    Yields
    ------
    list of Recorded
        What is due, up to 10 ms late so that busy moments make batches; an empty
        list while waiting, for the reader to look whether it should stop.
    """
    batch: list[Recorded] = []
    began = now()
    first_ms: int | None = None
    reached_ms = 0
    for record in records:
        if first_ms is None:
            first_ms = reached_ms = record.timestamp_ms
        reached_ms = max(reached_ms, record.timestamp_ms)
        due = began if speed is None else began + (reached_ms - first_ms) / 1000 / speed
        if batch and (len(batch) == _BATCH or due > now()):
            yield batch
            batch = []
        while (ahead := due - now()) > 0:
            sleep(min(max(ahead, _TICK_S), _NAP_S))
            yield []
        batch.append(record)
    if batch:
        yield batch


def replay(
    records: Iterable[Recorded],
    target: Target,
    speed: float | None,
    stopped: Callable[[], bool],
    progress: Callable[[int], object],
) -> int:
    """Send records when they are due; how many were sent, all of them delivered.

    Raises
    ------
    InfraError
        When one is not delivered; it says how many were.
    """
    sent = 0
    try:
        for batch in paced(records, speed):
            if stopped():
                break
            if batch:
                target.send(batch)
                sent += len(batch)
                progress(sent)
        target.close()
    except DwcpError as exc:
        delivered = target.sink.delivered if isinstance(target, BrokerTarget) else sent
        raise InfraError(f"{exc}; {delivered:,} records were sent before that") from exc
    return sent
