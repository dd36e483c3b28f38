"""`dwcp replay` onto a broker: everything as it was, where it was, or a clear word why not."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.error import ConfigError, InfraError
from schemas.topic import MODEL_ANNOUNCEMENT, NETWORK_KEYED, NETWORK_RAW
from streams.embedded import PRODUCE, EmbeddedBroker
from streams.partition import murmur2_partition
from streams.recording.command import replay
from streams.recording.file import RecordingFile
from streams.recording.format import Recorded
from streams.recording.log import Log
from streams.settings import Settings

START = 1_700_000_000_000
HEADERS = (("dwcp-origin", b"dwcp.network.raw.v1/1/7"), ("h", b"\xff"), ("n", None))
RECORDS = [
    Recorded(
        (NETWORK_RAW, NETWORK_KEYED)[i % 2].name, i // 2 % 8, i // 16, START + i, None if i % 11 == 0 else b"k%d" % i,
        None if i % 13 == 0 else b"%d" % i, HEADERS if i % 3 else (),
    )
    for i in range(400)
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with RecordingFile(tmp_path / "a.jsonl") as file:
        file.write(RECORDS)
    return tmp_path / "a.jsonl"


def run(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(replay, list(map(str, args)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def held(broker: EmbeddedBroker, *topics: str) -> list[Recorded]:
    with Log(Settings.from_environment({"BROKER_URL": broker.address}), topics) as log:
        return list(log.read())


def test_a_replay_is_the_recording(path: Path) -> None:
    with EmbeddedBroker() as broker:
        summary = json.loads(run(path, "--to", broker.address, "--json"))
        assert held(broker, NETWORK_RAW.name, NETWORK_KEYED.name) == RECORDS
    assert (summary["records"], summary["placed_by_key"], summary["interrupted"]) == (400, [], False)


def test_topics_can_be_others_and_the_rest_stays(path: Path) -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic("trial", 8)
        run(path, "--to", f"kafka://{broker.address}", "--topic-map", "network.raw=trial", "--limit", 100)
        assert held(broker, "trial") == [r._replace(topic="trial") for r in RECORDS[:100:2]]
        assert held(broker, NETWORK_KEYED.name) == RECORDS[1:100:2]


def test_where_there_are_fewer_partitions_the_key_decides(path: Path) -> None:
    with EmbeddedBroker(partitions=3) as broker:
        result = CliRunner().invoke(replay, [str(path), "--to", broker.address])
        got = held(broker, NETWORK_RAW.name, NETWORK_KEYED.name)
    assert "placed by key" in result.stderr
    assert Counter((r.key, r.value, r.headers) for r in got) == Counter((r.key, r.value, r.headers) for r in RECORDS)
    assert all(r.partition == murmur2_partition(r.key, 3) for r in got if r.key is not None)


def test_timestamps_can_be_of_now(path: Path) -> None:
    with EmbeddedBroker() as broker:
        result = CliRunner().invoke(replay, [str(path), "--to", broker.address, "--timestamps", "now"])
        assert result.exit_code == 0
        assert min(r.timestamp_ms for r in held(broker, NETWORK_RAW.name)) > START + 10**10
    assert "retention" not in result.stderr


def test_what_a_broker_will_delete_is_said(path: Path) -> None:
    with EmbeddedBroker() as broker:
        result = CliRunner().invoke(replay, [str(path), "--to", broker.address])
    assert "--timestamps now" in result.stderr
    assert "2023-11-14T22:13:20.000Z" in result.stderr


def test_what_a_broker_keeps_for_ever_is_not_said_to_go(tmp_path: Path) -> None:
    with RecordingFile(tmp_path / "m.jsonl") as file:
        file.write([Recorded(MODEL_ANNOUNCEMENT.name, 0, 0, START, b"selector:1", b"{}")])
    with EmbeddedBroker() as broker:
        result = CliRunner().invoke(replay, [str(tmp_path / "m.jsonl"), "--to", broker.address])
        assert [r.timestamp_ms for r in held(broker, MODEL_ANNOUNCEMENT.name)] == [START]
    assert "retention" not in result.stderr


def test_of_a_damaged_recording_nothing_is_sent(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    with EmbeddedBroker() as broker:
        with pytest.raises(ConfigError, match=r"a\.jsonl:400.*--limit 399"):
            run(path, "--to", broker.address)
        assert held(broker, NETWORK_RAW.name, NETWORK_KEYED.name) == []
        run(path, "--to", broker.address, "--limit", 399, "--quiet")
        assert len(held(broker, NETWORK_RAW.name, NETWORK_KEYED.name)) == 399


def test_a_broker_that_refuses_is_said_with_how_many_it_took(path: Path) -> None:
    with EmbeddedBroker() as broker:
        broker.fail(PRODUCE, *[29] * 40)  # topic authorization failed
        with pytest.raises(InfraError, match=r"not delivered.*; \d+ records were sent before that") as caught:
            run(path, "--to", broker.address)
        taken = len(held(broker, NETWORK_RAW.name, NETWORK_KEYED.name))
    assert f"; {taken} records" in str(caught.value)


def test_a_topic_that_is_missing_is_said_before_anything_is_sent(path: Path) -> None:
    with EmbeddedBroker() as broker:
        with pytest.raises(InfraError, match="nowhere does not exist"):
            run(path, "--to", broker.address, "--topic-map", "network.keyed=nowhere")
        assert held(broker, NETWORK_RAW.name) == []


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--to", "no broker"), "--to"),
        (("--to", "127.0.0.1:1", "--speed", "fast"), "--speed"),
        (("--to", "127.0.0.1:1", "--speed", "0"), "--speed"),
        (("--to", "127.0.0.1:1", "--topic-map", "a"), "--topic-map"),
    ],
)
def test_a_wrong_option_is_named(path: Path, args: tuple[str, ...], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        run(path, *args)


def test_a_speed_is_kept_to(path: Path) -> None:
    with EmbeddedBroker() as broker:
        summary = json.loads(run(path, "--to", broker.address, "--speed", "0.4", "--json"))
    assert summary["elapsed_s"] == pytest.approx(0.399 / 0.4, abs=0.3)


def test_lines_are_printed_as_they_stand(path: Path) -> None:
    assert run(path, "--to", "-", "--limit", 2) == "".join(path.read_text().splitlines(keepends=True)[:2])
    run(path, "--to", "-", "--json", code=2)
