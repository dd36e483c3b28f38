"""`dwcp dead-letters`: what is said of letters, and sending them back once, on the embedded broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from schemas import header
from schemas.error import ConfigError, InfraError, ValidationError
from schemas.topic import DEAD_LETTER, NETWORK_KEYED, NETWORK_RAW, REPLAYED, SYSTEM_RAW
from streams.dead_letter.command import dead_letters
from streams.dead_letter.letter import Letter
from streams.dead_letter.note import key_of, write_notes
from streams.embedded import EmbeddedBroker
from streams.envelope import reject_headers
from streams.partition import murmur2_partition
from streams.recording.format import Recorded
from streams.recording.log import Log
from streams.settings import Settings
from streams.sink import KafkaSink

KEYS = [b"n%d:hub" % i for i in range(5)]


def letter(
    i: int, source: str = NETWORK_RAW.name, reason: str = "range", stage: str = "network-ingest",
    value: bytes | None = b"{", headers: tuple[tuple[str, bytes | None], ...] = (("h", b"\xff"), ("n", None)),
) -> tuple[bytes | None, bytes | None, list[Any]]:  # fmt: skip
    """Key, value and headers of a dead letter, made as the runner makes them."""
    record = Recorded(source, i % 8, i, 0, KEYS[i % 5], value, headers)
    error = ValidationError(reason, f"number {i}")
    return record.key, value, reject_headers(record, b"dwcp.network.raw.v1/7/%d" % i, error, stage, source, i % 8)


def put(address: str, letters: list[tuple[bytes | None, bytes | None, list[Any]]]) -> None:
    sink = KafkaSink(address)
    keys, values, headers = zip(*letters, strict=True)
    sink.send(DEAD_LETTER.name, keys, values, [0] * len(letters), headers)
    sink.close()


LETTERS = [
    *(letter(i) for i in range(30)),
    *(letter(i, SYSTEM_RAW.name, "malformed", "system-ingest", b"\xff\xfe") for i in range(30, 40)),
    *(letter(i, NETWORK_KEYED.name, "step_failed", "network") for i in range(40, 60)),
]


@pytest.fixture(scope="module")
def filled() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as embedded:
        put(embedded.address, LETTERS)
        yield embedded


@pytest.fixture
def letters(filled: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The letters, for tests that only look at them."""
    monkeypatch.setenv("BROKER_URL", filled.address)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedBroker]:
    """The letters, on a broker of the test's own."""
    with EmbeddedBroker() as embedded:
        put(embedded.address, LETTERS)
        monkeypatch.setenv("BROKER_URL", embedded.address)
        yield embedded


def run(*args: str, code: int = 0) -> Any:
    result = CliRunner().invoke(dead_letters, [*args, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def held(*topics: str) -> list[Recorded]:
    with Log(Settings.from_environment(), topics) as log:
        return list(log.read())


def test_letters_are_counted_by_reason_stage_and_topic(letters: None) -> None:
    found = run("list", "--limit", "3")
    groups = {(g["reason"], g["stage"], g["topic"]): g["count"] for g in found["groups"]}
    assert groups == {
        ("range", "network-ingest", NETWORK_RAW.name): 30,
        ("malformed", "system-ingest", SYSTEM_RAW.name): 10,
        ("step_failed", "network", NETWORK_KEYED.name): 20,
    }
    assert (found["count"], found["replayed"], len(found["newest"])) == (60, 0, 3)


@pytest.mark.parametrize(
    ("args", "count"),
    [
        (("--reason", "range"), 30),
        (("--reason", "range", "--reason", "malformed"), 40),
        (("--stage", "network"), 20),
        (("--topic", "system.raw"), 10),
        (("--topic", SYSTEM_RAW.name), 10),
        (("--since", "1h"), 60),
        (("--since", "2100-01-01T00:00:00Z"), 0),
        (("--reason", "range", "--topic", "system.raw"), 0),
    ],
)
def test_filters_choose(letters: None, args: tuple[str, ...], count: int) -> None:
    assert run("list", *args)["count"] == count
    assert run("replay", "--dry-run", *args)["replayed"] == count
    assert held(NETWORK_RAW.name, SYSTEM_RAW.name, NETWORK_KEYED.name, REPLAYED.name) == []


def test_one_is_shown_with_its_bytes(letters: None) -> None:
    (newest,) = run("list", "--reason", "malformed", "--limit", "1")["newest"]
    found = run("show", newest["place"])
    assert found["source"] == newest["source"]
    assert found["value"] == {"hex": "ff fe"}
    assert found["headers"]["h"] == {"hex": "ff"}
    assert found["headers"]["n"] is None
    assert found["key"] in [key.decode() for key in KEYS]
    assert not found["replayed"]


@pytest.mark.parametrize("place", ["0/99999", "99/0", "3", "a/b"])
def test_a_place_that_is_none_is_said(letters: None, place: str) -> None:
    with pytest.raises(ConfigError, match="dwcp dead-letters list"):
        run("show", place)


def test_replaying_sends_the_bytes_back_and_only_once(broker: EmbeddedBroker) -> None:
    done = run("replay")
    assert (done["replayed"], done["before"], done["left"]) == (60, 0, [])
    again = run("replay")
    assert (again["replayed"], again["before"]) == (0, 60)
    assert run("list")["replayed"] == 60
    got = held(NETWORK_RAW.name, SYSTEM_RAW.name, NETWORK_KEYED.name)
    assert len(got) == 60
    places = {f"{r.partition}/{r.offset}": r for r in held(DEAD_LETTER.name)}
    for record in got:
        headers = dict(record.headers)
        dead = places[(headers[header.REPLAYED_FROM] or b"").decode().removeprefix(f"{DEAD_LETTER.name}/")]
        assert (record.key, record.value) == (dead.key, dead.value)
        keyed = record.topic == NETWORK_KEYED.name
        own = [("h", b"\xff"), ("n", None), *([(header.ORIGIN, dict(dead.headers)[header.ORIGIN])] if keyed else [])]
        assert list(record.headers[:-1]) == own
        if keyed:
            assert record.partition == murmur2_partition(record.key or b"", 8)
    raw = [r for r in got if r.topic == NETWORK_RAW.name]
    assert len({(r.key, r.partition) for r in raw}) == len({r.key for r in raw}), "a key's records are together"


def test_replays_of_some_leave_the_others(broker: EmbeddedBroker) -> None:
    assert run("replay", "--reason", "malformed")["replayed"] == 10
    assert run("replay", "--limit", "20")["replayed"] == 20
    (newest,) = run("list", "--stage", "network", "--limit", "1")["newest"]
    assert run("replay", "--place", newest["place"])["replayed"] + run("show", newest["place"])["replayed"] in (1, 2)
    rest = run("replay")
    assert rest["replayed"] + rest["before"] == 60
    assert len(held(NETWORK_RAW.name, SYSTEM_RAW.name, NETWORK_KEYED.name)) == 60


def test_again_sends_again(broker: EmbeddedBroker) -> None:
    run("replay", "--reason", "malformed")
    assert run("replay", "--reason", "malformed", "--again")["replayed"] == 10
    assert len(held(SYSTEM_RAW.name)) == 20


def test_what_a_crash_left_between_delivery_and_note_is_sent_again(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is real: notes fail after the letters were delivered."""

    def fail(*_: object) -> None:
        raise InfraError("the broker went away")

    monkeypatch.setattr("streams.dead_letter.replay.write_notes", fail)
    with pytest.raises(InfraError, match=r"0 dead letters were replayed.*up to 10 more .*again"):
        run("replay", "--reason", "malformed")
    monkeypatch.setattr("streams.dead_letter.replay.write_notes", write_notes)
    assert run("replay", "--reason", "malformed")["replayed"] == 10
    got = held(SYSTEM_RAW.name)
    origins = [dict(r.headers)[header.REPLAYED_FROM] for r in got]
    assert (len(origins), len(set(origins))) == (20, 10), "repeats say which dead letter they are"


def test_what_was_too_large_to_keep_is_left_and_said(broker: EmbeddedBroker) -> None:
    put(broker.address, [letter(77, value=None, reason="malformed", headers=())])
    put(broker.address, [letter(78, value=None, reason="empty", headers=())])
    put(broker.address, [letter(79, source="elsewhere", reason="malformed")])
    done = run("replay")
    assert done["replayed"] == 61, "an empty value is all there was"
    place = f"{NETWORK_RAW.name}/5/77"
    assert {row["source"]: row["obstacle"] for row in done["left"]} == {
        place: f"it was too large to keep: its bytes are at {place}, while they last",
        "elsewhere/7/79": "elsewhere is not a topic of this deployment: set DWCP_TOPIC_* as they were",
    }


def test_a_topic_made_anew_does_not_inherit_its_notes() -> None:
    old = Letter.of(Recorded(DEAD_LETTER.name, 3, 17, 1_000, None, b""))
    new = Letter.of(Recorded(DEAD_LETTER.name, 3, 17, 2_000, None, b""))
    assert key_of(old) != key_of(new)


def test_a_replayed_letter_that_fails_again_says_which_it_was_then() -> None:
    first = Letter.of(Recorded(DEAD_LETTER.name, 1, 2, 0, None, b"{", tuple(letter(1)[2])))
    sent = first.headers(Settings.from_environment({}))
    record = Recorded(NETWORK_RAW.name, 0, 9, 0, None, b"{", tuple(sent))
    rejected = reject_headers(record, b"o", ValidationError("range", ""), "network-ingest", NETWORK_RAW.name, 0)
    second = Letter.of(Recorded(DEAD_LETTER.name, 4, 5, 0, None, b"{", tuple(rejected)))
    again = second.headers(Settings.from_environment({}))
    assert [v for n, v in again if n == header.REPLAYED_FROM] == [b"%s/4/5" % DEAD_LETTER.name.encode()]


def test_words_for_people(letters: None) -> None:
    text = CliRunner().invoke(dead_letters, ["list", "--limit", "2"]).stdout
    assert text.startswith("60 dead letters, 0 of them replayed\n")
    place = text.splitlines()[-1].split()[0]
    shown = CliRunner().invoke(dead_letters, ["show", place]).stdout
    assert "header       dwcp-origin: dwcp.network.raw.v1/7/" in shown
    assert "60 dead letters would be replayed" in CliRunner().invoke(dead_letters, ["replay", "--dry-run"]).stdout
