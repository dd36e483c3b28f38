"""Notes of which dead letters were sent back: one record each, in a topic that is never emptied.

A consumer group's position could not say it: replays are of chosen letters, and brokers
forget a group after a week. A note is written after its letter was delivered; a crash
between the two means that the letter is sent again, never that it is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.topic import REPLAYED
from streams.dead_letter.letter import Letter
from streams.recording.log import Log
from streams.settings import Settings
from streams.sink import KafkaSink


def key_of(letter: Letter) -> bytes:
    """What a letter's note is filed under; with its time, because a topic made anew counts from 0 again."""
    return f"{letter.place}/{letter.record.timestamp_ms}".encode()


def read_notes(settings: Settings) -> set[bytes]:
    """Keys of the letters that were sent back.

    Raises
    ------
    ConfigError
        When the topic of the notes does not exist.
    InfraError
        When the broker does not answer.
    """
    with Log(settings, [settings.name_of(REPLAYED)]) as log:
        return {record.key for record in log.read() if record.key is not None}


def write_notes(sink: KafkaSink, settings: Settings, letters: Sequence[Letter]) -> None:
    """Note that letters were sent back; returns when the notes are on the broker.

    Raises
    ------
    InfraError
        When they cannot be delivered.
    """
    values = [msgspec.json.encode(letter.summary() | {"to": letter.source[0]}) for letter in letters]
    sink.send(settings.name_of(REPLAYED), [key_of(letter) for letter in letters], values, [0] * len(letters))
    sink.flush()
