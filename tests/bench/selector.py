"""What one decision of the online selector costs: `python -m tests.bench.selector`.

A fleet of the simulator is streamed through one partition's state. Processor time of this thread, microseconds:
`inputs`, the columns that are gathered, and `decide` per transfer in batches of 1000, `step` all of it with learning
and the records made; `single` is a step of one transfer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offline.simulator.bank import open_bank
from offline.simulator.fleet import Fleet, FleetPlan
from offline.training.selector_data import Transfers
from online_models.selector.feature import ENTROPY, REPETITION, inputs_of, numbers, payload_kinds
from online_models.selector.state import CompressionState
from online_models.selector.utility import INPUTS, Shared, estimate, new_work
from schemas.codec import codec_of
from schemas.topic import COMPRESSION_KEYED, COMPRESSION_RAW
from streams.recording.format import Recorded
from streams.recording.run import run
from streams.recording.table import INGESTS
from streams.settings import Settings

BATCH: Final = 1000
SINGLES: Final = 2000
REPEATS: Final = 9


def measure(seed: int = 5) -> dict[str, float]:
    """The figures."""
    transfers = _transfers(seed)
    batch = transfers.take(np.arange(len(transfers)))
    state = CompressionState()
    CompressionState.warm()
    trained = len(batch) - SINGLES - REPEATS * BATCH
    state.step(batch.take(0, trained))
    steps, singles = [], []
    for k in range(REPEATS):
        piece = batch.take(trained + k * BATCH, trained + (k + 1) * BATCH)
        steps.append(_cost(lambda piece=piece: state.step(piece)))
    for k in range(len(batch) - SINGLES, len(batch)):
        one = batch.take(k, k + 1)
        singles.append(_cost(lambda one=one: state.step(one)))
    some = batch.take(0, BATCH)
    rows, slot, kinds = state._table.rows, state._table.index(some.key), payload_kinds(some.columns)
    inputs = [_cost(lambda: numbers(some.columns)) for _ in range(REPEATS)]
    arguments = (state.model, rows, slot, numbers(some.columns), kinds)
    _decide(*arguments)
    decide = [_cost(lambda: _decide(*arguments)) for _ in range(REPEATS)]
    per = 1e6 / BATCH
    return {
        "transfers": len(batch), "links": len(state), "inputs_us": per * float(np.median(inputs)),
        "decide_us": per * float(np.median(decide)), "step_us": per * float(np.median(steps)),
        "single_median_ms": 1e3 * float(np.median(singles)), "single_p99_ms": 1e3 * float(np.quantile(singles, 0.99)),
        "link_bytes": state.row_bytes,
    }  # fmt: skip


def _transfers(seed: int) -> Transfers:
    """A fleet's transfers through ingest, as if of one partition."""
    settings = Settings.from_environment({})
    fleet = Fleet(
        FleetPlan(seed=seed, seconds=3600, links=8, nodes=4, transfers=0.8, datasets=("compression",)),
        open_bank(source="generated"),
    )
    name, recorded = settings.name_of(COMPRESSION_RAW), []
    for minute in fleet.minutes():
        for part in minute:
            rows = zip(part.keys, part.values, part.event_ms.tolist(), strict=True)
            recorded += [Recorded(name, 0, 0, at, key, value) for key, value, at in rows]
    kept = run([INGESTS[COMPRESSION_RAW]], recorded, settings)[COMPRESSION_KEYED]
    assert COMPRESSION_KEYED.record is not None
    codec = codec_of(COMPRESSION_KEYED.record)
    decoded, _ = codec.decode([record.value for record in kept])
    return Transfers(codec.columns(decoded), [record.key for record in kept], np.zeros(len(kept), np.int64))


def _cost(work: Callable[[], Any]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


@njit
def _decide(model: Shared, links: NDArray[Any], slot: NDArray[Any], number: NDArray[Any], kind: NDArray[Any]) -> int:
    chosen, work, hde, amst = 0, new_work(), np.empty(INPUTS), np.empty(INPUTS)
    for i in range(len(slot)):
        inputs_of(number[i], hde, amst)
        estimate(model, links[slot[i]], work, hde, amst, kind[i], number[i, ENTROPY], number[i, REPETITION])
        chosen += work.loss[0] > work.loss[1]
    return chosen


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:18}{value:12.3f}")
