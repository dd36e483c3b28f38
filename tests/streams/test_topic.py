"""Topics on a real Kafka: what differs, making it so, and what is refused."""

from __future__ import annotations

import json
import time
import uuid

import pytest
from click.testing import CliRunner
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from schemas.error import ConfigError, InfraError
from schemas.topic import DEAD_LETTER, FOREVER, MODEL_ANNOUNCEMENT, NETWORK_RAW, TOPICS, Topic
from streams.command import config, topics
from streams.demo.process import free_port
from streams.settings import Settings, variable_of
from streams.topic import admin, apply, config_of, diff, partition_counts
from tests.kafka import Kafka


@pytest.fixture
def environment(kafka: Kafka) -> dict[str, str]:
    """A broker, and topic names that no other test uses."""
    prefix = uuid.uuid4().hex[:8]
    return {"BROKER_URL": kafka.address} | {variable_of(t): f"{prefix}.{t.kind}" for t in TOPICS}


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.from_environment(environment)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [v.name for v in Settings.from_environment({}).table()]:
        monkeypatch.delenv(name, raising=False)


def create(settings: Settings, name: str, partitions: int) -> None:
    """Create a topic and wait until the broker lists it."""
    client = admin(settings)
    client.create_topics([NewTopic(name, partitions, 1)])[name].result(10)
    deadline = time.monotonic() + 5
    while name not in partition_counts(client, settings) and time.monotonic() < deadline:
        time.sleep(0.05)


def settled(settings: Settings) -> list[str]:
    """Differences once the broker has told everybody."""
    deadline = time.monotonic() + 5
    while (found := diff(admin(settings), settings)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [str(d) for d in found]


@pytest.mark.parametrize(
    ("topic", "policy", "retention_ms"),
    [
        (NETWORK_RAW, "delete", 30 * 86_400_000),
        (DEAD_LETTER, "delete", 90 * 86_400_000),
        (MODEL_ANNOUNCEMENT, "compact", FOREVER),
    ],
    ids=lambda v: v.kind if isinstance(v, Topic) else "",
)
def test_what_the_broker_keeps(topic: Topic, policy: str, retention_ms: int) -> None:
    config = config_of(topic, Settings.from_environment({}))
    assert (config["cleanup.policy"], config["retention.ms"]) == (policy, str(retention_ms))


@pytest.mark.kafka
def test_apply_creates_everything_once(settings: Settings) -> None:
    client = admin(settings)
    assert [d.action for d in apply(client, settings)] == ["create"] * len(TOPICS)
    assert settled(settings) == []
    assert apply(client, settings) == []


@pytest.mark.kafka
def test_apply_mends_settings_and_reports_conflicts(settings: Settings) -> None:
    client = admin(settings)
    name, dead = settings.name_of(NETWORK_RAW), settings.name_of(DEAD_LETTER)
    create(settings, name, 3)
    apply(client, settings)
    resource = ConfigResource(ResourceType.TOPIC, dead)
    resource.add_incremental_config(
        ConfigEntry("max.message.bytes", "1000", incremental_operation=AlterConfigOpType.SET)
    )
    for future in client.incremental_alter_configs([resource]).values():
        future.result(10)
    deadline = time.monotonic() + 20  # a broker takes a moment to know what it was told
    while not any(d.topic == dead for d in diff(client, settings)) and time.monotonic() < deadline:
        time.sleep(0.1)
    actions = {(d.topic, d.action, d.setting) for d in apply(client, settings)}
    assert (dead, "set", "max.message.bytes") in actions
    assert (name, "conflict", "partitions") in actions
    while any(d.topic == dead for d in diff(client, settings)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [(d.topic, d.action) for d in diff(client, settings)] == [(name, "conflict")]


@pytest.mark.kafka
def test_commands(environment: dict[str, str]) -> None:
    runner = CliRunner(env=environment)
    before = runner.invoke(topics, ["diff", "--json"])
    assert before.exit_code == 1
    assert len(json.loads(before.stdout)) == len(TOPICS)
    assert runner.invoke(topics, ["apply"]).stdout.count("create ") == len(TOPICS)
    assert settled(Settings.from_environment(environment)) == []
    assert runner.invoke(topics, ["diff"]).exit_code == 0
    assert runner.invoke(topics, ["apply"]).stdout == "nothing to do\n"


@pytest.mark.kafka
def test_apply_command_refuses_to_repartition(environment: dict[str, str]) -> None:
    name = environment[variable_of(NETWORK_RAW)]
    create(Settings.from_environment(environment), name, 3)
    result = CliRunner(env=environment).invoke(topics, ["apply"])
    assert isinstance(result.exception, ConfigError)
    assert name in str(result.exception)


def test_no_broker_says_where_and_what_to_do() -> None:
    settings = Settings.from_environment({"BROKER_URL": f"127.0.0.1:{free_port()}"})
    with pytest.raises(InfraError, match=f"{settings.bootstrap}.*BROKER_URL"):
        partition_counts(admin(settings), settings, 1.0)


def test_list_and_config_ask_no_broker() -> None:
    runner = CliRunner(env={"DWCP_TOPIC_NETWORK_RAW": "net"})
    rows = json.loads(runner.invoke(topics, ["list", "--json"]).stdout)
    assert len(rows) == len(TOPICS)
    assert {"net", DEAD_LETTER.name} <= {row["topic"] for row in rows}
    assert [row["topic"] for row in rows if row["compacted"]] == [MODEL_ANNOUNCEMENT.name]
    shown_as_text = {line.split()[0]: line for line in runner.invoke(topics, ["list"]).stdout.splitlines()}
    assert "30 d" in shown_as_text["net"]
    assert " latest " in shown_as_text[MODEL_ANNOUNCEMENT.name]
    shown = {row["name"]: row for row in json.loads(runner.invoke(config, ["--json"]).stdout)}
    assert shown["DWCP_TOPIC_NETWORK_RAW"]["value"] == "net"
    assert "DWCP_WEB_PORT" in runner.invoke(config).stdout
