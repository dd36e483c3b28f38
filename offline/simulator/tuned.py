"""Nodes whose latency and throughput obey the nine parameters, by what was measured of them.

`python -m offline.simulator.tuned --to BROKER`. It follows the optimizer's rollouts as whoever sets parameters
would: at a stage of p % the new values are on the p % of a partition's nodes with the smallest digests, and
after `rolled_back` on none. What a value does comes from the measured grids (`dwcp optimize grid`), in
one context of each, of the last third; workers learned from all contexts, this one among them.

A request's time is spent on the transfer and waiting for consensus, and as many requests are under way whatever
they take, so throughput is what latency leaves of it. `{"do": "break"}` on stdin gives the nodes a build that is slower
by half with whatever is rolled out from then on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from hashlib import blake2b
from threading import Thread
from typing import Any, Final

import click
import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from offline.optimizer.grid import Grid, load_grids
from offline.simulator.delivery import Records
from offline.simulator.fleet import START_MS
from offline.simulator.host import INDEX, PERIOD_MS, Hosts, complete
from offline.simulator.link import MINUTE_MS
from offline.simulator.player import Told, play, say
from offline.simulator.topology import Topology
from offline.simulator.wire import system_records, system_values
from online_models.experiment.rollout import share_treated
from online_models.optimizer.prior import COST, CPU, MEMORY, PERFORMANCE
from online_models.optimizer.space import DEFAULT, GROUPS
from schemas.codec import codec_of
from schemas.optimizer import PARAMETERS, ROLLOUT_STAGES_PCT, OptimizerRollout
from schemas.topic import OPTIMIZER_ROLLOUT, SYSTEM_RAW
from streams.partition import murmur2_partition
from streams.recording.log import Log
from streams.settings import Settings
from streams.sink import KafkaSink
from streams.stop import stoppable

F64 = NDArray[np.float64]

LEVELS: Final = {
    "cpu_usage": 45.0, "memory_usage": 50.0, "prediction_accuracy": 70.0, "latency_mean": 130.0,
    "throughput_mean": 2850.0,
}  # fmt: skip
"""Of all nodes before anything is tuned: what tuning adds must find room."""

CALM: Final = 0.3
"""Deviations of these nodes, as a share of the usual."""

TRANSFER: Final = 0.6
"""Share of a request's time that the transfer takes; the rest is waiting for consensus."""

MESSAGES: Final = 0.3
"""Share of a node's traffic that is messages of consensus; the rest is transfers."""

BROKEN: Final = 1.5
LONGEST_S: Final = 24 * 3600.0

_PLACE: Final = {p.name: k for k, p in enumerate(PARAMETERS)}


class TunedFleet:
    """Nodes with parameters.

    Parameters
    ----------
    seed
        Of everything random.
    nodes, partitions
        How many nodes, and of the topic that they are keyed to.
    topic
        Name of the topic.
    grids
        What was measured, by system.
    alike
        Whether all nodes are in one measured context; else each partition's are in one of their own.
    """

    def __init__(
        self, seed: int, nodes: int, partitions: int, topic: str, grids: dict[str, Grid], alike: bool = True
    ) -> None:
        self._topology = Topology(default_rng([seed, 0]), 1, nodes)
        self._rng = default_rng([seed, 1])
        self._hosts = Hosts(default_rng([seed, 2]), np.zeros(nodes))
        self._hosts.within = CALM * self._hosts.within
        for name, level in LEVELS.items():
            self._hosts.level[INDEX[name]] = level
        self._topic, self._grids = topic, grids
        keys = self._topology.node_key
        self._partition = np.array([murmur2_partition(key, partitions) for key in keys])
        drawn = {name: self._rng.choice(list(grid.test), 1 if alike else partitions) for name, grid in grids.items()}
        self._context = {name: one[self._partition % len(one)] for name, one in drawn.items()}
        digests = [int.from_bytes(blake2b(key, digest_size=8).digest()) | 1 for key in keys]
        self._digest = np.array(digests, np.uint64)
        self.base = np.tile(DEFAULT, (nodes, 1))
        """What is in force beside rollouts, `[node, 9]`."""
        self.values = self.base.copy()
        self.broken = np.zeros(nodes, np.bool_)
        self.breaks = False
        """Whether the next rollout brings a slower build along."""
        self._brings = np.zeros(nodes, np.bool_)
        self._start = self._logs()
        # As measured, because the optimizer tells contexts apart by both.
        waited = 1000.0 * np.exp(-self._start[:, list(GROUPS).index("acp"), PERFORMANCE])
        self._hosts.level[INDEX["consensus_time"]] = waited
        self._asked = np.exp(
            grids["acp"].context[self._context["acp"], grids["acp"].features.index("log_requests_per_s")]
        )

    @property
    def names(self) -> list[str]:
        """The nodes."""
        return [str(name) for name in self._topology.node_id]

    @property
    def partition(self) -> NDArray[np.intp]:
        """Of each node's key."""
        return self._partition

    def gain(self) -> F64:
        """What is in force beside rollouts does better than what was at the beginning, a node's performance, `[node]`.

        The mean of the three systems' logarithms, without noise.
        """
        return np.asarray((self._logs(self.base) - self._start)[..., PERFORMANCE].mean(axis=1))

    def values_of(self, time_ms: int, metrics: dict[str, F64]) -> list[bytes]:
        """Metrics `[node]` by name as one record of each node."""
        nodes = len(self.values)
        return system_values(self._topology, np.full(nodes, time_ms), np.arange(nodes), metrics)

    def follow(self, one: OptimizerRollout) -> NDArray[np.bool_]:
        """Set parameters as a rollout's record asks; the nodes that have the new ones now, `[node]`."""
        own = np.flatnonzero(self._partition == int(one.scope.rpartition("/")[2]))
        share = 0
        if one.status == "running":
            share = one.stage_pct
            self._brings[own] = self.breaks
        elif one.status == "advanced":
            share = ROLLOUT_STAGES_PCT[ROLLOUT_STAGES_PCT.index(one.stage_pct) + 1]
        elif one.status == "completed":
            share = 100
        treated = np.zeros(len(self.values), np.bool_)
        if share and len(own):
            treated[own[share_treated(share, self._digest[own])]] = True
        self.values[own] = self.base[own]
        for change in one.changes:
            self.values[treated, _PLACE[change.parameter]] = change.after
        if one.status == "completed":
            self.base[own] = self.values[own]
        self.broken[own] = treated[own] & self._brings[own]
        return treated

    def minutes(self) -> Iterator[list[Records]]:
        """Twelve records of every node, minute by minute."""
        nodes = len(self.values)
        phase_ms = self._rng.integers(0, PERIOD_MS, nodes)
        for time_ms in range(START_MS, START_MS + int(1000 * LONGEST_S), MINUTE_MS):
            metrics = self.metrics(time_ms)
            yield [system_records(self._topology, self._topic, time_ms, phase_ms, metrics, self._topology.node_key)]

    def metrics(self, time_ms: int) -> dict[str, F64]:
        """A minute's metrics, by name, each `[sample, node]`.

        Requests are those of a group that agrees, and as many however fast it answers, as in what was measured.
        """
        metrics = complete(self._rng, self._obey(self._hosts.step(time_ms)))
        metrics["request_rate"] *= self._asked / metrics["throughput_mean"]
        return metrics

    def _obey(self, samples: F64) -> F64:
        """Samples `[sample, metric, node]` with what the parameters do to them."""
        off = self._logs() - self._start
        hde, pba, acp = (off[:, k] for k in range(len(GROUPS)))
        slower = TRANSFER * np.exp(-hde[:, PERFORMANCE]) + (1.0 - TRANSFER) * np.exp(-acp[:, PERFORMANCE])
        slower = slower * np.where(self.broken, BROKEN, 1.0)
        for name, factor in (
            ("latency_mean", slower), ("latency_std", slower), ("throughput_mean", 1.0 / slower),
            ("prediction_accuracy", np.exp(pba[:, PERFORMANCE])),
            ("consensus_time", np.exp(-acp[:, PERFORMANCE])),
            ("cpu_usage", np.exp(hde[:, CPU])), ("memory_usage", np.exp(hde[:, MEMORY])),
            ("network_io", (1.0 - MESSAGES) * np.exp(hde[:, COST]) + MESSAGES * np.exp(acp[:, COST])),
        ):  # fmt: skip
            samples[:, INDEX[name]] *= factor
        for name in ("cpu_usage", "memory_usage", "prediction_accuracy"):
            samples[:, INDEX[name]] = np.clip(samples[:, INDEX[name]], 1.0, 100.0)
        return samples

    def _logs(self, values: F64 | None = None) -> F64:
        """Logarithms of what each system does on each node, by default with its values, `[node, system, metric]`."""
        at = self.values if values is None else values
        found = [self._grids[name].at(self._context[name], at[:, where]) for name, where in GROUPS.items()]
        return np.stack(found, axis=1)


class Rollouts:
    """Rollout records of the broker, as they come."""

    def __init__(self, settings: Settings) -> None:
        self.waiting: deque[OptimizerRollout] = deque()
        self._log = Log(settings, [settings.name_of(OPTIMIZER_ROLLOUT)])
        self.done = False
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the broker."""
        self.done = True
        self._thread.join()

    def _read(self) -> None:
        codec = codec_of(OptimizerRollout)
        with self._log as log:
            for record in log.follow(lambda: self.done):
                if record is not None:
                    self.waiting.extend(codec.decode([record.value])[0])


@click.command()
@click.option("--to", "broker", required=True, help="Broker.")
@click.option("--seed", default=1, type=int)
@click.option("--nodes", default=24, type=int)
@click.option("--speed", default=120.0, type=float, help="Event time per second of wall clock, s.")
def main(broker: str, seed: int, nodes: int, speed: float) -> None:
    """Feed a broker with system metrics until told to stop, and set parameters as rollouts say."""
    settings = Settings.from_environment()
    sink, rollouts = KafkaSink(broker), Rollouts(settings)
    name = settings.name_of(SYSTEM_RAW)
    fleet = TunedFleet(seed, nodes, sink.partitions_of(name), name, load_grids())
    say(event="plan", time_ms=START_MS, nodes=fleet.names)

    def hear(told: Told) -> None:
        if told["do"] == "break":
            fleet.breaks = True

    def minutes() -> Iterator[list[Records]]:
        at_ms = START_MS
        for minute in fleet.minutes():
            yield minute
            at_ms += MINUTE_MS
            while rollouts.waiting:
                one = rollouts.waiting.popleft()
                treated = fleet.follow(one)
                said: dict[str, Any] = {"rollout_id": one.rollout_id, "status": one.status, "stage": one.stage_pct}
                said |= {"scope": one.scope, "treated": [n for n, t in zip(fleet.names, treated, strict=True) if t]}
                say(event="applied", time_ms=at_ms + MINUTE_MS, **said)

    with stoppable() as stopped:
        play(minutes(), sink, speed, START_MS, hear, stopped)
    rollouts.close()
    sink.close()


if __name__ == "__main__":
    main()
