"""Sending a fleet's records: as fast as possible, or on a schedule that never waits.

Open loop: when a record is to be sent follows from the plan alone, and it carries
that time as its Kafka timestamp. If sender or broker fall behind, the delay shows in
every latency measured from the timestamp instead of vanishing from it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline.simulator.delivery import Records
from offline.simulator.fleet import Fleet
from offline.simulator.sink import Sink

F64 = NDArray[np.float64]

TICK_S: Final = 0.01
"""How often due records are sent."""


class Pace(NamedTuple):
    """How fast: `rate` events per second, or `speed` seconds of event time per second; neither: at once."""

    rate: float | None = None
    speed: float | None = None


@dataclass(slots=True)
class Sent:
    """What was sent so far."""

    events: Counter[str] = field(default_factory=Counter)
    value_bytes: Counter[str] = field(default_factory=Counter)
    behind_s: float = 0.0

    def add(self, topic: str, values: Sequence[bytes]) -> None:
        """Count records."""
        self.events[topic] += len(values)
        self.value_bytes[topic] += sum(map(len, values))


Progress = Callable[[Fleet, Sent], Any]
"""Called after every simulated minute and, when paced, at most once per tick."""


def record(fleet: Fleet, sink: Sink, stopped: Callable[[], bool], progress: Progress) -> Sent:
    """Send everything at once, datasets interleaved by arrival; timestamps are event times."""
    sent = Sent()
    for minute in fleet.minutes():
        for part in _interleaved(minute):
            sink.send(part.topic, part.keys, part.values, part.event_ms.tolist())
            sent.add(part.topic, part.values)
        progress(fleet, sent)
        if stopped():
            break
    return sent


def feed(fleet: Fleet, sink: Sink, pace: Pace, stopped: Callable[[], bool], progress: Progress) -> Sent:
    """Send on the pace's schedule; timestamps are the scheduled wall-clock times.

    When stopped, what is generated already is sent to its end at once: the truth file
    then agrees with what was sent.
    """
    sent = Sent()
    minutes = _ahead(fleet.minutes(), stopped)
    started = None
    for minute in minutes:
        started = started or time.time()
        schedule = _schedule(minute, pace, started, fleet.plan.start_ms, sum(sent.events.values()))
        done = [0] * len(minute)
        while True:
            now = time.time()
            everything = stopped() or pace == Pace()
            for i, (records, due) in enumerate(zip(minute, schedule, strict=True)):
                until = len(records) if everything else int(np.searchsorted(due, now, "right"))
                if until > done[i]:
                    sent.behind_s = max(sent.behind_s, now - float(due[done[i]]))
                    _send(sink, records, np.minimum(due, now), done[i], until, sent)
                    done[i] = until
            progress(fleet, sent)
            if done == [len(records) for records in minute]:
                break
            time.sleep(TICK_S)
    return sent


def _ahead(minutes: Iterator[list[Records]], stopped: Callable[[], bool]) -> Iterator[list[Records]]:
    """The same minutes, the next one generated while one is being sent; ends after what is ready when stopped."""
    with ThreadPoolExecutor(1, "fleet") as pool:
        coming: Future[list[Records] | None] | None = pool.submit(next, minutes, None)
        while coming is not None and (minute := coming.result()) is not None:
            coming = None if stopped() else pool.submit(next, minutes, None)
            yield minute


def _send(sink: Sink, records: Records, due: F64, start: int, stop: int, sent: Sent) -> None:
    values = records.values[start:stop]
    stamps = (due[start:stop] * 1000).astype(np.int64).tolist()
    sink.send(records.topic, records.keys[start:stop], values, stamps)
    sent.add(records.topic, values)


def _schedule(minute: list[Records], pace: Pace, started: float, start_ms: int, before: int) -> list[F64]:
    """When each record is due, seconds since the epoch, per dataset and not decreasing."""
    if pace.rate is not None:
        arrival = np.concatenate([records.arrival_ms for records in minute])
        rank = np.empty(len(arrival))
        rank[np.argsort(arrival, kind="stable")] = np.arange(len(arrival))
        due = started + (before + rank) / pace.rate
        return np.split(due, np.cumsum([len(records) for records in minute])[:-1])
    if pace.speed is not None:
        speed_ms = 1000 * pace.speed
        return [started + (records.arrival_ms - start_ms) / speed_ms for records in minute]
    now = time.time()
    return [np.full(len(records), now) for records in minute]


def _interleaved(minute: list[Records]) -> Iterator[Records]:
    """Runs of one dataset's records, all in order of arrival."""
    source = np.repeat(np.arange(len(minute)), [len(records) for records in minute])
    arrival = np.concatenate([records.arrival_ms for records in minute])
    order = np.argsort(arrival, kind="stable")
    first = np.concatenate([[0], np.cumsum([len(records) for records in minute])])
    position = (np.arange(len(source)) - first[source])[order]
    source = source[order]
    edges = np.flatnonzero(np.diff(source)) + 1
    for run in np.split(np.arange(len(order)), edges):
        if len(run):
            yield minute[int(source[run[0]])].take(position[run])
