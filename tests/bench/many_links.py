"""The network agent on so many links, in a process of its own: `python -m tests.bench.many_links LINKS SECONDS`.

Every link has a sample each five minutes until forecasts are scored, and only then the clock counts. From 200,000 links
on it counts over a part of them, drawn anew each time, so that a point takes minutes at most. Then what one worker that
has all these links is stopped for: by a step, while links are new, in general, and while a snapshot of all links is
written; by capturing that, or what a busy worker changes from one snapshot to the next while a renewal is under way
(`streams/store.py`); by a piece of a snapshot; by what the gauges say of all partitions; and by looking for cycles.
Each by the clock and in processor time: on a machine that others use the clock counts their turns as well.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from agents import network
from schemas.binary import Binary
from schemas.network import NetworkSample
from schemas.topic import NETWORK_KEYED, NETWORK_SCORE
from streams import garbage
from streams.agent import is_kept
from streams.changelog import Record
from streams.envelope import Envelope
from streams.snapshot import Label, split
from streams.stepper import Stepper
from streams.work import Held

PARTITIONS: Final = 8
"""At most."""
BATCH: Final = 1_000
_START_MS: Final = 1_700_001_300_000
"""25 minutes before a full hour, at which idle links are looked for: that is when the clock counts."""
_PERIOD_MS: Final = 300_000
_UNTIL_SCORED: Final = 4
"""Samples of every link before the clock counts: the fourth meets the forecast of the first."""
_EVENTS: Final = 200_000
"""So many are stepped over while the clock counts, if there is time."""

_BUSY: Final = 60_000
"""Samples between two snapshots: two seconds at 30,000 a second."""

_LABEL: Final = Label("bench", ("bench", 1), None, 0, {})

Time = tuple[float, float]
"""Milliseconds by the clock, and of processor time."""


class Watch:
    """Times what it is put around."""

    def __init__(self) -> None:
        self.times: list[Time] = []

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.thread_time()

    def __exit__(self, *_: object) -> None:
        wall, spent = self._began
        self.times.append((1000 * (time.perf_counter() - wall), 1000 * (time.thread_time() - spent)))

    def longest(self) -> list[float]:
        """By the clock and in processor time, each the most since this was asked last."""
        found, self.times = [round(max(one), 1) for one in zip(*self.times, strict=True)], []
        return found


class Links:
    """One agent's states with so many links."""

    def __init__(self, n: int) -> None:
        self._stepper = Stepper(network.agent, NETWORK_KEYED.name)
        self._envelopes = [Envelope(topic, network.agent.name) for topic in network.agent.publishes]
        partitions = min(PARTITIONS, max(n // BATCH, 1))  # a batch is to be full with few links as with many
        self.held = [self._stepper.start() for _ in range(partitions)]
        self.lanes = [np.arange(p, n, partitions) for p in range(partitions)]
        self.steps, self.captures, self.pieces = Watch(), Watch(), Watch()
        self.scored = 0
        self._minute = self._offset = 0

    def sample(self, share: float = 1.0, writing: Sequence[Iterator[Any]] = ()) -> tuple[float, int]:
        """A sample of a share of the links, the next one of each: processor time in seconds, and how many.

        After each step comes the next record of every snapshot that is being written.
        """
        rng = np.random.default_rng(self._minute)
        spent, events = 0.0, 0
        for held, lane in zip(self.held, self.lanes, strict=True):
            some = lane if share == 1.0 else np.sort(rng.choice(lane, max(int(share * len(lane)), 1), replace=False))
            for at in range(0, len(some), BATCH):
                records = self._records(some[at : at + BATCH].tolist(), rng)
                with self.steps:
                    self._step(held, records)
                spent += self.steps.times[-1][1] / 1000
                for snapshot in writing:
                    self._write(snapshot)
            events += len(some)
        self._minute += 1
        return spent, events

    def capture(self, *, renewing: bool) -> list[Iterator[Any]]:
        """Each partition's snapshot of what changed, and of a sixteenth more while renewing, to be written."""
        found = []
        for one in self.held:
            state = one.state
            assert is_kept(state)
            with self.captures:
                if renewing:
                    state.renew()
                renew_bytes = max(len(state) * state.row_bytes // 16, 8 << 20) if renewing else 0
                found.append(split(_LABEL, state.capture(renew_bytes=renew_bytes), {}))
        return found

    def write(self, snapshots: Sequence[Iterator[Any]]) -> None:
        """Make all records that are left of these snapshots, and drop them."""
        for snapshot in snapshots:
            while self._write(snapshot):
                pass

    def _write(self, snapshot: Iterator[Any]) -> bool:
        with self.pieces:
            return next(snapshot, None) is not None

    def _step(self, held: Held, records: Sequence[Record]) -> None:
        work = self._stepper.admit(held, records, self._stepper.decode(records, 0))
        result = self._stepper.step(held, work)
        origins, keys = Binary.of(work.origins), Binary.of(work.keys)
        for envelope in self._envelopes:
            if envelope.topic in result.outputs:
                envelope.encode(result.outputs[envelope.topic], origins, keys)
        if NETWORK_SCORE in result.outputs:
            self.scored += len(result.outputs[NETWORK_SCORE].row)

    def _records(self, lane: Sequence[int], rng: np.random.Generator) -> list[Record]:
        noise = rng.normal(size=(len(lane), 2)).tolist()
        at, first = _START_MS + self._minute * _PERIOD_MS, self._offset
        self._offset += len(lane)
        samples = (
            NetworkSample(
                timestamp=at + k % 1000, node_id=f"n{k}", peer_id="hub", link_type="wan",
                throughput_mbps=300 + 20 * a, rtt_ms=30 + abs(b), packet_loss=0.001, jitter_ms=1.0,
            )
            for k, (a, b) in zip(lane, noise, strict=True)
        )  # fmt: skip
        values = map(msgspec.json.encode, samples)
        return [
            Record(b"n%d:hub" % k, value, first + i, 0, ())
            for i, (k, value) in enumerate(zip(lane, values, strict=True))
        ]


def measure(n: int, seconds: float) -> dict[str, Any]:
    """Cost, memory and stops with so many links, the cost over so many seconds at most."""
    _warm()
    before = _resident()
    links = Links(n)
    stops = {}
    links.sample()
    stops["step_new_links"] = links.steps.longest()
    for _ in range(_UNTIL_SCORED - 1):
        links.sample()
    resident = _resident()
    snapshots = links.capture(renewing=False)
    stops["capture_all"] = links.captures.longest()
    links.steps.longest()
    links.sample(min(1.0, _BUSY / n), writing=snapshots)
    stops["step_while_written"] = links.steps.longest()
    links.write(snapshots)
    costs = _costs(links, n, seconds)
    stops["step"] = links.steps.longest()
    links.write(links.capture(renewing=False))
    links.sample(min(1.0, _BUSY / n))
    links.captures.longest()
    links.write(links.capture(renewing=True))
    stops["capture_busy"] = links.captures.longest()
    stops["piece"] = links.pieces.longest()
    gauges, garbage_collection = Watch(), Watch()
    with gauges:
        for one in links.held:
            one.state.gauges()
    stops["gauges"] = gauges.longest()
    with garbage_collection:
        gc.collect()
    stops["garbage_collection"] = garbage_collection.longest()
    state = links.held[0].state
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    quarter = max(len(costs) // 4, 1)
    return {
        "links": n,
        "us_per_event": _us(costs),
        "us_per_event_first_quarter": _us(costs[:quarter]),
        "us_per_event_last_quarter": _us(costs[-quarter:]),
        "samples_per_link": round(_UNTIL_SCORED + sum(events for _, events in costs) / n, 1),
        "bytes_per_link": round((resident - before) / n),
        "row_bytes": state.row_bytes if is_kept(state) else 0,
        "resident_mb": round(resident / 1e6, 1),
        "peak_mb": round(peak / 1e6, 1),
        "stops_ms": stops,
    }


def _warm() -> None:
    """What a worker does before its first record: compile, and load what is compiled."""
    network.agent.warm()
    links = Links(BATCH)
    for _ in range(_UNTIL_SCORED):
        links.sample()
    links.write(links.capture(renewing=True))
    garbage.settle()


def _costs(links: Links, n: int, seconds: float) -> list[tuple[float, int]]:
    """Processor time and events, by round."""
    costs: list[tuple[float, int]] = []
    scored = links.scored
    end = time.monotonic() + seconds
    while sum(events for _, events in costs) < _EVENTS and (len(costs) < 2 or time.monotonic() < end):
        costs.append(links.sample(min(1.0, _EVENTS / 2 / n)))
    assert links.scored > scored, "no forecast was scored while the clock counted"
    return costs


def _us(costs: Sequence[tuple[float, int]]) -> float:
    spent, events = map(sum, zip(*costs, strict=True))
    return round(1e6 * spent / events, 2)


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    json.dump(measure(int(sys.argv[1]), float(sys.argv[2])), sys.stdout)
