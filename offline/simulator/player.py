"""Plays a fleet against the clock, and listens while it does: what scenarios of the demo feed workers with.

It is told things by lines of JSON on stdin, and says what it does by lines of JSON on stdout. Event time moves
with the clock as long as it is not held: after a pause nothing is made up for, so a worker that
has fallen behind can catch up.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any, Final

import msgspec
import numpy as np

from offline.simulator.delivery import Records
from offline.simulator.sink import Sink

TICK_S: Final = 0.02
SAY_S: Final = 0.2
_LONGEST_S: Final = 0.25
"""Of a tick: what the machine slept longer is not made up for."""

Told = dict[str, Any]


def say(**fields: Any) -> None:
    """One line for who started this process."""
    sys.stdout.write(msgspec.json.encode(fields).decode() + "\n")
    sys.stdout.flush()


class Ear:
    """Lines of JSON objects from stdin, as they come."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        Thread(target=self._listen, daemon=True).start()

    def take(self) -> list[Told]:
        """What was said since the last call."""
        return [msgspec.json.decode(self._lines.popleft(), type=Told) for _ in range(len(self._lines))]

    def _listen(self) -> None:
        for line in sys.stdin:
            self._lines.append(line)


def play(
    minutes: Iterator[list[Records]], sink: Sink, speed: float, start_ms: int, hear: Callable[[Told], None],
    stopped: Callable[[], bool],
) -> int:  # fmt: skip
    """Send minutes until stopped or told to (`{"do": "stop"}`); the event time that was reached.

    `{"do": "hold"}` stops the clock, `{"do": "go"}` lets it go on. How far it is, is said now and then.

    Parameters
    ----------
    minutes
        Records by dataset, in order of arrival.
    sink
        Where to.
    speed
        Event time per second, in s.
    start_ms
        Event time of the first minute.
    hear
        Is given what else is said.
    stopped
        Whether to end.
    """
    ear = Ear()
    now_ms, held, done = float(start_ms), False, False
    last = time.monotonic()
    said, sent = 0.0, 0
    for minute in minutes:
        at = [0] * len(minute)
        while at != [len(records) for records in minute]:
            for told in ear.take():
                held = told["do"] == "hold" or (held and told["do"] != "go")
                done = done or told["do"] == "stop"
                hear(told)
            if done or stopped():
                return int(now_ms)
            clock = time.monotonic()
            now_ms += 0.0 if held else 1000.0 * speed * min(clock - last, _LONGEST_S)
            last = clock
            for k, records in enumerate(minute):
                end = int(np.searchsorted(records.arrival_ms, now_ms, "right"))
                if end > at[k]:
                    stamps = [time.time_ns() // 1_000_000] * (end - at[k])
                    sink.send(records.topic, records.keys[at[k] : end], records.values[at[k] : end], stamps)
                    sent += end - at[k]
                    at[k] = end
            if at != [len(records) for records in minute]:
                time.sleep(TICK_S)
        if time.monotonic() - said > SAY_S:
            said = time.monotonic()
            say(event="clock", time_ms=int(now_ms), sent=sent)
    say(event="clock", time_ms=int(now_ms), sent=sent)
    return int(now_ms)
