"""Data sets in a real PostgreSQL: each row once, in its month, for its time; and one that is away."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from msgspec.structs import replace

from offline.dataset.identity import hash_id
from offline.sidecar.archive import ARCHIVED, Archive
from offline.sidecar.checkpoint import read_checkpoint
from offline.sidecar.metric import Metrics
from offline.sidecar.mirror import IDENTITY, Mirror
from offline.sidecar.options import Options
from offline.sidecar.schedule import Schedule
from offline.sidecar.service import Sidecar
from offline.sidecar.table import table_of
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.header import CE_ID, ORIGIN
from schemas.network import NetworkSample
from schemas.topic import COMPRESSION_KEYED, NETWORK_KEYED, SYSTEM_ANOMALY
from streams.demo.process import free_port
from streams.embedded import EmbeddedBroker
from streams.settings import Settings
from tests.online_models.stream import START_MS, sample, transfer_stream
from tests.postgres import PASSWORD, Postgres

ROOT = Path(__file__).parent.parent.parent.parent
DAY_MS = 86_400_000
JANUARY_5 = 1_767_571_200_000
TABLE = "network_sample"
psycopg = pytest.importorskip("psycopg")


def ask(url: str, question: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(question).fetchall()


def count(url: str) -> int:
    """Rows of the table; 0 while there is none."""
    if ask(url, f"SELECT to_regclass('{TABLE}')") == [(None,)]:
        return 0
    return ask(url, f"SELECT count(*) FROM {TABLE}")[0][0]


def partitions(url: str) -> list[str]:
    found = ask(url, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'network_sample'::regclass")
    return sorted(name for (name,) in found)


def wait(done: Callable[[], Any], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Kept:
    """An archive of network samples, and mirrors of it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.archive = Archive(folder / "topics")
        self.number = 0
        self.metrics = Metrics()

    def keep(self, records: list[NetworkSample], first: int = 0) -> list[Any]:
        """Write them as the next checkpoint."""
        self.number += 1
        self.archive.add(NETWORK_KEYED, records, [f"raw/0/{first + i}" for i in range(len(records))])
        return self.archive.write(self.number)

    def mirror(self, url: str) -> Mirror:
        self.metrics = Metrics()
        return Mirror(url, [NETWORK_KEYED], self.archive, self.number, self.metrics)

    def said(self, name: str) -> float:
        labels = {} if name in ("failures_total", "waiting_files", "gone_files_total") else {"table": TABLE}
        return self.metrics.registry.get_sample_value(f"dwcp_sidecar_postgres_{name}", labels) or 0.0


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "data")


def samples(n: int, every_ms: int = 60_000) -> list[NetworkSample]:
    return [sample(START_MS + every_ms * i, rate=100.0 + i) for i in range(n)]


def test_a_row_is_what_the_record_was(kept: Kept, postgres: str) -> None:
    records = [replace(one, az='quo"te,\n', retransmits=1 << 40, packet_loss=1e-9) for one in samples(2)]
    records[1] = replace(records[1], az="")
    kept.keep(records)
    kept.mirror(postgres).once()
    names = NetworkSample.__struct_fields__
    columns = ", ".join(
        f'"{n}"' if n != "timestamp" else "(extract(epoch FROM timestamp) * 1000)::bigint" for n in names
    )
    found = ask(postgres, f"SELECT {columns}, origin FROM {TABLE} ORDER BY timestamp")
    wanted = [tuple(msgspec.to_builtins(one)[n] for n in names) for one in records]
    assert found == [(*row, f"raw/0/{i}") for i, row in enumerate(wanted)]
    comments = ask(postgres, f"SELECT description FROM pg_description WHERE objoid = '{TABLE}'::regclass")
    assert any("unit ms" in said for (said,) in comments)


def test_what_has_parts_can_be_asked_for_them(kept: Kept, postgres: str) -> None:
    text = (ROOT / "README.md").read_text().split("`dwcp.system.anomaly.v1`:\n\n```json\n")[1].split("```")[0]
    (anomaly,), rejected = codec_of(SYSTEM_ANOMALY.record).decode([text.encode()])
    assert not rejected
    kept.archive.add(SYSTEM_ANOMALY, [anomaly], ["raw/0/1"])
    kept.archive.write(1)
    mirror = Mirror(postgres, [SYSTEM_ANOMALY], kept.archive, 1, kept.metrics)
    mirror.once()
    question = "SELECT top_contributing_features->>0, (metrics->>'latency_mean')::float8 FROM anomaly"
    assert ask(postgres, question) == [(anomaly.top_contributing_features[0], anomaly.metrics["latency_mean"])]


def test_every_kept_topic_can_have_its_table(kept: Kept, postgres: str) -> None:
    records = transfer_stream(50)
    kept.archive.add(COMPRESSION_KEYED, records, [f"raw/0/{i}" for i in range(50)])
    kept.archive.write(1)
    mirror = Mirror(postgres, ARCHIVED, kept.archive, 1, kept.metrics)
    mirror.once()
    assert mirror.failure is None
    tables = {name for (name,) in ask(postgres, "SELECT relname FROM pg_class WHERE relkind = 'p'")}
    assert tables == {table_of(topic).name for topic in ARCHIVED}
    question = "SELECT event_id, hde_latency_ms, has_baseline FROM compression_telemetry ORDER BY timestamp, event_id"
    wanted = sorted(records, key=lambda one: (one.timestamp, one.event_id))
    assert ask(postgres, question) == [(one.event_id, one.hde_latency_ms, one.has_baseline) for one in wanted]


def test_months_are_made_as_they_come_and_dropped_when_they_are_old(kept: Kept, postgres: str) -> None:
    kept.keep([replace(one, timestamp=JANUARY_5 + k * DAY_MS) for k, one in enumerate(samples(40))])
    kept.mirror(postgres).once()
    assert partitions(postgres) == [f"{TABLE}_2026_01", f"{TABLE}_2026_02"]
    assert count(postgres) == 40
    kept.keep([sample(JANUARY_5 + 60 * DAY_MS)], 40)  # 6 March: 30 days are kept
    kept.mirror(postgres).once()
    assert partitions(postgres) == [f"{TABLE}_2026_02", f"{TABLE}_2026_03"]
    assert kept.said("dropped_partitions_total") == 1
    assert count(postgres) == 40 - 27 + 1
    with psycopg.connect(postgres) as connection:
        connection.execute("UPDATE dwcp_sidecar_progress SET written_at = now() - interval '31 days'")
    kept.mirror(postgres).once()
    assert partitions(postgres) == []


def test_rows_are_written_once_whatever_is_begun_anew(kept: Kept, postgres: str) -> None:
    kept.keep(samples(100))
    for _ in range(2):
        mirror = kept.mirror(postgres)
        mirror.once()
    assert (count(postgres), kept.said("repeated_total")) == (100, 0), "the database knows what it has"
    (kept.archive.root.parent / IDENTITY).unlink()
    kept.mirror(postgres).once()
    assert (count(postgres), kept.said("rows_total"), kept.said("repeated_total")) == (100, 0, 100)


def test_one_that_is_named_later_gets_what_is_kept_and_no_more(kept: Kept, postgres: str) -> None:
    for k in range(3):
        kept.keep(samples(10), 10 * k)
    mirror = kept.mirror(postgres)
    kept.archive.add(NETWORK_KEYED, samples(10), [f"crash/0/{i}" for i in range(10)])
    kept.archive.write(4)  # and no checkpoint
    mirror.once()
    assert count(postgres) == 30


def test_a_row_that_it_refuses_costs_no_other(kept: Kept, postgres: str) -> None:
    records = samples(501)
    for k in (0, 77, 500):
        records[k] = replace(records[k], az="nu\0l")
    kept.keep(records)
    kept.mirror(postgres).once()
    assert (count(postgres), kept.said("rows_total"), kept.said("refused_total")) == (498, 498, 3)


def test_ids_are_hashed_before_they_leave(kept: Kept, postgres: str) -> None:
    kept.keep(samples(3))
    key = "a key of sixteen characters"
    Mirror(postgres, [NETWORK_KEYED], kept.archive, 1, kept.metrics, key).once()
    found = ask(postgres, f"SELECT DISTINCT node_id, peer_id FROM {TABLE}")
    one = samples(1)[0]
    assert found == [(hash_id(one.node_id, key), hash_id(one.peer_id, key))]


def test_a_file_that_is_gone_is_counted_and_passed_over(kept: Kept, postgres: str) -> None:
    (first,) = kept.keep(samples(5))
    mirror = kept.mirror(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    mirror.once()
    kept.keep(samples(5), 5)
    mirror = kept.mirror(postgres)
    mirror._connect()
    first.path.unlink()
    mirror.once()
    assert (count(postgres), kept.said("gone_files_total")) == (5, 1)


def test_one_that_is_away_is_waited_for_and_then_has_everything(kept: Kept, postgres_server: Postgres) -> None:
    """Away at first, and again in between, as after a crash."""
    url = postgres_server.url
    postgres_server.stop()
    try:
        kept.keep(samples(10))
        mirror = kept.mirror(url)
        mirror.start()
        wait(lambda: kept.said("failures_total") >= 2)
        mirror.add(kept.keep(samples(10), 10))
        postgres_server.start()
        wait(lambda: count(url) == 20)
        postgres_server.stop()
        mirror.add(kept.keep(samples(10), 20))
        failures = kept.said("failures_total")
        wait(lambda: kept.said("failures_total") > failures)
        assert kept.said("waiting_files") == 1
        postgres_server.start()
        wait(lambda: count(url) == 30)
        wait(lambda: kept.said("waiting_files") == 0)
        assert mirror.failure is None or mirror.waiting == 0
        mirror.stop()
        assert kept.said("repeated_total") == 0
    finally:
        postgres_server.start() if not (postgres_server.folder / "data" / "postmaster.pid").exists() else None
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP TABLE IF EXISTS {TABLE}, dwcp_sidecar_progress")


def test_it_ends_in_time_whatever_is_left(kept: Kept) -> None:
    kept.keep(samples(10))
    mirror = kept.mirror(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    mirror.start()
    wait(lambda: kept.said("failures_total") >= 1)
    began = time.monotonic()
    mirror.stop()
    assert time.monotonic() - began < 5


def test_a_url_that_is_none_is_said_without_its_password(kept: Kept) -> None:
    with pytest.raises(ConfigError) as caught:
        kept.mirror("postgresql://me:hid%zzden@127.0.0.1/x")
    assert caught.value.variable == "DWCP_POSTGRES_URL"
    assert "hid" not in str(caught.value)


@pytest.fixture
def settings(tmp_path: Path, postgres: str) -> Iterator[Settings]:
    with EmbeddedBroker(partitions=2) as broker:
        yield Settings.from_environment(
            {"BROKER_URL": broker.address, "DWCP_SIDECAR_DATA": str(tmp_path / "data"), "DWCP_POSTGRES_URL": postgres,
             "DWCP_POSTGRES_TABLES": "network.keyed", "DWCP_SIDECAR_PORT": str(free_port())}
        )  # fmt: skip


def send(settings: Settings, first: int, end: int) -> None:
    producer = Producer({"bootstrap.servers": settings.bootstrap})
    for i in range(first, end):
        origin = b"raw/0/%d" % i
        headers = [(CE_ID, origin + b":network.keyed"), (ORIGIN, origin)]
        value = msgspec.json.encode(sample(START_MS + 60_000 * i))
        producer.produce(NETWORK_KEYED.name, value, b"a:b", partition=i % 2, headers=headers)
    producer.produce(NETWORK_KEYED.name, b"{", b"a:b", partition=0)
    producer.flush()


def test_a_round_of_cron_writes_both(settings: Settings, postgres: str) -> None:
    send(settings, 0, 300)
    sidecar = Sidecar(settings, Options(schedule=Schedule(period={}), capacity=False), Metrics())
    sidecar.once(lambda: False)
    assert count(postgres) == sidecar.counted["rows"] == 300
    assert sidecar.counted["rejected"] == 1, "what is in no data set is in no table"


def test_however_often_it_is_killed_each_row_is_there_once(settings: Settings, postgres: str, tmp_path: Path) -> None:
    never = [part for name in ("selector", "bandwidth", "anomaly") for part in ("--train", f"{name}=never")]
    command = [sys.executable, "-m", "streams.cli", "sidecar", *never, "--flush", "0.05", "--no-capacity",
               "--keep", "network.keyed"]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DWCP_")} | {
        "BROKER_URL": settings.bootstrap, "DWCP_SIDECAR_DATA": settings.sidecar_data, "DWCP_POSTGRES_URL": postgres,
        "DWCP_POSTGRES_TABLES": "network.keyed", "DWCP_SIDECAR_PORT": str(settings.sidecar_port),
    }  # fmt: skip
    sent = 0
    for last in (False, False, True):
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
        try:
            before = count(postgres)
            for _ in range(20):
                send(settings, sent, sent + 50)
                sent += 50
                time.sleep(0.02)
            wait(lambda n=before: count(postgres) > n)  # it is killed while it writes
            if last:
                wait(lambda n=sent: count(postgres) == n)
                process.send_signal(signal.SIGTERM)
                assert process.wait(15) == 0
        finally:
            process.kill()
            process.wait()
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text
    assert PASSWORD not in text
    assert count(postgres) == sent == read_checkpoint(Path(settings.sidecar_data)).counted["rows"]
    assert ask(postgres, f"SELECT count(DISTINCT origin) FROM {TABLE}") == [(sent,)]


def test_a_table_of_no_topic_is_said_before_anything_begins(settings: Settings) -> None:
    wrong = dataclasses.replace(settings, postgres_tables=("network.raw",))
    with pytest.raises(ConfigError, match=r"some of compression\.keyed"):
        Sidecar(wrong, Options(schedule=Schedule(period={}), capacity=False), Metrics())
