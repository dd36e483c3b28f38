"""Where a scenario plays: a broker, a worker, a sidecar, a fleet that can be told things, and a subscriber."""

from __future__ import annotations

import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.error import DwcpError, InfraError
from schemas.topic import IN_USE, TOPICS, Topic
from streams.demo.audit import Audit
from streams.demo.process import READY_S, Process, free_port, wait_ready, worker_environment
from streams.demo.timeline import Timeline
from streams.embedded import EmbeddedBroker
from streams.settings import Settings, variable_of
from streams.stop import stoppable
from streams.topic import admin

DRAIN_S: Final = 60.0
MOST_OPEN: Final = 6_000
"""Inputs without an answer beyond which the fleet is held: the embedded broker keeps 5 MB per partition."""

_LOOK_S: Final = 0.5
_SAY_S: Final = 10.0
_TOPICS_S: Final = 20.0

Watch = Mapping[Topic, Callable[[bytes], object]]


class NotShown(DwcpError):
    """A scenario did not come to what it is to show."""


class Stage:
    """A running scenario.

    Parameters
    ----------
    broker
        Address.
    environment
        Of every process.
    work
        Folder for logs and data.
    limit_s
        After so many seconds with a worker that is ready, a scenario that still waits has failed.
    stopped
        Whether to end.
    """

    def __init__(
        self, broker: str, environment: Mapping[str, str], work: Path, limit_s: float, stopped: Callable[[], bool]
    ) -> None:
        self.broker, self.work, self.stopped = broker, work, stopped
        self._environment = dict(environment)
        self._limit_s = limit_s
        self.settings = Settings.from_environment({**os.environ, **environment})
        self.timeline = Timeline()
        self.processes: dict[str, Process] = {}
        self.hears: dict[str, Callable[[dict[str, Any]], object]] = {}
        """What is done with a line that the fleet says, by its event."""
        self.event_ms: int | None = None
        self.progress: Callable[[], str] = lambda: f"{self.audit.events_in:,} in"
        self._held = False
        self._limit_began_s = 0.0
        self._looked = self._said = time.monotonic()

    def open(self, topics: Sequence[Topic] = IN_USE, watch: Watch | None = None) -> Audit:
        """Subscribe; before anything is sent."""
        self.audit = Audit(self.settings, topics, watch)
        return self.audit

    def start_worker(self) -> None:
        """Start the worker, and wait until it is ready."""
        self.timeline.note("start", "the worker; it compiles its kernels the first time")
        worker = self._start("worker", ["faust", "-A", "app", "worker"])
        address = f"http://127.0.0.1:{self._environment['DWCP_WEB_PORT']}"
        wait_ready(worker, address, READY_S, self.stopped)
        self._limit_began_s = self.timeline.wall_s
        self.timeline.note("ready", f"page and metrics at {address}, broker {self.broker}, logs in {self.work}")

    def start_sidecar(self, *options: str) -> None:
        """Start the sidecar."""
        self._start("sidecar", ["streams.cli", "sidecar", "--json", *options])
        self.timeline.note("start", "the sidecar", self.event_ms)

    def start_fleet(self, module: str, *options: str) -> None:
        """Start a fleet that can be told things (`offline.simulator.player`)."""
        self._start("fleet", [module, "--to", self.broker, *options])
        self.timeline.note("start", "the fleet")

    def tell(self, **said: Any) -> None:
        """Tell the fleet something."""
        self.processes["fleet"].tell(json.dumps(said))

    def run(self, *args: str) -> str:
        """Run a Python module to its end beside the others; what it printed."""
        process = Process(
            args[0].rpartition(".")[2], args, self.work / f"{uuid.uuid4().hex[:8]}.log", self._environment
        )
        self.watch(lambda: process.finished, args[0])
        return process.stdout()

    def watch(self, until: Callable[[], object], what: str) -> None:
        """Read what comes until something holds.

        Raises
        ------
        NotShown
            When the scenario's time is over before.
        DwcpError
            When a process ended by itself.
        """
        while not until():
            if self.stopped():
                raise click.Abort
            if self.timeline.wall_s - self._limit_began_s > self._limit_s:
                raise NotShown(f"after {self._limit_s:.0f} s still no {what}")
            self.audit.poll(0.1)
            for name, process in self.processes.items():
                if not (name == "fleet" and process.finished):
                    process.check()
            self._hear()
            now = time.monotonic()
            if now - self._looked > _LOOK_S:
                self._looked = now
                self._balance()
            if now - self._said > _SAY_S:
                self._said = now
                click.echo(f"{self.timeline.wall_s:7.1f} s  {'':15}  waiting for {what}: {self.progress()}", err=True)

    def end(self) -> int:
        """Stop the fleet and the sidecar, read what is left, stop the worker; how many inputs are lost."""
        if "fleet" in self.processes:
            self.processes["fleet"].stop()
        if "sidecar" in self.processes:
            self.processes["sidecar"].stop()
        lost = self.audit.drain(DRAIN_S)
        self._hear()
        self.processes["worker"].stop()
        return lost

    def close(self) -> None:
        """Stop whatever still runs."""
        for process in reversed(self.processes.values()):
            process.stop()
        if hasattr(self, "audit"):
            self.audit.close()

    def _start(self, name: str, args: Sequence[str]) -> Process:
        found = self.processes[name] = Process(name, args, self.work / f"{name}.log", self._environment)
        return found

    def _hear(self) -> None:
        fleet = self.processes.get("fleet")
        for line in fleet.heard() if fleet is not None else ():
            said = json.loads(line)
            if said["event"] == "clock":
                self.event_ms = said["time_ms"]
            if (hear := self.hears.get(said["event"])) is not None:
                hear(said)

    def _balance(self) -> None:
        """Hold the fleet while more is open than the worker gets done."""
        if "fleet" not in self.processes:
            return
        waiting = self.audit.lost()
        if (hold := waiting > (MOST_OPEN // 2 if self._held else MOST_OPEN)) != self._held:
            self._held = hold
            self.tell(do="hold" if hold else "go")


@contextmanager
def open_stage(bootstrap: str | None, limit_s: float, partitions: int, more: Mapping[str, str]) -> Iterator[Stage]:
    """A stage with a broker: the embedded one, or topics of its own on another, which are deleted at the end.

    Parameters
    ----------
    bootstrap
        Address of a Kafka broker; None: the embedded one.
    limit_s
        Of the whole scenario.
    partitions
        Of every topic that has not one only.
    more
        More settings of every process.
    """
    work = Path(tempfile.mkdtemp(prefix="dwcp-demo-"))
    environment = {
        **worker_environment(free_port()),
        "DWCP_SIDECAR_PORT": str(free_port()), "DWCP_SIDECAR_DATA": str(work / "data"),
        "DWCP_MODEL_STORE": str(work / "store"), **more,
    }  # fmt: skip
    with stoppable() as stopped, _broker(bootstrap, partitions, environment) as address:
        stage = Stage(address, environment, work, limit_s, stopped)
        try:
            yield stage
        finally:
            stage.close()


@contextmanager
def _broker(bootstrap: str | None, partitions: int, environment: dict[str, str]) -> Iterator[str]:
    if bootstrap is None:
        with EmbeddedBroker(partitions=partitions) as embedded:
            environment["BROKER_URL"] = f"kafka://{embedded.address}"
            yield embedded.address
        return
    own = f"demo-{uuid.uuid4().hex[:8]}"
    environment |= {"BROKER_URL": f"kafka://{bootstrap.removeprefix('kafka://')}", "DWCP_APP_ID": own}
    environment |= {variable_of(topic): f"{own}.{topic.kind}" for topic in TOPICS}
    settings = Settings.from_environment({**os.environ, **environment})
    client = admin(settings)
    topics = {settings.name_of(topic): min(partitions, topic.partitions) for topic in TOPICS}
    try:
        _create(client, topics)
        yield settings.bootstrap
    finally:
        for deleted in client.delete_topics(list(topics), operation_timeout=_TOPICS_S).values():
            deleted.exception(_TOPICS_S)


def _create(client: AdminClient, topics: Mapping[str, int]) -> None:
    """Make topics of so many partitions.

    Raises
    ------
    InfraError
        When no broker answers, or it refuses.
    """
    try:
        made = client.create_topics([NewTopic(name, count) for name, count in topics.items()])
        for one in made.values():
            one.result(_TOPICS_S)
    except KafkaException as exc:
        raise InfraError(f"the broker makes no topics ({exc.args[0].str()}): see --bootstrap, and its ACLs") from exc
