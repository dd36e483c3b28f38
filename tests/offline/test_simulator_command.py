"""`dwcp simulate` as a user meets it: recordings, brokers, wrong options."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer

from offline.simulator.bank import Bank
from offline.simulator.command import simulate
from offline.simulator.feed import Pace, Sent, feed
from offline.simulator.fleet import Fleet, FleetPlan
from offline.simulator.sink import NullSink
from schemas.error import ConfigError, DwcpError, InfraError
from schemas.topic import INPUTS
from streams.embedded import EmbeddedBroker
from streams.recording.file import read_recording
from streams.recording.format import Recorded
from streams.recording.sink import Recording
from streams.sink import KafkaSink

RUN = ("--seconds", "180", "--links", "8", "--transfers", "0.2", "--quiet")
TWO_MINUTES = FleetPlan(seconds=120, links=8, nodes=4, transfers=0.2)


def run(bank_path: Path, *args: object, code: int = 0) -> str:
    result = CliRunner().invoke(simulate, [*RUN, "--bank", str(bank_path), *map(str, args)], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.zst", "jsonl.gz"])
def test_recordings_are_byte_identical(bank_path: Path, tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        run(bank_path, "--out", tmp_path / f"{name}.{suffix}", "--faults", "random", "--truth", tmp_path / name)
        time.sleep(0.01)
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.zst", "jsonl.gz"])
def test_recordings_are_read_back(bank: Bank, bank_path: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"fleet.{suffix}"
    summary = json.loads(run(bank_path, "--out", path, "--json"))
    records = list(read_recording(path))
    assert summary["bank"] == bank.fingerprint
    assert len(records) == summary["events"] == sum(summary["events_by_topic"].values())
    assert set(summary["events_by_topic"]) == {t.name for t in INPUTS}
    assert Counter(r.topic for r in records) == summary["events_by_topic"]
    assert [r.timestamp_ms for r in records] == sorted(r.timestamp_ms for r in records)
    for topic in INPUTS:
        for partition in range(topic.partitions):
            offsets = [r.offset for r in records if (r.topic, r.partition) == (topic.name, partition)]
            assert offsets == list(range(len(offsets)))


def test_lines_have_the_fields_kcat_prints(bank_path: Path, tmp_path: Path) -> None:
    run(bank_path, "--out", tmp_path / "fleet.jsonl")
    line = json.loads((tmp_path / "fleet.jsonl").read_text().splitlines()[0])
    assert list(line) == ["topic", "partition", "offset", "tstype", "ts", "key", "payload", "headers"]
    assert json.loads(line["payload"])["node_id"] in line["key"]


@pytest.mark.parametrize("value", [b"plain", b"", b"\xff\xfe\x00", "\u20ac".encode(), b'{"a":"\\n"}'])
@pytest.mark.parametrize("key", [None, b"node-001"])
def test_any_bytes_survive_a_recording(tmp_path: Path, key: bytes | None, value: bytes) -> None:
    path = tmp_path / "one.jsonl"
    recording = Recording(path)
    recording.send("t", [key], [value], [1234])
    recording.close()
    assert [(r.key, r.value, r.timestamp_ms) for r in read_recording(path)] == [(key, value, 1234)]


@pytest.mark.parametrize("content", [b"not json\n", b'{"topic":"t"}\n', b"\xff\n"])
def test_a_broken_recording_is_named_with_its_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.jsonl:1"):
        list(read_recording(path))


@pytest.mark.parametrize("name", ["no.jsonl", "no.jsonl.gz", "no.jsonl.zst"])
def test_a_recording_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="readable recording"):
        list(read_recording(tmp_path / name))


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--out", "/nonexistent/file"), "--out"),
        (("--to", "not a broker"), "kafka://host:port"),
        (("--out", "x", "--only", "networks"), "--only"),
        (("--out", "x", "--only", ","), "--only"),
        (("--out", "x", "--start", "yesterday"), "--start"),
        (("--out", "x", "--faults", "/nonexistent"), "--faults"),
        (("--out", "x", "--traces", "/nonexistent"), "--traces"),
        (("--to", "127.0.0.1:1", "--speed", "fast"), "--speed"),
        (("--to", "127.0.0.1:1", "--speed", "0"), "--speed"),
    ],
)
def test_a_wrong_option_is_named(
    bank_path: Path, tmp_path: Path, args: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DwcpError, match=named) as caught:
        run(bank_path, *args)
    assert caught.value.exit_code == 78


def test_a_rate_that_cannot_hold_is_named(bank_path: Path) -> None:
    args = ["--to", "127.0.0.1:1", "--rate", "1", "--bank", str(bank_path)]
    result = CliRunner().invoke(simulate, args)
    assert isinstance(result.exception, ConfigError)
    assert "lower --speed" in str(result.exception)


@pytest.mark.parametrize("args", [(), ("--out", "a", "--to", "b"), ("--out", "a", "--rate", "5")])
def test_where_to_must_be_said_once(bank_path: Path, args: tuple[str, ...]) -> None:
    run(bank_path, *args, code=2)


def test_a_missing_broker_is_said_within_seconds(bank_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(InfraError, match=r"no broker answers at 127\.0\.0\.1:1"):
        run(bank_path, "--to", "127.0.0.1:1")
    assert time.monotonic() - began < 8


def consumed(address: str, expected: int) -> list[Recorded]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([t.name for t in INPUTS])
    records: list[Recorded] = []
    deadline = time.monotonic() + 20
    while len(records) < expected and time.monotonic() < deadline:
        for m in consumer.consume(1000, 0.5):
            assert m.error() is None
            records.append(Recorded(m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value()))
    consumer.close()
    return records


def test_a_broker_is_fed_with_the_same_records_as_a_recording(bank_path: Path, tmp_path: Path) -> None:
    run(bank_path, "--out", tmp_path / "fleet.jsonl")
    began_ms = time.time() * 1000
    with EmbeddedBroker() as broker:
        summary = json.loads(run(bank_path, "--to", broker.address, "--speed", "max", "--json"))
        records = consumed(broker.address, summary["events"])
    assert len(records) == summary["events"]
    assert Counter((r.topic, r.key, r.value) for r in records) == Counter(
        (r.topic, r.key, r.value) for r in read_recording(tmp_path / "fleet.jsonl")
    )
    assert min(r.timestamp_ms for r in records) >= int(began_ms)


def test_a_missing_topic_is_said() -> None:
    with EmbeddedBroker() as broker, pytest.raises(InfraError, match="dwcp topics apply"):
        KafkaSink(broker.address).send("no.such.topic", [None], [b"x"], [1])


class _Clocked(NullSink):
    """Keeps when each record came and when it said it was due."""

    def __init__(self) -> None:
        self.due: list[int] = []
        self.came: list[float] = []

    def send(self, topic_name, keys, values, timestamps_ms):  # type: ignore[no-untyped-def]
        self.due += timestamps_ms
        self.came += [time.time() * 1000] * len(values)


@pytest.mark.parametrize(("pace", "seconds"), [(Pace(rate=800), 1.0), (Pace(speed=120), 1.0)])
def test_records_are_sent_when_they_are_due(bank: Bank, pace: Pace, seconds: float) -> None:
    sink = _Clocked()
    sent = feed(Fleet(TWO_MINUTES, bank), sink, pace, lambda: False, lambda *_: None)
    span = (max(sink.due) - min(sink.due)) / 1000
    expected = sum(sent.events.values()) / pace.rate if pace.rate else seconds
    assert span == pytest.approx(expected, rel=0.1)
    early = np.array(sink.due) - np.array(sink.came)
    assert early.max() <= 1
    assert np.median(early) > -100


def test_a_stopped_feed_ends_with_the_minutes_at_hand(bank: Bank) -> None:
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 2

    fleet = Fleet(FleetPlan(seconds=86_400, links=8, nodes=4, faults="random"), bank)
    began = time.monotonic()
    sent = feed(fleet, NullSink(), Pace(speed=1.0), stopped, lambda *_: None)
    assert time.monotonic() - began < 5
    assert 0 < fleet.reached_ms - fleet.plan.start_ms <= 120_000
    assert isinstance(sent, Sent)
    assert sum(sent.events.values()) > 0
    assert max(t.end_ms for t in fleet.truth()) <= fleet.reached_ms


def test_what_was_counted_was_sent(bank: Bank) -> None:
    sink = _Clocked()
    sent = feed(Fleet(TWO_MINUTES, bank), sink, Pace(), lambda: False, lambda *_: None)
    assert sum(sent.events.values()) == len(sink.due)
    assert all(sent.value_bytes[t] > 100 * n for t, n in sent.events.items())


def test_help_teaches() -> None:
    text = CliRunner().invoke(simulate, ["--help"]).output
    assert "dwcp simulate --out fleet.jsonl.zst" in text
    assert "kafka://127.0.0.1:9092" in text
