"""`dwcp experiments status`: the last state and look of every experiment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from schemas.error import ConfigError
from schemas.experiment import ExperimentResult, ExperimentState, MetricComparison
from schemas.topic import EXPERIMENT_RESULT, EXPERIMENT_STATE
from streams.embedded import EmbeddedBroker
from streams.model.experiment_command import experiments
from streams.sink import KafkaSink


def state(name: str, at: int, ramp: int, status: Any = "running") -> ExperimentState:
    return ExperimentState(
        f"{name}/{at}", at, name, status, ramp, "selector", "1", "2", "rate", 0, 0, 10, 1, 10_000, at, "why", 28
    )


def result(name: str, look: int) -> ExperimentResult:
    one = MetricComparison("rate", "Mbps", "primary", 400.0, 424.0, 6.0, 4.9, 7.1, 1e-6, 0.002, True)
    return ExperimentResult(f"{name}/{look}", look, name, look, 28, 10, 1, 0.4, [one], "wait", "early")


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as embedded:
        sink = KafkaSink(embedded.address)
        states = [state("a", 1, 1), state("a", 2, 10), state("b", 1, 1, "stopped"), state("a", 2, 10)]
        results = [result("a", 1), result("a", 2), result("a", 2)]  # a repeat after a crash
        for topic, records in ((EXPERIMENT_STATE, states), (EXPERIMENT_RESULT, results)):
            keys = [one.experiment_id.encode() for one in records]
            sink.send(topic.name, keys, [msgspec.json.encode(one) for one in records], [0] * len(records))
        sink.close()
        yield embedded


def run(broker: EmbeddedBroker, *args: str) -> str:
    result = CliRunner().invoke(experiments, ["status", *args], env={"BROKER_URL": broker.address})
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_each_experiment_is_where_it_stands_last(broker: EmbeddedBroker) -> None:
    a, b = json.loads(run(broker, "--json"))
    assert (a["experiment_id"], a["ramp_pct"], a["last"]["look"]) == ("a", 10, 2)
    assert (b["experiment_id"], b["status"], b["last"]) == ("b", "stopped", None)


def test_history_has_every_look_once(broker: EmbeddedBroker) -> None:
    (a,) = json.loads(run(broker, "a", "--history", "--json"))
    assert [look["look"] for look in a["history"]] == [1, 2]


def test_for_people_it_is_text(broker: EmbeddedBroker) -> None:
    text = run(broker)
    assert "a: running, selector 2 against 1, 10 %, look 2 of 28" in text
    assert "+6.00 % (+4.90 to +7.10)" in text


def test_an_unknown_one_names_those_there_are(broker: EmbeddedBroker) -> None:
    with pytest.raises(ConfigError, match="an experiment: a, b"):
        run(broker, "c")
