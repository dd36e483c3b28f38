"""Recording and replaying between brokers, and a worker that answers a recording as the agents alone do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.header import CE_ID
from schemas.topic import COMPRESSION_PREDICTION, DRIFT_ALERT, INPUTS, NETWORK_RAW
from streams.cli import dwcp
from streams.recording.file import read_recording
from streams.recording.format import Recorded
from streams.recording.moment import rfc3339
from tests.e2e.conftest import Broker
from tests.replay import recording, replay, replay_through_worker

SHARED = (COMPRESSION_PREDICTION, DRIFT_ALERT)
"""What the links of a partition learn together: it depends on how polls mix their records."""


def run(broker: Broker, *args: object) -> str:
    result = CliRunner().invoke(dwcp, list(map(str, args)), env=broker.environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_what_is_replayed_is_recorded_again(broker: Broker, tmp_path: Path) -> None:
    """Keys, values, headers, timestamps, partitions and, on empty topics, offsets; twice the same bytes."""
    name = broker.settings.name_of
    pairs = [part for t in INPUTS for part in ("--topic-map", f"{t.name}={name(t)}")]
    source = recording("faults")
    run(broker, "replay", source, "--to", broker.settings.bootstrap, *pairs, "--timestamps", "now", "--quiet")
    kinds = [t.kind for t in INPUTS]
    for file in ("a.jsonl.zst", "b.jsonl.zst"):
        run(broker, "record", *kinds, "--out", tmp_path / file, "--quiet")
    assert (tmp_path / "a.jsonl.zst").read_bytes() == (tmp_path / "b.jsonl.zst").read_bytes()
    again = {t.name: name(t) for t in INPUTS}
    sent = sorted((again[r.topic], r.partition, r.offset, r.key, r.value, r.headers) for r in read_recording(source))
    got = sorted(
        (r.topic, r.partition, r.offset, r.key, r.value, r.headers) for r in read_recording(tmp_path / "a.jsonl.zst")
    )
    assert got == sent
    assert run(broker, "replay", tmp_path / "a.jsonl.zst", "--to", "-") == run(broker, "record", *kinds, "--out", "-")


def test_a_start_in_time_is_found(broker: Broker, tmp_path: Path) -> None:
    """By the broker's index of times where it has one; the embedded one has none."""
    source = tmp_path / "in.jsonl"
    topic = broker.settings.name_of(NETWORK_RAW)
    run(broker, "replay", recording("network"), "--to", broker.settings.bootstrap, "--quiet",
        "--topic-map", f"{NETWORK_RAW.name}={topic}")  # fmt: skip
    run(broker, "record", "network.raw", "--out", source, "--quiet")
    records = list(read_recording(source))
    middle = records[len(records) // 2].timestamp_ms
    for args, wanted in (
        (["--since", rfc3339(middle)], [r for r in records if r.timestamp_ms >= middle]),
        (["--until", rfc3339(middle)], [r for r in records if r.timestamp_ms < middle]),
        (["--since", "1s"], []),
    ):
        summary = json.loads(run(broker, "record", "network.raw", "--out", tmp_path / "o.jsonl", "--json", *args))
        assert list(read_recording(tmp_path / "o.jsonl")) == wanted
        assert summary["records"] == len(wanted)


@pytest.mark.parametrize("name", ["fleet", "network", "faults"])
def test_a_worker_answers_as_the_agents_alone_do(tmp_path: Path, name: str) -> None:
    alone = {topic: by_id(records) for topic, records in replay(name).items()}
    worker = {topic: by_id(records) for topic, records in replay_through_worker(name, tmp_path).items()}
    assert worker.keys() == alone.keys()
    for topic, answers in alone.items():
        if topic in SHARED:
            assert worker[topic].keys() == answers.keys(), topic.name
        else:
            assert worker[topic] == answers, topic.name


def by_id(records: Sequence[Recorded]) -> Mapping[object, bytes | None]:
    """Values by id; of a reject by its origin."""
    headers = [dict(r.headers) for r in records]
    return {h.get(CE_ID) or h["dwcp-origin"]: r.value for h, r in zip(headers, records, strict=True)}
