"""Microseconds a record takes to columns, read by the compiled scan and by msgspec alone, by turns; prints JSON.

Records are the simulated fleet's, with every dialect and fault of its producers, and what ingest makes of them;
`left` is the share of them that the scan leaves to msgspec. Times are the thread's own, the best of several.

    PYTHONPATH=. python tests/bench/read.py --records 20000
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from agents import ingest
from schemas.codec import Codec
from schemas.topic import INPUTS, KEYED, Topic
from streams.stepper import Stepper
from tests.bench.hot_path import raw_records

BATCHES = (1, 4, 64, 2000)
REPEATS = 5
_MOST_CALLS = 500


def values_of(records: int, links: int, seed: int) -> dict[Topic, list[bytes]]:
    """Values of every topic that agents read, at least so many of each raw one."""
    given = raw_records(records, links, seed)
    values = {topic: [record.value or b"" for record in some] for topic, some in given.items()}
    for agent in ingest.agents:
        stepper = Stepper(agent, agent.source.name)
        outputs = stepper.step(stepper.start(), stepper.decode(given[agent.source], 0)).outputs
        for topic, output in outputs.items():
            if topic in KEYED and topic.record is not None:
                values[topic] = Codec(topic.record).encode(output.columns)
    return values


def cost(values: Sequence[bytes], codec: Codec[Any], batch: int) -> dict[str, float]:
    """Of a record in batches of this size, us, in both ways."""
    count = min(len(values) // batch, _MOST_CALLS)
    pieces = [values[at : at + batch] for at in range(0, count * batch, batch)]
    ways: dict[str, Callable[[Sequence[bytes]], Any]] = {
        "msgspec": lambda piece: codec.columns(codec.decode(piece)[0]),
        "read": codec.read,
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(REPEATS):
        for name, way in ways.items():
            start = time.thread_time()
            for piece in pieces:
                way(piece)
            best[name] = min(best[name], time.thread_time() - start)
    return {name: round(1e6 * seconds / (count * batch), 3) for name, seconds in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--links", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    values = values_of(options.records, options.links, options.seed)
    found: dict[str, Any] = {}
    for topic in (*INPUTS, *KEYED):
        assert topic.record is not None
        codec: Codec[Any] = Codec(topic.record)
        assert codec.json_reader is not None
        _, left = codec.json_reader.read(values[topic])
        found[topic.name] = {"bytes": round(sum(map(len, values[topic])) / len(values[topic]))}
        found[topic.name] |= {"left": round(len(left) / len(values[topic]), 4)}
        found[topic.name] |= {str(batch): cost(values[topic], codec, batch) for batch in BATCHES}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
