"""The registry: the announcement topic, read to its end and written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from schemas import header
from schemas.codec import codec_of
from schemas.error import ModelRejected
from schemas.key import key_of
from schemas.model import ModelAnnouncement, ModelRejection
from schemas.topic import MODEL_ANNOUNCEMENT, MODEL_REJECTION
from streams.model.signature import check_signature, sign
from streams.model.stage import Catalogue
from streams.recording.format import Recorded
from streams.recording.log import Log
from streams.settings import Settings
from streams.sink import KafkaSink


class Ignored(NamedTuple):
    """An announcement that is not believed, and why."""

    offset: int
    reason: str


class Known(NamedTuple):
    """What the topic says, and what of it is not believed."""

    catalogue: Catalogue
    ignored: list[Ignored]


def read_registry(settings: Settings) -> Known:
    """Every announcement up to the topic's present end.

    Raises
    ------
    ConfigError
        When the topic does not exist.
    InfraError
        When the broker does not answer.
    """
    with Log(settings, [settings.name_of(MODEL_ANNOUNCEMENT)]) as log:
        return fold(log.read(), settings.model_key)


def fold(records: Iterable[Recorded], key: str) -> Known:
    """Records of the topic as a catalogue.

    Parameters
    ----------
    records
        In the topic's order; values are JSON or Avro.
    key
        What announcements are signed with; empty: signatures are not looked at.
    """
    catalogue, ignored = Catalogue(), []
    codec = codec_of(ModelAnnouncement)
    for record in records:
        found, rejected = codec.decode([record.value])
        ignored += [Ignored(record.offset, str(error)) for _, error in rejected]
        for announcement in found:
            try:
                check_signature(announcement, key)
                catalogue.take(announcement)
            except ModelRejected as exc:
                ignored.append(Ignored(record.offset, str(exc)))
    return Known(catalogue, ignored)


def write_registry(settings: Settings, announcements: Sequence[ModelAnnouncement]) -> list[ModelAnnouncement]:
    """Announce, in order, signed where there is a key; returns what was sent when it is on the broker.

    Raises
    ------
    InfraError
        When it cannot be delivered.
    """
    signed = [sign(announcement, settings.model_key) for announcement in announcements]
    sink = KafkaSink(settings.bootstrap)
    sink.send(
        settings.name_of(MODEL_ANNOUNCEMENT),
        [key_of(one.model_name, one.model_version) for one in signed],
        [msgspec.json.encode(one) for one in signed],
        [one.timestamp for one in signed],
        [_headers(one) for one in signed],
        [0] * len(signed),
    )
    sink.close()
    return signed


def read_rejections(settings: Settings, name: str, version: str) -> list[ModelRejection]:
    """What workers said against a version, oldest first.

    Raises
    ------
    ConfigError, InfraError
        As `read_registry`.
    """
    with Log(settings, [settings.name_of(MODEL_REJECTION)]) as log:
        found, _ = codec_of(ModelRejection).decode([record.value for record in log.read()])
    return [one for one in found if (one.model_name, one.model_version) == (name, version)]


def _headers(announcement: ModelAnnouncement) -> list[tuple[str, bytes | None]]:
    return [
        (header.CONTENT_TYPE, header.JSON),
        (header.CE_SPECVERSION, b"1.0"),
        (header.CE_ID, announcement.id.encode()),
        (header.CE_SOURCE, b"/dwcp-streams/models"),
        (header.CE_TYPE, MODEL_ANNOUNCEMENT.name.encode()),
    ]
