"""The Faust app: built from settings and agents, checked before it starts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import faust
import msgspec
from faust.types import TP

from schemas.error import DwcpError, InfraError
from schemas.header import CE_ID, CONTENT_TYPE, JSON, Headers
from schemas.key import key_of
from schemas.topic import MODEL_REJECTION
from streams.agent import Agent, agents_by_name, with_settings, with_units
from streams.changelog import Changelog
from streams.chunk import ChunkSchema
from streams.decision import show_decisions
from streams.fatal import die
from streams.framework import faust_settings
from streams.lag import Lag
from streams.message import Messages
from streams.metric import Metrics, StateGauges, TopicGauges, WorkerGauges
from streams.model.store import ModelStore
from streams.runner import Runner
from streams.settings import Settings
from streams.shelf import Shelf
from streams.span import open_spans
from streams.stepper import Stepper
from streams.store import StateStore
from streams.watch import first_waiting
from streams.web import add_pages
from streams.wire import Wire
from streams.worker import fail

_WATCH_S = 10.0
_RETRY_S = 30.0
_REPORT_S = 1.0


class Application(faust.App):
    """A Faust app whose agents run in the guarded loop.

    Parameters
    ----------
    settings
        Everything that can be configured.
    agents
        What runs in every worker.
    """

    def __init__(self, settings: Settings, agents: Sequence[Agent]) -> None:
        self.settings = settings
        agents = [with_settings(with_units(agent, settings.units), settings) for agent in agents]
        self.declared = agents_by_name(agents)
        self.chunk_topics = frozenset(settings.name_of(agent.source) for agent in agents)
        self.topic_ids: Mapping[str, str] = {}
        self.partition_counts: Mapping[str, int] = {}
        self.metrics = Metrics()
        self.lag = Lag(self)
        self.stores: dict[str, StateStore] = {}
        self.wire = Wire(settings)
        self.spans = open_spans(settings)
        loaders = {name: load for agent in agents for name, load in agent.models.items()}
        store, name = ModelStore(settings.model_store), settings.instance_id or socket.gethostname()
        self.shelf = Shelf(store, settings.model_key, loaders, self.metrics, name)
        self._steppers = {
            agent.name: Stepper(agent, settings.name_of(agent.source), self.wire.codec(agent.source), self.shelf)
            for agent in agents
        }
        super().__init__(settings.app_id, **faust_settings(settings))
        for agent in agents:
            self._add(agent)
        self.timer(min(_WATCH_S, settings.stall_timeout_s / 4))(self._watch)
        self.timer(settings.snapshot_interval_s)(self._capture)
        self.timer(_RETRY_S)(self._retry)
        self.timer(_REPORT_S)(self._report)
        self._collect()
        add_pages(self)

    @property
    def ready(self) -> bool:
        """Partitions are assigned, states restored, and records flow; kernels were compiled before the start."""
        flowing = self.started and not self.rebalancing and self.flow_control.is_active()
        restored = all(store.ready for store in self.stores.values())
        return bool(flowing and restored and self.consumer.tracker.partitions())

    @property
    def stalled_s(self) -> float:
        """Seconds without a commit while records wait for one."""
        return self.consumer.stalled_s() if self.started and not self.rebalancing else 0.0

    def _crash(self, reason: BaseException) -> None:
        """End the process: an orderly stop waits for what crashed, perhaps for ever, and commits."""
        if not self.should_stop:
            die(InfraError(f"{type(reason).__name__}: {reason}"))
        super()._crash(reason)

    def _create_directories(self) -> None:
        """None: nothing is kept on disk, so a full or read-only one is no trouble."""

    def _add(self, agent: Agent) -> None:
        source = self.topic(self.settings.name_of(agent.source), schema=ChunkSchema(), acks=False)

        async def loop(stream: Any) -> None:
            stepper, store = self._steppers[agent.name], self._store_of(agent.name)
            tracker, publish, counts = self.consumer.tracker, self.producer.publish, self.partition_counts
            metrics, wire = self.metrics, self.wire
            runner = Runner(stepper, store, self.settings, tracker, publish, metrics, wire, counts, self.spans)
            await runner.run(stream)

        loop.__name__ = loop.__qualname__ = agent.name  # what Faust's logs call it
        self.agent(source, name=agent.name)(loop)

    def _store_of(self, name: str) -> StateStore:
        if name not in self.stores:
            stepper = self._steppers[name]
            changelog = Changelog(stepper, self.settings, self.topic_ids) if stepper.agent.keeps is not None else None
            publish, flush = self.producer.publish, self.producer.flush
            self.stores[name] = StateStore(stepper, self.settings, changelog, publish, flush, self.metrics)
        return self.stores[name]

    def assigned(self, committed: Mapping[TP, int | None]) -> None:
        """Partitions after a rebalance and their committed offsets: restore what is not here."""
        settled = not self.consumer.tracker.busy
        for agent in self.declared.values():
            name = self.settings.name_of(agent.source)
            mine = {tp.partition: offset for tp, offset in committed.items() if tp.topic == name}
            self._store_of(agent.name).assign(mine, settled=settled)

    def committed(self, positions: Mapping[TP, int]) -> None:
        """Offsets that the broker confirmed."""
        for name, store in self.stores.items():
            topic = self.settings.name_of(self.declared[name].source)
            store.committed((tp.partition, at) for tp, at in positions.items() if tp.topic == topic)

    async def written(self) -> None:
        """Wait until the snapshots of what was committed so far were handed over to the producer."""
        for store in self.stores.values():
            await store.written()

    async def capture(self, *, at_once: bool = False) -> None:
        """Capture what changed in every state, for the next snapshot."""
        for store in self.stores.values():
            await store.capture(at_once=at_once)

    async def _capture(self) -> None:
        await self.capture()

    async def _retry(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.shelf.retry)

    async def _report(self) -> None:
        """Publish which announced models were refused here."""
        refused = self.shelf.take_rejections()
        keys = [key_of(one.model_name, one.model_version) for one in refused]
        values = [msgspec.json.encode(one) for one in refused]
        headers: list[Headers] = [[(CONTENT_TYPE, JSON), (CE_ID, one.id.encode())] for one in refused]
        await self.producer.publish(self.settings.name_of(MODEL_REJECTION), Messages.of(keys, values, headers))

    async def _watch(self) -> None:
        """End the process when nothing is committed any more: a consumer can die without a word."""
        limit_s = self.settings.stall_timeout_s
        if self.stalled_s > limit_s:
            die(InfraError(f"nothing was committed for {self.stalled_s:.0f} s although records were read"))
        if not self.started or self.rebalancing or self.consumer.idle_s() < limit_s:
            return
        tracker = self.consumer.tracker
        floors = {(tp.topic, tp.partition): tracker.floor(tp) or 0 for tp in tracker.partitions()}
        # The consumer's own idea of what there is may stand still with it: another client looks.
        place = await asyncio.get_running_loop().run_in_executor(None, first_waiting, self.settings, floors)
        if place is not None and self.consumer.idle_s() >= limit_s:
            die(InfraError(f"nothing was read for {self.consumer.idle_s():.0f} s although records wait in {place}"))

    def _collect(self) -> None:
        register, lag = self.metrics.registry.register, self.lag
        register(StateGauges(lambda: {name: store.gauges() for name, store in self.stores.items()}))
        for name, text, read, label in (
            ("dwcp_consumer_lag_records", "Records on the broker that are not committed", lag.records, "topic"),
            ("dwcp_uncommitted_records", "Records read that are not committed", lag.uncommitted, "topic"),
            ("dwcp_consumer_lag_seconds", "Age of the newest processed record where others wait", lag.seconds, "topic"),
            ("dwcp_state_bytes", "Bytes of the states' latest snapshots", self._state_bytes, "agent"),
        ):
            register(TopicGauges(name, text, read, label=label))
        register(WorkerGauges(self._worker_gauges))

    def _worker_gauges(self) -> dict[str, tuple[float, str]]:
        return {
            "dwcp_ready": (float(self.ready), "1 once partitions are assigned and states restored"),
            "dwcp_stalled_seconds": (self.stalled_s, "Time without a commit while records wait for one"),
            "dwcp_assigned_partitions": (
                float(len(self.consumer.tracker.partitions()) if self.started else 0),
                "Partitions that are ours",
            ),
        }

    def _state_bytes(self) -> dict[str, float]:
        return {name: float(store.bytes) for name, store in self.stores.items() if self.declared[name].keeps}


def application(agents: Sequence[Agent], settings: Settings | None = None) -> Application:
    """The app that `faust -A app worker` runs.

    Parameters
    ----------
    agents
        What runs in every worker.
    settings
        By default those of the environment; one that cannot work ends the process
        with a message and its exit code.
    """
    try:
        settings = settings or Settings.from_environment()
        show_decisions(settings)
        return Application(settings, agents)
    except DwcpError as exc:
        fail(exc)
