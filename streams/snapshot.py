"""Snapshots as Kafka records, and how the newest usable one is found among them.

A snapshot is what a state was after every record before `next_offset` of its source, and
nothing after. It carries what changed since its parent, and perhaps some of what did not; a chain is a snapshot
with its ancestors back to its base, since which everything was carried at least once. Two workers may write
at once for a while (one that was stopped and goes on does not know that it was replaced): their snapshots
make two branches, both true, and the one that reaches further is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from schemas import header
from schemas.header import Headers

PART_BYTES: Final = 1 << 20
"""Largest value of one record; a state's captures come in pieces well below it."""

Id = tuple[str, int]
"""Who wrote a snapshot, and the how manieth of theirs it is."""


class Label(Struct, frozen=True):
    """What a record's header says of the snapshot it is part of.

    Parameters
    ----------
    app
        Consumer group whose state it is.
    id, parent
        Its own and that of the snapshot it continues; None where it carries everything.
    next_offset
        First offset of the source that it has not seen.
    topic_ids
        Ids of the topics its offsets are about, as far as the broker gives any: a topic that was
        deleted and made again counts from 0, and its offsets mean something else.
    part, parts
        Which record of how many this is.
    base
        The snapshot with which a chain that ends here begins; None: with the one that has no parent.
    """

    app: str
    id: Id
    parent: Id | None
    next_offset: int
    topic_ids: dict[str, str]
    part: int = 0
    parts: int = 1
    base: Id | None = None


class Content(Struct, frozen=True):
    """What a record holds: a piece of the capture, decoded without a copy; the first one also the newest origins."""

    piece: memoryview
    newest_origin: dict[str, int] | None


class Chain(NamedTuple):
    """Contents of a snapshot and its ancestors, those of the base first."""

    label: Label
    base: Id
    contents: list[bytes]


class Pieces(Protocol):
    """What was captured of a state: pieces that fit a record, each made when it is asked for, once."""

    @property
    def size(self) -> int:
        """Bytes of all pieces, about."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


def split(label: Label, capture: Pieces, newest_origin: dict[str, int]) -> Iterator[tuple[bytes, Headers]]:
    """Value and headers of a snapshot's records, one per piece of the state's capture, made one at a time."""
    for k, piece in enumerate(capture):
        own = msgspec.json.encode(msgspec.structs.replace(label, part=k, parts=len(capture)))
        yield msgspec.msgpack.encode(Content(memoryview(piece), None if k else newest_origin)), [(header.SNAPSHOT, own)]


class SnapshotLog:
    """The records of one partition of a state topic, in order."""

    def __init__(self) -> None:
        self._parts: dict[Id, list[bytes]] = {}
        self._labels: dict[Id, Label] = {}

    def add(self, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None) -> None:
        """Take in the next record; what is no part of a snapshot is ignored."""
        for name, text in headers or ():
            if name == header.SNAPSHOT and text and value is not None:
                try:
                    label = msgspec.json.decode(text, type=Label)
                except msgspec.DecodeError:
                    return
                self._add(label, value)

    def _add(self, label: Label, value: bytes) -> None:
        if label.part == 0:
            self._parts[label.id] = []
            self._labels[label.id] = label
        parts = self._parts.get(label.id)
        if parts is not None and len(parts) == label.part:
            parts.append(value)

    def newest(self, app: str, limit: int, topic_ids: dict[str, str]) -> Chain | None:
        """The chain that reaches furthest without passing `limit`; None when there is none whole.

        Parameters
        ----------
        app
            Consumer group.
        limit
            An offset of the source.
        topic_ids
            As they are now.
        """
        fitting = [
            label
            for label in self._labels.values()
            if label.app == app and label.next_offset <= limit and _same_topics(label.topic_ids, topic_ids)
        ]
        for label in sorted(fitting, key=lambda one: -one.next_offset):
            chain = self._chain(label)
            if chain is not None:
                return chain
        return None

    def _chain(self, label: Label) -> Chain | None:
        snapshots: list[list[bytes]] = []
        at: Label | None = label
        while at is not None:
            parts = self._parts[at.id]
            if len(parts) < at.parts:
                return None
            snapshots.append(parts)
            if at.parent is None or at.id == label.base:
                return Chain(label, at.id, [part for parts in reversed(snapshots) for part in parts])
            at = self._labels.get(at.parent)
        return None


def _same_topics(then: dict[str, str], now: dict[str, str]) -> bool:
    """Whether no topic is known to be another one now."""
    return all(now.get(name, topic_id) == topic_id for name, topic_id in then.items())
