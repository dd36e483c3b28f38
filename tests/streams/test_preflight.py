"""A worker asks for the topics that it uses, and for no other."""

from __future__ import annotations

import pytest

from schemas.error import InfraError
from schemas.topic import IN_USE, SIDECAR, SYSTEM_ANOMALY, Topic
from streams.embedded import EmbeddedBroker
from streams.preflight import check_broker
from streams.settings import Settings, variable_of


def settings_without(broker: EmbeddedBroker, *topics: Topic) -> Settings:
    """Settings by which these topics are missing on the broker."""
    elsewhere = {variable_of(topic): f"missing.{topic.kind}" for topic in topics}
    return Settings.from_environment({"BROKER_URL": broker.address} | elsewhere)


def test_what_only_the_sidecar_writes_may_be_missing() -> None:
    with EmbeddedBroker() as broker:
        check_broker(settings_without(broker, *SIDECAR))


def test_what_is_in_use_may_not() -> None:
    with EmbeddedBroker() as broker:
        message = f"1 of {len(IN_USE)} topics are missing .*missing.system.anomaly.*dwcp topics apply"
        with pytest.raises(InfraError, match=message):
            check_broker(settings_without(broker, SYSTEM_ANOMALY, SIDECAR[0]))
