"""Nodes that send their metrics every five minutes, and of which some fill their disks until nothing is left.

`python -m offline.simulator.growth --to BROKER`. Cpu, memory and latency of all nodes, and the disks of the
others, have days and noise and do not grow. It says beforehand which nodes grow and when they will be
exhausted, and again when they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click
import numpy as np
from numpy.random import default_rng

from offline.simulator.delivery import Records
from offline.simulator.fleet import START_MS
from offline.simulator.host import INDEX, Hosts, complete
from offline.simulator.player import play, say
from offline.simulator.topology import Topology
from offline.simulator.wire import system_records
from schemas.topic import SYSTEM_RAW
from streams.settings import Settings
from streams.sink import KafkaSink
from streams.stop import stoppable

PERIOD_MS: Final = 300_000
DAY_MS: Final = 86_400_000
FULL: Final = 100.0

LEVELS: Final = {"cpu_usage": 48.0, "memory_usage": 58.0, "disk_usage": 62.0, "latency_mean": 110.0}
"""Where resources are in the beginning, beside what the day does."""

GROWTH: Final = (0.69, 0.75)
"""Points a day, least and most."""

CALM_DISK: Final = 0.1
"""Deviation of a disk's usage, as a share of the usual one: disks do not breathe."""


class GrowingFleet:
    """Nodes of which the first `growing` fill their disks.

    Parameters
    ----------
    seed
        Of everything random.
    nodes, growing
        How many.
    days
        How long.
    topic
        Name of the topic.
    """

    def __init__(self, seed: int, nodes: int, growing: int, days: int, topic: str) -> None:
        self._rng = default_rng([seed, 1])
        self._topology = Topology(default_rng([seed, 0]), 1, nodes)
        self._hosts = Hosts(default_rng([seed, 2]), self._topology.node_utc_offset_h)
        for name, level in LEVELS.items():
            self._hosts.level[INDEX[name]] = level + self._rng.uniform(-1.5, 1.5, nodes)
        self._hosts.within[INDEX["disk_usage"]] *= CALM_DISK
        self.per_day = np.zeros(nodes)
        self.per_day[:growing] = self._rng.uniform(*GROWTH, growing)
        self._nodes, self._days, self._topic = nodes, days, topic
        self._phase_ms = self._rng.integers(0, PERIOD_MS, nodes)
        self._disk = INDEX["disk_usage"]

    def exhausted(self) -> dict[str, int]:
        """Event time at which each growing node's disk is full, by node."""
        level = self._hosts.level[self._disk]
        return {
            str(self._topology.node_id[n]): START_MS + int((FULL - level[n]) / self.per_day[n] * DAY_MS)
            for n in np.flatnonzero(self.per_day).tolist()
        }

    @property
    def names(self) -> list[str]:
        """All nodes."""
        return [str(name) for name in self._topology.node_id]

    def periods(self) -> Iterator[list[Records]]:
        """One record of every node, every five minutes."""
        full = self.exhausted()
        for time_ms in range(START_MS, START_MS + self._days * DAY_MS, PERIOD_MS):
            samples = self._hosts.step(time_ms)[-1:]
            grown = self.per_day * (time_ms - START_MS) / DAY_MS
            samples[0, self._disk] = np.clip(samples[0, self._disk] + grown, 0.0, FULL)
            metrics, keys = complete(self._rng, samples), self._topology.node_key
            yield [system_records(self._topology, self._topic, time_ms, self._phase_ms, metrics, keys)]
            for node in [node for node, at_ms in full.items() if at_ms < time_ms + PERIOD_MS]:
                say(event="exhausted", time_ms=full.pop(node), node=node)


@click.command()
@click.option("--to", "broker", required=True, help="Broker.")
@click.option("--seed", default=1, type=int)
@click.option("--nodes", default=5, type=int)
@click.option("--growing", default=2, type=int, help="How many of them fill their disks.")
@click.option("--days", default=60, type=int, help="Event time to cover.")
@click.option("--speed", default=36_000.0, type=float, help="Event time per second of wall clock, s.")
def main(broker: str, seed: int, nodes: int, growing: int, days: int, speed: float) -> None:
    """Feed a broker with system metrics until told to stop, or until the days are over."""
    fleet = GrowingFleet(seed, nodes, growing, days, Settings.from_environment().name_of(SYSTEM_RAW))
    said: dict[str, Any] = {"nodes": fleet.names, "exhausted": fleet.exhausted()}
    say(event="plan", time_ms=START_MS, **said)
    sink = KafkaSink(broker)
    with stoppable() as stopped:
        play(fleet.periods(), sink, speed, START_MS, lambda _: None, stopped)
    sink.close()


if __name__ == "__main__":
    main()
