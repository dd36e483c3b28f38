"""The registry: the announcement topic, read to its end; `streams.model.announcer` writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.codec import codec_of
from schemas.error import ModelRejected
from schemas.model import ModelAnnouncement, ModelRejection
from schemas.topic import MODEL_ANNOUNCEMENT, MODEL_REJECTION
from streams.model.signature import check_signature
from streams.model.stage import Catalogue
from streams.recording.format import Recorded
from streams.recording.log import Log
from streams.settings import Settings


class Ignored(NamedTuple):
    """An announcement that is not believed, and why."""

    offset: int
    reason: str


class Known(NamedTuple):
    """What the topic says, what of it is not believed, and how far each model has come.

    A model's revision is the offset after the last announcement of any of its versions.
    """

    catalogue: Catalogue
    ignored: list[Ignored]
    revisions: Mapping[str, int]


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
    catalogue, ignored, revisions = Catalogue(), [], dict[str, int]()
    codec = codec_of(ModelAnnouncement)
    for record in records:
        found, rejected = codec.decode([record.value])
        ignored += [Ignored(record.offset, str(error)) for _, error in rejected]
        for announcement in found:
            try:
                check_signature(announcement, key)
                catalogue.take(announcement)
                revisions[announcement.model_name] = record.offset + 1
            except ModelRejected as exc:
                ignored.append(Ignored(record.offset, str(exc)))
    return Known(catalogue, ignored, revisions)


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
