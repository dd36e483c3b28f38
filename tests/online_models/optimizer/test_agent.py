"""From a request on its topic to recommendations and rollouts on theirs, by the agents that do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import pytest

from agents import side, system
from online_models.experiment.rollout import share_treated
from online_models.optimizer.space import DEFAULT
from schemas.header import CE_ID, CONTROL, ORIGIN
from schemas.optimizer import (
    PARAMETERS,
    ROLLOUT_STAGES_PCT,
    OptimizerRecommendation,
    OptimizerRequest,
    OptimizerRollout,
)
from schemas.topic import (
    DEAD_LETTER,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_REQUEST,
    OPTIMIZER_ROLLOUT,
    PARTITIONS,
    SYSTEM_KEYED,
    Topic,
)
from streams.partition import murmur2_partition
from streams.recording.format import Recorded
from streams.recording.run import run
from streams.stepper import Stepper
from tests.online_models.stream import MINUTE_MS, START_MS, metrics

NODES = [name for name in (f"n{k}" for k in range(64)) if murmur2_partition(name.encode(), PARTITIONS) < 2]
FORCE = {p.name: float(v) for p, v in zip(PARAMETERS, DEFAULT, strict=True)}
Course = Mapping[int, Sequence[int]]
"""When each stage of a partition's rollout begins; minutes."""


def requests(*records: OptimizerRequest) -> list[Recorded]:
    name = OPTIMIZER_REQUEST.name
    return [Recorded(name, 0, k, START_MS, None, msgspec.json.encode(r), ()) for k, r in enumerate(records)]


def asked(scope: str = "fleet", **current: float) -> OptimizerRequest:
    return OptimizerRequest("r-1", START_MS, scope, FORCE | current)  # type: ignore[arg-type]


@cache
def controls() -> tuple[Recorded, ...]:
    return tuple(run(side.agents, requests(asked()))[SYSTEM_KEYED])


def treated_nodes(partition: int, stage: int) -> set[str]:
    own = [name for name in NODES if murmur2_partition(name.encode(), PARTITIONS) == partition]
    digests = np.array([int.from_bytes(blake2b(n.encode(), digest_size=8).digest()) | 1 for n in own], np.uint64)
    return {name for name, yes in zip(own, share_treated(stage, digests), strict=True) if yes}


def fleet(minutes: int, course: Course, factor: float = 1.0) -> list[Recorded]:
    """A record a minute of every node; treated ones have their throughput times `factor`."""
    rng = np.random.default_rng(5)
    treated: dict[str, float] = {}
    found = []
    for minute in range(minutes):
        for partition, begins in course.items():
            stages = [stage for stage, at in zip(ROLLOUT_STAGES_PCT, begins, strict=False) if at <= minute]
            treated |= dict.fromkeys(treated_nodes(partition, stages[-1]) if stages else (), factor)
        for name in NODES:
            rate = 2847.0 * treated.get(name, 1.0) * float(np.exp(0.01 * rng.standard_normal()))
            at = START_MS + MINUTE_MS * minute
            value = msgspec.json.encode(metrics(at, name, throughput_mean=rate, request_rate=2800.0))
            partition = murmur2_partition(name.encode(), PARTITIONS)
            head = ((ORIGIN, b"raw/0/%d" % len(found)),)
            found.append(Recorded(SYSTEM_KEYED.name, partition, 9 + len(found), at, name.encode(), value, head))
    return found


def live(minutes: int, course: Course, factor: float = 1.0) -> Mapping[Topic, Sequence[Recorded]]:
    return run((system.agent,), [*controls(), *fleet(minutes, course, factor)])


def said(answers: Mapping[Topic, Sequence[Recorded]], topic: Topic, kind: type[Any]) -> list[Any]:
    return [msgspec.json.decode(record.value or b"", type=kind) for record in answers.get(topic, ())]


@cache
def begins() -> Course:
    """When each partition's rollout begins, and when its stages do if each passes at its first look."""
    rollouts = said(live(33, {}), OPTIMIZER_ROLLOUT, OptimizerRollout)
    first = {int(r.scope.rpartition("/")[2]): (r.stage_started_at - START_MS) // MINUTE_MS for r in rollouts}
    assert set(first) == {0, 1}
    return {partition: [at, at + 15, at + 30, at + 45] for partition, at in first.items()}


def test_a_request_reaches_every_partition_that_watches_nodes() -> None:
    assert [record.partition for record in controls()] == list(range(PARTITIONS))
    assert {dict(record.headers)[CONTROL] for record in controls()} == {OPTIMIZER_REQUEST.kind.encode()}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (asked("us-east"), b"enum"),
        (asked(acp_quorum_size=8.0), b"range"),
        (asked(hde_speed=1.0), b"enum"),
    ],
)
def test_a_request_that_cannot_be_answered_is_one_dead_letter(request_: OptimizerRequest, reason: bytes) -> None:
    made = run(side.agents, requests(request_))
    assert list(made) == [DEAD_LETTER]
    assert [dict(record.headers)["dwcp-error-reason"] for record in made[DEAD_LETTER]] == [reason]


def test_each_partition_recommends_for_its_nodes() -> None:
    found = said(live(33, {}), OPTIMIZER_RECOMMENDATION, OptimizerRecommendation)
    assert sorted(one.scope for one in found) == ["fleet/0", "fleet/1"]
    assert len({one.id for one in found}) == 2
    for one in found:
        assert (one.request_id, one.trigger) == ("r-1", "operator")
        assert one.changes
        assert one.reward == pytest.approx(one.improvement_pct / 100 - one.cost_penalty)


def test_a_change_that_does_good_reaches_all_nodes_stage_by_stage() -> None:
    rollouts = said(live(145, begins(), 1.5), OPTIMIZER_ROLLOUT, OptimizerRollout)
    recommended = said(live(33, {}), OPTIMIZER_RECOMMENDATION, OptimizerRecommendation)
    for partition in (0, 1):
        own = [r for r in rollouts if r.rollout_id == f"fleet/{partition}/1"]
        assert [(r.status, r.stage_pct) for r in own] == [
            ("running", 5), ("advanced", 5), ("advanced", 25), ("advanced", 50), ("completed", 100)
        ]  # fmt: skip
        (one,) = [r for r in recommended if r.scope == f"fleet/{partition}"]
        assert {r.recommendation_id for r in own} == {one.id}
        assert [(c.parameter, c.before, c.after) for c in own[-1].changes] == [
            (c.parameter, c.before, c.after) for c in one.changes
        ]
        assert all(r.effect_lower_pct is not None and r.effect_lower_pct > 0 for r in own[1:4])


def test_a_change_that_does_harm_is_taken_back() -> None:
    rollouts = said(live(50, begins(), 0.7), OPTIMIZER_ROLLOUT, OptimizerRollout)
    assert sorted((r.scope, r.status, r.stage_pct) for r in rollouts) == [
        (f"fleet/{p}", status, 5) for p in (0, 1) for status in ("rolled_back", "running")
    ]
    assert all(r.effect_pct < 0 for r in rollouts if r.status == "rolled_back")


def test_a_request_with_other_parameters_in_force_ends_a_rollout() -> None:
    second = run(side.agents, requests(asked(), asked(acp_batch_size=30.0)))[SYSTEM_KEYED]
    answers = run((system.agent,), [*controls(), *fleet(40, {}), *second[PARTITIONS:]])
    ended = [r for r in said(answers, OPTIMIZER_ROLLOUT, OptimizerRollout) if r.status == "rolled_back"]
    assert sorted(r.scope for r in ended) == ["fleet/0", "fleet/1"]
    assert len({r.id for r in ended}) == 2
    for one in ended:
        assert "request" in one.reason
        assert all(c.before == (FORCE | {"acp_batch_size": 30.0})[c.parameter] for c in one.changes)


def test_how_polls_cut_the_stream_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of() -> list[tuple[int, bytes | None]]:
        answers = live(50, begins(), 0.7)
        topics = (OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT)
        return sorted((r.partition, r.value) for t in topics for r in answers[t])  # type: ignore[type-var]

    whole = all_of()
    monkeypatch.setattr("streams.recording.run._SLICE", 37)
    assert all_of() == whole


@pytest.mark.parametrize("cut", [0.3, 0.75])
def test_a_restored_worker_goes_on_where_the_other_stopped(cut: float) -> None:
    records = [r for r in [*controls(), *fleet(50, begins(), 0.7)] if r.partition == 0]
    at = int(cut * len(records))
    stepper = Stepper(system.agent, SYSTEM_KEYED.name)

    def go_on(held: Any, some: Sequence[Recorded]) -> list[tuple[Any, ...]]:
        result = stepper.step(held, stepper.admit(held, some, stepper.decode(some, 0)))
        topics = (OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT)
        return [
            (topic.kind, *(column[k] for column in result.outputs[topic].columns.values()))
            for topic in topics
            if topic in result.outputs
            for k in range(len(result.outputs[topic].row))
        ]

    one, other = stepper.start(), stepper.start()
    first = go_on(one, records[:at])
    for piece in one.state.capture(whole=True):  # type: ignore[attr-defined]
        other.state.load(piece)  # type: ignore[attr-defined]
    rest = go_on(one, records[at:])
    assert go_on(other, records[at:]) == rest
    assert other.state.digest() == one.state.digest()  # type: ignore[attr-defined]
    assert {kind for kind, *_ in first + rest} == {OPTIMIZER_RECOMMENDATION.kind, OPTIMIZER_ROLLOUT.kind}


def test_ids_say_which_record_ended_the_minute() -> None:
    for record in live(33, {})[OPTIMIZER_ROLLOUT]:
        partition = int((record.key or b"").rpartition(b"/")[2])
        headers = dict(record.headers)
        assert headers[CE_ID] == b"%s:%s.%d" % (headers[ORIGIN], OPTIMIZER_ROLLOUT.kind.encode(), partition)
