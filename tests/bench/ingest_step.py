"""Microseconds per record of what an ingest agent computes, one core; prints JSON.

Decode, columns, step and encode of every dataset as the simulated fleet sends it, all
dialects included, in batches of 1000; the best of several rounds.

    PYTHONPATH=. python tests/bench/ingest_step.py [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from offline.simulator.bank import measure
from offline.simulator.fleet import Fleet, FleetPlan
from offline.simulator.payload import generated
from schemas.batch import Batch
from schemas.codec import codec_of
from schemas.ingest import CompressionIngest, NetworkIngest, SystemIngest

SIZE = 1000


def values_by_dataset() -> dict[str, list[bytes]]:
    """`SIZE` values of each dataset."""
    bank = measure(generated(1), "generated")
    found: dict[str, list[bytes]] = {"network": [], "compression": [], "system": []}
    for records in Fleet(FleetPlan(seconds=1200, links=100, nodes=50, faults=()), bank).minutes():
        for batch in records:
            found[batch.dataset] += batch.values
    return {dataset: values[:SIZE] for dataset, values in found.items()}


def stages(kind: Any, values: Sequence[bytes], rounds: int) -> dict[str, float]:
    """Best time of each stage, us per record."""
    raw, keyed = codec_of(kind.source.record), codec_of(kind.target.record)
    n = len(values)
    ingest = kind()

    def best(stage: Callable[[], Any]) -> tuple[Any, float]:
        spent = []
        for _ in range(rounds):
            start = time.perf_counter()
            result = stage()
            spent.append(time.perf_counter() - start)
        return result, 1e6 * min(spent) / n

    (records, rejected), decode = best(lambda: raw.decode(values))
    assert not rejected
    columns, table = best(lambda: raw.columns(records))
    batch = Batch(kind.source, 0, columns, [None] * n, np.arange(n), [b"raw/0/0"] * n, np.full(n, 1 << 42))
    result, step = best(lambda: ingest.step(batch))
    assert not result.rejected
    _, encode = best(lambda: keyed.encode(result.outputs[kind.target].columns))
    found = {"decode": decode, "columns": table, "step": step, "encode": encode}
    return {name: round(us, 3) for name, us in (found | {"total": sum(found.values())}).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    values = values_by_dataset()
    kinds = {"network": NetworkIngest, "compression": CompressionIngest, "system": SystemIngest}
    found = {dataset: stages(kind, values[dataset], rounds) for dataset, kind in kinds.items()}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
