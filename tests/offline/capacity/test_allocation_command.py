"""`dwcp capacity allocate` as it is used, from files and on a broker."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from offline.capacity.allocation import Request, allocate
from offline.capacity.allocation_topic import newest_prediction, with_allocation
from offline.capacity.command import capacity
from online_models.performance.state import PerformanceState
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.header import CE_ID, CE_TYPE, ORIGIN
from schemas.performance import DegradationPrediction
from schemas.rollup import MetricRollup, SystemRollup
from schemas.topic import PERFORMANCE_PREDICTION, SYSTEM_ROLLUP
from streams.embedded import EmbeddedBroker
from streams.recording.file import RecordingFile
from streams.recording.format import Recorded
from streams.recording.log import Log
from streams.settings import Settings
from tests.offline.capacity.conftest import START_MS
from tests.offline.capacity.node import measure
from tests.online_models.stream import encoded, metrics, metrics_of

HOUR_MS = 3_600_000


def _run(*args: object) -> str:
    return CliRunner().invoke(capacity, ["allocate", *map(str, args)], catch_exceptions=False).stdout


def _answer(*args: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run(*args, "--json"))
    return found


@pytest.fixture
def hours(tmp_path: Path) -> Path:
    """Four weeks of a node in a CSV file; its network is in Gbps."""
    latency, used = measure("queue", 1)
    path = tmp_path / "node-1.csv"
    lines = ["time,latency_mean,cpu_usage,memory_usage,network_bandwidth"]
    for k in range(len(latency)):
        cells = (latency[k], used["cpu"][k], used["memory"][k], used["cpu"][k] / 20)
        lines.append(",".join([str(START_MS + k * HOUR_MS), *map(str, cells)]))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def sizes(tmp_path: Path) -> Path:
    path = tmp_path / "sizes.toml"
    path.write_text('cost_unit = "EUR/month"\n[resource.cpu]\nsize = 16\nunit_cost = 30\n[resource.memory]\nsize = 64')
    return path


@pytest.fixture(scope="module")
def rollups() -> list[tuple[bytes, bytes]]:
    """Key and value of the hours of two nodes, of which the latency of one follows its CPU."""
    found = []
    latency, used = measure("queue", 1)
    for node, follows in ((b"n1", True), (b"n2", False)):
        for k, value in enumerate(latency if follows else latency[::-1]):
            start = START_MS + k * HOUR_MS
            columns = {"latency_mean": value, "cpu_usage": used["cpu"][k], "memory_usage": used["memory"][k]}
            means = {name: MetricRollup(float(v), float(v), float(v)) for name, v in columns.items()}
            one = SystemRollup(f"o/0/{k}", start + HOUR_MS, node.decode(), "hour", start, start + HOUR_MS, 720, means)
            found.append((node, msgspec.json.encode(one)))
    return found


def test_a_file_is_answered(hours: Path, sizes: Path) -> None:
    found = _answer("--csv", hours, "--objective", 110, "--load", 130, "--config", sizes)
    assert found["scope"] == "node-1"
    assert list(found["optimal_allocation"]) == ["cpu"]
    assert 120 < found["optimal_allocation"]["cpu"] < 150
    assert found["cost_estimate"] == pytest.approx(found["optimal_allocation"]["cpu"] / 100 * 16 * 30)
    assert (found["cost_unit"], found["reason"]) == ("EUR/month", "")
    assert found["timestamp"] == START_MS + (24 * 28 - 1) * HOUR_MS


def test_the_table_is_for_people(hours: Path, sizes: Path) -> None:
    text = _run("--csv", hours, "--objective", 110, "--load", 130, "--config", sizes)
    assert "node-1: mean latency of 110 ms at 130 % of the load" in text
    assert "cpu " in text
    assert "EUR/month" in text
    assert "cost unknown" in _run("--csv", hours)


def test_a_column_of_known_full_size_is_a_resource(hours: Path, tmp_path: Path) -> None:
    full = tmp_path / "full.toml"
    full.write_text("[resource.network]\nfull = 5")
    found = _answer("--csv", hours, "--value", "network_bandwidth=network", "--config", full, "--objective", 110)
    assert list(found["optimal_allocation"]) == ["network"]


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--latency", "cpu_usage", "--value", "cpu_usage"], "a column of a resource"),
        (["--latency", "rtt"], "latency_mean"),
        (["--value", "network_bandwidth"], "full"),
        (["--value", "memory_usage=gpu"], "gpu"),
        (["--budget", "100"], "sizes of cpu, memory"),
        (["--publish"], "--from-topics and one --node"),
        (["--from-topics"], "one of them"),
        (["--config", "nowhere.toml"], "TOML"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_can(hours: Path, args: Sequence[str], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        _run("--csv", hours, *args)


@pytest.mark.parametrize(("node", "answered"), [("n1", True), ("n2", False)])
def test_a_recording_is_answered_of_the_node_that_is_named(
    rollups: list[tuple[bytes, bytes]], tmp_path: Path, node: str, answered: bool
) -> None:
    path = tmp_path / "rollups.jsonl.zst"
    with RecordingFile(path) as file:
        file.write([Recorded(SYSTEM_ROLLUP.name, 0, k, START_MS, *one) for k, one in enumerate(rollups)])
    found = _answer("--recording", path, "--node", node, "--objective", 110)
    assert found["scope"] == node
    assert (found["optimal_allocation"] is not None) == answered
    assert answered or found["reason"]
    assert answered or "no answer" in _run("--recording", path, "--node", node, "--objective", 110)


@pytest.fixture(scope="module")
def predictions() -> list[bytes]:
    """What a worker says of n1 now."""
    now = time.time_ns() // 1_000_000
    batch = metrics_of([metrics(now - 5000 * (60 - k), "n1", latency_mean=100.0 + k % 7) for k in range(60)])
    lines = encoded([(0, PerformanceState().step(batch))])[PERFORMANCE_PREDICTION.name]
    told = codec_of(DegradationPrediction).decode([line for _, line in lines])[0]
    return [msgspec.json.encode(msgspec.structs.replace(one, id=f"raw/3/{k}:said")) for k, one in enumerate(told)]


@pytest.mark.parametrize("objective", [110, 30])
def test_an_answer_is_published_with_the_newest_prediction(
    rollups: list[tuple[bytes, bytes]], predictions: list[bytes], monkeypatch: pytest.MonkeyPatch, objective: int
) -> None:
    assert len(predictions) > 1
    name = PERFORMANCE_PREDICTION.name
    with EmbeddedBroker() as broker:
        producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        for key, value in rollups:
            producer.produce(SYSTEM_ROLLUP.name, value, key)
        for value in predictions:
            producer.produce(name, value, b"n1")
        producer.flush()
        monkeypatch.setenv("BROKER_URL", f"kafka://{broker.address}")
        args = ("--from-topics", "--node", "n1", "--objective", objective, "--publish")
        said = _answer(*args)
        assert said == _answer(*args)  # a prediction with an answer is not taken for the newest
        settings = Settings.from_environment()
        with Log(settings, [name]) as log:
            there = list(log.read())
        with pytest.raises(ConfigError, match="a node with a prediction"):
            newest_prediction(settings, "n2", 0)
    published = [one for one in there if dict(one.headers).get(CE_TYPE) == name.encode()]
    assert len(published) == 2
    (record,) = codec_of(DegradationPrediction).decode([published[0].value or b""])[0]
    before = codec_of(DegradationPrediction).decode(predictions)[0][-1]
    assert published[0].key == b"n1"
    ids = {dict(one.headers)[CE_ID] for one in published}
    assert ids == {record.id.encode()}  # the same answer is a repeat
    assert record.id.startswith(f"{before.id}.allocation-")
    assert dict(published[0].headers)[ORIGIN] == b"raw/3/%d" % (len(predictions) - 1)
    assert record.optimal_allocation == said["optimal_allocation"]
    assert record.expected_performance["latency_mean_objective"] == objective
    assert record.allocation_confidence == said["confidence"]
    assert record.allocation_reason == said["reason"]
    assert bool(said["reason"]) == (objective == 30)
    changed = {name for name in before.__struct_fields__ if getattr(before, name) != getattr(record, name)}
    assert changed <= {"id", "optimal_allocation", "expected_performance", "cost_estimate", "allocation_confidence",
                       "allocation_reason"}  # fmt: skip


def test_a_refusal_has_its_reason_and_no_numbers_in_the_record(predictions: list[bytes], hours: Path) -> None:
    before = codec_of(DegradationPrediction).decode(predictions)[0][-1]
    nothing = allocate(Request("n1", 110.0, None, 100.0, ""), 1, np.ones(9), {"cpu": np.ones(9)}, {})
    record = with_allocation(before, nothing)
    assert "at least 100" in (record.allocation_reason or "")
    assert record.optimal_allocation is record.expected_performance is record.cost_estimate is None
    assert record.allocation_confidence is None
    assert record.id != with_allocation(before, msgspec.structs.replace(nothing, latency_objective_ms=120.0)).id
