"""The README shows one record of every topic, and each is a record of its topic."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.avro.frame import single_object_prefix
from schemas.avro.schema import schema_of
from schemas.codec import Codec, codec_of
from schemas.optimizer import PARAMETERS, OptimizerRecommendation, OptimizerRequest, OptimizerRollout
from schemas.performance import PERFORMANCE_FEATURES as FEATURE_NAMES
from schemas.topic import (
    CAPACITY_ALERT,
    CAPACITY_FORECAST,
    CAPACITY_PLAN,
    INPUTS,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_REQUEST,
    OPTIMIZER_ROLLOUT,
    PERFORMANCE_FEATURES,
    PERFORMANCE_PREDICTION,
    SYSTEM_ANOMALY,
    SYSTEM_FEEDBACK,
    TOPICS,
    Topic,
)
from tests.schemas.generated import INGEST, TOPICS_WITH_RECORD, WRITTEN
from tests.schemas.raw import ingest

README = Path(__file__).parent.parent.parent / "README.md"
_EXAMPLE = re.compile(r"^`(dwcp\.[a-z.-]+\.v\d+)`[^\n]*\n+```json\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `(dwcp\.[a-z.-]+\.v\d+)` \|(.*)$", re.MULTILINE)


def examples() -> list[tuple[str, str]]:
    """Topic and JSON text of every example."""
    return _EXAMPLE.findall(README.read_text("utf-8"))


def example(topic: Topic) -> Any:
    """The example of a topic as its record, strictly: no field missing, none unknown."""
    text = dict(examples())[topic.name]
    (record,), rejected = codec_of(topic.record).decode([text.encode()])  # type: ignore[type-var]
    assert not rejected
    assert msgspec.to_builtins(record) == json.loads(text)
    return record


def test_every_topic_with_a_record_has_exactly_one() -> None:
    assert sorted(name for name, _ in examples()) == sorted(t.name for t in TOPICS_WITH_RECORD)


@pytest.mark.parametrize("topic", WRITTEN, ids=lambda t: t.kind)
def test_it_is_a_record_of_its_topic_and_the_same_in_avro(topic: Topic) -> None:
    record = example(topic)
    codec: Codec[Any] = Codec(topic.record, avro_prefix=single_object_prefix(schema_of(topic.record)))
    assert codec.decode(codec.encode(codec.columns([record]))) == ([record], [])


@pytest.mark.parametrize("topic", INPUTS, ids=lambda t: t.kind)
def test_an_input_is_taken_as_it_is_shown(topic: Topic) -> None:
    sent = json.loads(dict(examples())[topic.name])
    extra = {"time_of_day", "day_of_week"}  # of the 22-column form; ingest leaves them out
    assert set(sent) - extra <= set(topic.record.__struct_fields__)  # type: ignore[union-attr]
    result = ingest(INGEST[topic.dataset], sent)
    assert not result.rejected
    (target, output), *_ = result.outputs.items()
    (line,) = codec_of(target.record).encode(output.columns)
    shown = example(target)
    assert json.loads(line) == msgspec.to_builtins(shown)  # the keyed example is what becomes of the raw one
    schema = schema_of(topic.record)
    keyed = msgspec.to_builtins(shown)
    datum = {field["name"]: keyed[field["name"]] for field in schema["fields"]}
    again = ingest(INGEST[topic.dataset], datum)
    assert codec_of(target.record).encode(again.outputs[target].columns) == [line]


def test_every_topic_of_the_table_has_a_row() -> None:
    rows = dict(_ROW.findall(README.read_text("utf-8")))
    public = {t.name for t in TOPICS_WITH_RECORD}
    assert public <= set(rows) <= {t.name for t in TOPICS}
    for topic in TOPICS_WITH_RECORD:
        if topic not in INPUTS:
            assert f"`{topic.record.__name__}`" in rows[topic.name]  # type: ignore[union-attr]


def test_the_feedback_names_the_anomaly() -> None:
    assert example(SYSTEM_FEEDBACK).anomaly_id == example(SYSTEM_ANOMALY).id


def test_the_features_are_27_of_each_metric() -> None:
    features = example(PERFORMANCE_FEATURES).features
    assert {len(values) for values in features.values()} == {len(FEATURE_NAMES)}
    at = dict(zip(FEATURE_NAMES, np.transpose(list(features.values())), strict=True))
    for lower, upper in pairwise(["min", "q05", "q25", "q50", "q75", "q95", "q99", "max"]):
        assert (at[lower] <= at[upper]).all()
    # A lag and its difference are both from the newest value.
    np.testing.assert_allclose(at["lag_1"] + at["diff_1"], at["lag_12"] + at["diff_12"], atol=1e-5)


def test_the_prediction_s_steps_end_at_its_target() -> None:
    prediction = example(PERFORMANCE_PREDICTION)
    assert prediction.timestamp + prediction.forecast_horizon * prediction.step_ms == prediction.target_time
    assert {len(v) for v in prediction.predicted_metrics.values()} == {prediction.forecast_horizon}


def test_the_capacity_records_tell_one_story() -> None:
    forecast, plan, alert = map(example, (CAPACITY_FORECAST, CAPACITY_PLAN, CAPACITY_ALERT))
    lists = [forecast.predicted, forecast.lower, forecast.upper, forecast.threshold_probability]
    assert {len(values) for values in (*lists, forecast.critical_probability)} == {plan.horizon_days}
    need = plan.needs[forecast.resource]
    crossed = next(i for i, value in enumerate(forecast.predicted) if value >= forecast.critical_threshold)
    assert forecast.first_target_time + crossed * forecast.step_ms == need.exceeds_at == alert.exceeds_at
    assert need.days_to_threshold == (need.exceeds_at - plan.timestamp) / 86_400_000
    assert (need.forecast, need.exceeds_probability) == (forecast.predicted[-1], forecast.critical_probability[-1])
    assert plan.cost_estimate == sum(n.cost_estimate for n in plan.needs.values())


def test_the_optimizer_s_records_stay_within_the_limits() -> None:
    request: OptimizerRequest = example(OPTIMIZER_REQUEST)
    found: OptimizerRecommendation = example(OPTIMIZER_RECOMMENDATION)
    rollout: OptimizerRollout = example(OPTIMIZER_ROLLOUT)
    limits = {p.name: p for p in PARAMETERS}
    assert list(request.current) == list(limits)
    assert all(limits[name].allows(value) for name, value in request.current.items())  # type: ignore[index]
    for change in found.changes:
        parameter = limits[change.parameter]
        assert (change.minimum, change.maximum, change.unit) == (parameter.minimum, parameter.maximum, parameter.unit)
        assert change.before == request.current[change.parameter]
        assert parameter.allows(change.after)
    assert found.reward == pytest.approx(found.improvement_pct / 100 - found.cost_penalty)
    assert rollout.recommendation_id == found.id
    # What a change was expected to do is the recommendation's to say.
    assert rollout.changes == [msgspec.structs.replace(change, sensitivity=None) for change in found.changes]
