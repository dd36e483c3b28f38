"""A model's life on a real broker: recorded, trained, judged, served, poisoned, and taken back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer
from msgspec.structs import replace

from offline.model.check import Artifact, load_directory
from offline.simulator.poison import make
from schemas.codec import codec_of
from schemas.compression import OracleLabel, SelectorPrediction
from schemas.model import ModelAnnouncement
from schemas.topic import COMPRESSION_LABEL, COMPRESSION_PREDICTION, COMPRESSION_RAW, Topic
from streams.demo.process import free_port
from streams.model import stage as stages
from streams.model.announcer import change_registry
from streams.model.registry import read_registry, read_rejections
from streams.model.stage import By, Catalogue
from streams.model.store import ModelStore, path_of
from streams.recording.log import Log
from tests.e2e.conftest import Broker, Start, fresh
from tests.e2e.harness import ROOT
from tests.kafka import Kafka
from tests.online_models.stream import transfer_stream

NAME = "selector"
LINKS = 48
FIRST = 6_000
PIECE = 1_000
SIDECAR = (
    "--promote-by", "labels", "--round", "0.5", "--flush", "1", "--window", "3", "--look-every", "0.02",
    "--least-labels", "500", "--gap", "0.05", "--no-capacity", "--train", "bandwidth=never", "--train",
    "anomaly=never", "--train-option", "selector:--least-rows=2000", "--train-option", "selector:--candidate=logistic",
)  # fmt: skip


class Fleet:
    """Sends transfers whose outcomes are nearly their history; a new piece whenever something is waited for."""

    def __init__(self, broker: Broker) -> None:
        self._producer = Producer({"bootstrap.servers": broker.settings.bootstrap, "linger.ms": 2})
        self._topic = broker.settings.name_of(COMPRESSION_RAW)
        self._seed = 0

    def send(self, n: int) -> None:
        self._seed += 1
        rng = np.random.default_rng(self._seed)
        for i, one in enumerate(transfer_stream(n, self._seed, noise=0.01, links=LINKS)):
            given = {
                "entropy_estimate": rng.uniform(0, 8), "repetition_score": rng.uniform(0, 100),
                "hde_compression_ratio": one.outcome_hde_compression_ratio, "quality_score": None,
                "timestamp": one.timestamp + 50 * n * self._seed, "request_id": one.event_id,
            }  # fmt: skip
            value = msgspec.json.encode(replace(one, **given))
            self._producer.produce(self._topic, value, partition=i % COMPRESSION_RAW.partitions)
            self._producer.poll(0)
        self._producer.flush()


@pytest.fixture
def broker(kafka: Kafka, tmp_path: Path) -> Broker:
    found = fresh(kafka)
    more = {"DWCP_MODEL_STORE": str(tmp_path / "store"), "DWCP_SIDECAR_DATA": str(tmp_path / "data"),
            "DWCP_SIDECAR_PORT": str(free_port())}  # fmt: skip
    return Broker(found.environment | more, found.cluster, found.down, found.up)


@pytest.fixture
def sidecar(broker: Broker, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the sidecar; what still runs at the end is killed."""
    started = []

    def run() -> subprocess.Popen[bytes]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DWCP_")}
        with (tmp_path / "sidecar.log").open("ab") as log:
            started.append(subprocess.Popen(
                [sys.executable, "-m", "streams.cli", "sidecar", *SIDECAR], env={**inherited, **broker.environment},
                cwd=ROOT, stdout=log, stderr=log,
            ))  # fmt: skip
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def of(broker: Broker, topic: Topic, kind: type[Any]) -> list[Any]:
    with Log(broker.settings, [broker.settings.name_of(topic)]) as log:
        found, rejected = codec_of(kind).decode([record.value for record in log.read()])
    assert not rejected
    return found


def versions(broker: Broker) -> dict[str, ModelAnnouncement]:
    return {one.model_version: one for one in read_registry(broker.settings).catalogue.versions(NAME)}


def held(broker: Broker, version: str) -> bool:
    one = versions(broker).get(version)
    return one is not None and one.held


def announce(broker: Broker, artifact: Artifact, kind: str, force: bool = False) -> None:
    """Say that a poisoned version is a candidate, or champion by force; `dwcp models announce` would look first."""
    content, manifest = make(artifact, kind)
    stored = ModelStore(broker.settings.model_store).put(content)
    if kind == "tampered":
        path = Path(broker.settings.model_store) / path_of(stored.sha256)
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    by = By("somebody", time.time_ns() // 1_000_000, "I know better")

    def decide(known: Catalogue) -> list[ModelAnnouncement]:
        one = stages.announce(known, manifest, stored, by)
        known.take(one)
        return [one, *(stages.promote(known, NAME, kind, "champion", by, force=True) if force else [])]

    change_registry(broker.settings, decide)


@pytest.mark.kafka
def test_a_model_lives_and_is_taken_back(
    broker: Broker, start: Start, sidecar: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    fleet = Fleet(broker)
    worker = start(broker.environment, app="app")
    fleet.send(FIRST)
    worker.wait_ready(timeout_s=180)
    worker.wait_read(2 * FIRST, timeout_s=120)
    process = sidecar()

    def wait(done: Callable[[], bool], what: str, timeout_s: float = 120, feed: bool = True) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            said = (tmp_path / "sidecar.log").read_text()[-2000:]
            assert time.monotonic() < deadline, f"{what}: {versions(broker)}\n{said}\n{worker.tail(1000)}"
            assert process.poll() is None, said
            if feed:
                fleet.send(PIECE)

    # Recorded, trained, judged, announced, served as a shadow, better on the labels: champion.
    wait(lambda: bool(versions(broker)), "trained", feed=False)
    (good,) = versions(broker)
    wait(lambda: versions(broker)[good].stage == "champion", "promoted")
    wait(lambda: worker.counter("dwcp_state", agent="compression", name="selector_decided_champion") > 500, "served")
    assert accuracy(broker, good) > accuracy(broker, "") + 0.02
    # Poisoned candidates are refused by the worker before they serve, or for what they do live, and held.
    artifact = load_directory(next((tmp_path / "data" / "trainings").glob("selector-*/")))
    reasons = {"nan": "golden", "features": "features", "tampered": "hash", "wild_live": "answer", "slow_live": "slow"}
    for kind in reasons:
        announce(broker, artifact, kind)
        wait(lambda v=kind: held(broker, v), kind, feed=kind.endswith("live"))
    assert rejected(broker, *reasons) == {kind: {reason} for kind, reason in reasons.items()}
    assert worker.counter("dwcp_model_rejections_total") >= len(reasons)
    # A champion by force that says the opposite is taken back, and the good one comes back.
    announce(broker, artifact, "worse", force=True)
    wait(lambda: held(broker, "worse"), "rolled back")
    assert versions(broker)[good].stage == "champion"
    assert versions(broker)["worse"].reason.startswith("accuracy 0.0")
    assert accuracy(broker, "worse") < 0.1
    # So is one that says nothing to what comes: others decide in its place, say why, and publish no number of its.
    announce(broker, artifact, "nan_live", force=True)
    wait(lambda: held(broker, "nan_live"), "silent one rolled back")
    assert versions(broker)[good].stage == "champion"
    assert rejected(broker, "nan_live") == {"nan_live": {"answer"}}
    said = of(broker, COMPRESSION_PREDICTION, SelectorPrediction)
    assert {one.model_version for one in said} & {*reasons, "nan_live"} == set()
    failed = [one for one in said if one.fallback_reason == "model_error"]
    assert len(failed) > 20
    assert all(one.fallback and one.model_name != NAME for one in failed)
    assert all(0 <= one.probability_amst <= 1 and 0 <= one.confidence <= 1 for one in said)
    assert worker.counter("dwcp_state", agent="compression", name="selector_fallback_model_error") >= len(failed)
    assert worker.counter("dwcp_skipped_offsets_total") == 0, "the ends of transactions are no records that are gone"
    process.terminate()
    assert process.wait(10) == 0
    assert worker.stop() == 0


def rejected(broker: Broker, *versions: str) -> dict[str, set[str]]:
    """Why workers refused versions."""
    return {version: {one.reason for one in read_rejections(broker.settings, NAME, version)} for version in versions}


def accuracy(broker: Broker, version: str) -> float:
    """Of what a version decided, or without one of what no trained model decided, against realised outcomes."""
    truth = {one.event_id: one.label for one in of(broker, COMPRESSION_LABEL, OracleLabel)}
    said = of(broker, COMPRESSION_PREDICTION, SelectorPrediction)
    decided = [one for one in said if (one.model_version if one.model_name == NAME else "") == version]
    own = [one.algorithm == truth[one.event_id] for one in decided if one.event_id in truth]
    assert len(own) > 200
    return float(np.mean(own))
