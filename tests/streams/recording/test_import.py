"""CSV files become records that ingest takes, or lines in a list that says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agents import ingest
from offline.simulator.wire import NetworkSampleFull
from schemas.error import ConfigError, GateFailed
from schemas.topic import COMPRESSION_KEYED, NETWORK_KEYED, NETWORK_RAW, SYSTEM_KEYED
from streams.embedded import EmbeddedBroker
from streams.recording.column import parse_time
from streams.recording.file import read_recording
from streams.recording.import_command import import_csv
from streams.recording.log import Log
from streams.recording.run import run
from streams.settings import Settings

COLUMNS = NetworkSampleFull.__struct_fields__
DATA = Path(__file__).parents[4] / "shared" / "data"
LINK = ("--node", "a", "--peer", "b")
REST = ("--set", "packet_loss=0", "--set", "jitter_ms=0", "--set", "throughput_mbps=100")


def training_row(i: int, **other: object) -> str:
    row: dict[str, object] = {
        "timestamp": f"2026-01-05 00:{i:02d}:00", "region": "us-east", "az": "a", "link_type": "datacenter",
        "node_id": 17, "peer_id": "hub", "rtt_ms": 20.5 + i, "jitter_ms": 1.0, "throughput_mbps": 500,
        "bytes_tx": 1000, "bytes_rx": 2000.0, "packet_loss": 0.01, "retransmits": 3, "congestion_window": 10,
        "queue_depth": 2, "dwcp_mode": 1, "network_tier": "Premium", "transport_type": "tcp", "time_of_day": 0,
        "day_of_week": 0, "bandwidth_mbps": 500, "latency_ms": 20.5 + i,
    }  # fmt: skip
    return ",".join(str((row | other)[name]) for name in COLUMNS)


def imported(tmp_path: Path, text: str | bytes, *args: str, code: int = 0) -> tuple[dict[str, Any], list[Any]]:
    """The summary and the records."""
    source, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_bytes(text if isinstance(text, bytes) else text.encode())
    rejects = ("--rejects", str(tmp_path / "rejects.jsonl"))
    result = CliRunner().invoke(import_csv, [str(source), "--to", str(out), "--json", *rejects, *args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return json.loads(result.stdout), list(read_recording(out))


def rejected(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]


def test_the_training_file_needs_no_options(tmp_path: Path) -> None:
    lines = [",".join(COLUMNS), *(training_row(i) for i in range(30))]
    summary, records = imported(tmp_path, "\n".join(lines))
    assert (summary["records"], summary["rejected"], summary["unused"]) == (30, 0, ["time_of_day", "day_of_week"])
    assert {r.key for r in records} == {b"17:hub"}
    assert [r.timestamp_ms for r in records] == [1_767_571_200_000 + 60_000 * i for i in range(30)]
    keyed = run(ingest.agents, records)[NETWORK_KEYED]
    assert json.loads(keyed[3].value or b"") == {
        "timestamp": 1_767_571_380_000, "node_id": "17", "peer_id": "hub", "rtt_ms": 23.5, "jitter_ms": 1.0,
        "throughput_mbps": 500.0, "packet_loss": 0.01, "bytes_tx": 1000, "bytes_rx": 2000, "retransmits": 3,
        "congestion_window": 10, "queue_depth": 2, "region": "us-east", "az": "a", "link_type": "dc",
        "dwcp_mode": "turbo", "network_tier": 1, "transport_type": "tcp",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        (training_row(5, rtt_ms="fast"), "csv", "'rtt_ms' holds 'fast', which is no number"),
        (training_row(5, rtt_ms="nan"), "csv", "no finite number"),
        (training_row(5, timestamp="yesterday"), "csv", "no time"),
        (training_row(5, timestamp=""), "csv", "no time"),
        (training_row(5) + ",1", "csv", "23 cells where the header has 22"),
        ("1,2", "csv", "2 cells"),
        (training_row(5, rtt_ms=-1, latency_ms=-1), "range", "rtt_ms=-1"),
        (training_row(5, packet_loss=""), "schema", "packet_loss"),
        (training_row(5, link_type="submarine"), "enum", "submarine"),
        (training_row(5, retransmits=1.5), "schema", "int"),
        (training_row(5, rtt_ms=1), "unit", "said twice"),
        (training_row(5, node_id=""), "schema", "node_id"),
    ],
)
def test_a_bad_row_is_listed_with_its_line_and_the_reason(tmp_path: Path, row: str, reason: str, says: str) -> None:
    summary, records = imported(tmp_path, "\n".join([",".join(COLUMNS), training_row(1), row, training_row(2)]))
    assert (len(records), summary["rejected_by_reason"]) == (2, {reason: 1})
    (found,) = rejected(tmp_path)
    assert (found["line"], found["reason"], found["row"]) == (3, reason, row.split(","))
    assert says in found["message"]


def test_bytes_that_are_no_text_are_listed(tmp_path: Path) -> None:
    bad = training_row(3, region="us-\x00east").encode().replace(b"us-\x00", b"us-\xff")
    text = "\n".join([",".join(COLUMNS), training_row(1), training_row(2)]).encode() + b"\n" + bad
    _, records = imported(tmp_path, text)
    assert len(records) == 2
    assert [(r["line"], r["reason"]) for r in rejected(tmp_path)] == [(4, "csv")]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    text = '\ufefftime;rtt (s);note\r\n2026-01-05T00:00:00Z;0.5;"two\r\nlines"\r\n\r\n2026-01-05T00:01:00Z;x;\r\n'
    _, records = imported(tmp_path, text, *LINK, *REST, "--metric", "rtt_ms=rtt")
    assert json.loads(records[0].value)["rtt_ms"] == 500
    assert [r["line"] for r in rejected(tmp_path)] == [5]


@pytest.mark.parametrize(
    ("column", "spec", "field", "text", "value"),
    [
        ("ping", "rtt_ms=ping", "rtt_ms", "19.5", 19.5),
        ("ping", "rtt_ms=ping:s", "rtt_ms", "0.5", 500),
        ("ping (us)", "rtt_ms=ping (us)", "rtt_ms", "1500", 1.5),
        ("Ping [ns]", "rtt_ms=Ping", "rtt_ms", "2000000", 2),
        ("a:b", "rtt_ms=a:b", "rtt_ms", "3", 3),
        ("a:b", "rtt_ms=a:b:s", "rtt_ms", "3", 3000),
        ("down (Gbit/s)", "throughput_mbps=down", "throughput_mbps", "1.5", 1500),
        ("down", "throughput_mbps=down:B/s", "throughput_mbps", "125000", 1),
        ("down", "throughput_mbps=down:MB/s", "throughput_mbps", "2", 16),
        ("loss (%)", "packet_loss=loss", "packet_loss", "1.5", 0.015),
        ("sent [KiB]", "bytes_tx=sent", "bytes_tx", "2", 2048),
    ],
)
def test_units_come_from_the_header_or_the_option(
    tmp_path: Path, column: str, spec: str, field: str, text: str, value: float
) -> None:
    need = {"rtt_ms": "1", "throughput_mbps": "1", "packet_loss": "0", "jitter_ms": "0"} | {field: ""}
    rest = [part for k, v in need.items() if v for part in ("--set", f"{k}={v}")]
    _, records = imported(tmp_path, f'time,"{column}"\n1700000000,{text}\n', *LINK, *rest, "--metric", spec)
    assert json.loads(records[0].value)[field] == pytest.approx(value)


@pytest.mark.parametrize(
    ("header", "args", "named"),
    [
        ("time,v", (*LINK, "--metric", "rtt_ms=v:parsec"), "rtt_ms in parsec"),
        ("time,v", (*LINK, "--metric", "queue_depth=v:ms"), "queue_depth in ms"),
        ("time,v", (*LINK, "--metric", "rtt_ms=w"), "rtt_ms=w"),
        ("time,v", (*LINK, "--metric", "speed=v"), "one of .*rtt_ms"),
        ("time,v", ("--metric", "rtt_ms"), "--metric"),
        ("when,v", (*LINK,), "--time"),
        ("when,v", (*LINK, "--time", "then"), "--time"),
        ("time,v", (), "--metric node_id=COLUMN"),
        ("time,v", (*LINK, *REST), "rtt_ms is missing"),
        ("time,v", (*LINK, *REST, "--set", "rtt_ms=fast"), "no number"),
        ("", (*LINK,), "first line names the columns"),
    ],
)
def test_what_cannot_work_is_said_with_what_can(tmp_path: Path, header: str, args: tuple[str, ...], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        imported(tmp_path, f"{header}\n1700000000,1\n" if header else "", *args)
    assert not (tmp_path / "out.jsonl").exists()


def test_rows_of_any_order_come_out_in_order_of_time(tmp_path: Path) -> None:
    text = "time,rtt_ms\n" + "".join(f"{1_700_000_000 + i * 7919 % 100},{i}\n" for i in range(100))
    _, records = imported(tmp_path, text, *LINK, *REST)
    assert [r.timestamp_ms for r in records] == sorted(r.timestamp_ms for r in records)
    assert len(records) == 100


def test_strict_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="rows"):
        imported(tmp_path, "time,rtt_ms\n1700000000,1\n1700000060,x\n", *LINK, *REST, "--strict")
    assert not (tmp_path / "out.jsonl").exists()
    assert len(rejected(tmp_path)) == 1


def test_system_metrics_and_transfers_come_too(tmp_path: Path) -> None:
    names = SYSTEM_KEYED.record.__struct_fields__[1:]  # type: ignore[union-attr]
    text = f"timestamp,{','.join(names)}\n2026-01-05T00:00:00Z,{','.join(['n1', *['1'] * (len(names) - 1)])}\n"
    _, records = imported(tmp_path, text, "--topic", "system.raw")
    assert (records[0].key, len(run(ingest.agents, records)[SYSTEM_KEYED])) == (b"n1", 1)
    text = (
        "timestamp,event_id,node_id,peer_id,link_type,bandwidth_available_mbps,rtt_ms,payload_size,has_baseline\n"
        "2026-01-05T00:00:00Z,e1,a:1,b,wan,100,20,1024,true\n"
    )
    _, records = imported(tmp_path, text, "--topic", "compression.raw")
    (keyed,) = run(ingest.agents, records)[COMPRESSION_KEYED]
    assert records[0].key == keyed.key == b"a%3A1:b"


def test_a_broker_is_fed(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("time,rtt_ms\n1700000000,1\n1700000060,2\n")
    with EmbeddedBroker() as broker:
        args = [str(source), "--to", f"kafka://{broker.address}", *LINK, *REST]
        assert CliRunner().invoke(import_csv, args).exit_code == 0
        with Log(Settings.from_environment({"BROKER_URL": broker.address}), [NETWORK_RAW.name]) as log:
            got = list(log.read())
    assert [json.loads(r.value or b"")["rtt_ms"] for r in got] == [1, 2]
    assert all(r.timestamp_ms > 1_700_000_060_000 for r in got), "a broker stamps them when they arrive"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000", 1_700_000_000_000),
        ("1700000000.25", 1_700_000_000_250),
        ("1700000000123", 1_700_000_000_123),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14 22:13:20", 1_700_000_000_000),
        ("2023-11-14", 1_699_920_000_000),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500),
        ("2023-11-14 22:13:20.123456789 +0000 UTC m=+0.397", 1_700_000_000_123),
        ("2023-11-14 23:13:20 +0100 CET", 1_700_000_000_000),
    ],
)
def test_times_of_every_kind(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize("text", ["", "x", "-5", "2023-13-01", "1e400", "nan", "99999999999999999999999"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        parse_time(text)


@pytest.mark.skipif(not DATA.is_dir(), reason="no real series here")
@pytest.mark.parametrize(
    ("pattern", "args", "records"),
    [
        ("speedtest*/speedtests.csv", ("--time", "datetimestart", "--metric", "rtt_ms=ping",
         "--metric", "throughput_mbps=download", "--set", "packet_loss=0", "--set", "jitter_ms=0"), 23_000),
        ("jitterbug-rtt/**/raw.csv", ("--metric", "rtt_ms=values", *REST), 47_000),
        ("nezha/**/front_service.csv", ("--time", "Time", "--metric", "rtt_ms=LatencyP50", *REST), 1_200),
        ("ms-cloud*/**/outbound-10.csv", ("--metric", "rtt_ms=Value", *REST), 700),
    ],
)  # fmt: skip
def test_real_files(tmp_path: Path, pattern: str, args: tuple[str, ...], records: int) -> None:
    (path,) = DATA.glob(pattern)
    summary, got = imported(tmp_path, path.read_bytes(), *LINK, *args)
    assert len(got) >= records
    assert summary["records"] + summary["rejected"] == len(path.read_text().splitlines()) - 1
