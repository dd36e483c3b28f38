"""The life of alerts: opened, updated, resolved; hushed in maintenance; the same in every cut."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from online_models.anomaly.maintenance import WINDOWS, Maintenance
from online_models.anomaly.rule import SEVERITIES
from online_models.anomaly.state import SystemState
from schemas.batch import Batch, Control, Result
from schemas.binary import Binary
from schemas.error import ValidationError
from schemas.feedback import AnomalyFeedback, type_of
from schemas.system import Anomaly, SystemMetrics
from schemas.topic import SYSTEM_ANOMALY, SYSTEM_FEEDBACK, SYSTEM_SCORE, SYSTEM_THRESHOLD
from streams.envelope import Envelope
from tests.online_models.stream import NORMAL, START_MS, metric_stream, metrics, metrics_of, run_cut

STEP_MS = 5000
MINUTE = 12
"""Records per minute."""

SICK = 400
"""Record at which the node falls ill."""


def story(*ill: tuple[int, int, float], steps: int = 700, node: str = "n0", **more: float) -> list[SystemMetrics]:
    """A node that has `factor` times its latency in the given stretches of records."""
    records = []
    for k, record in enumerate(metric_stream(steps, 1, seed=3)):
        factor = next((f for begin, end, f in ill if begin <= k < end), 1.0)
        changed = {"latency_mean": record.latency_mean * factor} if factor != 1.0 else {}
        records.append(msgspec.structs.replace(record, node_id=node, **changed, **more))
    return records


def word(feedback: AnomalyFeedback, number: int = 0, partition: int = 0, kind: str = SYSTEM_FEEDBACK.kind) -> Control:
    return Control(kind, msgspec.json.encode(feedback), b"feedback/0/%d" % number, partition, START_MS)


def alerts(result: Result, origin: Sequence[bytes]) -> list[Anomaly]:
    """The alerts as a consumer reads them."""
    if SYSTEM_ANOMALY not in result.outputs:
        return []
    output = result.outputs[SYSTEM_ANOMALY]
    values = Envelope(SYSTEM_ANOMALY, "test").encode(output, Binary.of(origin), Binary.of([None] * len(origin))).values
    return [msgspec.json.decode(value, type=Anomaly) for value in values]


def told(records: Sequence[SystemMetrics], state: SystemState | None = None) -> list[Anomaly]:
    batch: Batch = metrics_of(records)
    found = alerts((SystemState() if state is None else state).step(batch), batch.origin)
    return [one for one in found if one.anomaly_type == "latency_spike"]


def at(anomaly: Anomaly) -> int:
    """Records since the node fell ill."""
    return (anomaly.timestamp - START_MS) // STEP_MS - SICK


def test_an_alert_opens_is_repeated_and_is_resolved_after_five_quiet_minutes() -> None:
    found = told(story((SICK, SICK + 6 * MINUTE, 4.0)))
    assert [(one.status, at(one)) for one in found] == [
        ("open", 0),
        ("update", 5 * MINUTE),
        ("resolved", 6 * MINUTE - 1 + 5 * MINUTE),
    ]
    assert {one.alert_id for one in found} == {f"n0/{START_MS + SICK * STEP_MS}:latency_spike"}
    assert [one.occurrences for one in found] == [1, 5 * MINUTE + 1, 6 * MINUTE]
    assert {one.opened_at for one in found} == {START_MS + SICK * STEP_MS}
    assert found[-1].last_seen_at == START_MS + (SICK + 6 * MINUTE - 1) * STEP_MS
    assert {one.severity for one in found} == {"critical"}
    assert found[0].recommended_actions
    assert not found[-1].recommended_actions
    assert {one.metric_group for one in found} == {"latency"}


def test_ids_differ_and_end_with_the_type() -> None:
    found = told(story((SICK, SICK + 3, 4.0), (SICK + 100, SICK + 103, 4.0)))
    assert [one.status for one in found] == ["open", "resolved", "open", "resolved"]
    assert len({one.id for one in found}) == 4
    assert len({one.alert_id for one in found}) == 2
    for one in found:
        assert {type_of(AnomalyFeedback(True, name)) for name in (one.id, one.alert_id)} == {"latency_spike"}


def test_what_comes_back_within_five_minutes_is_the_same_alert() -> None:
    found = told(story((SICK, SICK + 2, 4.0), (SICK + 50, SICK + 52, 4.0)))
    assert [(one.status, at(one)) for one in found] == [("open", 0), ("resolved", 51 + 5 * MINUTE)]
    assert found[-1].occurrences == 4


def test_what_gets_worse_is_said_at_once() -> None:
    found = told(story((SICK, SICK + 5, 1.3), (SICK + 5, SICK + 10, 5.0)))
    assert [(one.status, at(one)) for one in found][:2] == [("open", 0), ("update", 5)]
    assert SEVERITIES.index(found[0].severity) < SEVERITIES.index(found[1].severity)
    assert found[-1].status == "resolved"
    assert found[-1].severity == found[1].severity


def test_a_node_that_fell_silent_keeps_its_alert_until_it_speaks() -> None:
    records = [r for k, r in enumerate(story((SICK, SICK + 3, 4.0))) if not SICK + 3 <= k < 600]
    found = told(records)
    assert [(one.status, at(one)) for one in found] == [("open", 0), ("resolved", 200)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_life_of_alerts_does_not_depend_on_the_cut(seed: int) -> None:
    batch = metrics_of(story((SICK, SICK + 5, 1.5), (SICK + 5, SICK + 70, 5.0), (640, 642, 3.0)))
    whole = SystemState()
    expected = whole.step(batch).outputs[SYSTEM_ANOMALY]
    cut = SystemState()
    run_cut(cut, batch, seed)
    assert cut.digest() == whole.digest()
    assert len(expected.row) >= 4


def maintenance(begin: int, end: int, node: str = "n0", **more: object) -> AnomalyFeedback:
    """Of records `[begin, end)` after the fault's begin."""
    first, last = (START_MS + (SICK + k) * STEP_MS for k in (begin, end))
    return AnomalyFeedback(True, node_id=node, timestamp=first, maintenance_until=last, **more)  # type: ignore[arg-type]


def test_a_maintenance_window_hushes_and_says_so() -> None:
    state = SystemState()
    change = state.control(word(maintenance(-5, 60))).outputs[SYSTEM_THRESHOLD].columns
    assert change["before"] == change["after"]
    assert change["reason"][0].startswith("maintenance from")
    batch = metrics_of(story((SICK, SICK + 30, 4.0)))
    result = state.step(batch)
    assert not [one for one in alerts(result, batch.origin) if one.anomaly_type == "latency_spike"]
    scores = result.outputs[SYSTEM_SCORE].columns
    assert np.flatnonzero(scores["suppressed"])[:30].tolist() == list(range(SICK, SICK + 30))
    assert np.asarray(scores["is_anomaly"])[SICK : SICK + 30].all()
    assert state.gauges()["anomaly_suppressed"][0] >= 30


@pytest.mark.parametrize(("node", "hushed"), [("n0", True), ("*", True), ("n1", False), ("a:b", False)])
def test_a_window_is_of_its_node_or_of_all(node: str, hushed: bool) -> None:
    state = SystemState()
    state.control(word(maintenance(-5, 60, node)))
    assert bool(told(story((SICK, SICK + 30, 4.0)), state)) != hushed


def test_what_lasts_beyond_the_window_is_alerted_then() -> None:
    state = SystemState()
    state.control(word(maintenance(0, 10)))
    assert next(at(one) for one in told(story((SICK, SICK + 30, 4.0)), state)) == 10


def test_a_window_outlives_the_worker_and_goes_with_what_is_undone() -> None:
    state, successor = SystemState(), SystemState()
    before = state.checkpoint([])
    state.control(word(maintenance(-5, 60)))
    for piece in state.capture(whole=True):
        successor.load(piece)
    state.rollback(before)
    records = story((SICK, SICK + 20, 5.0))
    assert [bool(told(records, one)) for one in (successor, state)] == [False, True]


def test_a_window_can_be_cancelled() -> None:
    state = SystemState()
    state.control(word(maintenance(0, 60)))
    said = state.control(word(maintenance(0, 60, undo=True), 1)).outputs[SYSTEM_THRESHOLD].columns
    assert said["reason"] == ["maintenance cancelled"]
    assert next(at(one) for one in told(story((SICK, SICK + 30, 4.0)), state)) == 0


def test_maintenance_is_not_learned_from() -> None:
    hushed, open_eyed = SystemState(), SystemState()
    hushed.control(word(maintenance(0, 200)))
    records = story((SICK, SICK + 200, 1.3))
    batch = metrics_of(records[: SICK + 200])
    for state in (hushed, open_eyed):
        state.step(batch)
    after = [metrics(records[SICK + 200].timestamp, latency_mean=5 * NORMAL["latency_mean"])]
    means = []
    for state in (hushed, open_eyed):
        one = state.step(metrics_of(after)).outputs[SYSTEM_ANOMALY].columns["baseline_comparison"][0]["latency_mean"]
        means.append(one.baseline_mean)
    assert means[0] == pytest.approx(NORMAL["latency_mean"], rel=0.05)
    assert means[1] > means[0]


def test_the_window_that_ends_first_makes_room() -> None:
    held = Maintenance()
    for k in range(WINDOWS + 1):
        held.announce(f"n{k}", 0, 1000 + k)
    when = np.array([500], np.int64)
    assert [bool(held.hushed([b"n%d" % k], when)[0]) for k in (0, 1, WINDOWS)] == [False, True, True]


@pytest.mark.parametrize(
    ("feedback", "say"),
    [
        (AnomalyFeedback(True), "send anomaly_id"),
        (AnomalyFeedback(True, node_id="n", maintenance_until=5), "from when"),
        (AnomalyFeedback(True, timestamp=1, maintenance_until=5), "which node"),
        (AnomalyFeedback(False, node_id="n", timestamp=1, maintenance_until=5), "send false_positive true"),
        (AnomalyFeedback(True, node_id="n", timestamp=5, maintenance_until=5), "must be after"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_send(feedback: AnomalyFeedback, say: str) -> None:
    with pytest.raises(ValidationError, match=say):
        SystemState().control(word(feedback))


def test_other_controls_do_not_concern_it() -> None:
    state = SystemState()
    before = state.digest()
    assert not state.control(word(AnomalyFeedback(True, "x.unknown"), kind="model.swap")).outputs
    assert state.digest() == before
