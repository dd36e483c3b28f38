"""Records of side topics become controls of the partitions they concern, or dead letters."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agents import compression, network, side, system
from online_models.forward import MODEL_TOPICS
from schemas.header import CONTROL, CONTROL_BODY
from schemas.topic import (
    DEAD_LETTER,
    MODEL_ANNOUNCEMENT,
    NETWORK_KEYED,
    PARTITIONS,
    SYSTEM_FEEDBACK,
    SYSTEM_KEYED,
    Topic,
)
from streams.recording.format import Recorded
from streams.recording.run import run
from tests.online_models.test_served import ONE, announcement


def send(topic: Topic, *records: Any) -> dict[Topic, list[Recorded]]:
    given = [Recorded(topic.name, 0, k, 5, None, msgspec.json.encode(record), ()) for k, record in enumerate(records)]
    return {topic: list(found) for topic, found in run(side.agents, given).items()}


@pytest.mark.parametrize("name", MODEL_TOPICS)
def test_an_announcement_reaches_every_partition_of_its_models_topic(name: str) -> None:
    said = announcement("v1", ONE, "champion", model_name=name)
    made = send(MODEL_ANNOUNCEMENT, said)[MODEL_TOPICS[name]]
    assert [record.partition for record in made] == list(range(PARTITIONS))
    headers = dict(made[0].headers)
    assert headers[CONTROL] == b"model"
    assert msgspec.json.decode(headers[CONTROL_BODY] or b"", type=type(said)) == said
    assert {(record.key, record.value) for record in made} == {(None, None)}


@pytest.mark.parametrize("agent", [compression.agent, network.agent, system.agent], ids=lambda agent: agent.name)
def test_every_model_that_an_agent_asks_can_be_announced(agent: Any) -> None:
    assert agent.models
    assert {name: MODEL_TOPICS.get(name) for name in agent.models} == dict.fromkeys(agent.models, agent.source)


def test_a_model_that_nobody_asks_is_a_dead_letter() -> None:
    made = send(MODEL_ANNOUNCEMENT, announcement("v1", ONE, "champion", model_name="weather"))
    assert list(made) == [DEAD_LETTER]
    assert dict(made[DEAD_LETTER][0].headers)["dwcp-error-reason"] == b"enum"


def test_feedback_reaches_every_partition_in_its_order() -> None:
    words = [{"false_positive": k % 2 == 0, "anomaly_id": f"raw/0/{k}:system.anomaly.latency_spike"} for k in range(3)]
    made = send(SYSTEM_FEEDBACK, *words)[SYSTEM_KEYED]
    third = [msgspec.json.decode(dict(r.headers)[CONTROL_BODY] or b"") for r in made if r.partition == 3]
    assert [word["false_positive"] for word in third] == [True, False, True]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ({"false_positive": True}, b"cross_field"),
        ({"false_positive": True, "node_id": "n"}, b"cross_field"),
        ({"anomaly_id": "a"}, b"schema"),
    ],
)
def test_feedback_that_names_no_anomaly_is_a_dead_letter(word: dict[str, Any], reason: bytes) -> None:
    made = send(SYSTEM_FEEDBACK, word)
    assert list(made) == [DEAD_LETTER]
    assert dict(made[DEAD_LETTER][0].headers)["dwcp-error-reason"] == reason


@pytest.mark.parametrize(
    ("word", "targets"),
    [
        ({"anomaly_id": "raw/0/1:system.anomaly.latency_spike"}, {SYSTEM_KEYED}),
        ({"anomaly_id": "raw/0/1:system.anomaly.link.latency_spike"}, {NETWORK_KEYED}),
        ({"node_id": "n", "timestamp": 5, "maintenance_until": 9}, {SYSTEM_KEYED, NETWORK_KEYED}),
    ],
)
def test_feedback_goes_where_such_anomalies_are_found(word: dict[str, Any], targets: set[Topic]) -> None:
    assert set(send(SYSTEM_FEEDBACK, {"false_positive": True, **word})) == targets
