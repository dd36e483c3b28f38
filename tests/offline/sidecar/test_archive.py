"""What is kept of topics: each record once, in its hour, for its time."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pyarrow.dataset as ds
import pytest
from msgspec.structs import replace

from offline.sidecar.archive import HOUR_MS, Archive
from offline.sidecar.checkpoint import FILE, Checkpoint, read_checkpoint, write_checkpoint
from offline.sidecar.intake import Intake
from offline.sidecar.recent import Recent
from offline.sidecar.training import export
from offline.training.bandwidth_sample import read_samples
from offline.training.performance_node import read_nodes
from offline.training.selector_data import read_transfers
from schemas.codec import codec_of
from schemas.error import StateError
from schemas.header import CE_ID, ORIGIN
from schemas.system import SystemMetrics
from schemas.topic import COMPRESSION_KEYED, NETWORK_KEYED, SYSTEM_KEYED, Topic
from streams.recording.format import Recorded
from tests.online_models.stream import START_MS, metric_stream, sample, transfer_stream

DAY_MS = 24 * HOUR_MS


def samples(n: int, every_ms: int = HOUR_MS, start_ms: int = START_MS) -> list:
    return [sample(start_ms + every_ms * i, rate=100.0 + i) for i in range(n)]


def origins(n: int) -> list[str]:
    return [f"raw/0/{i}" for i in range(n)]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "topics")


def test_rows_lie_in_the_hours_of_their_events(archive: Archive) -> None:
    archive.add(NETWORK_KEYED, samples(5, HOUR_MS // 2), origins(5))
    assert sum(one.rows for one in archive.write(1)) == 5
    assert archive.buffered == 0
    hours = sorted(start for start, _ in archive.hours(NETWORK_KEYED))
    assert hours == sorted({(START_MS + i * HOUR_MS // 2) // HOUR_MS * HOUR_MS for i in range(5)})
    table = ds.dataset(archive.folder(NETWORK_KEYED), partitioning="hive").to_table()
    assert sorted(table["throughput_mbps"].to_pylist()) == [100.0, 101.0, 102.0, 103.0, 104.0]
    assert sorted(table["origin"].to_pylist()) == origins(5)


def test_what_is_of_no_checkpoint_is_removed(archive: Archive) -> None:
    for number in (1, 2):
        archive.add(NETWORK_KEYED, samples(2), origins(2))
        archive.write(number)
    (archive.files(NETWORK_KEYED)[0].with_name("00000003.part")).write_bytes(b"half")
    assert archive.recover(1) == 3
    assert {path.stem for path in archive.files(NETWORK_KEYED)} == {"00000001"}


@pytest.mark.parametrize(("topic", "days"), [(NETWORK_KEYED, 30), (COMPRESSION_KEYED, 90)])
def test_an_hour_is_kept_as_long_as_its_topic(archive: Archive, topic: Topic, days: int) -> None:
    one = sample(START_MS) if topic is NETWORK_KEYED else transfer_stream(1)[0]
    for number, day in enumerate((0, 1, days + 1)):
        archive.add(topic, [replace(one, timestamp=START_MS + day * DAY_MS)], origins(1))
        archive.write(number)
    assert archive.expire(0) == 1
    assert len(archive.files(topic)) == 2
    assert archive.expire(0) == 0


def test_what_was_written_long_ago_goes_by_the_clock(archive: Archive) -> None:
    archive.add(NETWORK_KEYED, samples(1), origins(1))
    archive.write(1)
    (_, folder) = next(archive.hours(NETWORK_KEYED))
    os.utime(folder, (1000.0, 1000.0))
    assert archive.expire(1_000_000 + 29 * DAY_MS) == 0
    assert archive.expire(1_000_000 + 31 * DAY_MS) == 1


def test_a_selector_learns_from_what_was_kept(archive: Archive, tmp_path: Path) -> None:
    known = transfer_stream(200)
    archive.add(COMPRESSION_KEYED, known, origins(200))
    archive.write(1)
    path = export(archive, "selector", 30 * DAY_MS, tmp_path)
    found = read_transfers([path])
    assert found.rejected == 0
    assert sorted(found.columns["event_id"].tolist()) == sorted(r.event_id for r in known)
    columns = codec_of(COMPRESSION_KEYED.record).columns(known)
    order = {event: i for i, event in enumerate(columns["event_id"].tolist())}
    at = [order[event] for event in found.columns["event_id"].tolist()]
    for name in ("timestamp", "rtt_ms", "outcome_hde_latency_ms", "payload_size"):
        assert found.columns[name].tolist() == columns[name][at].tolist()


def test_a_forecaster_learns_from_the_last_days(archive: Archive, tmp_path: Path) -> None:
    archive.add(NETWORK_KEYED, samples(72), origins(72))
    archive.write(1)
    found = read_samples([export(archive, "bandwidth", DAY_MS, tmp_path)])
    assert 24 <= len(found) <= 25
    assert found.time_ms[-1] == START_MS + 71 * HOUR_MS


def test_a_performance_predictor_learns_from_every_node(archive: Archive, tmp_path: Path) -> None:
    made = [msgspec.structs.asdict(one) for one in metric_stream(40, 3)]
    plain = [SystemMetrics(**{k: float(v) if isinstance(v, float) else v for k, v in one.items()}) for one in made]
    archive.add(SYSTEM_KEYED, plain, origins(120))
    archive.write(1)
    found = read_nodes([export(archive, "performance", DAY_MS, tmp_path)])
    assert [len(one.time_ms) for one in found] == [40, 40, 40]


def test_after_drift_only_what_came_since_teaches(archive: Archive, tmp_path: Path) -> None:
    since_ms = START_MS + 5_000
    known = transfer_stream(200)  # 50 ms apart
    archive.add(COMPRESSION_KEYED, known, origins(200))
    archive.add(NETWORK_KEYED, samples(72), origins(72))
    archive.write(1)
    transfers = read_transfers([export(archive, "selector", 30 * DAY_MS, tmp_path, since_ms)])
    assert sorted(transfers.columns["timestamp"].tolist()) == [r.timestamp for r in known if r.timestamp >= since_ms]
    links = read_samples([export(archive, "bandwidth", 30 * DAY_MS, tmp_path, START_MS + 70 * HOUR_MS)])
    assert links.time_ms.tolist() == [START_MS + 70 * HOUR_MS, START_MS + 71 * HOUR_MS]


def test_nothing_is_exported_of_nothing(archive: Archive, tmp_path: Path) -> None:
    assert export(archive, "anomaly", DAY_MS, tmp_path) is None


def record(offset: int, identity: bytes | None = None, value: bytes | None = None) -> Recorded:
    headers = ((CE_ID, identity), (ORIGIN, b"raw/0/%d" % offset)) if identity else ()
    known = msgspec.json.encode(sample(START_MS + 60_000 * offset)) if value is None else value
    return Recorded(NETWORK_KEYED.name, 0, offset, START_MS, b"a:b", known, headers)


def test_a_repeat_is_left_out_after_a_restart_too() -> None:
    topics = {NETWORK_KEYED.name: NETWORK_KEYED}
    intake = Intake(topics, {})
    first = intake.take([record(0, b"a"), record(1, b"b"), record(2), record(3, b"a")])
    assert first[NETWORK_KEYED].origins == ["raw/0/0", "raw/0/1", f"{NETWORK_KEYED.name}/0/2"]
    again = Intake(topics, intake.capture())
    assert again.take([record(4, b"b"), record(5, b"c")])[NETWORK_KEYED].origins == ["raw/0/5"]
    assert (intake.repeated, again.repeated) == (1, 1)


def test_a_bad_record_costs_no_other() -> None:
    intake = Intake({NETWORK_KEYED.name: NETWORK_KEYED}, {})
    found = intake.take([record(0, b"a"), record(1, b"b", b"{"), record(2, b"c", b""), record(3, b"d")])
    assert found[NETWORK_KEYED].origins == ["raw/0/0", "raw/0/3"]
    assert intake.rejected.total() == 2


def test_the_oldest_are_forgotten() -> None:
    recent = Recent(kept=2)
    assert [recent.is_new(name) for name in (b"a", b"b", b"a", b"c", b"a")] == [True, True, False, True, True]


def test_a_checkpoint_is_replaced_whole(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path) == Checkpoint()
    said = Checkpoint(number=3, offsets={"t": {0: 7}}, recent={"t": b"12345678"}, keeper=b"\x00")
    write_checkpoint(tmp_path, said)
    assert read_checkpoint(tmp_path) == said
    (tmp_path / FILE).write_bytes(b"\x83")
    with pytest.raises(StateError, match="restore it"):
        read_checkpoint(tmp_path)
