"""Events per second and latency of one worker process, from a real Kafka to a real Kafka.

Per path (`tests/bench/path.py`): records are on the broker before the worker starts, and the rate is taken
between two commits, the first that was seen and the last; a commit follows a flush, so that the outputs of what
is committed are confirmed. Then 10, 50 and 80 % of that rate are offered (`tests/bench/trial.py`), or, instead of all
this, rates that are given: those can be compared between versions and machines. Broker, generator, subscriber and
worker share the machine. At the end every input must have its answer.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as File
from typing import Any, Final

from agents import ingest
from tests.bench.path import PATHS
from tests.bench.traffic import keyed_records, raw_records, send
from tests.bench.trial import Trial, records_for, resident
from tests.e2e.harness import Worker
from tests.kafka import Kafka, missing

LOADS: Final = (0.1, 0.5, 0.8)


def run(
    paths: Sequence[str], records: int, rates: Sequence[float], links: int, seed: int, seconds: float,
    say: Callable[[str], None], given: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """Measure paths.

    Parameters
    ----------
    paths
        Which.
    records
        Of each input topic that are waiting when the worker starts; not with `rates`.
    rates
        Records per second to offer instead of shares of what the worker can do; none for those.
    links
        Size of the fleet.
    seed
        Of the fleet.
    seconds
        How long each load lasts.
    say
        Where progress goes.
    given
        Settings of the worker, by name of their variables.
    """
    if reason := missing():
        raise SystemExit(f"dwcp: a real Kafka is needed: {reason}")
    say("making the traffic ...")
    fewest = min(len(PATHS[name].answers) for name in paths)
    raw = raw_records(records_for(rates, seconds, fewest) if rates else 3 * records, links, seed)
    keyed = keyed_records(raw, ingest.agents)
    size = {} if rates else {"records": records}
    found: dict[str, Any] = {**size, "links": links, "seed": seed, "seconds": seconds, "settings": given}
    with Kafka() as kafka, tempfile.TemporaryDirectory() as directory:
        for name in paths:
            say(f"{name}:")
            trial = Trial(name, kafka.address, raw | keyed, File(directory), say, more=given)
            found[name] = _at_rates(trial, rates, seconds) if rates else _measure(trial, records, seconds)
    found["lost"] = sum(found[name]["lost"] for name in paths)
    return found


def capacity(trial: Trial, records: int, workers: int) -> dict[str, Any]:
    """Events/s and processor time per event of so many workers together."""
    backlog = trial.next(records * len(trial.path.answers))
    started = [trial.worker(k) for k in range(workers)]
    try:
        for worker in started:
            worker.wait_ready(180)
        send(trial.settings.bootstrap, backlog)
        rate, cpu_us = trial.drain(started, len(backlog))
        assert [worker.stop(60) for worker in started] == [0] * workers
    finally:
        for worker in started:
            worker.kill()
    return {
        "workers": workers, "events_per_second": round(rate), "cpu_us_per_event": round(cpu_us, 2),
        "lost": trial.lost(),
    }  # fmt: skip


def _measure(trial: Trial, records: int, seconds: float) -> dict[str, Any]:
    backlog = trial.next(records * len(trial.path.answers))
    send(trial.settings.bootstrap, backlog)
    started = time.time()
    worker = trial.worker()
    try:
        worker.wait_ready(180)
        ready_s = time.time() - started
        rate, cpu_us = trial.drain([worker], len(backlog))
        trial.say(f"  {rate:,.0f} events/s, {cpu_us:.1f} us of processor time each")
        # Where the traffic would run out before the last load, all loads are shorter.
        lasts = min(seconds, trial.left / (rate * sum(LOADS)))
        loads = _loads(trial, worker, {f"{load:.0%}": load * rate for load in LOADS}, lasts)
        memory = resident(worker.process.pid)
        assert worker.stop(60) == 0, worker.tail()
    finally:
        worker.kill()
    return {
        "events_per_second": round(rate),
        "cpu_us_per_event": round(cpu_us, 2),
        **loads,
        "start_seconds": round(ready_s, 1),
        "resident_mb": round(memory / 1e6),
        "lost": trial.lost(),
    }


def _at_rates(trial: Trial, rates: Sequence[float], seconds: float) -> dict[str, Any]:
    worker = trial.worker()
    try:
        worker.wait_ready(180)
        trial.warm(worker)
        loads = _loads(trial, worker, {f"{rate:g}/s": rate for rate in rates}, seconds)
        assert worker.stop(60) == 0, worker.tail()
    finally:
        worker.kill()
    return {**loads, "lost": trial.lost()}


def _loads(trial: Trial, worker: Worker, rates: dict[str, float], seconds: float) -> dict[str, Any]:
    """Latency, and the worker's share of a core, at each rate, by its name."""
    found: dict[str, Any] = {"latency_ms": {}, "cpu_share": {}}
    for name, rate in rates.items():
        late, share = trial.steady(worker, rate, seconds)
        found["latency_ms"][name], found["cpu_share"][name] = late, share
        trial.say(
            f"  at {name}: p50 {late['p50']}, p99 {late['p99']}, p99.9 {late['p99_9']} ms, {share:.0%} of a core; "
            f"generator {late['generator_late_ms']} ms late at most"
        )
    return found
