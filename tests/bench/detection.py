"""What stands between a node's record and the alert that it raises, inside a worker on a real Kafka.

The system agent of one worker gets records at a steady rate. From the moment a fetch has brought a record until its
score and alert were handed to the producer: waiting for its turn and for others to gather, all systems' steps,
encoding. Within that, the detectors' own part: their step over the batch that the record is in. Both by the clock, and
in the processor time that the worker took meanwhile, all its threads, which others on the machine hardly stretch; what
is missing there is resting, at most 10 ms. Beside it the whole way, from the moment a record was due to be sent to its
score's arrival at a subscriber, as `dwcp bench pipeline --rate` takes it.

As an app, `faust -A tests.bench.detection worker`, it is that worker, and writes what it measures to BENCH_DETECTION.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from agents import ingest, system
from online_models.anomaly.state import SystemState
from schemas.batch import Batch, Result
from streams.application import application
from streams.chunk import Chunk
from streams.runner import Runner
from tests.bench.traffic import keyed_records, raw_records
from tests.bench.trial import Trial, records_for
from tests.kafka import Kafka, missing

MEASURED: Final = np.dtype([("own", "u1"), ("clock", "f8"), ("processor", "f8"), ("records", "i8")])
"""Whether it is the detectors' own time or the whole way, how long that was, in seconds, and for how many records."""

RATES: Final = (500.0, 3_000.0)
_VARIABLE: Final = "BENCH_DETECTION"


def run(rates: Sequence[float], seconds: float, links: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Latency inside the worker at each rate, and the share of it that is the detectors'.

    Parameters
    ----------
    rates
        Records per second.
    seconds
        How long each lasts.
    links
        Size of the fleet; a third as many nodes.
    seed
        Of the fleet.
    say
        Where progress goes.
    """
    if reason := missing():
        raise SystemExit(f"dwcp: a real Kafka is needed: {reason}")
    raw = raw_records(records_for(rates, seconds, 1), links, seed)
    given = keyed_records(raw, ingest.agents)
    with Kafka() as kafka, tempfile.TemporaryDirectory() as directory:
        measured = Path(directory) / "measured"
        app, more = "tests.bench.detection", {_VARIABLE: str(measured)}
        trial = Trial("system", kafka.address, given, Path(directory), say, app, more)
        return _latencies(trial, rates, seconds, measured)


def _latencies(trial: Trial, rates: Sequence[float], seconds: float, measured: Path) -> dict[str, Any]:
    """Of each rate, after some records that warm the nodes up."""
    worker = trial.worker()
    found: dict[str, Any] = {}
    try:
        worker.wait_ready(300)
        trial.warm(worker)
        for rate in rates:
            before = measured.stat().st_size
            late, share = trial.steady(worker, rate, seconds)
            some = np.fromfile(measured, MEASURED, offset=before)
            whole = some["own"] == 0
            found[f"{rate:g}"] = {
                "records": int(some["records"][whole].sum()),
                "fetched_to_handed_over_ms": _quantiles(some[whole]),
                "detectors_ms": _quantiles(some[~whole]),
                "due_to_answered_ms": late,
                "cpu_share": share,
            }
            trial.say(f"{rate:g}/s: {found[f'{rate:g}']}")
        assert worker.stop(60) == 0, worker.tail()
    finally:
        worker.kill()
    return found


def _quantiles(some: np.ndarray) -> dict[str, dict[str, float]]:
    """Of records, not of batches."""
    found: dict[str, dict[str, float]] = {}
    for name in ("clock", "processor"):
        order = np.argsort(some[name])
        share = np.cumsum(some["records"][order]) / max(some["records"].sum(), 1)
        at = {f"p{100 * q:g}": order[min(int(np.searchsorted(share, q)), len(order) - 1)] for q in (0.5, 0.99)}
        found[name] = {quantile: round(1000 * float(some[name][k]), 2) for quantile, k in at.items()}
    return found


def _measure(path: str) -> None:
    """Let chunks, the runner and the detectors of this process write down how long they took."""
    file = Path(path).open("ab", buffering=0)  # noqa: SIM115 - as long as the process
    began: dict[Any, np.ndarray] = {}
    make, process, follow = Chunk.__init__, Runner.process, SystemState.follow

    def clocks() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])

    def write(own: bool, spent: np.ndarray, records: int) -> None:
        file.write(np.array([(own, *spent, records)], MEASURED).tobytes())

    def fetched(self: Chunk, tp: Any, records: Sequence[Any], span: Any) -> None:
        make(self, tp, records, span)
        began.setdefault((tp, span.first), clocks())

    async def handed_over(self: Runner, chunks: Sequence[Chunk]) -> None:
        await process(self, chunks)
        now = clocks()
        for chunk in chunks:
            write(False, now - began.pop((chunk.tp, chunk.span.first)), len(chunk))

    def followed(self: SystemState, batch: Batch, results: Sequence[Result]) -> Result:
        start = clocks()
        result = follow(self, batch, results)
        write(True, clocks() - start, len(batch))
        return result

    Chunk.__init__ = fetched  # type: ignore[method-assign]
    Runner.process = handed_over  # type: ignore[method-assign]
    SystemState.follow = followed  # type: ignore[method-assign]


if _VARIABLE in os.environ:
    _measure(os.environ[_VARIABLE])
    app = application((system.agent,))
