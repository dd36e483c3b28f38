"""Topics as tables: names, types and months."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from offline.dataset.parquet import make_batch
from offline.dataset.schema import arrow_schema
from offline.sidecar.archive import ARCHIVED
from offline.sidecar.table import Month, csv, table_of
from schemas.topic import COMPRESSION_KEYED, NETWORK_KEYED, SYSTEM_ANOMALY
from tests.online_models.stream import sample, transfer_stream


def test_every_kept_topic_has_a_table_of_its_own() -> None:
    names = [table_of(topic).name for topic in ARCHIVED]
    assert len(set(names)) == len(ARCHIVED)
    assert names[0] == "compression_telemetry"


def test_the_documented_fields_have_their_types_and_meanings() -> None:
    table = table_of(COMPRESSION_KEYED)
    create = table.make()[0]
    for column in ('"event_id" text', '"has_baseline" boolean', '"payload_size" bigint',
                   '"timestamp" timestamptz NOT NULL', '"hde_latency_ms" double precision',
                   'PRIMARY KEY ("origin", "timestamp")'):  # fmt: skip
        assert column in create
    (said,) = [one for one in table.make() if one.startswith("COMMENT") and '"rtt_ms"' in one]
    assert "unit ms" in said
    assert table_of(SYSTEM_ANOMALY).key == ("id", "timestamp")
    assert '"metrics" jsonb' in table_of(SYSTEM_ANOMALY).make()[0]


@pytest.mark.parametrize(
    ("at", "month"), [("2026-01-31T23:59:59.999", Month(2026, 1)), ("2026-02-01T00:00:00", Month(2026, 2)),
                      ("2025-12-31T23:59:59", Month(2025, 12))],
)  # fmt: skip
def test_a_row_is_of_its_month_in_utc(at: str, month: Month) -> None:
    table = table_of(NETWORK_KEYED)
    ms = int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
    rows = pa.Table.from_batches([make_batch([sample(ms)], ["raw/0/1"], arrow_schema(NETWORK_KEYED))])
    assert table.months(rows) == {month}
    assert month.start_ms <= ms < month.next.start_ms
    assert table.month_of(table.partition(month)) == month
    assert table.month_of("network_sample_old") is None


def test_what_is_missing_differs_from_what_is_empty() -> None:
    rows = pa.table({"a": pa.array([None, ""]), "b": pa.array([[1.5], None]), "c": pa.array([True, None])})
    assert csv(rows) == b',"[1.5]",true\n"",,\n'


def test_texts_are_not_taken_apart() -> None:
    records = transfer_stream(1)
    rows = pa.Table.from_batches([make_batch(records, ['a"b,\n;c'], arrow_schema(COMPRESSION_KEYED))])
    assert b'"a""b,\n;c"' in csv(rows)
