"""Sending dead letters back to where they were read.

Letters go out in batches: sent, delivered, noted. What a crash leaves between delivery
and note is sent again by the next replay, with the same `dwcp-replayed-from`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Final

from schemas.error import InfraError
from schemas.topic import KEYED
from streams.dead_letter.letter import Filter, Letter
from streams.dead_letter.note import key_of, write_notes
from streams.partition import murmur2_partition
from streams.recording.log import Log
from streams.settings import Settings
from streams.sink import ANY_PARTITION, KafkaSink

_BATCH: Final = 500
"""What a crash repeats at most."""


@dataclass(slots=True)
class Replayed:
    """What was done: letters sent back by reason and topic, those sent before, and those that cannot be."""

    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    before: int = 0
    obstacles: list[tuple[Letter, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many were sent."""
        return sum(self.sent.values())


def due(
    log: Log, settings: Settings, wanted: Filter, notes: set[bytes], done: Replayed, stopped: Callable[[], bool]
) -> Iterator[Letter]:
    """Letters to send back, in order; what is left out is counted."""
    for record in log.read(stopped):
        letter = Letter.of(record)
        if not wanted.holds(letter):
            continue
        if key_of(letter) in notes:
            done.before += 1
        elif obstacle := letter.obstacle(settings):
            done.obstacles.append((letter, obstacle))
        else:
            yield letter


def replay(
    letters: Iterator[Letter],
    sink: KafkaSink,
    settings: Settings,
    done: Replayed,
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Send letters back and note each.

    Raises
    ------
    InfraError
        When one is not delivered; it says how many were sent and noted before.
    """
    while batch := list(islice(letters, _BATCH)):
        try:
            _send(batch, sink, settings)
            sink.flush()
            write_notes(sink, settings, batch)
        except InfraError as exc:
            again = f"up to {len(batch)} more were sent and will be again: replay once more when the broker is well"
            raise InfraError(f"{exc}; {done.total:,} dead letters were replayed before that, {again}") from exc
        done.sent.update((letter.reason, letter.source[0]) for letter in batch)
        progress(done.total)


def _send(letters: Sequence[Letter], sink: KafkaSink, settings: Settings) -> None:
    for topic, group in groupby(letters, lambda letter: letter.source[0]):
        run = list(group)
        sink.send(
            topic,
            [letter.record.key for letter in run],
            [letter.record.value for letter in run],
            [0] * len(run),
            [letter.headers(settings) for letter in run],
            [_partition(letter, sink.partitions_of(topic), settings) for letter in run],
        )


def _partition(letter: Letter, partitions: int, settings: Settings) -> int:
    """Where a key's records are: on keyed topics as the publisher decides, on raw ones as producers do.

    What has no key stays on its partition, and with it in its order.
    """
    topic, partition, _ = letter.source
    key = letter.record.key
    if key is None:
        return partition % partitions
    return murmur2_partition(key, partitions) if topic in {settings.name_of(t) for t in KEYED} else ANY_PARTITION
