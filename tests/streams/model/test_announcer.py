"""Announcing: nothing is lost or half done, whoever else announces at the same moment, or dies while he does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from click.testing import CliRunner
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import NewTopic
from msgspec.structs import replace

import streams.transport  # noqa: F401  # reads records as workers do
from offline.model.command import models
from online_models.served import Served
from schemas.error import ConflictError
from schemas.model import ModelAnnouncement
from schemas.topic import MODEL_ANNOUNCEMENT
from streams.embedded import EmbeddedBroker
from streams.model.announcer import change_registry, revisions_of, write_registry
from streams.model.registry import read_registry
from streams.model.stage import Catalogue, promote
from streams.settings import Settings, variable_of
from streams.topic import admin
from tests.kafka import Kafka
from tests.online_models.test_served import control
from tests.streams.model.test_stage import NAME, by, candidate, stages

ROOT = Path(__file__).parent.parent.parent.parent
RACERS = 5
TIMES = 3


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "embedded":
        with EmbeddedBroker() as broker:
            yield {"BROKER_URL": broker.address}
        return
    yield fresh(request.getfixturevalue("kafka"))


def fresh(kafka: Kafka) -> dict[str, str]:
    """A registry of its own on a running cluster."""
    found = {"BROKER_URL": kafka.address, variable_of(MODEL_ANNOUNCEMENT): f"t{uuid.uuid4().hex[:8]}.announcement"}
    settings = Settings.from_environment(found)
    new = NewTopic(settings.name_of(MODEL_ANNOUNCEMENT), 1, 1, config={"cleanup.policy": "compact"})
    client = admin(settings)
    for made in client.create_topics([new]).values():
        made.result(30)
    return found


def announced(settings: Settings, *versions: str) -> None:
    change_registry(settings, lambda known: [candidate(version) for version in versions])


def crowned(catalogue: Catalogue, version: str, at_ms: int) -> list[ModelAnnouncement]:
    return promote(catalogue, NAME, version, "champion", by(at_ms), force=True)


def test_who_is_slower_is_told_and_writes_nothing(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment)
    announced(settings, "1", "2")
    slow = read_registry(settings)
    quick = read_registry(settings)
    write_registry(settings, crowned(quick.catalogue, "1", 200), revisions_of(quick, NAME))
    with pytest.raises(ConflictError, match=r"me made 1 champion.*nothing was announced") as caught:
        write_registry(settings, crowned(slow.catalogue, "2", 201), revisions_of(slow, NAME))
    assert caught.value.exit_code == 75
    assert stages(read_registry(settings).catalogue) == {"1": "champion", "2": "candidate"}


def test_another_model_is_no_conflict(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment)
    known = read_registry(settings)
    announced(settings, "1")
    other = replace(candidate("1"), model_name="other")
    write_registry(settings, [other], revisions_of(known, "other"))
    assert read_registry(settings).catalogue.names == ["other", NAME]


def test_what_depends_on_nobody_is_decided_anew(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment)
    decided = []

    def decide(catalogue: Catalogue) -> list[ModelAnnouncement]:
        if not decided:
            announced(settings, "1")
        decided.append(len(catalogue))
        return [candidate("2")]

    change_registry(settings, decide)
    assert decided == [0, 1]
    assert stages(read_registry(settings).catalogue) == {"1": "candidate", "2": "candidate"}


def test_commands_say_who_was_quicker(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment(environment)
    announced(settings, "1")

    def late(*args: Any, **kwargs: Any) -> list[ModelAnnouncement]:
        write_registry(settings, crowned(read_registry(settings).catalogue, "1", 300), {})
        return promote(*args, **kwargs)

    monkeypatch.setattr("streams.model.stage.promote", late)  # after the command has read the registry
    result = CliRunner().invoke(models, ["promote", NAME, "1"])
    assert isinstance(result.exception, ConflictError)


@pytest.mark.kafka
def test_one_who_dies_half_way_announced_nothing_and_holds_nobody_up(kafka: Kafka) -> None:
    environment = fresh(kafka)
    settings = Settings.from_environment(environment)
    announced(settings, "1", "2")
    name = settings.name_of(MODEL_ANNOUNCEMENT)
    dead = Producer(
        {"bootstrap.servers": settings.bootstrap, "transactional.id": name, "transaction.timeout.ms": 60_000,
         "log_level": 0, "error_cb": lambda _: None}
    )  # fmt: skip
    dead.init_transactions(15)
    dead.begin_transaction()
    half = crowned(read_registry(settings).catalogue, "1", 200)[0]
    dead.produce(name, msgspec.json.encode(half), b"selector:1", partition=0)
    dead.flush(10)
    began = time.monotonic()
    known = read_registry(settings)
    assert stages(known.catalogue) == {"1": "candidate", "2": "candidate"}
    write_registry(settings, crowned(known.catalogue, "2", 300), revisions_of(known, NAME))
    assert time.monotonic() - began < 15
    with pytest.raises(KafkaException):
        dead.commit_transaction(10)
    assert stages(read_registry(settings).catalogue) == {"1": "candidate", "2": "champion"}
    assert [one.model_version for one in asyncio.run(_read(settings, 3))] == ["1", "2", "2"]


@pytest.mark.kafka
def test_of_many_who_announce_at_once_nobody_is_lost_and_all_workers_agree(kafka: Kafka, tmp_path: Path) -> None:
    environment = fresh(kafka)
    settings = Settings.from_environment(environment)
    command = [sys.executable, "-m", "tests.streams.model.racer"]
    racers = {
        who: subprocess.Popen(
            [*command, who, str(TIMES), str(tmp_path)], env={**os.environ, **environment}, cwd=ROOT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for who in map("r{}".format, range(RACERS))
    }  # fmt: skip
    wanted = RACERS * TIMES
    live: list[ModelAnnouncement] = []
    reader = Thread(target=lambda: live.extend(asyncio.run(_read(settings, 3 * wanted - 1 + wanted - 2))))
    try:
        while len(list(tmp_path.iterdir())) < RACERS:
            assert all(one.poll() is None for one in racers.values()), [one.communicate() for one in racers.values()]
            time.sleep(0.05)
        reader.start()
        (tmp_path / "go").touch()
        ended = {who: one.communicate(timeout=240) for who, one in racers.items()}
    finally:
        for one in racers.values():
            one.kill()
    assert {one.returncode for one in racers.values()} == {0}, ended
    reader.join(60)
    known = read_registry(settings)
    # Whoever was told that it was done finds it there: every version once as candidate and once as champion,
    assert known.ignored == []
    said = asyncio.run(_read(settings, len(live)))
    assert said == live
    everyone = {f"r{i}-{k}" for i in range(RACERS) for k in range(TIMES)}
    for stage in ("candidate", "champion"):
        assert sorted(one.model_version for one in said if one.stage == stage) == sorted(everyone)
    # each decided by what was in force, and whole: who was champion steps down before the next one comes.
    catalogue = Catalogue()
    champions: list[str] = []
    for one in said:
        before = catalogue.get(NAME, one.model_version)
        assert one.previous_stage == (before.stage if before else None) or one.stage == "previous"
        assert catalogue.take(one)
        if one.stage == "champion":
            champions.append(one.model_version)
        if one.stage == "previous":
            assert one.model_version == champions[-2]
    # Who was interrupted was told so, and every worker has the same table.
    assert sum(int(out) for out, _ in ended.values()) > 0
    tables = [_table(live), _table(said)]
    assert tables[0] == tables[1]
    assert tables[0]["champion"] == champions[-1]
    final = stages(known.catalogue)
    assert sorted(final.values()) == sorted(["champion", "previous", *["retired"] * (wanted - 2)])


def _table(said: list[ModelAnnouncement]) -> dict[str, str]:
    """What a worker serves after these announcements."""
    served = Served(NAME)
    served.use(_Everything())
    for one in said:
        served.control(control(one))
    return {role: served.version(role) for role in ("champion", "challenger", "shadow")}


class _Everything:
    def get(self, sha256: str, /) -> None:
        return None

    def admits(self, announcement: ModelAnnouncement, /) -> bool:
        return True


async def _read(settings: Settings, n: int) -> list[ModelAnnouncement]:
    """The first announcements as a worker's client reads them, while they come."""
    consumer = AIOKafkaConsumer(
        settings.name_of(MODEL_ANNOUNCEMENT), bootstrap_servers=settings.bootstrap, auto_offset_reset="earliest",
        isolation_level="read_committed", enable_auto_commit=False,
    )  # fmt: skip
    found: list[ModelAnnouncement] = []
    await consumer.start()
    try:
        deadline = time.monotonic() + 240
        while len(found) < n and time.monotonic() < deadline:
            for rows in (await consumer.getmany(timeout_ms=200)).values():
                found += [msgspec.json.decode(row.value, type=ModelAnnouncement) for row in rows]
    finally:
        await consumer.stop()
    return found
