"""Announcing, so that two who do so at the same moment cannot overwrite each other.

Who announces has read the registry, decided by it, and writes. In between, somebody else may have
written. So every announcement is a transaction of the same `transactional.id`, the announcement
topic's name: who begins fences whoever began before, and what that one wrote is aborted. After it
has begun, an announcer reads the registry once more, and writes only if that still says what it
said when it was decided. What belongs together is one transaction: readers see it whole or not at all.

The embedded broker fences nobody, and what it writes at the end of a transaction has a wrong checksum: on it
the second look alone protects.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from schemas import header
from schemas.error import ConflictError, InfraError
from schemas.header import Headers
from schemas.key import key_of
from schemas.model import ModelAnnouncement
from schemas.topic import MODEL_ANNOUNCEMENT
from streams.model.registry import Known, read_registry
from streams.model.signature import sign
from streams.model.stage import Catalogue
from streams.recording.log import Log
from streams.security import client_config
from streams.settings import Settings
from streams.sink import KafkaSink
from streams.topic import admin

_ANSWER_S: Final = 15.0
_TRANSACTION_MS: Final = 20_000
"""After which a broker aborts what a dead announcer left open; who comes next does so at once."""

_PATIENCE_S: Final = 60.0
"""How long it is tried while others begin in between."""

_VISIBLE_S: Final = 5.0
_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
"""Pauses are random, and longer with every try, so that one gets through."""

_FENCED: Final = (
    KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.CONCURRENT_TRANSACTIONS, KafkaError.INVALID_TXN_STATE,
)  # fmt: skip

_silent = logging.getLogger(f"{__name__}.client")
_silent.disabled = True  # what the client calls fatal is raised, and tried again


class Message(NamedTuple):
    """A record to write beside announcements."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: Headers


def write_registry(
    settings: Settings, announcements: Sequence[ModelAnnouncement], seen: Mapping[str, int],
    beside: Sequence[Message] = (),
) -> list[ModelAnnouncement]:  # fmt: skip
    """Announce, signed where there is a key, unless a model changed since it was looked at.

    Parameters
    ----------
    settings
        Where the broker is.
    announcements
        In order.
    seen
        Models that were decided about, and the revision that each had then (`Known.revisions`; 0: none).
    beside
        Records of other topics that are written with them or not at all.

    Returns
    -------
    list
        What was sent; it is on the broker.

    Raises
    ------
    ConflictError
        When somebody else announced something of one of these models; nothing was written.
    InfraError
        When the broker does not answer or refuses, or others begin again and again for a minute.
    """
    signed = [sign(announcement, settings.model_key) for announcement in announcements]
    messages = [*beside, *(_message(settings, one) for one in signed)]
    if messages and _is_embedded(settings):
        _check_unchanged(settings, seen)
        _send(settings, messages)
        return signed
    deadline = time.monotonic() + _PATIENCE_S
    pause_s = 2 * _PAUSE_S
    while messages:
        if _written(settings, messages, seen):
            break
        if time.monotonic() > deadline:
            raise InfraError(f"others announce at the same moment, for {_PATIENCE_S:g} s by now: try again")
        time.sleep(random.uniform(_PAUSE_S, pause_s))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return signed


def change_registry(
    settings: Settings, decide: Callable[[Catalogue], Sequence[ModelAnnouncement]], tries: int = 10
) -> list[ModelAnnouncement]:
    """Announce what is decided by the registry as it is; decided anew when somebody else changed it meanwhile.

    For what does not depend on what others do, as a new version does not.

    Raises
    ------
    ConflictError, InfraError
        As `write_registry`, after so many tries.
    """
    for last in range(tries, 0, -1):
        known = read_registry(settings)
        announcements = decide(known.catalogue)
        try:
            return write_registry(settings, announcements, _of(known, announcements))
        except ConflictError:
            if last == 1:
                raise
    raise AssertionError("tries is positive")


def revisions_of(known: Known, *models: str) -> dict[str, int]:
    """The revisions of some models, as `write_registry` takes them."""
    return {name: known.revisions.get(name, 0) for name in models}


def _of(known: Known, announcements: Sequence[ModelAnnouncement]) -> dict[str, int]:
    return revisions_of(known, *(one.model_name for one in announcements))


def _written(settings: Settings, messages: Sequence[Message], seen: Mapping[str, int]) -> bool:
    """Try once; false when somebody else began in between."""
    producer = Producer(
        client_config(settings)
        | {
            "transactional.id": settings.name_of(MODEL_ANNOUNCEMENT), "transaction.timeout.ms": _TRANSACTION_MS,
            "compression.type": "lz4", "message.max.bytes": 64 << 20, "error_cb": lambda _: None, "log_level": 0,
        },
        logger=_silent,
    )  # fmt: skip
    try:
        producer.init_transactions(_ANSWER_S)
        _check_unchanged(settings, seen)
        producer.begin_transaction()
        for one in messages:
            place: dict[str, Any] = {"partition": 0} if one.topic == settings.name_of(MODEL_ANNOUNCEMENT) else {}
            at = one.timestamp_ms
            producer.produce(one.topic, one.value, one.key, timestamp=at, headers=one.headers, **place)
        _commit(producer)
    except KafkaException as exc:
        error = exc.args[0]
        if error.code() not in _FENCED:
            _abort(producer)
            raise InfraError(f"cannot announce at {settings.bootstrap} ({error.str()}): {_hint(error)}") from exc
        # The broker may have committed, and the answer been lost: then it is there.
        return _is_there(settings, messages)
    # A commit is certain before it is visible. Who announces and then promotes is to see the first.
    deadline = time.monotonic() + _VISIBLE_S
    while not _is_there(settings, messages) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    return True


def _is_embedded(settings: Settings) -> bool:
    try:
        return bool(admin(settings).list_topics(timeout=_ANSWER_S).cluster_id.startswith("mock"))
    except KafkaException as exc:
        raise InfraError(f"no broker answers at {settings.bootstrap}: start one, or correct BROKER_URL") from exc


def _send(settings: Settings, messages: Sequence[Message]) -> None:
    """Write without a transaction, in order."""
    sink = KafkaSink(settings.bootstrap)
    for one in messages:
        place = [0] if one.topic == settings.name_of(MODEL_ANNOUNCEMENT) else None
        sink.send(one.topic, [one.key], [one.value], [one.timestamp_ms], [one.headers], place)
    sink.close()


def _commit(producer: Producer) -> None:
    """Commit; what a broker could not do yet is asked again."""
    deadline = time.monotonic() + _ANSWER_S
    while True:
        try:
            producer.commit_transaction(_ANSWER_S)
            return
        except KafkaException as exc:
            if not exc.args[0].retriable() or time.monotonic() > deadline:
                raise


def _abort(producer: Producer) -> None:
    try:
        producer.abort_transaction(_ANSWER_S)
    except KafkaException:  # none was begun, or the broker does it when its time is over
        return


def _check_unchanged(settings: Settings, seen: Mapping[str, int]) -> None:
    known = read_registry(settings)
    for model, revision in seen.items():
        if known.revisions.get(model, 0) == revision:
            continue
        last = max(known.catalogue.versions(model), key=lambda one: one.timestamp)
        raise ConflictError(
            f"{model} was changed meanwhile ({last.announced_by or 'somebody'} made {last.model_version} {last.stage}: "
            f"{last.reason}) and nothing was announced: see `dwcp models list {model}`, and say it again"
        )


def _is_there(settings: Settings, messages: Sequence[Message]) -> bool:
    """Whether readers see the last of these records."""
    last = messages[-1]
    with Log(settings, [last.topic]) as log:
        return any(record.value == last.value for record in log.read())


def _message(settings: Settings, one: ModelAnnouncement) -> Message:
    topic = MODEL_ANNOUNCEMENT.name
    headers = [(header.CE_ID, one.id.encode()), *header.event_headers(topic, "models")]
    key = key_of(one.model_name, one.model_version)
    return Message(settings.name_of(MODEL_ANNOUNCEMENT), key, msgspec.json.encode(one), one.timestamp, headers)


def _hint(error: KafkaError) -> str:
    if error.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return "its user needs Write on the transactional id that is named as the announcement topic"
    return "start a broker, or correct BROKER_URL"
