"""Ids hashed where data leave: rows still join, names are not there."""

from __future__ import annotations

import pyarrow as pa
import pytest

from offline.dataset.identity import IDS, hash_id, hash_ids
from offline.dataset.parquet import make_batch
from offline.dataset.schema import arrow_schema
from schemas.topic import COMPRESSION_KEYED
from tests.online_models.stream import transfer_stream

KEY = "a key of sixteen characters"


def table(n: int = 60) -> pa.Table:
    batch = make_batch(transfer_stream(n), [f"raw/0/{i}" for i in range(n)], arrow_schema(COMPRESSION_KEYED))
    return pa.Table.from_batches([batch])


def test_no_name_is_left_and_rows_join_as_before() -> None:
    rows = table()
    hashed = hash_ids(rows, KEY)
    assert hashed.schema.equals(rows.schema, check_metadata=True)
    for name in (one for one in rows.column_names if one in IDS):
        before, after = rows[name].to_pylist(), hashed[name].to_pylist()
        assert after == [hash_id(one, KEY) if one is not None else None for one in before]
        assert not {one for one in before if one} & set(after)
        assert len(set(zip(before, after, strict=True))) == len(set(before)) == len(set(after))
    for name in set(rows.column_names) - set(IDS):
        assert hashed[name].equals(rows[name])


def test_of_nothing_nothing_is_made() -> None:
    rows = pa.table({"node_id": pa.array(["a", None, "", "a"]), "peer_id": pa.array([None] * 4, pa.string())})
    found = hash_ids(rows, KEY)
    assert found["node_id"].to_pylist() == [hash_id("a", KEY), None, "", hash_id("a", KEY)]
    assert found["peer_id"].to_pylist() == [None] * 4


@pytest.mark.parametrize("key", ["", "another key of sixteen"])
def test_the_key_decides(key: str) -> None:
    rows = table()
    same = hash_ids(rows, key)["node_id"].equals(hash_ids(rows, KEY)["node_id"])
    assert not same
    assert hash_ids(rows, "") is rows
