"""Several states over one source are one state to the runtime."""

from __future__ import annotations

from itertools import chain

import msgspec
import numpy as np
import pytest

from online_models.anomaly.link_watch import LinkWatch
from online_models.anomaly.state import SystemState
from online_models.bandwidth.state import NetworkState
from online_models.parts import Each, Parts, PartsOf
from schemas.batch import Output, Rejection, Result
from schemas.error import LateRecord, StateError
from schemas.topic import DRIFT_ALERT, SYSTEM_ANOMALY, SYSTEM_SCORE
from tests.online_models.stream import disturb, encoded, metric_stream, metrics_of

TWO = PartsOf(first=SystemState, second=SystemState)


def batch():
    return metrics_of(disturb(metric_stream(steps=200, nodes=4)))


def output(rows: list[int], **columns: list) -> Output:
    return Output(np.array(rows, np.intp), columns)


def test_every_part_sees_the_batch() -> None:
    alone, both = SystemState(), TWO()
    once = alone.step(batch()).outputs[SYSTEM_SCORE]
    twice = both.step(batch()).outputs[SYSTEM_SCORE]
    assert twice.row.tolist() == sorted(once.row.tolist() * 2)
    assert {part.digest() for part in both.parts.values()} == {alone.digest()}
    assert both.gauges() == alone.gauges()


def test_options_reach_the_parts_that_take_them() -> None:
    parts = PartsOf(nodes=SystemState, links=LinkWatch)
    few, many = (parts(false_alarms_per_node_day=rate, feedback_rate=0.2) for rate in (0.1, 100.0))
    stream = metrics_of(metric_stream(steps=1500, nodes=4))
    for state in (few, many):
        state.parts["nodes"].step(stream)
    low, high = (state.gauges()["anomaly_threshold_baseline"][0] for state in (many, few))
    assert low < high
    with pytest.raises(TypeError, match="nodes, links takes tempo"):
        parts(tempo=1.0)


def test_a_row_is_rejected_once() -> None:
    result = TWO().step(batch())
    alone = SystemState().step(batch())
    assert [r.row for r in result.rejected] == [r.row for r in alone.rejected]
    assert alone.rejected


def test_it_is_captured_and_restored_bit_for_bit() -> None:
    state, stream = TWO(), batch()
    third = len(stream) // 3
    state.step(stream.take(0, third))
    first = state.capture(whole=True)
    state.step(stream.take(third, 2 * third))
    restored = TWO()
    for piece in chain(first, state.capture()):
        restored.load(piece)
    assert restored.digest() == state.digest()
    more = stream.take(2 * third, len(stream))
    assert encoded([(0, restored.step(more))]) == encoded([(0, state.step(more))])


def test_a_step_is_undone_in_every_part() -> None:
    state, stream = TWO(), batch()
    state.step(stream.take(0, 50))
    before = state.digest()
    one = stream.take(50, 51)
    undo = state.checkpoint(one.key)
    state.step(one)
    assert state.digest() != before
    state.rollback(undo)
    assert state.digest() == before


@pytest.mark.parametrize(
    "parts",
    [
        PartsOf(first=SystemState),
        PartsOf(first=SystemState, other=SystemState),
        PartsOf(second=SystemState, first=SystemState),
    ],
)
def test_a_capture_of_other_parts_is_not_taken_for_it(parts: PartsOf) -> None:
    state = parts()
    state.step(batch())
    with pytest.raises(StateError, match="it has the parts"):
        TWO().load(next(iter(state.capture(whole=True))))


def test_parts_by_option_are_named_after_its_values() -> None:
    parts = PartsOf(first=SystemState, more=Each(SystemState, "latenesses", str))
    assert list(parts().parts) == ["first"]
    assert list(parts(latenesses=(5, 7)).parts) == ["first", "more.5", "more.7"]
    with pytest.raises(TypeError, match="none of the parts"):
        parts(lateness=(5,))


def test_parts_by_option_may_come_and_go_others_may_not() -> None:
    make = PartsOf(first=SystemState, more=Each(SystemState, "latenesses", str))
    state = make(latenesses=(5,))
    state.step(batch())
    other = make(latenesses=(7,))
    for piece in state.capture(whole=True):
        other.load(piece)
    assert other.parts["first"].digest() == state.parts["first"].digest()
    assert len(other.parts["more.7"]) == 0
    with pytest.raises(StateError, match=r"it has the parts first, more\.5, not first, second"):
        TWO().load(next(iter(state.capture(whole=True))))


def test_a_part_of_another_layout_is_refused() -> None:
    mixed = Parts({"first": NetworkState(), "second": SystemState()})
    with pytest.raises(StateError, match="another version"):
        TWO().load(next(iter(mixed.capture(whole=True))))


@pytest.mark.parametrize("damage", [b"", b"\x81", msgspec.msgpack.encode({"parts": []})])
def test_damage_is_a_state_error(damage: bytes) -> None:
    with pytest.raises(StateError, match="does not decode"):
        TWO().load(damage)


def test_outputs_of_several_steps_stand_in_row_order() -> None:
    first = Result({DRIFT_ALERT: output([1, 3], value=[1.0, 3.0]), SYSTEM_SCORE: output([0], value=[0.5])})
    second = Result({DRIFT_ALERT: output([0, 1], value=[10.0, 11.0])}, [Rejection(2, LateRecord("late", "second"))])
    third = Result(rejected=[Rejection(2, LateRecord("late", "third")), Rejection(0, LateRecord("late", "third"))])
    merged = Result.merge([first, second, third])
    assert merged.outputs[DRIFT_ALERT].row.tolist() == [0, 1, 1, 3]
    assert list(merged.outputs[DRIFT_ALERT].columns["value"]) == [10.0, 1.0, 11.0, 3.0]
    assert merged.outputs[SYSTEM_SCORE].row.tolist() == [0]
    assert [(r.row, str(r.error)) for r in merged.rejected] == [(0, "third"), (2, "second")]
    assert SYSTEM_ANOMALY not in merged.outputs
