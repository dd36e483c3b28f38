"""Reading topics: everything once, in one order, whatever fetching does; and the command around it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Message, Producer

from schemas.error import ConfigError, InfraError
from schemas.topic import NETWORK_KEYED, NETWORK_RAW
from streams.embedded import EmbeddedBroker
from streams.recording.command import record, replay
from streams.recording.file import read_recording
from streams.recording.format import Recorded
from streams.recording.log import Log, resolve
from streams.settings import Settings

ROOT = Path(__file__).parent.parent.parent.parent
START = 1_700_000_000_000
RECORDS = 6_000


def fill(address: str, records: int = RECORDS) -> list[Recorded]:
    """Records of two topics; timestamps go back and forth, and bytes are any bytes."""
    chance = random.Random(3)
    sent: list[Recorded] = []
    producer = Producer({"bootstrap.servers": address, "linger.ms": 2, "log_level": 0})
    for i in range(records):
        topic = (NETWORK_RAW, NETWORK_KEYED)[i % 3 == 0].name
        value = None if i % 50 == 0 else chance.randbytes(30) if i % 7 == 0 else b'{"i":%d}' % i
        key = b"k%d" % (i % 40) if i % 9 else None
        headers = (("h", b"%d" % i), ("h", b"\xff"), ("n", None)) if i % 5 == 0 else ()
        made = Recorded(topic, 0, 0, START + 10 * i + chance.randint(-80, 80), key, value, headers)

        def delivered(error: object, message: Message, made: Recorded = made) -> None:
            assert error is None, error
            sent.append(made._replace(partition=message.partition(), offset=message.offset()))

        producer.produce(topic, value, key, timestamp=made.timestamp_ms, headers=list(headers), on_delivery=delivered)
        producer.poll(0)
    producer.flush()
    return sent


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[str, list[Recorded]]]:
    with EmbeddedBroker() as broker:
        yield broker.address, fill(broker.address)


@pytest.fixture
def environment(filled: tuple[str, list[Recorded]], monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    monkeypatch.setenv("BROKER_URL", filled[0])
    return filled[1]


def run(command: object, *args: object, code: int = 0) -> str:
    result = CliRunner().invoke(command, list(map(str, args)))  # type: ignore[arg-type]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.mark.parametrize("buffer_bytes", [1_000, 50_000, 4 << 20])
def test_the_order_is_the_same_however_much_is_held(environment: list[Recorded], buffer_bytes: int) -> None:
    settings = Settings.from_environment()
    with Log(settings, [NETWORK_RAW.name, NETWORK_KEYED.name], buffer_bytes=buffer_bytes) as log:
        got = list(log.read())
    assert sorted(got[:], key=str) == sorted(environment, key=str)
    reached: dict[tuple[str, int], int] = {}
    place = []
    for r in got:
        own = reached[r.topic, r.partition] = max(reached.get((r.topic, r.partition), 0), r.timestamp_ms)
        place.append((own, r.topic, r.partition, r.offset))
    assert place == sorted(place), "by time, then place; within a partition by offset"


def test_recording_twice_gives_the_same_bytes_and_replaying_prints_them(
    environment: list[Recorded], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        run(record, "network.raw", "network.keyed", "--out", tmp_path / f"{name}.jsonl.zst", "--quiet")
    assert (tmp_path / "a.jsonl.zst").read_bytes() == (tmp_path / "b.jsonl.zst").read_bytes()
    printed = [run(replay, tmp_path / "a.jsonl.zst", "--to", "-") for _ in range(2)]
    assert printed[0] == printed[1]
    run(record, "network.raw", "network.keyed", "--out", tmp_path / "c.jsonl", "--quiet")
    assert printed[0] == (tmp_path / "c.jsonl").read_text()
    assert printed[0] == run(record, "network.raw", NETWORK_KEYED.name, "--out", "-")
    assert sorted(read_recording(tmp_path / "c.jsonl"), key=str) == sorted(environment, key=str)


def test_the_summary_counts(environment: list[Recorded], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    summary = json.loads(run(record, "network.raw", "--out", path, "--json"))
    raw = [r for r in environment if r.topic == NETWORK_RAW.name]
    assert summary["records_by_topic"] == {NETWORK_RAW.name: len(raw)}
    assert (summary["first_ms"], summary["last_ms"]) == (
        min(r.timestamp_ms for r in raw), max(r.timestamp_ms for r in raw),
    )  # fmt: skip
    assert summary["bytes"] == path.stat().st_size
    assert not summary["interrupted"]


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (("--since", "2023-11-14T22:13:50Z"), lambda r: r.timestamp_ms >= START + 30_000),
        (("--until", "2023-11-14T22:13:50Z"), lambda r: r.timestamp_ms < START + 30_000),
        (("--since", "2023-11-14T22:13:40", "--until", "2023-11-14T23:13:50+01:00"),
         lambda r: START + 20_000 <= r.timestamp_ms < START + 30_000),
        (("--since", "1h"), lambda r: False),
    ],
)  # fmt: skip
def test_a_window_is_kept_to(environment: list[Recorded], tmp_path: Path, args: tuple[str, ...], wanted) -> None:  # type: ignore[no-untyped-def]
    run(record, "network.raw", "network.keyed", "--out", tmp_path / "a.jsonl", *args)
    got = list(read_recording(tmp_path / "a.jsonl"))
    assert sorted(got, key=str) == sorted(filter(wanted, environment), key=str)


def test_a_limit_takes_the_first(environment: list[Recorded], tmp_path: Path) -> None:
    run(record, "network.raw", "--out", tmp_path / "all.jsonl")
    run(record, "network.raw", "--out", tmp_path / "some.jsonl", "--limit", 1500)
    assert list(read_recording(tmp_path / "some.jsonl")) == list(read_recording(tmp_path / "all.jsonl"))[:1500]


def test_a_topic_that_is_not_there_is_named_with_those_that_are(environment: list[Recorded], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"network\.row.*dwcp\.network\.raw\.v1"):
        run(record, "network.row", "--out", tmp_path / "a.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_missing_broker_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "127.0.0.1:1")
    with pytest.raises(InfraError, match="set BROKER_URL"):
        run(record, "network.raw", "--out", tmp_path / "a.jsonl")


@pytest.mark.parametrize("args", [("--out", "-", "--json"), (), ("--out", "x", "--since", "yesterday")])
def test_wrong_options_are_refused(environment: list[Recorded], args: tuple[str, ...]) -> None:
    run(record, "network.raw", *args, code=2)


def test_kinds_are_names_by_the_settings() -> None:
    settings = Settings.from_environment({"DWCP_TOPIC_NETWORK_RAW": "samples"})
    assert resolve(["network.raw", "samples", "other"], settings) == ["samples", "other"]


def started(address: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "record", *map(str, args)],
        env=os.environ | {"BROKER_URL": address}, cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_following_goes_on_and_an_interrupt_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    with EmbeddedBroker() as broker:
        first = fill(broker.address, 300)
        process = started(broker.address, "network.raw", "network.keyed", "--out", path, "--follow", "--json")
        part = tmp_path / f".a.jsonl.zst.{process.pid}.part"
        deadline = time.monotonic() + 20
        while not part.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        second = fill(broker.address, 200)
        time.sleep(1)
        assert not path.exists()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert json.loads(out)["interrupted"]
    assert sorted(read_recording(path), key=str) == sorted(first + second, key=str)


def test_a_limit_ends_following() -> None:
    with EmbeddedBroker() as broker:
        fill(broker.address, 30)
        process = started(broker.address, "network.raw", "--out", "-", "--follow", "--limit", 40)
        time.sleep(1.5)
        fill(broker.address, 90)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert len(out.splitlines()) == 40
