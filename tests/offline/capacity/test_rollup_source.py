"""Rollups as series: what a worker told, planned for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from offline.capacity.command import capacity
from offline.capacity.rollup import series_of
from online_models.collector.rollup import RollupState
from schemas.batch import Batch
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.rollup import SystemRollup
from schemas.topic import SYSTEM_ROLLUP
from streams.embedded import EmbeddedBroker
from streams.recording.file import RecordingFile
from streams.recording.format import Recorded
from tests.online_models.stream import encoded, metrics, metrics_of

HOUR_MS = 3_600_000
START_MS = 1_704_067_200_000


@pytest.fixture(scope="module")
def told() -> list[tuple[bytes, bytes]]:
    """Key and value of what a worker tells of two nodes in 20 days; the second one's disk fills up."""
    records = []
    for hour in range(20 * 24 + 1):
        for quarter in range(2):
            at = START_MS + hour * HOUR_MS + quarter * 900_000
            records.append(metrics(at, "n1", disk_usage=40.0 + quarter))
            records.append(metrics(at, "n2", disk_usage=60.0 + hour / 24))
    batch: Batch = metrics_of(records)
    lines = encoded([(0, RollupState().step(batch))])[SYSTEM_ROLLUP.name]
    codec = codec_of(SystemRollup)
    values = [line for _, line in lines]
    return [(rollup.node_id.encode(), value) for rollup, value in zip(codec.decode(values)[0], values, strict=True)]


def _decoded(told: list[tuple[bytes, bytes]]) -> list[SystemRollup]:
    return list(codec_of(SystemRollup).decode([value for _, value in told])[0])


def test_a_node_s_hours_are_a_series(told: list[tuple[bytes, bytes]]) -> None:
    series = series_of(_decoded(told), ["n1"])
    assert len(series) == 20 * 24
    assert series.columns["disk_usage"] == pytest.approx(np.full(480, 40.5))
    assert np.diff(series.time_ms).tolist() == [HOUR_MS] * 479
    assert series_of(_decoded(told), ["n1"], "max").columns["disk_usage"].tolist() == [41.0] * 480


def test_several_nodes_are_one_by_their_samples(told: list[tuple[bytes, bytes]]) -> None:
    together = series_of(_decoded(told) + _decoded(told))
    assert together.columns["disk_usage"][0] == pytest.approx((40.5 + 60.0) / 2)


def test_unknown_nodes_are_refused_with_those_there_are(told: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ConfigError, match="n1, n2"):
        series_of(_decoded(told), ["n3"])


def test_a_recording_is_planned_for(told: list[tuple[bytes, bytes]], tmp_path: Path) -> None:
    path = tmp_path / "rollups.jsonl.zst"
    with RecordingFile(path) as file:
        file.write([Recorded(SYSTEM_ROLLUP.name, 0, k, START_MS, *one) for k, one in enumerate(told)])
    args = ["forecast", "--recording", str(path), "--node", "n2", "--value", "disk_usage", "--json"]
    found = json.loads(CliRunner().invoke(capacity, args, catch_exceptions=False).stdout)
    assert found["plan"]["scope"] == "n2"
    assert found["plan"]["needs"]["storage"]["urgency"] == "URGENT"


def test_the_broker_is_read(told: list[tuple[bytes, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedBroker() as broker:
        producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        for key, value in told:
            producer.produce(SYSTEM_ROLLUP.name, value, key)
        producer.flush()
        monkeypatch.setenv("BROKER_URL", f"kafka://{broker.address}")
        args = ["forecast", "--from-topics", "--value", "disk_usage=storage", "--json"]
        found = json.loads(CliRunner().invoke(capacity, args, catch_exceptions=False).stdout)
    assert found["plan"]["scope"] == "all"
    assert found["forecasts"][0]["history_points"] == 480


@pytest.mark.parametrize("args", [[], ["--csv", "x.csv", "--from-topics"]])
def test_one_source_is_named(args: list[str]) -> None:
    with pytest.raises(ConfigError, match="one of them"):
        CliRunner().invoke(capacity, ["forecast", *args], catch_exceptions=False)
