"""The fleet: minute by minute, everything its hosts send."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from offline.simulator.bank import Bank
from offline.simulator.ceiling import ForecastCeiling, SelectorCeiling
from offline.simulator.delivery import Delivery, Records
from offline.simulator.fault import DATASETS, Fault, Schedule, Truth, random_faults
from offline.simulator.host import PERIOD_MS, SAMPLES_PER_MINUTE, Hosts, complete
from offline.simulator.link import CONGESTED, FAILED, MINUTE_MS, Links, Overlay
from offline.simulator.probe import probe
from offline.simulator.topology import Topology
from offline.simulator.trace import Traces
from offline.simulator.transfer import Senders, Transfers, Workload
from offline.simulator.wire import compression_values, network_values, system_records
from schemas.topic import COMPRESSION_RAW, NETWORK_RAW, SYSTEM_RAW

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

START_MS: Final = 1_767_571_200_000
"""2026-01-05T00:00:00Z, a Monday: the default start, so that runs can be repeated."""

_TOPICS: Final = {"network": NETWORK_RAW, "compression": COMPRESSION_RAW, "system": SYSTEM_RAW}


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What to simulate.

    Parameters
    ----------
    seed
        Of everything random.
    seconds
        Event time to cover.
    links, nodes
        Size of the fleet.
    start_ms
        Event time of the beginning.
    transfers
        Transfers per second and link.
    keyless
        Share of hosts whose client sends no keys.
    datasets
        Which of `DATASETS` to send.
    faults
        A schedule, or "random" for one from the seed.
    traces
        Folder of real series that drive links and hosts.
    """

    seed: int = 1
    seconds: float = 3600.0
    links: int = 64
    nodes: int = 32
    start_ms: int = START_MS
    transfers: float = 1.0
    keyless: float = 0.0
    datasets: tuple[str, ...] = DATASETS
    faults: Sequence[Fault] | Literal["random"] = ()
    traces: Path | None = None

    @property
    def end_ms(self) -> int:
        """Event time of the end."""
        return self.start_ms + round(1000 * self.seconds)


class Fleet:
    """Generates the records of a plan; iterate over `minutes` once.

    Parameters
    ----------
    plan
        What to simulate.
    bank
        Measured payloads.
    topics
        Name of the topic of each dataset, where it is not the default.
    watch
        Is given each minute's transfers with the truth behind them, and the number of the first one.
    """

    def __init__(
        self,
        plan: FleetPlan,
        bank: Bank,
        topics: dict[str, str] | None = None,
        watch: Callable[[Transfers, int], None] | None = None,
    ) -> None:
        self.plan = plan
        self._watch = watch
        self._topics = {name: topic.name for name, topic in _TOPICS.items()} | (topics or {})
        self.topology = t = Topology(_rng(plan, 0), plan.links, plan.nodes)
        self.links = Links(_rng(plan, 1), t.link_type, t.link_utc_offset_h)
        self.hosts = Hosts(_rng(plan, 2), t.node_utc_offset_h)
        self.workload = Workload(_rng(plan, 3), bank, self.links, t.sender, plan.transfers)
        self._bank, self._system_rng = bank, _rng(plan, 5)
        self.schedule = self._schedule()
        self._delivery = {name: self._faulty_delivery(name, 10 + i) for i, name in enumerate(DATASETS)}
        self._traces = Traces(plan.traces, _rng(plan, 7), t.link_type, plan.nodes) if plan.traces else None
        self._forecast = None if plan.traces else ForecastCeiling(_rng(plan, 8), self.links)
        self._selector = SelectorCeiling(_rng(plan, 9), bank)
        phases = _rng(plan, 13)
        self._link_phase_ms: I64 = phases.integers(0, MINUTE_MS, plan.links)
        self._node_phase_ms: I64 = phases.integers(0, PERIOD_MS, plan.nodes)
        keyless = phases.random(plan.nodes) < plan.keyless
        self._node_keys = [None if none else key for none, key in zip(keyless, t.node_key, strict=True)]
        self._link_keys = [None if none else key for none, key in zip(keyless[t.sender], t.link_key, strict=True)]
        self._episodes: dict[int, Truth] = {}
        self._past_episodes: list[Truth] = []
        self._transfers_sent = 0
        self.reached_ms = plan.start_ms

    def minutes(self) -> Iterator[list[Records]]:
        """Records by dataset, one list per simulated minute, each in order of arrival."""
        plan = self.plan
        for time_ms in range(plan.start_ms, plan.end_ms, MINUTE_MS):
            self.reached_ms = until_ms = min(time_ms + MINUTE_MS, plan.end_ms)
            yield [self._delivery[r.dataset].step(_until(r, until_ms), until_ms) for r in self._minute(time_ms)]

    def truth(self) -> list[Truth]:
        """What happened so far, for scoring: faults, episodes of the links, touched records."""
        start_ms, end_ms = self.plan.start_ms, self.reached_ms
        lines = self.schedule.truth(start_ms, end_ms)
        lines += [*self._past_episodes, *(_ended(episode, end_ms) for episode in self._episodes.values())]
        for dataset in self.plan.datasets:
            lines += self._delivery[dataset].truth(dataset, end_ms)
        return sorted(lines, key=lambda line: (line.start_ms, line.kind, line.type, line.entity))

    def ceiling(self) -> dict[str, Any]:
        """Best reachable scores on what was generated; None where it is not known."""
        return {
            "selector": self._selector.report(),
            "forecast": self._forecast.report() if self._forecast is not None else None,
        }

    def _schedule(self) -> Schedule:
        plan, t = self.plan, self.topology
        nodes = t.node_id.tolist()
        if plan.faults == "random":
            faults = random_faults(_rng(plan, 6), plan.seconds, nodes, t.link_id)
        else:
            faults = list(plan.faults)
        return Schedule(faults, nodes, t.link_id, t.link_type)

    def _faulty_delivery(self, dataset: str, stream: int) -> Delivery:
        faults = [f for f in self.schedule.faults if f.kind == "delivery" and f.entity in ("*", dataset)]
        return Delivery(_rng(self.plan, stream), faults, self.plan.start_ms, self.plan.end_ms)

    def _minute(self, time_ms: int) -> list[Records]:
        """One whole minute of every dataset, before delivery."""
        minute = (time_ms - self.plan.start_ms) // MINUTE_MS
        self.links.step()
        self._note_episodes(time_ms)
        overlay = self._overlay(minute)
        metrics, fails = self._host_minute(time_ms, minute)
        datasets = self.plan.datasets
        records = []
        if "network" in datasets:
            records.append(self._network(time_ms, minute, overlay))
        if "compression" in datasets:
            load = metrics["cpu_usage"].mean(axis=0) / 100
            records.append(self._compression(time_ms, minute, overlay, load, fails))
        if "system" in datasets:
            records.append(self._system(time_ms, metrics))
        return records

    def _overlay(self, minute: int) -> Overlay:
        """What traces and scheduled faults change on the links in this minute."""
        overlay = self._traces.links(minute) if self._traces else Overlay.none(self.plan.links)
        for fault in self.schedule.active("anomaly", minute):
            if fault.entity == "*":
                continue
            links = self.schedule.links_of(fault)
            if fault.type == "latency_spike":
                overlay.rtt[links] *= 1 + fault.size() / 3
            elif fault.type == "throughput_drop":
                overlay.capacity[links] *= max(0.05, 1 - fault.size() / 10)
        for fault in self.schedule.active("drift", minute):
            if fault.type == "link_capacity":
                overlay.capacity[self.schedule.links_of(fault)] *= fault.size()
        return overlay

    def _network(self, time_ms: int, minute: int, overlay: Overlay) -> Records:
        # A generator per minute: a fault changes the samples it touches and no later ones.
        rng = default_rng([self.plan.seed, 4, minute])
        sample = probe(rng, self.links.state(time_ms, overlay), self.links.streams)
        if self._forecast is not None:
            self._forecast.step(time_ms, overlay, sample)
        order = np.argsort(self._link_phase_ms, kind="stable")
        at = time_ms + self._link_phase_ms
        values = network_values(self.topology, at, sample)
        keys = [self._link_keys[i] for i in order.tolist()]
        return self._records("network", keys, [values[i] for i in order.tolist()], at[order])

    def _compression(self, time_ms: int, minute: int, overlay: Overlay, load: F64, fails: NDArray[np.bool_]) -> Records:
        senders = Senders.with_load(load)._replace(hde_fails=fails)
        for fault in self.schedule.active("drift", minute):
            nodes = self.schedule.nodes_of(fault)
            if fault.type == "hde_cost":
                senders.hde_cost[nodes] *= fault.size()
            elif fault.type == "contention":
                senders.contention[nodes] *= fault.size()
            elif fault.type == "hde_codec":
                senders.codec[nodes] *= fault.size()
        transfers = self.workload.step(time_ms, self.links.state(time_ms, overlay), senders)
        self._selector.step(transfers)
        if self._watch is not None:
            self._watch(transfers, self._transfers_sent)
        values = compression_values(self.topology, self._bank, transfers, self._transfers_sent)
        self._transfers_sent += len(transfers)
        keys = [self._link_keys[i] for i in transfers.link.tolist()]
        return self._records("compression", keys, values, transfers.start_ms.astype(np.int64))

    def _host_minute(self, time_ms: int, minute: int) -> tuple[dict[str, F64], NDArray[np.bool_]]:
        """System metrics `[sample, node]` by name, and the hosts whose compression fails."""
        cpu = self._traces.host_cpu(minute) if self._traces else None
        samples = self.hosts.step(time_ms, cpu)
        fails = np.zeros(self.plan.nodes, np.bool_)
        for fault in self.schedule.active("anomaly", minute):
            for node in self.schedule.nodes_of(fault).tolist():
                at = 60 * minute + (np.arange(SAMPLES_PER_MINUTE) * PERIOD_MS + self._node_phase_ms[node]) / 1000
                rows = (at >= fault.start_s) & (at < (np.inf if fault.end_s is None else fault.end_s))
                self.hosts.afflict(samples, fault.type, fault.size(), (rows, node))
                fails[node] |= fault.type == "compression_failure" and bool(rows.any())
        return complete(self._system_rng, samples), fails

    def _system(self, time_ms: int, metrics: dict[str, F64]) -> Records:
        topic, phase_ms = self._topics["system"], self._node_phase_ms
        return system_records(self.topology, topic, time_ms, phase_ms, metrics, self._node_keys)

    def _records(self, dataset: str, keys: list[bytes | None], values: list[bytes], at: I64) -> Records:
        return Records.untouched(dataset, self._topics[dataset], keys, values, at)

    def _note_episodes(self, time_ms: int) -> None:
        """Keep the spans of congestion and failure that the links went through."""
        names = {CONGESTED: "congestion", FAILED: "failure"}
        for link, episode in list(self._episodes.items()):
            if names.get(int(self.links.regime[link])) != episode.type:
                self._past_episodes.append(_ended(self._episodes.pop(link), time_ms))
        for link in np.flatnonzero(self.links.regime).tolist():
            name = names[int(self.links.regime[link])]
            self._episodes.setdefault(link, Truth("episode", name, self.topology.link_id[link], time_ms, time_ms))


def _ended(episode: Truth, end_ms: int) -> Truth:
    return Truth(episode.kind, episode.type, episode.entity, episode.start_ms, end_ms)


def _until(records: Records, until_ms: int) -> Records:
    """Records before the end of the run."""
    n = int(np.searchsorted(records.event_ms, until_ms, "left"))
    return records if n == len(records) else records.take(np.arange(n))


def _rng(plan: FleetPlan, stream: int) -> Generator:
    """An independent stream per part, so that a change in one leaves the others' draws alone."""
    return default_rng([plan.seed, stream])
