"""Nine parameters, their limits, and records that name them."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from schemas.codec import codec_of
from schemas.optimizer import (
    PARAMETERS,
    ROLLOUT_STAGES_PCT,
    OptimizerRecommendation,
    OptimizerRequest,
    OptimizerRollout,
    Parameter,
    ParameterChange,
    ParameterName,
)

TABLE = {  # minimum, maximum and step, as the product's documents have them
    "hde_compression_level": (1, 9, 0.4),
    "hde_chunk_size_bytes": (1024, 65_536, 3225.6),
    "hde_window_size_bytes": (32_768, 1_048_576, 50_790.4),
    "pba_prediction_window_s": (10, 300, 14.5),
    "pba_confidence_threshold": (0.5, 0.99, 0.0245),
    "pba_update_frequency_s": (1, 60, 2.95),
    "acp_timeout_ms": (100, 5000, 245),
    "acp_batch_size": (1, 100, 4.95),
    "acp_quorum_size": (3, 15, 0.6),
}
BY_NAME: dict[str, Parameter] = {p.name: p for p in PARAMETERS}


def test_there_are_nine_in_the_order_of_their_names() -> None:
    assert tuple(BY_NAME) == get_args(ParameterName) == tuple(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_limits_and_steps_are_those_of_the_documents(name: str) -> None:
    parameter = BY_NAME[name]
    assert (parameter.minimum, parameter.maximum, pytest.approx(parameter.step)) == TABLE[name]


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p.name)
def test_the_limits_may_be_set_and_nothing_beyond(parameter: Parameter) -> None:
    assert parameter.allows(parameter.minimum)
    assert parameter.allows(parameter.maximum)
    beyond = parameter.spacing or 1e-9
    assert not parameter.allows(parameter.minimum - beyond)
    assert not parameter.allows(parameter.maximum + beyond)
    assert not parameter.allows(float("nan"))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("acp_quorum_size", 9, True),
        ("acp_quorum_size", 8, False),
        ("hde_compression_level", 6, True),
        ("hde_compression_level", 5.4, False),
        ("pba_confidence_threshold", 0.91, True),
        ("pba_update_frequency_s", 2.5, True),
    ],
)
def test_whole_and_odd_numbers_are_kept(name: str, value: float, allowed: bool) -> None:
    assert BY_NAME[name].allows(value) is allowed


def test_a_request_needs_no_more_than_who_when_and_what_is_in_force() -> None:
    sent = {"request_id": "r", "timestamp": 1, "scope": "s", "current": {"acp_timeout_ms": 2000}}
    (request,), _ = codec_of(OptimizerRequest).decode([msgspec.json.encode(sent)])
    limits = (request.max_memory_pct, request.max_cpu_pct, request.max_cost_increase_pct)
    assert (request.trigger, limits) == ("operator", (80.0, 85.0, 10.0))


CHANGE = ParameterChange("acp_timeout_ms", "ms", 2000.0, 1200.0, 100.0, 5000.0)
RECOMMENDATION = OptimizerRecommendation(
    "i", 1, "", "s", "age", [CHANGE], 0.07, 0.01, 8.0, 5.0, 11.0, [], 0.9, 2, "bandit", "1"
)
ROLLOUT = OptimizerRollout(
    "i", 1, "r", "o", "s", "running", 5, 1, [CHANGE], 0, 0, None, None, None, None, 0.001
)  # fmt: skip


@pytest.mark.parametrize("stage", ROLLOUT_STAGES_PCT)
def test_a_rollout_goes_through_its_stages(stage: int) -> None:
    rollout = msgspec.structs.replace(ROLLOUT, stage_pct=stage)
    assert codec_of(OptimizerRollout).decode([msgspec.json.encode(rollout)]) == ([rollout], [])


@pytest.mark.parametrize(
    ("record", "change"),
    [
        (ROLLOUT, {"stage_pct": 0}),
        (ROLLOUT, {"stage_pct": 101}),
        (ROLLOUT, {"status": "paused"}),
        (ROLLOUT, {"p_value": 1.5}),
        (RECOMMENDATION, {"trigger": "whim"}),
        (RECOMMENDATION, {"changes": [msgspec.to_builtins(CHANGE) | {"parameter": "acp_colour"}]}),
        (RECOMMENDATION, {"cost_penalty": -1.0}),
    ],
)
def test_what_is_outside_the_contract_is_refused(record: msgspec.Struct, change: dict[str, object]) -> None:
    value = msgspec.json.encode(msgspec.to_builtins(record) | change)
    _, ((_, error),) = codec_of(type(record)).decode([value])
    assert error.reason == "schema"
    assert next(iter(change)) in str(error)
