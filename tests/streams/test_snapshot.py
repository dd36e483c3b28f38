"""Snapshots as records: split, found again, chained, and refused when something is missing."""

from __future__ import annotations

import msgspec
import pytest

from schemas import header
from schemas.header import Headers
from streams.snapshot import Content, Id, Label, SnapshotLog, split

Record = tuple[bytes, Headers]
PIECE = 1000


class Captured(list[bytes]):
    """Pieces of a capture."""

    size = 0


def records(
    number: int, offset: int, parent: int | None = None, size: int = 10, writer: str = "w", **changes: object
) -> list[Record]:
    """Records of one snapshot of `size` bytes and more."""
    label = Label("app", (writer, number), None if parent is None else (writer, parent), offset, {})
    label = msgspec.structs.replace(label, **changes)
    whole = bytes([number]) * size
    pieces = [whole[at : at + PIECE] for at in range(0, size, PIECE)]
    return list(split(label, Captured(pieces), {"raw/0": offset}))


def log_of(*snapshots: list[Record]) -> SnapshotLog:
    log = SnapshotLog()
    for one in snapshots:
        for value, headers in one:
            log.add(value, headers)
    return log


def newest(log: SnapshotLog, limit: int = 1000, app: str = "app") -> tuple[Id, list[int]] | None:
    """Id of the chain's end, and the first byte of each capture in it."""
    chain = log.newest(app, limit, {})
    if chain is None:
        return None
    captures = [msgspec.msgpack.decode(c, type=Content).piece for c in chain.contents]
    return chain.label.id, [capture[0] for capture in captures]


def test_nothing_is_found_in_an_empty_log() -> None:
    assert newest(log_of()) is None


def test_a_chain_begins_at_the_snapshot_that_stands_alone() -> None:
    log = log_of(records(1, 10), records(2, 20, 1), records(3, 30, 2), records(4, 40), records(5, 50, 4))
    assert newest(log) == (("w", 5), [4, 5])
    assert newest(log, 39) == (("w", 3), [1, 2, 3])
    assert newest(log, 10) == (("w", 1), [1])
    assert newest(log, 9) is None


def test_a_chain_begins_at_its_base_whatever_was_before() -> None:
    first, second, third = records(1, 10), records(2, 20, 1, base=("w", 1)), records(3, 30, 2, base=("w", 2))
    assert newest(log_of(first, second, third)) == (("w", 3), [2, 3])
    assert newest(log_of(second, third)) == (("w", 3), [2, 3])
    assert newest(log_of(second, third), 20) is None
    assert newest(log_of(first, second, third), 20) == (("w", 2), [1, 2])


@pytest.mark.parametrize("size", [1, 999, 1000, 5001])
def test_a_capture_of_many_pieces_is_many_records(size: int) -> None:
    chain = log_of(records(1, 10, size=size)).newest("app", 10, {})
    assert chain is not None
    found = [msgspec.msgpack.decode(content, type=Content) for content in chain.contents]
    assert b"".join(bytes(one.piece) for one in found) == b"\x01" * size
    assert [one.newest_origin for one in found] == [{"raw/0": 10}] + [None] * (len(found) - 1)
    assert chain.base == chain.label.id


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_snapshot_with_a_part_missing_is_not_used(missing: int) -> None:
    broken = records(2, 20, 1, size=2500)
    del broken[missing]
    assert newest(log_of(records(1, 10), broken)) == (("w", 1), [1])


def test_a_chain_whose_beginning_was_deleted_is_not_used() -> None:
    assert newest(log_of(records(2, 20, 1), records(3, 30, 2))) is None


def test_the_branch_that_reaches_further_is_used_whoever_wrote_last() -> None:
    zombie = [records(k, offset, k - 1, writer="old") for k, offset in ((2, 20), (3, 30))]
    taken_over = records(1, 45, writer="new", parent=None)
    log = log_of(records(1, 10, writer="old"), zombie[0], taken_over, zombie[1])
    assert newest(log) == (("new", 1), [1])
    assert newest(log, 44) == (("old", 3), [1, 2, 3])


def test_another_groups_snapshots_are_not_ours() -> None:
    log = log_of(records(1, 10), records(2, 20, app="theirs"))
    assert newest(log) == (("w", 1), [1])
    assert newest(log, app="theirs") == (("w", 2), [2])


@pytest.mark.parametrize(
    ("then", "now", "used"),
    [
        ({"raw": "a"}, {"raw": "a"}, True),
        ({"raw": "a"}, {"raw": "b"}, False),
        ({}, {"raw": "b"}, True),
        ({"raw": "a"}, {}, True),
    ],
)
def test_a_topic_made_anew_makes_its_snapshots_worthless(then: dict[str, str], now: dict[str, str], used: bool) -> None:
    log = log_of(records(1, 10, topic_ids=then))
    assert (log.newest("app", 10, now) is not None) is used


@pytest.mark.parametrize("headers", [None, [], [(header.SNAPSHOT, b"{")], [(header.SNAPSHOT, None)], [("x", b"y")]])
def test_foreign_records_are_ignored(headers: Headers | None) -> None:
    log = log_of(records(1, 10))
    log.add(b"what is this", headers)
    log.add(None, headers)
    assert newest(log) == (("w", 1), [1])
