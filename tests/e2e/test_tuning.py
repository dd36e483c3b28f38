"""Rollouts on a broker become a model: recorded by the worker, trained on by the sidecar, and used once promoted.

What the model is worth depends on when the worker reads what; `tests/offline/training` holds the gate, which lets
everything pass here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition
from msgspec.json import Decoder

from offline.optimizer.grid import load_grids
from offline.training.optimizer_fit import LEAST_ROLLOUTS
from online_models.optimizer.learned import NAME
from online_models.optimizer.record import MODEL_VERSION
from schemas.model import ModelAnnouncement
from schemas.optimizer import OptimizerRecommendation, OptimizerRollout
from schemas.topic import (
    DEAD_LETTER,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_REQUEST,
    OPTIMIZER_ROLLOUT,
    SYSTEM_RAW,
    SYSTEM_SCORE,
    Topic,
)
from streams.demo.process import free_port
from streams.embedded import EmbeddedBroker
from streams.model.registry import read_registry
from streams.security import client_config
from streams.sink import KafkaSink
from tests.bench.learning import Deployment
from tests.e2e.conftest import Broker, Start
from tests.e2e.harness import QUICK, ROOT, Worker

SEED = 2
AHEAD = 3
"""Minutes that the fleet may be ahead of the worker."""
SIDECAR = (
    "--round", "0.2", "--flush", "1", "--no-capacity", "--keep", OPTIMIZER_RECOMMENDATION.kind, "--keep",
    OPTIMIZER_ROLLOUT.kind, "--train-option", f"{NAME}:--error-ratio=100",
)  # fmt: skip


class Live:
    """A deployment on a broker; the fleet is at most `AHEAD` minutes before what the worker has scored."""

    def __init__(self, broker: Broker, worker: Worker, deployment: Deployment) -> None:
        self._settings = settings = broker.settings
        self._worker, self.deployment = worker, deployment
        self._sink = KafkaSink(settings.bootstrap)
        more = {"group.id": "live", "enable.auto.commit": False, "fetch.wait.max.ms": 5}
        self._consumer = Consumer(client_config(settings) | more)
        read = (SYSTEM_SCORE, OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT)
        self._topic = {settings.name_of(topic): topic for topic in (*read, DEAD_LETTER)}
        self._consumer.assign([TopicPartition(n, p, 0) for n, t in self._topic.items() for p in range(t.partitions)])
        self._due = self._scored = 0

    def minute(self) -> None:
        """Ask who is to be asked, send a minute, and take in what is answered."""
        for one in self.deployment.requests():
            self._send(OPTIMIZER_REQUEST, [None], [msgspec.json.encode(one)])
        metrics, fleet = self.deployment.minute(), self.deployment.fleet
        values = fleet.values_of(self.deployment.time_ms, metrics)
        self._send(SYSTEM_RAW, [name.encode() for name in fleet.names], values)
        self._due += len(values)
        deadline = time.monotonic() + 20
        while self._scored < self._due - AHEAD * len(values):
            assert time.monotonic() < deadline, self._worker.tail()
            self._hear()

    def close(self) -> None:
        self._sink.close()
        self._consumer.close()

    def _send(self, topic: Topic, keys: list[bytes | None], values: list[bytes]) -> None:
        self._sink.send(self._settings.name_of(topic), keys, values, [time.time_ns() // 1_000_000] * len(values))

    def _hear(self) -> None:
        said, rollouts = [], []
        for message in self._consumer.consume(500, 0.005):
            assert message.error() is None, message.error()
            topic = self._topic[message.topic()]
            assert topic is not DEAD_LETTER, message.headers()
            if topic is OPTIMIZER_RECOMMENDATION:
                said.append(RECOMMENDATION.decode(message.value()))
            elif topic is OPTIMIZER_ROLLOUT:
                rollouts.append(ROLLOUT.decode(message.value()))
            else:
                self._scored += 1
        self.deployment.hear(said, rollouts)


RECOMMENDATION = Decoder(OptimizerRecommendation)
ROLLOUT = Decoder(OptimizerRollout)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with EmbeddedBroker() as embedded:
        environment = {
            "BROKER_URL": embedded.address, **QUICK, "DWCP_LINGER_MS": "0", "DWCP_OUTPUT_FORMAT": "json",
            "DWCP_MODEL_STORE": str(tmp_path / "store"), "DWCP_SIDECAR_DATA": str(tmp_path / "data"),
            "DWCP_SIDECAR_PORT": str(free_port()),
        }  # fmt: skip
        yield Broker(environment, embedded, embedded.down, embedded.up)


def dwcp(broker: Broker, *args: str, log: Path) -> subprocess.Popen[bytes]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("DWCP_")}
    with log.open("ab") as out:
        command = [sys.executable, "-m", "streams.cli", *args]
        return subprocess.Popen(command, env={**inherited, **broker.environment}, cwd=ROOT, stdout=out, stderr=out)


def versions(broker: Broker) -> list[ModelAnnouncement]:
    return read_registry(broker.settings).catalogue.versions(NAME)


def test_rollouts_that_a_worker_recorded_become_the_model_that_it_asks(
    broker: Broker, start: Start, tmp_path: Path
) -> None:
    worker = start(broker.environment, app="app").wait_ready(timeout_s=300)
    live = Live(broker, worker, Deployment(SEED, load_grids()))
    deployment = live.deployment
    while deployment.tested() < LEAST_ROLLOUTS:
        live.minute()
    assert {one.model_version for one in deployment.recommendations} == {MODEL_VERSION}
    assert len({one.scope for one in deployment.rollouts}) >= 6

    log = tmp_path / "sidecar.log"
    sidecar = dwcp(broker, "sidecar", *SIDECAR, log=log)
    deadline = time.monotonic() + 60
    try:
        while not versions(broker):
            assert time.monotonic() < deadline, log.read_text()
            assert sidecar.poll() is None, log.read_text()
            time.sleep(0.2)
    finally:
        sidecar.terminate()
        sidecar.wait(20)
    (candidate,) = versions(broker)
    assert candidate.stage == "candidate"
    assert candidate.announced_by == "sidecar"
    assert candidate.metrics["judged"] >= 1
    assert candidate.training_rows >= LEAST_ROLLOUTS

    promote = dwcp(
        broker, "models", "promote", NAME, candidate.model_version, "--stage", "champion", "--force", log=log
    )
    assert promote.wait(30) == 0, log.read_text()
    before = len(deployment.recommendations)
    while not any(one.model_version != MODEL_VERSION for one in deployment.recommendations[before:]):
        assert time.monotonic() < deadline + 30, worker.tail()
        live.minute()
    said = {one.model_version for one in deployment.recommendations[before:]} - {MODEL_VERSION}
    assert said == {f"{MODEL_VERSION}+{candidate.model_version}"}
    live.close()
    assert worker.stop() == 0
