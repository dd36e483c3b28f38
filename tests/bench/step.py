"""Microseconds per record of every state's step, one core, batches of 1000; prints JSON.

python tests/bench/step.py [--batches N] [--links N]
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from online_models.compression import CompressionState
from online_models.network import NetworkState
from online_models.system import SystemState
from schemas.batch import Batch
from tests.online_models.stream import (
    metric_stream,
    metrics_of,
    network_stream,
    samples_of,
    transfer_stream,
    transfers_of,
)

SIZE = 1000


def _batches(batch: Batch) -> list[Batch]:
    out = []
    for at in range(0, len(batch) - SIZE + 1, SIZE):
        part = slice(at, at + SIZE)
        columns = {name: np.ascontiguousarray(column[part]) for name, column in batch.columns.items()}
        out.append(Batch(batch.topic, 0, columns, batch.key[part], batch.offset[part], batch.origin[part]))
    return out


def measure(state: Any, make: Callable[[], Batch]) -> dict[str, float]:
    """Compile time, then time per record over all batches and in the median batch."""
    start = time.perf_counter()
    state.warm()
    warm_s = time.perf_counter() - start
    batches = _batches(make())
    fed = state()
    spent = []
    for batch in batches:
        start = time.perf_counter()
        fed.step(batch)
        spent.append(time.perf_counter() - start)
    return {
        "records": SIZE * len(batches),
        "mean_us_per_record": round(1e6 * sum(spent) / len(spent) / SIZE, 3),
        "median_us_per_record": round(1e6 * float(np.median(spent)) / SIZE, 3),
        "p99_batch_ms": round(1e3 * float(np.quantile(spent, 0.99)), 3),
        "warm_s": round(warm_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--links", type=int, default=100)
    given = parser.parse_args()
    n, links = given.batches * SIZE, given.links
    found: dict[str, Any] = {
        "network": measure(NetworkState, lambda: samples_of(network_stream(n // links, links))),
        "compression": measure(CompressionState, lambda: transfers_of(transfer_stream(n, links=links))),
        "system": measure(SystemState, lambda: metrics_of(metric_stream(n // links, links))),
    }
    found["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(msgspec.json.format(json.dumps(found)) + "\n")


if __name__ == "__main__":
    main()
