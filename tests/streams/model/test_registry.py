"""The registry on the embedded broker; announcements that are not signed are not believed once there is a key."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from msgspec.structs import replace

from schemas.error import ConfigError, ModelRejected
from schemas.key import key_of
from schemas.model import ModelAnnouncement, ModelRejection
from schemas.topic import MODEL_ANNOUNCEMENT, MODEL_REJECTION
from streams.embedded import EmbeddedBroker
from streams.model.announcer import write_registry
from streams.model.registry import fold, read_registry, read_rejections
from streams.model.signature import check_signature, sign
from streams.recording.format import Recorded
from streams.settings import Settings
from streams.sink import KafkaSink
from tests.streams.model.test_stage import NAME, candidate, crowned

KEY = "a key of sixteen characters or more"


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    with EmbeddedBroker() as broker:
        yield {"BROKER_URL": broker.address}


def records(*announcements: ModelAnnouncement) -> list[Recorded]:
    return [
        Recorded(MODEL_ANNOUNCEMENT.name, 0, k, 0, b"", msgspec.json.encode(one), ())
        for k, one in enumerate(announcements)
    ]


def test_what_is_written_is_read(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment)
    catalogue = crowned("1", "2")
    log = catalogue.versions()
    write_registry(settings, log, {NAME: 0})
    known = read_registry(settings)
    assert known.ignored == []
    assert known.catalogue.versions() == log
    assert known.catalogue.champion(NAME) == catalogue.champion(NAME)


def test_an_empty_registry_has_no_champion(environment: dict[str, str]) -> None:
    known = read_registry(Settings.from_environment(environment))
    assert (len(known.catalogue), known.catalogue.champion(NAME)) == (0, None)


def test_with_a_key_only_signed_announcements_are_believed(environment: dict[str, str]) -> None:
    plain = Settings.from_environment(environment)
    keyed = Settings.from_environment(environment | {"DWCP_MODEL_KEY": KEY})
    write_registry(plain, [candidate("1")], {})
    write_registry(keyed, [candidate("2")], {})
    found = read_registry(keyed)
    assert [one.model_version for one in found.catalogue.versions()] == ["2"]
    assert [one.offset for one in found.ignored] == [0]
    assert "not signed" in found.ignored[0].reason
    assert len(read_registry(plain).catalogue) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stage", "champion"), ("artifact_sha256", "1" * 64), ("timestamp", 101), ("held", True), ("reason", "other"),
        ("metrics", {"accuracy": 0.98}), ("model_version", "2"), ("announced_by", "you"), ("signature", "AAAA"),
        ("signature", "é"),
    ],
)  # fmt: skip
def test_a_signed_announcement_cannot_be_changed(name: str, value: object) -> None:
    signed = sign(candidate("1"), KEY)
    check_signature(signed, KEY)
    with pytest.raises(ModelRejected) as caught:
        check_signature(replace(signed, **{name: value}), KEY)
    assert caught.value.reason == "signature"
    with pytest.raises(ModelRejected):
        check_signature(signed, KEY + "x")


def test_a_signature_survives_the_wire() -> None:
    signed = sign(replace(candidate("1"), metrics={"b": 0.1 + 0.2, "a": 1e-7}), KEY)
    check_signature(msgspec.json.decode(msgspec.json.encode(signed), type=ModelAnnouncement), KEY)


def test_an_old_champion_sent_again_by_somebody_without_the_key_stays_off() -> None:
    first = sign(replace(candidate("1"), stage="champion", timestamp=200), KEY)
    off = sign(replace(candidate("1"), stage="candidate", held=True, timestamp=300), KEY)
    known = fold(records(first, off, first), KEY)
    assert known.catalogue.champion(NAME) is None
    assert "older" in known.ignored[0].reason


def test_rubbish_in_the_topic_is_ignored_and_said() -> None:
    bad = Recorded(MODEL_ANNOUNCEMENT.name, 0, 7, 0, b"", b"{", ())
    known = fold([bad, *records(candidate("1")), bad._replace(value=None)], "")
    assert len(known.catalogue) == 1
    assert [one.offset for one in known.ignored] == [7, 7]


def test_rejections_of_a_version_are_found(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment)
    one = ModelRejection("i", 1, NAME, "1", "0" * 64, "golden", "output 'p' differs", "worker-1")
    sink = KafkaSink(settings.bootstrap)
    for version in ("1", "2"):
        said = replace(one, model_version=version)
        sink.send(MODEL_REJECTION.name, [key_of(NAME, version)], [msgspec.json.encode(said)], [0])
    sink.close()
    assert read_rejections(settings, NAME, "1") == [one]


def test_a_short_key_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({"DWCP_MODEL_KEY": "secret"})
    assert "secret" not in str(caught.value)
    rows = {row.name: row.value for row in Settings.from_environment({"DWCP_MODEL_KEY": KEY}).table()}
    assert rows["DWCP_MODEL_KEY"] == "*****"
