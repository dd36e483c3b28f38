"""A dead letter: a record as it was received, and in its headers where and why it was rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas import header
from schemas.error import ConfigError
from schemas.topic import INPUTS, KEYED
from streams.recording.format import Header, Recorded
from streams.recording.moment import rfc3339
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Parameters
    ----------
    record
        As it lies in the dead-letter topic.
    reason, stage, message
        Why it was rejected, and by which agent.
    source
        `topic`, `partition` and `offset` it was read from.
    """

    record: Recorded
    reason: str
    stage: str
    message: str
    source: tuple[str, int, int]

    @classmethod
    def of(cls, record: Recorded) -> Letter:
        """The letter that a record of the dead-letter topic is; what a header does not say is empty."""
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        partition, offset = headers.get(header.ERROR_PARTITION, ""), headers.get(header.ERROR_OFFSET, "")
        return cls(
            record,
            headers.get(header.ERROR_REASON, ""),
            headers.get(header.ERROR_STAGE, ""),
            headers.get(header.ERROR_MESSAGE, ""),
            (headers.get(header.ERROR_TOPIC, ""), _number(partition), _number(offset)),
        )

    @property
    def place(self) -> str:
        """Where it lies, as commands take it: `partition/offset`."""
        return f"{self.record.partition}/{self.record.offset}"

    @property
    def is_whole(self) -> bool:
        """Whether it holds its bytes: of what was too large only the headers are kept."""
        return self.record.value is not None or self.reason == "empty"

    def obstacle(self, settings: Settings) -> str:
        """Why it cannot be sent back; empty when it can."""
        topic, partition, offset = self.source
        if topic not in {settings.name_of(t) for t in INPUTS + KEYED}:
            return f"{topic or 'no topic'} is not a topic of this deployment: set DWCP_TOPIC_* as they were"
        if not self.is_whole:
            return f"it was too large to keep: its bytes are at {topic}/{partition}/{offset}, while they last"
        return ""

    def headers(self, settings: Settings) -> list[Header]:
        """Headers to send it back with: its own, and which dead letter it was.

        A record of a keyed topic keeps its origin, so that its outputs have the ids they
        would have had; a raw one has its place as origin, and gets a new one.
        """
        ours = {*header.ERROR, header.REPLAYED_FROM}
        if self.source[0] in {settings.name_of(t) for t in INPUTS}:
            ours.add(header.ORIGIN)
        record = self.record
        place = header.origin_of(record.topic, record.partition, record.offset)
        return [(n, v) for n, v in record.headers if n not in ours] + [(header.REPLAYED_FROM, place)]

    def summary(self) -> dict[str, Any]:
        """What `list` says of it."""
        return {
            "place": self.place,
            "time": rfc3339(self.record.timestamp_ms),
            "reason": self.reason,
            "stage": self.stage,
            "source": "/".join(map(str, self.source)),
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; empty means all."""

    reasons: Sequence[str] = ()
    stages: Sequence[str] = ()
    topics: Sequence[str] = ()
    since_ms: int | None = None
    places: Sequence[str] = ()

    def holds(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.stages or letter.stage in self.stages)
            and (not self.topics or letter.source[0] in self.topics)
            and (self.since_ms is None or letter.record.timestamp_ms >= self.since_ms)
            and (not self.places or letter.place in self.places)
        )


def parse_place(text: str) -> tuple[int, int]:
    """Partition and offset of `partition/offset`.

    Raises
    ------
    ConfigError
        When it is none.
    """
    partition, _, offset = text.partition("/")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise ConfigError(
            "PLACE", text, "partition/offset in the dead-letter topic, as `dwcp dead-letters list` prints"
        )
    return int(partition), int(offset)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1
