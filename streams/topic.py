"""The topic table against a broker: what differs, and making it so."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from schemas.error import InfraError
from schemas.topic import REJECTS, TOPICS, Topic
from streams.publisher import max_record_bytes
from streams.security import client_config
from streams.settings import Settings

_TIMEOUT_S: Final = 10.0


Action = Literal["create", "set", "conflict"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which the broker differs from the table.

    `conflict` is what `apply` cannot mend: it would move keys or lose records.
    """

    topic: str
    action: Action
    setting: str
    found: str
    wanted: str

    def __str__(self) -> str:
        if self.action == "create":
            return f"create {self.topic} with {self.wanted}"
        return f"{self.action} {self.topic}: {self.setting} is {self.found}, should be {self.wanted}"


def admin(settings: Settings) -> AdminClient:
    """An admin client; nothing is sent yet."""
    return AdminClient(client_config(settings) | {"log_level": 0, "socket.timeout.ms": 10_000})


def partition_counts(client: AdminClient, settings: Settings, timeout_s: float = _TIMEOUT_S) -> dict[str, int]:
    """Partitions by topic name, of every topic on the broker.

    Raises
    ------
    InfraError
        When no broker answers, naming the address and what to check.
    """
    try:
        found = client.list_topics(timeout=timeout_s).topics
    except KafkaException as exc:
        raise InfraError(
            f"no Kafka broker answers at {settings.bootstrap} within {timeout_s:g} s "
            f"({exc.args[0].str()}): start one, or set BROKER_URL"
        ) from exc
    return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}


def config_of(topic: Topic, settings: Settings) -> dict[str, str]:
    """Broker-side settings of a topic."""
    config = {"cleanup.policy": "compact" if topic.compacted else "delete", "retention.ms": str(topic.retention_ms)}
    if topic in REJECTS:
        config["max.message.bytes"] = str(max_record_bytes(settings.output_max_bytes))
    return config


def diff(client: AdminClient, settings: Settings) -> list[Difference]:
    """What `apply` would do, and the conflicts that it cannot mend.

    Raises
    ------
    InfraError
        When the broker does not answer.
    """
    counts = partition_counts(client, settings)
    differences = []
    existing = []
    for topic in TOPICS:
        name = settings.name_of(topic)
        found = counts.get(name)
        if found is None:
            wanted = f"{topic.partitions} partitions, " + _words(config_of(topic, settings))
            differences.append(Difference(name, "create", "topic", "missing", wanted))
            continue
        existing.append(topic)
        if found != topic.partitions:
            # More partitions would send a key's records to another partition than its history.
            differences.append(Difference(name, "conflict", "partitions", str(found), str(topic.partitions)))
    return differences + _config_differences(client, settings, existing)


def apply(client: AdminClient, settings: Settings, replication: int = -1) -> list[Difference]:
    """Create missing topics and set what differs; what was done, and the conflicts left.

    Parameters
    ----------
    client, settings
        The broker and the names.
    replication
        Replicas of a new topic; -1 is the broker's default.

    Raises
    ------
    InfraError
        When the broker refuses.
    """
    differences = diff(client, settings)
    by_name = {settings.name_of(topic): topic for topic in TOPICS}
    new = [
        NewTopic(
            d.topic,
            num_partitions=by_name[d.topic].partitions,
            replication_factor=replication,
            config=config_of(by_name[d.topic], settings),
        )
        for d in differences
        if d.action == "create"
    ]
    if new:
        _wait("create", client.create_topics(new, operation_timeout=_TIMEOUT_S))
        _await_leaders(client, [topic.topic for topic in new])
    resources: dict[str, ConfigResource] = {}
    for d in differences:
        if d.action == "set":
            resource = resources.setdefault(d.topic, ConfigResource(ResourceType.TOPIC, d.topic))
            resource.add_incremental_config(
                ConfigEntry(d.setting, d.wanted, incremental_operation=AlterConfigOpType.SET)
            )
    if resources:
        _wait("configure", client.incremental_alter_configs(list(resources.values())))
    return differences


def _config_differences(client: AdminClient, settings: Settings, topics: Iterable[Topic]) -> list[Difference]:
    asked = {ConfigResource(ResourceType.TOPIC, settings.name_of(topic)): topic for topic in topics}
    if not asked:
        return []
    found = client.describe_configs(list(asked), request_timeout=_TIMEOUT_S)
    differences = []
    for resource, topic in asked.items():
        try:
            entries = found[resource].result(timeout=_TIMEOUT_S)
        except KafkaException as exc:
            raise InfraError(f"cannot read the settings of {resource.name}: {exc.args[0].str()}") from exc
        for setting, wanted in config_of(topic, settings).items():
            value = entries[setting].value if setting in entries else "unset"
            if value != wanted:
                differences.append(Difference(resource.name, "set", setting, str(value), wanted))
    return differences


def _await_leaders(client: AdminClient, names: Sequence[str]) -> None:
    """Wait until the brokers know new topics and who leads them: the controller says so before they do."""
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        known = client.list_topics(timeout=_TIMEOUT_S).topics
        found = [known[name] for name in names if name in known and known[name].error is None]
        if len(found) == len(names) and all(p.leader >= 0 for topic in found for p in topic.partitions.values()):
            return
        time.sleep(0.1)


def _wait(verb: str, futures: Mapping[Any, Future[Any]]) -> None:
    for what, future in futures.items():
        try:
            future.result(timeout=2 * _TIMEOUT_S)
        except KafkaException as exc:
            if exc.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue  # somebody else was quicker
            name = getattr(what, "name", what)
            raise InfraError(f"cannot {verb} {name}: {exc.args[0].str()}") from exc


def _words(config: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.items())
