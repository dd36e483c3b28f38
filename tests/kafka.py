"""A real Apache Kafka for tests: KRaft brokers on loopback, from its jars.

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
<groupId>org.apache.kafka</groupId><artifactId>%s</artifactId><version>{VERSION}</version>
</dependency></dependencies></project>
"""

_AUTHORIZED = """authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


def missing() -> str:
    """What is missing to run it, or nothing."""
    if shutil.which("java") is None:
        return "no java (a JDK 17 is needed)"
    if not CACHE.is_dir() and shutil.which("mvn") is None:
        return "no mvn (Maven downloads Kafka's jars)"
    return ""


def jars(artifact: str = "kafka_2.13", folder: Path = CACHE) -> Path:
    """Directory of the jars of the broker, or of another part of Kafka, downloaded when they are not there."""
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as work:
            (Path(work) / "pom.xml").write_text(_POM % artifact)
            target = Path(work) / "jars"
            command = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={target}"]
            subprocess.run(command, cwd=work, check=True, timeout=_DOWNLOAD_S)
            folder.parent.mkdir(exist_ok=True)
            unfinished = folder.with_suffix(f".{uuid.uuid4().hex}")
            shutil.move(target, unfinished)
            try:
                os.rename(unfinished, folder)
            except OSError:  # another test process was quicker
                shutil.rmtree(unfinished)
    return folder


@dataclass(frozen=True)
class Secured:
    """A second listener with TLS and SCRAM-SHA-256.

    Parameters
    ----------
    port
        Where on 127.0.0.1.
    keystore
        PEM file of the broker's key (PKCS 8) and certificate.
    passwords
        By user.
    authorized
        Whether these users may do only what ACLs say; whoever comes to the first listener may do everything.
    """

    port: int
    keystore: Path
    passwords: Mapping[str, str]
    authorized: bool = False

    def properties(self) -> str:
        """What it adds to a broker's properties."""
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return f"""listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={self.keystore}
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={scram}
""" + (_AUTHORIZED if self.authorized else "")

    def users(self) -> list[str]:
        """Options that make the users while the broker's directory is formatted."""
        named = [f"SCRAM-SHA-256=[name={user},password={word}]" for user, word in self.passwords.items()]
        return [part for one in named for part in ("--add-scram", one)]


class Node:
    """One broker of a cluster, controller as well."""

    def __init__(
        self, directory: Path, number: int, port: int, controllers: list[int], secured: Secured | None = None
    ) -> None:
        self.port = port
        self._secured = secured
        self._directory = directory / f"node-{number}"
        self._directory.mkdir()
        self._log = self._directory / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._properties = self._directory / "server.properties"
        n = len(controllers)
        extra = f"SASL_SSL://127.0.0.1:{secured.port}," if secured else ""
        voters = ",".join(f"{k}@127.0.0.1:{at}" for k, at in enumerate(controllers, 1))
        self._properties.write_text(
            f"""process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},{extra}CONTROLLER://127.0.0.1:{controllers[number - 1]}
controller.listener.names=CONTROLLER
log.dirs={self._directory / "data"}
num.partitions=1
default.replication.factor={n}
min.insync.replicas={min(n, 2)}
auto.create.topics.enable=false
offsets.topic.replication.factor={n}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor={n}
transaction.state.log.min.isr={min(n, 2)}
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
log.segment.delete.delay.ms=1000
"""
            + (secured.properties() if secured else "")
        )

    def format(self, cluster: str) -> subprocess.Popen[bytes]:
        """Prepare its directory."""
        users = self._secured.users() if self._secured else []
        return self._run("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties), *users)

    def launch(self) -> None:
        """Start its process."""
        self._process = self._run("kafka.Kafka", str(self._properties))

    def wait(self, nodes: int) -> None:
        """Wait until it answers and knows so many brokers."""
        assert self._process is not None
        client = AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0})
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if len(client.list_topics(timeout=1).brokers) == nodes:
                    return
            except KafkaException:
                pass
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

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _run(self, *main: str) -> subprocess.Popen[bytes]:
        java = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{jars()}/*"]
        with self._log.open("ab") as log:
            return subprocess.Popen([*java, *main], stdout=log, stderr=log, cwd=self._directory)


class Kafka:
    """A cluster in a temporary directory; a context manager. `stop` and `start` keep its records.

    Parameters
    ----------
    brokers
        How many; topics are replicated to all of them.
    secured
        Also listen with TLS and passwords, at `secured.port`; of one broker only.
    """

    def __init__(self, brokers: int = 1, secured: Secured | None = None) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="kafka-"))
        ports = _free_ports(2 * brokers)
        self.nodes = [Node(self._directory, k + 1, ports[k], ports[brokers:], secured) for k in range(brokers)]

    @property
    def address(self) -> str:
        """Bootstrap addresses."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def __enter__(self) -> Kafka:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
        for formatting in [node.format(cluster) for node in self.nodes]:
            formatting.wait(_START_S)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:  # in order, the last of several would wait in vain for a quorum
            node.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until every broker answers."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait(len(self.nodes))

    def stop(self) -> None:
        """Stop it in order."""
        for node in self.nodes:
            node.stop()

    def roll(self) -> None:
        """Restart one broker after the other."""
        for node in self.nodes:
            node.stop()
            node.launch()
            node.wait(len(self.nodes))

    def configure(self, *options: str) -> None:
        """Change a setting of the running cluster, with options of Kafka's own ConfigCommand."""
        command = ["java", "-cp", f"{jars()}/*", "kafka.admin.ConfigCommand", "--bootstrap-server", self.address]
        subprocess.run([*command, "--alter", *options], check=True, timeout=60, capture_output=True)


def _free_ports(n: int) -> list[int]:
    probes = [socket.socket() for _ in range(n)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def require_kafka() -> None:
    """Skip a test where Kafka cannot run; fail it in CI."""
    reason = missing()
    if reason and os.environ.get("CI"):
        pytest.fail(f"CI runs these tests: {reason}")
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A running broker for the whole session."""
    require_kafka()
    with Kafka() as broker:
        yield broker
