"""What a worker's cost does when links, partitions and workers grow, and a sizing model fitted to it.

- **Links**: in a process of its own per size, the network agent's decode, step, encode and capture on so many links;
  memory and the longest stop of the loop are those of one worker that has them all.
- **Batches**: what an input costs by the number of records in a batch. A worker takes a partition at a time, so with
  more partitions, or less load, batches are smaller.
- **Workers**: from a real Kafka to a real Kafka, all paths.

The sizing model says processor time per event and memory from the number of links; it is fitted to these
measurements and checked on one that it did not see.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from agents import network
from schemas.network import NetworkSample
from schemas.topic import NETWORK_KEYED
from streams import garbage
from streams.agent import is_kept
from streams.changelog import Record
from streams.envelope import Envelope
from streams.stepper import Stepper
from streams.work import Held

BATCHES: Final = (1, 8, 64, 512)
WORKERS: Final = (1, 2, 4)
LINKS: Final = (1_000, 10_000, 100_000, 1_000_000)
UNSEEN: Final = 30_000
PARTITIONS: Final = 8
BATCH: Final = 1_000
ROUNDS: Final = 12
_START_MS: Final = 1_700_000_000_000
_MINUTE_MS: Final = 60_000
_EVENTS: Final = 200_000
"""At least so many are stepped over once all links are known."""


def links(sizes: Sequence[int], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Cost, memory and stops by number of links, each in a process of its own."""
    found = []
    for n in sizes:
        command = [sys.executable, "-m", "tests.bench.scale", str(n)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        found.append(json.loads(done.stdout))
        one = found[-1]
        say(
            f"{n:>9,} links: {one['us_per_event']} us per event, {one['bytes_per_link']:,} bytes per link, "
            f"stops of {one['step_ms_max']} ms (step) and {one['capture_ms_max']} ms (capture) at most"
        )
    return found


def workers(counts: Sequence[int], records: int, seed: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Events/s of several workers together on all paths, the machine's cores shared with broker and generator."""
    from tests.bench.pipeline import capacity
    from tests.bench.traffic import raw_records
    from tests.bench.trial import Trial
    from tests.kafka import Kafka

    found = []
    raw = raw_records(records, 2_000, seed)
    with Kafka() as kafka, tempfile.TemporaryDirectory() as directory:
        for count in counts:
            found.append(capacity(Trial("all", kafka.address, raw, Path(directory), say), records, count))
            one = found[-1]
            say(f"{count} workers: {one['events_per_second']:,} events/s, {one['cpu_us_per_event']} us each")
    return found


def batches(sizes: Sequence[int], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Cost per event by records per batch: more partitions make batches smaller, load makes them larger."""
    from tests.bench import hot_path

    found = []
    for size in sizes:
        us = hot_path.run(10_000, size, 300, 1)["us_per_event"]
        found.append({"records_per_batch": size, "us_per_event": us})
        say(f"{size:>5} records per batch: {us} us per input")
    return found


def sizing(measured: Sequence[dict[str, Any]], unseen: dict[str, Any]) -> dict[str, Any]:
    """Memory = base + links x bytes, and time per event = a + b log10(links), by least squares; checked on one more."""
    n = np.array([one["links"] for one in measured], np.float64)
    memory = np.array([one["resident_mb"] for one in measured])
    cost = np.array([one["us_per_event"] for one in measured])
    per_link, base = np.polyfit(n, memory, 1, w=1.0 / memory)
    slope, constant = np.polyfit(np.log10(n), cost, 1)
    told = {
        "resident_mb": base + per_link * unseen["links"],
        "us_per_event": constant + slope * np.log10(unseen["links"]),
    }
    return {
        "resident_mb": {"base": round(base, 1), "bytes_per_link": round(1e6 * per_link)},
        "us_per_event": {"constant": round(constant, 2), "per_tenfold_links": round(slope, 2)},
        "checked_on": {
            "links": unseen["links"],
            **{name: {"told": round(value, 2), "measured": unseen[name]} for name, value in told.items()},
        },
    }


def measure(n: int) -> dict[str, Any]:
    """The network agent on so many links, in this process."""
    network.agent.warm()
    stepper = Stepper(network.agent, NETWORK_KEYED.name)
    envelopes = [Envelope(topic, network.agent.name) for topic in network.agent.publishes]
    before = _resident()
    held = [stepper.start() for _ in range(PARTITIONS)]
    lanes = [[k for k in range(n) if k % PARTITIONS == p] for p in range(PARTITIONS)]
    garbage.settle()
    spent = events = 0.0
    step_ms: list[float] = []
    capture_ms: list[float] = []
    rounds = max(3, min(ROUNDS, -(-_EVENTS // n) + 1))
    for minute in range(rounds):
        for p, lane in enumerate(lanes):
            for at in range(0, len(lane), BATCH):
                records = _records(lane[at : at + BATCH], minute, minute * n + at)
                started, wall = time.thread_time(), time.perf_counter()
                _step(stepper, held[p], envelopes, records)
                step_ms.append(1000 * (time.perf_counter() - wall))
                if minute:  # in the first minute every link is new
                    spent += time.thread_time() - started
                    events += len(records)
            capture_ms.append(_capture(held[p]))
    grown = _resident() - before
    return {
        "links": n,
        "us_per_event": round(1e6 * spent / events, 2),
        "bytes_per_link": round(grown / n),
        "row_bytes": held[0].state.row_bytes if is_kept(held[0].state) else 0,
        "resident_mb": round(_resident() / 1e6, 1),
        "step_ms_p99": round(float(np.quantile(step_ms, 0.99)), 1),
        "step_ms_max": round(max(step_ms), 1),
        "capture_ms_max": round(max(capture_ms), 1),
    }


def _step(stepper: Stepper, held: Held, envelopes: Sequence[Envelope], records: Sequence[Record]) -> None:
    work = stepper.admit(held, records, stepper.decode(records, 0))
    result = stepper.step(held, work)
    for envelope in envelopes:
        if envelope.topic in result.outputs:
            envelope.encode(result.outputs[envelope.topic], work.origins, work.keys)


def _capture(held: Held) -> float:
    """Milliseconds of a capture as the worker takes it: what changed, and a sixteenth of the rest."""
    state = held.state
    assert is_kept(state)
    started = time.perf_counter()
    if state.renewed:
        state.renew()
    state.capture(renew_bytes=max(len(state) * state.row_bytes // 16, 8 << 20))
    return 1000 * (time.perf_counter() - started)


def _records(lane: Sequence[int], minute: int, offset: int) -> list[Record]:
    rng = np.random.default_rng(minute)
    noise = rng.normal(size=(len(lane), 2))
    samples = [
        NetworkSample(
            timestamp=_START_MS + minute * _MINUTE_MS + k % 1000, node_id=f"n{k}", peer_id="hub", link_type="wan",
            throughput_mbps=float(300 + 20 * a), rtt_ms=float(30 + abs(b)), packet_loss=0.001, jitter_ms=1.0,
        )
        for k, (a, b) in zip(lane, noise, strict=True)
    ]  # fmt: skip
    values = [msgspec.json.encode(one) for one in samples]
    return [
        Record(b"n%d:hub" % k, value, offset + i, 0, ()) for i, (k, value) in enumerate(zip(lane, values, strict=True))
    ]


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    json.dump(measure(int(sys.argv[1])), sys.stdout)
