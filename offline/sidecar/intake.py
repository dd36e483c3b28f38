"""From records of topics to what is kept of them: decoded, each once, the bad ones counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from offline.dataset.parquet import origin_in
from offline.sidecar.recent import Recent
from schemas.codec import codec_of
from schemas.header import CE_ID
from schemas.topic import Topic
from streams.recording.format import Recorded


class Taken(NamedTuple):
    """Records of one topic with the raw records they derive from, `n` of each."""

    records: Sequence[Any]
    origins: Sequence[str]


class Intake:
    """Reads records of some topics.

    Parameters
    ----------
    topics
        By name on the broker.
    recent
        As `capture` gave it.
    """

    def __init__(self, topics: Mapping[str, Topic], recent: Mapping[str, bytes]) -> None:
        self._topics = topics
        self._recent = {name: Recent(recent.get(name, b"")) for name in topics}
        self.rejected: Counter[str] = Counter()
        self.repeated = 0

    def take(self, records: Iterable[Recorded]) -> dict[Topic, Taken]:
        """What is new among the records, by topic, in their order; what does not decode is counted by reason."""
        by_topic: dict[str, list[Recorded]] = defaultdict(list)
        for record in records:
            if self._recent[record.topic].is_new(_identity(record)):
                by_topic[record.topic].append(record)
            else:
                self.repeated += 1
        return {self._topics[name]: self._decode(self._topics[name], found) for name, found in by_topic.items()}

    def capture(self) -> dict[str, bytes]:
        """What a restart needs."""
        return {name: recent.capture() for name, recent in self._recent.items()}

    def _decode(self, topic: Topic, records: Sequence[Recorded]) -> Taken:
        assert topic.record is not None
        decoded, rejected = codec_of(topic.record).decode([record.value for record in records])
        self.rejected.update(one.error.reason for one in rejected)
        bad = {one.row for one in rejected}
        return Taken(decoded, [origin_in(record) for row, record in enumerate(records) if row not in bad])


def _identity(record: Recorded) -> bytes:
    """What a record and its repeat have in common; a record that says nothing is itself alone."""
    for name, value in record.headers:
        if name == CE_ID and value:
            return value
    return b"%s/%d/%d" % (record.topic.encode(), record.partition, record.offset)
