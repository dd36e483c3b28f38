"""Experiments' records: stages, decisions and p-values within their ranges."""

from __future__ import annotations

import msgspec
import pytest

from schemas.codec import codec_of
from schemas.experiment import MIN_REQUESTS_PER_ARM, RAMP_PCT, ExperimentResult, ExperimentState, MetricComparison

STATE = ExperimentState("i", 1, "e", "running", 1, "selector", "2", "3", "m", 1, 1, 0, 0, MIN_REQUESTS_PER_ARM, 0)
COMPARISON = MetricComparison("m", "Mbps", "primary", 400.0, 424.0, 6.0, 4.9, 7.1, 1e-6, 0.002, True)
RESULT = ExperimentResult("i", 1, "e", 1, 5, 10_000, 10_000, 0.4, [COMPARISON], "wait", "early")


@pytest.mark.parametrize("ramp", RAMP_PCT)
def test_a_ramp_goes_through_its_stages(ramp: int) -> None:
    state = msgspec.structs.replace(STATE, ramp_pct=ramp)
    assert codec_of(ExperimentState).decode([msgspec.json.encode(state)]) == ([state], [])


@pytest.mark.parametrize(
    ("record", "change"),
    [
        (STATE, {"ramp_pct": 0}),
        (STATE, {"status": "done"}),
        (STATE, {"min_requests_per_arm": 0}),
        (STATE, {"control_requests": -1}),
        (RESULT, {"look": 0}),
        (RESULT, {"decision": "maybe"}),
        (RESULT, {"sample_ratio_p_value": 1.01}),
        (RESULT, {"comparisons": [msgspec.to_builtins(COMPARISON) | {"role": "secondary"}]}),
        (RESULT, {"comparisons": [msgspec.to_builtins(COMPARISON) | {"p_value": -0.1}]}),
    ],
)
def test_what_is_outside_the_contract_is_refused(record: msgspec.Struct, change: dict[str, object]) -> None:
    value = msgspec.json.encode(msgspec.to_builtins(record) | change)
    _, ((_, error),) = codec_of(type(record)).decode([value])
    assert error.reason == "schema"
    assert next(iter(change)) in str(error)
