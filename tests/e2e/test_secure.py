"""A real broker that lets nobody in without TLS and a password: topics, worker, record and replay."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.error import InfraError
from schemas.topic import NETWORK_KEYED, NETWORK_RAW
from streams.security import client_config
from streams.settings import Settings
from streams.topic import admin, partition_counts
from tests.certificate import authority
from tests.e2e.harness import QUICK, ROOT, Worker, read_until, sample
from tests.kafka import Kafka, Secured, require_kafka

PASSWORD = "correct horse; battery"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings that such a broker lets in."""
    require_kafka()
    directory = tmp_path_factory.mktemp("tls")
    ca = authority(directory)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Kafka(secured=Secured(port, directory / "broker.keystore", {"worker": PASSWORD})):
        yield {
            "BROKER_URL": f"kafka://127.0.0.1:{port}", "DWCP_KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
            "DWCP_KAFKA_SASL_USERNAME": "worker", "DWCP_KAFKA_SASL_PASSWORD": PASSWORD, "DWCP_KAFKA_SSL_CA": str(ca),
            **QUICK,
        }  # fmt: skip


def dwcp(environment: Mapping[str, str], *args: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", *map(str, args)],
        env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout


@pytest.mark.kafka
def test_worker_topics_record_and_replay_pass_tls_and_scram(secure: dict[str, str], tmp_path: Path) -> None:
    settings = Settings.from_environment(secure)
    assert "create" in dwcp(secure, "topics", "apply")
    assert json.loads(dwcp(secure, "topics", "diff", "--json")) == []
    producer = Producer(client_config(settings) | {"linger.ms": 2})
    for i in range(100):
        producer.produce(NETWORK_RAW.name, sample(i), partition=i % NETWORK_RAW.partitions)
    assert producer.flush(20) == 0
    worker = Worker(secure, tmp_path)
    try:
        worker.wait_ready(120)
        found = read_until(settings, 100, [NETWORK_KEYED])
        assert len(found.values) == 100
        assert worker.stop() == 0, worker.tail()
    finally:
        worker.kill()
    assert PASSWORD not in worker.log.read_text()
    file = tmp_path / "raw.jsonl"
    assert json.loads(dwcp(secure, "record", "network.raw", "--out", file, "--json"))["records"] == 100
    dwcp(secure, "replay", file, "--to", secure["BROKER_URL"], "--quiet")
    assert json.loads(dwcp(secure, "record", "network.raw", "--out", file, "--json"))["records"] == 200


@pytest.mark.kafka
@pytest.mark.parametrize(
    "change",
    [
        {"DWCP_KAFKA_SASL_PASSWORD": "a guess"},
        {"DWCP_KAFKA_SASL_USERNAME": "somebody"},
        {"DWCP_KAFKA_SSL_CA": ""},
        {"DWCP_KAFKA_SECURITY_PROTOCOL": "plaintext", "DWCP_KAFKA_SASL_USERNAME": "", "DWCP_KAFKA_SASL_PASSWORD": "",
         "DWCP_KAFKA_SSL_CA": ""},
    ],
)  # fmt: skip
def test_whoever_is_not_let_in_is_told_within_seconds(secure: dict[str, str], change: dict[str, str]) -> None:
    settings = Settings.from_environment({**secure, **change})
    with pytest.raises(InfraError, match="BROKER_URL"):
        partition_counts(admin(settings), settings, timeout_s=2)
