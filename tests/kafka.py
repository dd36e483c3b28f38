"""A real Apache Kafka for tests: one KRaft broker on loopback, from its jars.

The jars come from Maven by pinned coordinates into `.cache/kafka-<version>`, once.
Needs a JDK 17 and Maven; tests that use it are skipped where these are missing, and fail in CI.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

VERSION = "4.1.0"
CACHE = Path(__file__).parent.parent / ".cache" / f"kafka-{VERSION}"

_DOWNLOAD_S = 600
_START_S = 60
_STOP_S = 30
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>tests</groupId><artifactId>kafka</artifactId><version>1</version>
<dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
</dependency></dependencies></project>
"""


def missing() -> str:
    """What is missing to run it, or nothing."""
    if shutil.which("java") is None:
        return "no java (a JDK 17 is needed)"
    if not CACHE.is_dir() and shutil.which("mvn") is None:
        return "no mvn (Maven downloads Kafka's jars)"
    return ""


def jars() -> Path:
    """Directory of the broker's jars, downloaded when they are not there."""
    if not CACHE.is_dir():
        with tempfile.TemporaryDirectory() as work:
            (Path(work) / "pom.xml").write_text(_POM)
            target = Path(work) / "jars"
            command = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={target}"]
            subprocess.run(command, cwd=work, check=True, timeout=_DOWNLOAD_S)
            CACHE.parent.mkdir(exist_ok=True)
            unfinished = CACHE.with_suffix(f".{uuid.uuid4().hex}")
            shutil.move(target, unfinished)
            os.rename(unfinished, CACHE)
    return CACHE


class Kafka:
    """One broker in a temporary directory; a context manager. `stop` and `start` keep its records."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="kafka-"))
        self._port, controller = _free_ports(2)
        self._log = self._directory / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._properties = self._directory / "server.properties"
        self._properties.write_text(
            f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={self._directory / "data"}
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
"""
        )

    @property
    def address(self) -> str:
        """Bootstrap address."""
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Kafka:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
        self._run("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties)).wait(_START_S)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = self._run("kafka.Kafka", str(self._properties))
        client = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                client.list_topics(timeout=1)
                return
            except KafkaException:
                time.sleep(0.1)
        raise RuntimeError(f"Kafka did not start:\n{self._log.read_text()[-3000:]}")

    def stop(self) -> None:
        """Stop it in order; kill it when that takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _run(self, *main: str) -> subprocess.Popen[bytes]:
        java = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{jars()}/*"]
        with self._log.open("ab") as log:
            return subprocess.Popen([*java, *main], stdout=log, stderr=log, cwd=self._directory)


def _free_ports(n: int) -> list[int]:
    probes = [socket.socket() for _ in range(n)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A running broker for the whole session."""
    reason = missing()
    if reason and os.environ.get("CI"):
        pytest.fail(f"CI runs these tests: {reason}")
    if reason:
        pytest.skip(reason)
    with Kafka() as broker:
        yield broker
