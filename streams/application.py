"""The Faust app: built from settings and agents, checked before it starts."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import faust
import msgspec
from faust.auth import Credentials
from faust.types import TP
from yarl import URL

from schemas.error import DwcpError, InfraError
from schemas.header import CE_ID, CONTENT_TYPE, JSON, Headers
from schemas.key import key_of
from schemas.topic import INPUTS, KEYED, MODEL_REJECTION
from streams import librdkafka
from streams.agent import Agent, agents_by_name, with_settings, with_units
from streams.changelog import Changelog, topic_ids
from streams.chunk import ChunkSchema
from streams.decision import log_level, show_decisions
from streams.fatal import die
from streams.log import logging_config
from streams.message import Messages
from streams.metric import Metrics, StateGauges, TopicGauges, WorkerGauges
from streams.model.store import ModelStore
from streams.preflight import check_broker, check_port
from streams.runner import Runner
from streams.security import tls_context, web_tls_context
from streams.settings import Settings
from streams.shelf import Shelf
from streams.span import open_spans
from streams.stepper import Stepper
from streams.store import StateStore
from streams.topic import admin
from streams.watch import first_waiting
from streams.web import add_pages
from streams.web.guard import MAX_BODY_BYTES
from streams.wire import Wire

_WATCH_S = 10.0
_RETRY_S = 30.0
_REPORT_S = 1.0
_DEFAULT_LOG_LEVEL = Settings.from_environment({}).log_level


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
        super().__init__(settings.app_id, **_faust_settings(settings))
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
            self.stores[name] = StateStore(stepper, self.settings, changelog, self.producer.publish, self.metrics)
        return self.stores[name]

    def assigned(self, committed: Mapping[TP, int | None]) -> None:
        """Partitions after a rebalance and their committed offsets: restore what is not here."""
        settled = not self.consumer.tracker.busy
        for agent in self.declared.values():
            name = self.settings.name_of(agent.source)
            mine = {tp.partition: offset for tp, offset in committed.items() if tp.topic == name}
            self._store_of(agent.name).assign(mine, settled=settled)

    async def committed(self, positions: Mapping[TP, int]) -> None:
        """Offsets that the broker confirmed."""
        for name, store in self.stores.items():
            topic = self.settings.name_of(self.declared[name].source)
            await store.committed((tp.partition, at) for tp, at in positions.items() if tp.topic == topic)

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
        registry = self.metrics.registry
        registry.register(StateGauges(lambda: {name: store.gauges() for name, store in self.stores.items()}))
        registry.register(
            TopicGauges("dwcp_consumer_lag_records", "Records on the broker that are not committed", self.lag)
        )
        registry.register(
            TopicGauges("dwcp_uncommitted_records", "Records read that are not committed", self._uncommitted)
        )

        registry.register(
            TopicGauges(
                "dwcp_consumer_lag_seconds", "Age of the newest processed record where others wait", self.lag_seconds
            )
        )
        registry.register(
            TopicGauges("dwcp_state_bytes", "Bytes of the states' latest snapshots", self._state_bytes, label="agent")
        )
        registry.register(WorkerGauges(self._worker_gauges))

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

    def lag_seconds(self) -> dict[str, float]:
        """Age of the newest processed record by topic, 0 where none waits."""
        ages = dict.fromkeys(sorted(self.chunk_topics), 0.0)
        if self.started:
            now, newest = time.time(), self.metrics.newest_ms
            for tp in self.consumer.tracker.partitions():
                if tp in newest and self.consumer.lag(tp):
                    ages[tp.topic] = max(ages[tp.topic], now - newest[tp] / 1000)
        return ages

    def lag(self) -> dict[str, float]:
        """Records on the broker that are not committed, by topic."""
        return self._by_topic(lambda tp: self.consumer.lag(tp))

    def _uncommitted(self) -> dict[str, float]:
        return self._by_topic(lambda tp: self.consumer.tracker.uncommitted(tp))

    def _by_topic(self, measure: Any) -> dict[str, float]:
        sums = dict.fromkeys(sorted(self.chunk_topics), 0.0)
        if self.started:
            for tp in self.consumer.tracker.partitions():
                sums[tp.topic] += measure(tp)
        return sums


class Worker(faust.Worker):
    """Faust's worker with checks before the start and our exit codes."""

    app: Application

    def __init__(self, app: Application, *args: Any, loglevel: Any = None, **kwargs: Any) -> None:
        level = log_level(app.settings)
        super().__init__(app, *args, loglevel=loglevel if level == _DEFAULT_LOG_LEVEL else level, **kwargs)

    def execute_from_commandline(self) -> NoReturn:
        """Check, compile, run; 70 when a service crashed."""
        try:
            settings = self.app.settings
            if self.app.conf.web_enabled:
                check_port(self.app.conf.web_bind, self.app.conf.web_port)
            self.app.partition_counts = check_broker(settings)
            self.app.wire.open(topic for agent in self.app.declared.values() for topic in agent.publishes)
            self.app.topic_ids = topic_ids(admin(settings), [settings.name_of(t) for t in (*INPUTS, *KEYED)])
        except DwcpError as exc:
            fail(exc)
        for agent in self.app.declared.values():
            agent.warm()
        librdkafka.warm()
        try:
            super().execute_from_commandline()
        except SystemExit:
            if self.crash_reason is None:
                raise
        finally:
            if self.app.spans is not None:
                self.app.spans.close()
        fail(InfraError(f"{type(self.crash_reason).__name__}: {self.crash_reason}"))


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


def fail(error: DwcpError) -> NoReturn:
    """Say what is wrong in one line on stderr and exit with the error's code."""
    print(f"dwcp: {error}", file=sys.__stderr__, flush=True)
    sys.exit(error.exit_code)


def _credentials(settings: Settings) -> Credentials | None:
    protocol = settings.kafka_security_protocol
    context = tls_context(settings) if protocol.endswith("ssl") else None
    if protocol.startswith("sasl"):
        return faust.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password,
            mechanism=settings.kafka_sasl_mechanism.upper(),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def _faust_settings(settings: Settings) -> dict[str, Any]:
    return {
        # Faust lets its own environment variables win over arguments; ours are the only ones.
        "env": {},
        "broker": [URL(f"dwcp://{address}") for address in settings.brokers],
        "broker_credentials": _credentials(settings),
        "Worker": Worker,
        "autodiscover": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": settings.instance_id or None,
        "consumer_max_fetch_size": settings.fetch_max_bytes,
        "broker_max_poll_records": settings.batch_max_records,
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": settings.heartbeat_s,
        "broker_request_timeout": max(40.0, settings.session_timeout_s + 5),
        "broker_commit_interval": settings.commit_interval_s,
        "stream_buffer_maxsize": settings.buffer_batches,
        "stream_wait_empty": True,
        "stream_publish_on_commit": False,
        "logging_config": logging_config(settings),
        "web_bind": settings.web_host,
        "web_host": settings.web_host,
        "web_port": settings.web_port,
        "web_application_options": {"client_max_size": MAX_BODY_BYTES},
        "web_ssl_context": web_tls_context(settings),
        "web_tables_enabled": False,
        "web_router_enabled": False,
        "web_graph_enabled": False,
        "web_stats_enabled": False,
    }
