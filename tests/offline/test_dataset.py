"""`dwcp dataset`: typed columns with their units, nothing left out silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import fields

from offline.dataset.command import dataset
from schemas.error import ConfigError
from schemas.topic import DEAD_LETTER, KEYED, NETWORK_FORECAST, NETWORK_KEYED, OUTPUTS, SYSTEM_ANOMALY, Topic
from streams.recording.file import RecordingFile, read_recording
from streams.recording.format import Recorded
from tests.replay import recording, replay
from tests.streams.web.example import example

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
schema = pytest.importorskip("offline.dataset.schema")


def run(*args: object) -> Any:
    result = CliRunner().invoke(dataset, [*map(str, args), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything a worker publishes on the recording with faults, as a recording."""
    path = tmp_path_factory.mktemp("answers") / "answers.jsonl.zst"
    with RecordingFile(path) as file:
        for records in replay("faults").values():
            file.write(records)
    return path


@pytest.mark.parametrize("topic", KEYED + OUTPUTS, ids=lambda t: t.kind)
def test_every_topic_has_columns_with_units(topic: Topic) -> None:
    found = schema.arrow_schema(topic)
    assert found.names == [*topic.record.__struct_fields__, "origin"]  # type: ignore[union-attr]
    for field in found:
        assert field.metadata[b"description"], field.name
        assert b"unit" in field.metadata, field.name
    assert found.field("timestamp").type == pa.timestamp("ms", "UTC")


@pytest.mark.parametrize("topic", KEYED + OUTPUTS, ids=lambda t: t.kind)
def test_a_record_may_leave_out_what_is_optional(topic: Topic) -> None:
    from offline.dataset.parquet import make_batch

    assert topic.record is not None
    batch = make_batch([example(topic.record)], ["raw/0/1"], schema.arrow_schema(topic))
    (row,) = batch.to_pylist()
    for field in fields(topic.record):
        if field.default is None:
            assert row[field.name] is None, field.name


def test_what_was_published_is_in_the_table(answers: Path, tmp_path: Path) -> None:
    for topic in (NETWORK_FORECAST, SYSTEM_ANOMALY, NETWORK_KEYED):
        summary = run(answers, "--topic", topic.kind, "--out", tmp_path / "t.parquet")
        expected = [json.loads(r.value or b"") for r in replay("faults")[topic]]
        table = pq.read_table(tmp_path / "t.parquet")
        assert (summary["rows"], summary["left_out"], table.num_rows) == (len(expected), 0, len(expected))
        for row, document in zip(table.to_pylist(maps_as_pydicts="strict"), expected, strict=True):
            assert row.pop("origin").startswith("dwcp.")
            for name, value in row.items():
                if hasattr(value, "timestamp"):
                    row[name] = round(value.timestamp() * 1000)
            assert row == document
    assert pq.read_schema(tmp_path / "t.parquet").field("rtt_ms").metadata[b"unit"] == b"ms"


def test_raw_records_go_through_ingest(tmp_path: Path) -> None:
    path = recording("faults")
    summary = run(path, "--topic", "network.keyed", "--ingest", "--out", tmp_path / "t.parquet")
    made = replay("faults")[NETWORK_KEYED]
    assert summary["rows"] == len(made)
    assert summary["left_out"] > 0
    raw = {f"{r.topic}/{r.partition}/{r.offset}" for r in _raw(path)}
    assert summary["rows"] + summary["left_out"] == len(raw)


def _raw(path: Path) -> list[Recorded]:
    return [r for r in read_recording(path) if r.topic == "dwcp.network.raw.v1"]


def test_what_does_not_decode_is_counted_and_named(tmp_path: Path) -> None:
    good = replay("fleet")[NETWORK_KEYED][:3]
    bad = [good[0]._replace(value=b"{", offset=90), good[0]._replace(value=b"{}", offset=91)]
    with RecordingFile(tmp_path / "in.jsonl") as file:
        file.write([*good, *bad])
    args = [str(tmp_path / "in.jsonl"), "--topic", "network.keyed", "--out", str(tmp_path / "t.parquet")]
    result = CliRunner().invoke(dataset, args)
    assert result.exit_code == 0
    assert "3 rows" in result.stdout
    assert f"/{good[0].partition}/90 is left out (malformed)" in result.stderr
    assert f"/{good[0].partition}/91 is left out (schema)" in result.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--topic", "network.keyed"), "--ingest makes keyed records"),
        (("--topic", "network.forecast", "--ingest"), "network.keyed"),
        (("--topic", "drift.alert"), "dwcp.network.raw.v1"),
    ],
)
def test_what_cannot_work_is_said_and_leaves_no_file(tmp_path: Path, args: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        run(recording("network"), *args, "--out", tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_made_is_named() -> None:
    with pytest.raises(ConfigError, match="--out"):
        run(recording("network"), "--topic", "network.keyed", "--ingest", "--out", "/nonexistent/t.parquet")


def test_records_without_a_type_have_no_columns() -> None:
    with pytest.raises(TypeError, match="as they were received"):
        schema.arrow_schema(DEAD_LETTER)
