"""Operators' words move thresholds by rule, within bounds, once, and can be taken back."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from online_models.anomaly.feedback import BOUNDS, REMEMBERED, Thresholds
from online_models.anomaly.rule import GROUPS, TYPES
from online_models.anomaly.state import SystemState
from schemas.binary import Binary
from schemas.feedback import AnomalyFeedback, ThresholdChange
from schemas.topic import SYSTEM_ANOMALY, SYSTEM_THRESHOLD
from streams.envelope import Envelope
from tests.online_models.anomaly.test_alert import SICK, story, told, word
from tests.online_models.stream import metrics_of

LATENCY = TYPES.index("latency_spike")


def on(number: int, false: bool, kind: str = "latency_spike", **more: object) -> AnomalyFeedback:
    return AnomalyFeedback(false, f"dwcp.system.raw.v1/0/{number}:system.anomaly.{kind}", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", TYPES)
def test_a_false_positive_raises_the_threshold_of_its_type_alone(kind: str) -> None:
    thresholds = Thresholds(rate=0.1)
    change = thresholds.judge(on(1, True, kind))
    assert (change.before, change.after) == (1.0, pytest.approx(1.1))
    expected = [1.1 if name == kind else 1.0 for name in TYPES]
    assert thresholds.factor.tolist() == pytest.approx(expected)


def test_true_ones_lower_it_when_more_than_twice_as_many_as_false() -> None:
    thresholds = Thresholds(rate=0.1)
    thresholds.judge(on(0, True))
    factors = []
    for k in range(1, 5):
        thresholds.judge(on(k, False))
        factors.append(float(thresholds.factor[LATENCY]))
    assert factors == pytest.approx([1.1, 1.1, 1.1 * 0.95, 1.1 * 0.95**2])


@pytest.mark.parametrize("false", [True, False])
def test_it_stays_within_bounds_and_says_so(false: bool) -> None:
    thresholds = Thresholds(rate=0.5)
    for k in range(20):
        change = thresholds.judge(on(k, false))
    assert thresholds.factor[LATENCY] == BOUNDS[1 if false else 0]
    assert "kept within" in change.reason


def test_the_same_word_counts_once_and_the_opposite_replaces_it() -> None:
    thresholds, other = Thresholds(), Thresholds()
    thresholds.judge(on(1, True))
    assert thresholds.judge(on(1, True)).reason == "said before"
    assert "after the opposite" in thresholds.judge(on(1, False)).reason
    other.judge(on(1, False))
    assert thresholds.factor == pytest.approx(other.factor)
    assert thresholds.count.tolist() == other.count.tolist()


def test_every_word_can_be_taken_back_in_any_order() -> None:
    rng = np.random.default_rng(1)
    thresholds = Thresholds(rate=0.02)
    words = [on(k, bool(rng.integers(2)), TYPES[k % len(TYPES)]) for k in range(60)]
    for one in words:
        thresholds.judge(one)
    assert not np.allclose(thresholds.factor, 1.0)
    for k in rng.permutation(60).tolist():
        assert thresholds.judge(msgspec.structs.replace(words[k], undo=True)).reason == "taken back"
    assert thresholds.factor == pytest.approx(np.ones(len(TYPES)))
    assert not thresholds.count.any()
    assert thresholds.judge(on(1, True, undo=True)).reason == "nothing to take back"


def test_a_word_at_the_bound_takes_back_no_more_than_it_moved() -> None:
    thresholds = Thresholds(rate=0.5)
    for k in range(4):
        thresholds.judge(on(k, True))
    assert thresholds.factor[LATENCY] == 3.0
    thresholds.judge(on(3, True, undo=True))
    thresholds.judge(on(2, True, undo=True))
    assert thresholds.factor[LATENCY] == pytest.approx(1.5**2)


def test_old_words_are_forgotten_and_their_effect_stays() -> None:
    thresholds = Thresholds(rate=0.001)
    for k in range(REMEMBERED + 1):
        thresholds.judge(on(k, True))
    before = float(thresholds.factor[LATENCY])
    assert thresholds.judge(on(0, True, undo=True)).reason == "nothing to take back"
    assert thresholds.factor[LATENCY] == before
    assert thresholds.judge(on(1, True, undo=True)).reason == "taken back"


@pytest.mark.parametrize(
    ("feedback", "kind"),
    [
        (AnomalyFeedback(True, node_id="n", timestamp=5), "unknown"),
        (AnomalyFeedback(True, node_id="n", timestamp=5, anomaly_type="error_burst"), "error_burst"),
        (AnomalyFeedback(True, "a.node/17:consensus_delay"), "consensus_delay"),
        (AnomalyFeedback(True, "no type in it", anomaly_type="error_burst"), "error_burst"),
        (on(1, True, "latency_spike", anomaly_type="error_burst"), "latency_spike"),
    ],
)
def test_which_type_a_word_is_about(feedback: AnomalyFeedback, kind: str) -> None:
    assert TYPES[Thresholds().judge(feedback).type] == kind


def _change(state: SystemState, feedback: AnomalyFeedback, number: int) -> ThresholdChange:
    control = word(feedback, number)
    output = state.control(control).outputs[SYSTEM_THRESHOLD]
    made = Envelope(SYSTEM_THRESHOLD, "test").encode(output, Binary.of([control.origin]), Binary.of([None]))
    (key,), (value,) = made.keys, made.values
    change = msgspec.json.decode(value, type=ThresholdChange)
    assert key == change.anomaly_type.encode()
    return change


def test_every_change_is_audited() -> None:
    state = SystemState()
    change = _change(state, on(1, True, operator="night-shift", comment="a backup"), 7)
    assert change.id == "feedback/0/7:system.threshold"
    assert (change.anomaly_type, change.metric_group) == ("latency_spike", GROUPS["latency_spike"])
    assert (change.before, change.after) == (1.0, pytest.approx(1.1))
    assert (change.operator, change.comment, change.reason) == ("night-shift", "a backup", "false positive")
    assert change.feedback.endswith(":system.anomaly.latency_spike")
    assert (change.false_positives, change.true_positives) == (1, 0)
    assert _change(state, AnomalyFeedback(False, node_id="n", timestamp=5), 8).feedback == "n@5"


def test_all_partitions_move_alike_and_one_speaks() -> None:
    states = [SystemState() for _ in range(3)]
    for k in range(5):
        results = [state.control(word(on(k, k % 2 == 0), k, at)) for at, state in enumerate(states)]
        assert [SYSTEM_THRESHOLD in result.outputs for result in results] == [True, False, False]
    assert len({state.digest() for state in states}) == 1


def test_an_operator_silences_a_type_and_the_others_still_speak() -> None:
    records = story((SICK, SICK + 20, 1.35))
    assert told(records)
    state = SystemState()
    for k in range(20):
        state.control(word(on(k, True), k))
    assert not told(records, state)
    found = state.step(metrics_of([msgspec.structs.replace(records[-1], timestamp=records[-1].timestamp + 5000,
                                                           consensus_time=400.0)]))  # fmt: skip
    assert found.outputs[SYSTEM_ANOMALY].columns["anomaly_type"] == ["consensus_delay"]


def test_what_was_said_survives_a_restart() -> None:
    state, copy = SystemState(), SystemState()
    state.control(word(on(1, True)))
    for piece in state.capture(whole=True):
        copy.load(piece)
    assert copy.digest() == state.digest()
    assert _change(copy, on(1, True, undo=True), 2).reason == "taken back"


def test_false_positive_and_false_discovery_rate_are_apart() -> None:
    state = SystemState()
    state.step(metrics_of(story((SICK, SICK + 5, 4.0))))
    for k, false in enumerate((True, False, False, False)):
        state.control(word(on(k, false), k))
    gauges = state.gauges()
    assert gauges["anomaly_false_discovery_rate"] == (1.0, 4.0)
    false, usual = gauges["anomaly_false_positive_rate"]
    assert usual is not None
    assert false == 0.25 * gauges["anomaly_announced"][0]
    assert usual == gauges["system_records"][0] - gauges["anomaly_records"][0]
