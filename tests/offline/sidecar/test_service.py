"""The sidecar on a broker: once, again, killed, and with what cannot work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from offline.sidecar.archive import HOUR_MS
from offline.sidecar.checkpoint import FILE, read_checkpoint
from offline.sidecar.metric import Metrics
from offline.sidecar.options import Options
from offline.sidecar.schedule import Due, Schedule, asked_by
from offline.sidecar.service import Sidecar
from schemas.drift import DriftAlert
from schemas.error import ConfigError, InfraError
from schemas.header import CE_ID, ORIGIN
from schemas.topic import COMPRESSION_KEYED, DRIFT_ALERT, NETWORK_KEYED
from streams.cli import dwcp
from streams.demo.process import free_port
from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from tests.online_models.stream import START_MS, sample, transfer_stream

ROOT = Path(__file__).parent.parent.parent.parent
DAY_MS = 86_400_000
IDLE = Schedule(period={})


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    with EmbeddedBroker(partitions=2) as broker:
        yield Settings.from_environment(
            {"BROKER_URL": broker.address, "DWCP_SIDECAR_DATA": str(tmp_path / "data"),
             "DWCP_MODEL_STORE": str(tmp_path / "store"), "DWCP_SIDECAR_PORT": str(free_port())}
        )  # fmt: skip


def send(settings: Settings, first: int, end: int, bad: int = 0) -> None:
    producer = Producer({"bootstrap.servers": settings.bootstrap})
    for i in range(first, end):
        origin = b"raw/0/%d" % i
        value = msgspec.json.encode(sample(START_MS + 60_000 * i))
        headers = [(CE_ID, origin + b":network.keyed"), (ORIGIN, origin)]
        producer.produce(NETWORK_KEYED.name, value, b"a:b", partition=i % 2, headers=headers)
    for _ in range(bad):
        producer.produce(NETWORK_KEYED.name, b"{", b"a:b", partition=0)
    producer.flush()


def made(settings: Settings, **options) -> Sidecar:
    return Sidecar(settings, Options(**({"schedule": IDLE, "capacity": False} | options)), Metrics())


def kept(settings: Settings) -> Counter[str]:
    folder = Path(settings.sidecar_data) / "topics" / NETWORK_KEYED.kind
    return Counter(ds.dataset(folder, partitioning="hive").to_table(columns=["origin"])["origin"].to_pylist())


def once(first: int, end: int) -> Counter[str]:
    return Counter(f"raw/0/{i}" for i in range(first, end))


def test_each_record_is_kept_once_over_restarts_and_repeats(settings: Settings) -> None:
    send(settings, 0, 300, bad=3)
    made(settings).once(lambda: False)
    assert kept(settings) == once(0, 300)
    send(settings, 250, 400)  # a worker that was killed sends its last ones again
    made(settings).once(lambda: False)
    found = made(settings)
    found.once(lambda: False)
    assert kept(settings) == once(0, 400)
    assert (found.counted["repeated"], found.counted["rejected"], found.counted["rows"]) == (50, 3, 400)


def test_what_a_crash_left_behind_is_read_again(settings: Settings) -> None:
    send(settings, 0, 100)
    made(settings).once(lambda: False)
    send(settings, 100, 200)
    crashed = made(settings)
    with crashed._log() as log:
        crashed.take(list(log.read()), 0)
    crashed._archive.write(read_checkpoint(Path(settings.sidecar_data)).number + 1)  # and no checkpoint
    assert kept(settings) == once(0, 200)
    made(settings)
    assert kept(settings) == once(0, 100)
    made(settings).once(lambda: False)
    assert kept(settings) == once(0, 200)


def test_a_checkpoint_that_is_not_written_to_its_end_is_read_again(settings: Settings) -> None:
    """Whichever part of it asked for it: what came after must not take the place of what was read before."""
    send(settings, 0, 100)
    found = made(settings)
    with found._log() as log:
        found.take(list(log.read()), 0)
    obstacle = Path(settings.sidecar_data) / f".{FILE}.part"
    obstacle.mkdir()
    found._guarded("decision", found.commit)
    with pytest.raises(InfraError, match="read again"):
        found._advance([])
    obstacle.rmdir()
    found._restore()
    assert found._archive.files(NETWORK_KEYED) == []
    found.once(lambda: False)
    assert kept(settings) == once(0, 100)
    assert read_checkpoint(Path(settings.sidecar_data)).counted["rows"] == 100


def test_it_follows_says_what_it_does_and_stops_in_time(settings: Settings, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DWCP_")} | {
        "BROKER_URL": settings.bootstrap, "DWCP_SIDECAR_DATA": settings.sidecar_data,
        "DWCP_SIDECAR_PORT": str(settings.sidecar_port),
    }  # fmt: skip
    never = [part for name in ("selector", "bandwidth", "anomaly") for part in ("--train", f"{name}=never")]
    command = [sys.executable, "-m", "streams.cli", "sidecar", *never, "--flush", "0.3", "--round", "0.3", "--json"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
    try:
        send(settings, 0, 100)
        deadline = time.monotonic() + 60
        while read_checkpoint(Path(settings.sidecar_data)).counted.get("rows", 0) < 100:
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{settings.sidecar_port}/metrics") as page:
            text = page.read().decode()
        assert "dwcp_sidecar_rows_total 100.0" in text
        assert "dwcp_sidecar_failures_total{" not in text
        send(settings, 100, 150)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 0
    assert json.loads(said)["rows"] == sum(kept(settings).values()) >= 100


def test_a_broker_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    with EmbeddedBroker(partitions=2) as broker:
        where = {"BROKER_URL": broker.address, "DWCP_SIDECAR_DATA": str(tmp_path)}
        settings = Settings.from_environment(where)
    found = made(settings)
    calls = iter([False] * 4 + [True] * 1000)
    found.run(lambda: next(calls))
    assert found.counted["failures stream"] >= 1


@pytest.mark.parametrize("level", ["warning", "alert"])
def test_drift_asks_for_a_training(settings: Settings, level: str) -> None:
    alert = DriftAlert("d", START_MS, "utility", "error", "adwin", 0.4, 0.1, 100, "tiles-1", level)
    producer = Producer({"bootstrap.servers": settings.bootstrap})
    producer.produce(DRIFT_ALERT.name, msgspec.json.encode(alert))
    producer.flush()
    made(settings).once(lambda: False)
    asked = read_checkpoint(Path(settings.sidecar_data)).asked
    assert list(asked) == (["selector"] if level == "alert" else [])
    assert asked_by(alert) == (Due("selector", asked["selector"]) if level == "alert" else None)


def test_a_training_that_fails_is_said_and_tried_again_later(settings: Settings) -> None:
    producer = Producer({"bootstrap.servers": settings.bootstrap})
    producer.produce(COMPRESSION_KEYED.name, msgspec.json.encode(transfer_stream(1)[0]), b"a:b")
    producer.flush()
    schedule = Schedule(period={"selector": "monthly"})
    found = made(settings, schedule=schedule, train={"selector": ["--no-such-option"]})
    found.once(lambda: False)
    assert found.counted["trainings missed"] == 1
    trained = read_checkpoint(Path(settings.sidecar_data)).trained
    now_ms = time.time_ns() // 1_000_000
    assert not schedule.due(trained, {}, now_ms)
    assert schedule.due(trained, {}, now_ms + schedule.gap_ms) == [Due("selector", "monthly")]


def test_a_training_that_has_nothing_to_learn_from_keeps_no_other_from_it(settings: Settings) -> None:
    produce_transfer(settings, START_MS)
    schedule = Schedule(period={"bandwidth": "monthly", "selector": "monthly"})
    found = made(settings, schedule=schedule, train={"selector": ["--no-such-option"]})
    found.once(lambda: False)
    assert found.counted["trainings missed"] == 1
    assert list(read_checkpoint(Path(settings.sidecar_data)).trained) == ["selector"]


def produce_transfer(settings: Settings, at_ms: int) -> None:
    producer = Producer({"bootstrap.servers": settings.bootstrap})
    one = msgspec.structs.replace(transfer_stream(1)[0], timestamp=at_ms, event_id=f"e{at_ms}")
    producer.produce(COMPRESSION_KEYED.name, msgspec.json.encode(one), b"a:b")
    producer.flush()


def test_a_training_for_drift_waits_for_the_new_world_and_is_tried_again(settings: Settings) -> None:
    alert = DriftAlert("d", START_MS, "selector", "error", "adwin", 0.4, 0.1, 100, "v1", "alert")
    producer = Producer({"bootstrap.servers": settings.bootstrap})
    producer.produce(DRIFT_ALERT.name, msgspec.json.encode(alert))
    producer.flush()
    produce_transfer(settings, START_MS + HOUR_MS // 2)
    options = {"schedule": Schedule(period={"selector": "never"}), "drift_hours": 1.0}
    options["train"] = {"selector": ["--no-such-option"]}
    waiting = made(settings, **options)
    waiting.once(lambda: False)
    assert "trainings missed" not in waiting.counted
    produce_transfer(settings, START_MS + HOUR_MS)
    found = made(settings, **options)
    found.once(lambda: False)
    assert found.counted["trainings missed"] == 1
    known = read_checkpoint(Path(settings.sidecar_data))
    assert (list(known.asked), known.asked_at, known.trained) == (["selector"], {"selector": START_MS}, {})
    now_ms = time.time_ns() // 1_000_000
    assert not found.trainer.due(now_ms)
    assert found.trainer.due(now_ms + options["schedule"].gap_ms)


def test_only_what_is_asked_for_is_kept(settings: Settings) -> None:
    send(settings, 0, 10)
    produce_transfer(settings, START_MS)
    found = made(settings, keep=[NETWORK_KEYED])
    found.once(lambda: False)
    assert found.counted["rows"] == 10
    result = CliRunner().invoke(dwcp, ["sidecar", "--once", "--keep", "no.such"])
    assert isinstance(result.exception, ConfigError)


def test_drift_goes_before_the_plan_but_not_too_often() -> None:
    schedule = Schedule(period={"selector": "monthly", "anomaly": "weekly"}, gap_ms=DAY_MS)
    trained = {"selector": 100 * DAY_MS, "anomaly": 93 * DAY_MS}
    assert schedule.due(trained, {}, 100 * DAY_MS) == [Due("anomaly", "weekly")]
    assert schedule.due(trained, {"selector": "psi"}, 100 * DAY_MS) == [Due("anomaly", "weekly")]
    assert schedule.due(trained, {"selector": "psi"}, 101 * DAY_MS) == [
        Due("selector", "psi"),
        Due("anomaly", "weekly"),
    ]
    assert not schedule.due(trained, {"bandwidth": "psi"}, 94 * DAY_MS)


@pytest.mark.parametrize("option", ["--train=selector", "--train=selector=hourly", "--train=other=daily",
                                    "--train-option=other:--x"])  # fmt: skip
def test_an_option_that_cannot_work_is_said(option: str) -> None:
    result = CliRunner().invoke(dwcp, ["sidecar", "--once", option])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.variable == option.split("=")[0]
