"""The Faust app: built from settings and agents, checked before it starts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import faust
from faust.types import TP
from yarl import URL

from schemas.error import ConfigError, DwcpError, InfraError
from streams.agent import Agent, agents_by_name
from streams.chunk import ChunkSchema
from streams.fatal import die
from streams.metric import Metrics, StateGauges, TopicGauges
from streams.preflight import check_broker, check_port
from streams.runner import Runner
from streams.settings import Settings
from streams.web import add_pages

_WATCH_S = 1.0
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
        self.declared = agents_by_name(agents)
        self.chunk_topics = frozenset(settings.name_of(agent.source) for agent in agents)
        self.metrics = Metrics()
        self.runners: dict[str, Runner] = {}
        super().__init__(settings.app_id, **_faust_settings(settings))
        for agent in agents:
            self._add(agent)
        self.on_partitions_assigned.connect(self._drop_states, weak=False)
        self.timer(_WATCH_S)(self._watch)
        self._collect()
        add_pages(self)

    @property
    def ready(self) -> bool:
        """Partitions are assigned and records flow; kernels were compiled before the start."""
        flowing = self.started and not self.rebalancing and self.flow_control.is_active()
        return bool(flowing and self.consumer.tracker.partitions())

    @property
    def stalled_s(self) -> float:
        """Seconds without a commit while records wait for one."""
        return self.consumer.stalled_s() if self.started and not self.rebalancing else 0.0

    def _add(self, agent: Agent) -> None:
        source = self.topic(self.settings.name_of(agent.source), schema=ChunkSchema(), acks=False)

        async def loop(stream: Any) -> None:
            runner = self.runners[agent.name] = Runner(
                agent, self.settings, self.consumer.tracker, self.producer.publish, self.metrics
            )
            await runner.run(stream)

        loop.__name__ = loop.__qualname__ = agent.name  # what Faust's logs call it
        self.agent(source, name=agent.name)(loop)

    async def _drop_states(self, sender: Any, assigned: set[TP], **_: Any) -> None:
        for name, runner in self.runners.items():
            topic = self.settings.name_of(self.declared[name].source)
            runner.assigned({tp.partition for tp in assigned if tp.topic == topic})

    async def _watch(self) -> None:
        """End the process when nothing is committed any more: a consumer can die without a word."""
        stalled_s = self.stalled_s
        if stalled_s > self.settings.stall_timeout_s:
            die(InfraError(f"nothing was committed for {stalled_s:.0f} s although records were read"))

    def _collect(self) -> None:
        registry = self.metrics.registry
        registry.register(StateGauges(lambda: {name: r.gauges() for name, r in self.runners.items()}))
        registry.register(
            TopicGauges("dwcp_consumer_lag_records", "Records on the broker that are not committed", self._lag)
        )
        registry.register(
            TopicGauges("dwcp_uncommitted_records", "Records read that are not committed", self._uncommitted)
        )

    def _lag(self) -> dict[str, float]:
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
        level = app.settings.log_level
        super().__init__(app, *args, loglevel=loglevel if level == _DEFAULT_LOG_LEVEL else level, **kwargs)

    def execute_from_commandline(self) -> NoReturn:
        """Check, compile, run; 70 when a service crashed."""
        try:
            settings = self.app.settings
            if self.app.conf.web_enabled:
                check_port(self.app.conf.web_bind, self.app.conf.web_port)
            check_broker(settings)
        except DwcpError as exc:
            fail(exc)
        for agent in self.app.declared.values():
            agent.warm()
        try:
            super().execute_from_commandline()
        except SystemExit:
            if self.crash_reason is None:
                raise
        fail(InfraError(f"{type(self.crash_reason).__name__}: {self.crash_reason}"))


def application(agents: Sequence[Agent], settings: Settings | None = None) -> Application:
    """The app that `faust -A app worker` runs.

    Parameters
    ----------
    agents
        What runs in every worker.
    settings
        By default those of the environment; one that cannot work ends the process
        with a message and exit code 78.
    """
    # Debug records are built even where nobody sees them: 58 % more time per send.
    logging.disable(logging.DEBUG)
    try:
        return Application(settings or Settings.from_environment(), agents)
    except ConfigError as exc:
        fail(exc)


def fail(error: DwcpError) -> NoReturn:
    """Say what is wrong in one line on stderr and exit with the error's code."""
    print(f"dwcp: {error}", file=sys.__stderr__, flush=True)
    sys.exit(error.exit_code)


def _faust_settings(settings: Settings) -> dict[str, Any]:
    return {
        # Faust lets its own environment variables win over arguments; ours are the only ones.
        "env": {},
        "broker": [URL(f"dwcp://{address}") for address in settings.brokers],
        "Worker": Worker,
        "autodiscover": False,
        "datadir": settings.data_dir,
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
        "web_bind": settings.web_host,
        "web_host": settings.web_host,
        "web_port": settings.web_port,
        "web_tables_enabled": False,
        "web_stats_enabled": False,
    }
