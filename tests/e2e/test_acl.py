"""The README's ACLs are enough, on a broker that lets nobody do more; and they keep each from what is not theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.error import InfraError
from schemas.topic import DEAD_LETTER, NETWORK_FORECAST, NETWORK_KEYED, NETWORK_RAW, SYSTEM_FEEDBACK
from streams.demo.process import free_port
from streams.model.announcer import write_registry
from streams.model.registry import read_registry
from streams.security import client_config
from streams.settings import Settings
from streams.topic import admin
from tests.certificate import authority
from tests.e2e.acl import bindings
from tests.e2e.harness import QUICK, ROOT, Worker
from tests.kafka import Kafka, Secured, require_kafka
from tests.streams.model.test_stage import candidate
from tests.streams.web.server import ask

USERS = {
    "daemon": ("a Go daemon",), "tuner": ("a consumer of forecasts",), "worker": ("worker", "worker, for its page"),
    "sidecar": ("sidecar",), "owner": ("`dwcp topics apply`",),
}  # fmt: skip
PASSWORD = "correct horse; battery"

pytestmark = pytest.mark.kafka


class Guarded:
    """A broker with ACLs, and what lets each account in."""

    def __init__(self, port: int, ca: Path) -> None:
        self._port, self._ca = port, ca

    def environment(self, user: str) -> dict[str, str]:
        return {
            "BROKER_URL": f"kafka://127.0.0.1:{self._port}", "DWCP_KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
            "DWCP_KAFKA_SASL_USERNAME": user, "DWCP_KAFKA_SASL_PASSWORD": PASSWORD,
            "DWCP_KAFKA_SSL_CA": str(self._ca), **QUICK,
        }  # fmt: skip

    def config(self, user: str) -> dict[str, object]:
        return client_config(Settings.from_environment(self.environment(user))) | {"log_level": 0}

    def dwcp(self, user: str, *args: object, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "streams.cli", *map(str, args)],
            env={**os.environ, **self.environment(user), **more}, cwd=ROOT, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def send(self, user: str, topic: str, value: bytes = b"{}") -> KafkaError | None:
        """What the broker says of a record."""
        said: list[KafkaError | None] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            said.append(error)

        # Not idempotent, as the daemons' client: who may write nothing at all would not even get a producer's id.
        config = {"message.timeout.ms": 8000, "enable.idempotence": False, "error_cb": lambda _: None}
        producer = Producer(self.config(user) | config)
        producer.produce(topic, value, on_delivery=delivered)
        producer.flush(10)
        return said[0]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    require_kafka()
    folder = tmp_path_factory.mktemp("acl")
    ca, port = authority(folder), free_port()
    secured = Secured(port, folder / "broker.keystore", dict.fromkeys(USERS, PASSWORD), authorized=True)
    with Kafka(secured=secured) as kafka:
        nobody = AdminClient(
            {"bootstrap.servers": kafka.address, "log_level": 0}
        )  # on the listener that only the test reaches
        for user, components in USERS.items():
            for done in nobody.create_acls(bindings(user, *components)).values():
                done.result(20)
        broker = Guarded(port, ca)
        applied = broker.dwcp("owner", "topics", "apply")
        assert applied.returncode == 0, applied.stderr
        yield broker


def sample(minute: int) -> bytes:
    said = {
        "timestamp": 1_767_571_200_000 + 60_000 * minute, "node_id": "a", "peer_id": "b", "bandwidth_mbps": 100.0,
        "latency_ms": 9.0, "packet_loss": 0.0, "jitter_ms": 1.0, "time_of_day": 0, "day_of_week": 1,
    }  # fmt: skip
    return json.dumps(said).encode()


def test_applying_the_topics_again_needs_no_more(guarded: Guarded) -> None:
    again = guarded.dwcp("owner", "topics", "diff", "--json")
    assert (again.returncode, json.loads(again.stdout)) == (0, []), again.stderr


def test_daemon_worker_page_and_consumer_do_with_what_they_have(guarded: Guarded, tmp_path: Path) -> None:
    worker = Worker({**guarded.environment("worker"), "DWCP_SNAPSHOT_INTERVAL_S": "0.1"}, tmp_path, app="app")
    try:
        worker.wait_ready(300)
        for minute in range(12):
            assert guarded.send("daemon", NETWORK_RAW.name, sample(minute)) is None
        assert guarded.send("daemon", NETWORK_RAW.name, b"junk") is None
        consumer = Consumer(guarded.config("tuner") | {"group.id": "tuner", "auto.offset.reset": "earliest"})
        consumer.subscribe([NETWORK_FORECAST.name])
        found = consumer.consume(1, 60)
        assert found, worker.tail()
        assert found[0].error() is None
        consumer.close()
        said = json.loads(ask(worker.port, "GET", "/api/v3/live/state").body)
        assert said["missing"] == []
        assert said["links"] == ["a:b"]
        word = json.dumps({"anomaly_id": "x/0/0:system.anomaly.latency_spike", "false_positive": True}).encode()
        posted = ask(worker.port, "POST", "/api/v3/ml/anomaly-detection/feedback", word)
        assert (posted.status, json.loads(posted.body)["topic"]) == (202, SYSTEM_FEEDBACK.name)
        assert worker.stop() == 0, worker.tail()
        again = Worker({**guarded.environment("worker"), "DWCP_WEB_PORT": str(worker.port)}, tmp_path, app="app")
        try:
            again.wait_ready(60)  # from its snapshots
            assert again.stop() == 0, again.tail()
        finally:
            again.kill()
    finally:
        worker.kill()
    log = worker.log.read_text()
    assert "AUTHORIZ" not in log.upper(), log[-3000:]


def test_a_consumer_may_record_what_it_may_read(guarded: Guarded, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    mine = guarded.dwcp("tuner", "record", NETWORK_FORECAST.name, "--out", out, "--json", DWCP_APP_ID="tuner")
    assert mine.returncode == 0, mine.stderr
    assert json.loads(mine.stdout)["records"] > 0
    hidden = guarded.dwcp("tuner", "record", NETWORK_RAW.name, "--out", out, DWCP_APP_ID="tuner")
    assert (hidden.returncode, "is not usable" in hidden.stderr) == (78, True), "it does not even see the topic"
    other = guarded.dwcp("tuner", "record", NETWORK_FORECAST.name, "--out", out, DWCP_APP_ID="dwcp-streams")
    assert (other.returncode, "Group authorization failed" in other.stderr) == (70, True), other.stderr


def test_the_sidecar_does_with_what_it_has(guarded: Guarded, tmp_path: Path) -> None:
    store = {"DWCP_MODEL_STORE": str(tmp_path / "models"), "DWCP_SIDECAR_DATA": str(tmp_path / "data")}
    done = guarded.dwcp("sidecar", "sidecar", "--once", "--json", **store)
    assert done.returncode == 0, done.stderr
    assert "authorization" not in done.stderr.lower(), done.stderr


def test_who_may_announce_does_and_others_are_told_what_they_need(guarded: Guarded) -> None:
    mine = Settings.from_environment(guarded.environment("sidecar"))
    write_registry(mine, [candidate("1")], {})
    assert len(read_registry(mine).catalogue) == 1
    with pytest.raises(InfraError, match="needs Write on the transactional id"):
        write_registry(Settings.from_environment(guarded.environment("worker")), [candidate("2")], {})
    assert len(read_registry(mine).catalogue) == 1


@pytest.mark.parametrize(
    ("user", "topic"),
    [("daemon", NETWORK_KEYED.name), ("daemon", NETWORK_FORECAST.name), ("tuner", NETWORK_FORECAST.name),
     ("worker", NETWORK_RAW.name), ("sidecar", NETWORK_KEYED.name), ("owner", NETWORK_RAW.name)],
)  # fmt: skip
def test_nobody_writes_what_is_not_theirs(guarded: Guarded, user: str, topic: str) -> None:
    said = guarded.send(user, topic)
    assert said is not None
    assert said.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, said.str()


@pytest.mark.parametrize("user", ["daemon", "tuner", "worker", "sidecar"])
def test_nobody_but_the_owner_makes_or_deletes_topics(guarded: Guarded, user: str) -> None:
    client = admin(Settings.from_environment(guarded.environment(user)))
    for done in (client.create_topics([NewTopic("dwcp.other.v1", 1, 1)]), client.delete_topics([DEAD_LETTER.name])):
        with pytest.raises(Exception, match=r"(?i)authoriz"):
            next(iter(done.values())).result(20)
