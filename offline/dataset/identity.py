"""Ids of hosts, machines, requests and people, hashed where data leave: the same id has the same hash, so rows join.

The hash is keyed: without the key nobody can try out names.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

IDS: Final = ("node_id", "peer_id", "vm_id", "request_id", "session_id", "event_id", "operator")
"""Columns that name somebody or something of the one whose data they are. Where a row came from (`origin`, and the
`id` that is made of it) names a place in our own topics."""

_BYTES: Final = 12


def hash_id(text: str, key: str) -> str:
    """An id's hash, 24 hex digits; of nothing, nothing.

    >>> hash_id("host-1", "a key of sixteen") == hash_id("host-1", "a key of sixteen") != hash_id("host-1", "another")
    True
    """
    return blake2b(text.encode(), digest_size=_BYTES, key=blake2b(key.encode()).digest()).hexdigest() if text else ""


def hash_ids(rows: pa.Table, key: str) -> pa.Table:
    """The rows with their ids hashed; unchanged without a key."""
    for at, field in enumerate(rows.schema if key else ()):
        if field.name in IDS and pa.types.is_string(field.type):
            column = pc.dictionary_encode(rows[field.name].combine_chunks())
            names = pa.array([hash_id(one, key) for one in column.dictionary.to_pylist()], pa.string())
            rows = rows.set_column(at, field, pc.take(names, column.indices))
    return rows
