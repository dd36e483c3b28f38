"""What a worker's cost does when links, partitions and workers grow, and a sizing model fitted to it.

- **Links** (`tests/bench/many_links.py`): the network agent with so many, each number in a process of its own.
- **Polls** (`tests/bench/round.py`): what a poll costs all agents by partitions and by records on each. With more
  partitions, or less load, batches are smaller.
- **Workers**: from a real Kafka to a real Kafka, all paths.

Every point ends by time, so that the whole of it takes a quarter of an hour at most.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from schemas.topic import INPUTS
from tests.bench import sizing
from tests.e2e.harness import ROOT
from tests.kafka import Kafka, missing

UNSEEN_LINKS: Final = 30_000
UNSEEN_POLL: Final = (8, 4)
POLL_RECORDS: Final = 512
"""At most of one topic: what the runner puts together; more are several polls."""
_BYTES_PER_LINK: Final = 6_000
"""At the peak: while the table of links grows, and while it is captured, there is more than it."""

Say = Callable[[str], None]


class Plan(NamedTuple):
    """What to measure.

    Parameters
    ----------
    links
        Sizes that the model is fitted to.
    partitions, each
        Of polls: all pairs of partitions and records on each that are not too many together.
    workers
        How many at a time.
    records
        Of each input, for every number of workers and for polls.
    seconds
        For each point's own clock.
    """

    links: Sequence[int] = (1_000, 10_000, 100_000, 1_000_000)
    partitions: Sequence[int] = (1, 4, 16, 64)
    each: Sequence[int] = (1, 8, 64, 512)
    workers: Sequence[int] = (1, 2, 4)
    records: int = 60_000
    seconds: float = 10.0


QUICK: Final = Plan((1_000, 10_000, 60_000), (1, 8, 64), (1, 8, 256), (1, 2), 20_000, 2.0)
"""Some minutes: the same with less of everything."""


def run(plan: Plan, seed: int, say: Say) -> dict[str, Any]:
    """All of it.

    Parameters
    ----------
    plan
        What.
    seed
        Of the simulated fleet.
    say
        Where progress goes.
    """
    if reason := missing():
        raise SystemExit(f"dwcp: a real Kafka is needed: {reason}")
    began = time.monotonic()

    def tell(text: str) -> None:
        say(f"{time.monotonic() - began:5.0f} s  {text}")

    tell(f"links: {', '.join(f'{n:,}' for n in plan.links)}, and {UNSEEN_LINKS:,} for a check")
    *by_links, other_links = [_links(n, plan.seconds, tell) for n in (*_fitting(plan.links, tell), UNSEEN_LINKS)]
    *by_polls, other_poll = _polls(plan, seed, tell)
    found = {
        "links": [*by_links, other_links],
        "polls": [*by_polls, other_poll],
        "workers": _workers(plan, seed, tell),
        "sizing": {
            "links": sizing.of_links(by_links, other_links), "polls": sizing.of_polls(by_polls, other_poll),
        },
    }  # fmt: skip
    tell("done")
    return found


def _fitting(links: Sequence[int], say: Say) -> list[int]:
    """Sizes for which there is memory."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    found = [n for n in links if n * _BYTES_PER_LINK < free]
    for n in links:
        if n not in found:
            say(f"{n:,} links are left out: they take up to {n * _BYTES_PER_LINK / 1e9:.0f} GB of memory")
    return found


def _links(n: int, seconds: float, say: Say) -> dict[str, Any]:
    """Cost, memory and stops with so many links."""
    command = [sys.executable, "-m", "tests.bench.many_links", str(n), str(seconds)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)
    say(
        f"{n:>9,} links: {found['us_per_event']} us a sample, {found['bytes_per_link']:,} bytes a link, "
        f"{found['peak_mb']:,.0f} MB at the peak"
    )
    return found


def _polls(plan: Plan, seed: int, say: Say) -> list[dict[str, Any]]:
    """Processor time of a poll by partitions and records on each; last the one that nothing is fitted to."""
    from agents import ingest
    from streams import garbage
    from streams.worker import warm
    from tests.bench import round as small
    from tests.bench.path import EVERY
    from tests.bench.traffic import keyed_records, raw_records

    say("polls: all agents, without a broker")
    raw = raw_records(plan.records, 2_000, seed)
    given = raw | keyed_records(raw, ingest.agents)
    warm(EVERY)
    garbage.settle()
    pairs = [(p, k) for p in plan.partitions for k in plan.each if p * k <= POLL_RECORDS and (p, k) != UNSEEN_POLL]
    found = []
    for partitions, records in (*pairs, UNSEEN_POLL):
        one = small.run(given, EVERY, records, partitions, seconds=plan.seconds / 2 / len(EVERY))
        inputs = len(INPUTS) * partitions * records
        us = 1e3 * one["ms_per_round"]
        found.append(
            {"partitions": partitions, "records_on_each": records, "inputs": inputs, "us_per_poll": round(us),
             "us_per_input": round(us / inputs, 1)}
        )  # fmt: skip
        say(
            f"{records:>4} records on each of {partitions} partitions: {us / 1e3:.1f} ms, {us / inputs:.1f} us an input"
        )
    return found


def _workers(plan: Plan, seed: int, say: Say) -> list[dict[str, Any]]:
    """Events/s of several workers together on all paths, the machine's cores shared with broker and generator."""
    from tests.bench.pipeline import capacity
    from tests.bench.traffic import raw_records
    from tests.bench.trial import Trial

    found = []
    raw = raw_records(plan.records, 2_000, seed)
    with Kafka() as kafka, tempfile.TemporaryDirectory() as directory:
        for count in plan.workers:
            found.append(capacity(Trial("all", kafka.address, raw, Path(directory), say), plan.records, count))
            one = found[-1]
            say(
                f"{count} worker(s): {one['events_per_second']:,} events/s, {one['cpu_us_per_event']} us each, "
                f"{one['lost']} lost"
            )
    return found
