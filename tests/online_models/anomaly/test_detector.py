"""The generic detector: finds what is put in, at any scale and period, and keeps to its budget."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.anomaly.detector import SERIES, Detector
from online_models.anomaly.expectation import METRIC
from online_models.anomaly.kind import kind_of
from online_models.anomaly.liveliness import learn_habit
from online_models.anomaly.tail import TAIL, learn_score, quantile_of, threshold_of

ROWS = 8000
EVENT = 6000


def _times(period_s: float, rows: int = ROWS) -> np.ndarray:
    return 1_700_000_000_000 + np.arange(rows) * int(period_s * 1000)


def _noise(seed: int, rows: int = ROWS, metrics: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(50, 3, (rows, metrics))


def _alerts(values: np.ndarray, period_s: float = 60.0, train: float = 0.15) -> np.ndarray:
    detector = Detector([f"m{j}" for j in range(values.shape[1])])
    time_ms = _times(period_s, len(values))
    trained = int(train * len(values))
    first = detector.step(time_ms[:trained], values[:trained])
    detector.freeze()
    rest = detector.step(time_ms[trained:], values[trained:])
    assert np.isfinite(np.concatenate([first.score, rest.score])).all()
    return np.concatenate([first.alert, rest.alert])


def _spike(x: np.ndarray) -> None:
    x[EVENT : EVENT + 5] += 40


def _dropout(x: np.ndarray) -> None:
    x[EVENT : EVENT + 5] = 0


def _level(x: np.ndarray) -> None:
    x[EVENT:] += 40


def _flat(x: np.ndarray) -> None:
    x[EVENT : EVENT + 40] = 50.0


def _restless(x: np.ndarray) -> None:
    x[EVENT : EVENT + 60] += 4 * (x[EVENT : EVENT + 60] - 50)


DISTURBANCES = [
    pytest.param(disturb, within, id=disturb.__name__[1:])
    for disturb, within in [(_spike, 0), (_dropout, 0), (_level, 0), (_flat, 15), (_restless, 40)]
]


@pytest.mark.parametrize(("disturb", "within"), DISTURBANCES)
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_put_in_is_found_once_and_soon(disturb, within: int, seed: int) -> None:
    values = _noise(seed)
    disturb(values)
    alert = _alerts(values)
    first = int(np.argmax(alert[EVENT:]))
    assert alert[EVENT + first]
    assert first <= within
    assert alert[:EVENT].sum() < 0.005 * EVENT
    assert alert[EVENT + 200 :].sum() < 0.01 * (ROWS - EVENT)  # a lasting change ends as an alert


@pytest.mark.parametrize("period_s", [5, 60, 300, 3600])
def test_noise_keeps_to_the_budget(period_s: int) -> None:
    values = _noise(3)
    starts = int((np.diff(_alerts(values, period_s).astype(int)) == 1).sum())
    assert starts <= max(2.0, 1.0 * ROWS * period_s / 86_400)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e9])
@pytest.mark.parametrize("offset", [-100.0, 0.0])
def test_alerts_do_not_depend_on_the_unit(scale: float, offset: float) -> None:
    values = _noise(4) + offset
    _spike(values)
    np.testing.assert_array_equal(_alerts(scale * values), _alerts(values))


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_nothing_is_said_of_a_constant(value: float) -> None:
    assert not _alerts(np.full((ROWS, 2), value)).any()


def test_missing_values_and_a_dead_metric_hide_nothing() -> None:
    values = np.column_stack([_noise(5), np.zeros(ROWS), np.full(ROWS, np.nan)])
    values[np.random.default_rng(5).random(ROWS) < 0.3, 0] = np.nan
    values[EVENT : EVENT + 5, 0] = 100
    assert _alerts(values)[EVENT : EVENT + 5].any()


def test_a_value_that_is_usual_at_another_time_of_day_is_found() -> None:
    rng = np.random.default_rng(6)
    rows = 24 * 12 * 20
    values = (50 + 20 * np.sin(np.arange(rows) * 2 * np.pi / 288) + rng.normal(0, 2, rows))[:, None]
    peak = 288 * 15 + 72
    values[peak : peak + 12] -= 20
    alert = _alerts(values, 300)
    assert alert[peak : peak + 3].any()
    assert alert[288:peak].sum() <= 15  # the days themselves raise nothing


def test_several_metrics_a_little_off_are_found_where_none_alone_is() -> None:
    values = _noise(7, metrics=12)
    together, alone = values.copy(), values.copy()
    together[EVENT : EVENT + 4] += 9
    alone[EVENT : EVENT + 4, 0] += 9
    assert _alerts(together)[EVENT : EVENT + 4].all()
    assert not _alerts(alone)[EVENT : EVENT + 4].any()


def _restless_crowd(seed: int) -> np.ndarray:
    """Thirty metrics, of which one and then all go wild every few hours, and one more that is steady."""
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 3, (ROWS, 31))
    for at in range(200, ROWS, 250):
        values[at : at + 3, :30] += 60.0
    return values


def test_a_steady_metric_is_heard_among_restless_ones() -> None:
    values = _restless_crowd(13)
    quiet = _alerts(values)
    values[EVENT + 25 : EVENT + 28, 30] += 300
    assert _alerts(values)[EVENT + 25 : EVENT + 28].all()
    assert not quiet[EVENT + 25 : EVENT + 28].any()


def test_what_a_metric_does_often_becomes_its_habit_and_is_forgotten_in_weeks() -> None:
    metric = np.zeros(1, METRIC)[0]
    surprises = []
    for _ in range(6):
        surprises.append(5.0 - float(metric["habit"]))
        learn_habit(metric, 5.0, 60_000.0)
    assert surprises == sorted(surprises, reverse=True)
    assert surprises[0] == 5.0
    assert surprises[-1] < 0.2
    for _ in range(28 * 1440):
        learn_habit(metric, 0.0, 60_000.0)
    assert 0.5 < metric["habit"] < 1.0


@pytest.mark.parametrize("share", [0.01, 0.03])
def test_anomalies_in_the_training_part_do_not_hide_later_ones(share: float) -> None:
    values = _noise(8)
    trained = int(0.15 * ROWS)
    at = np.random.default_rng(8).integers(0, trained, int(share * trained))
    values[at] += 60
    _spike(values)
    assert _alerts(values)[EVENT : EVENT + 5].sum() >= 4


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_incidents_of_a_short_training_part_do_not_hide_later_ones(seed: int) -> None:
    values = _noise(seed, 1200, 30)
    for at in (60, 100, 140):
        values[at : at + 2, :12] += 60
    values[600:604, :8] += 30
    assert _alerts(values)[600:604].any()
    assert not _alerts(values)[200:600].any()


@pytest.mark.parametrize("cut", [1, 7, 333])
def test_findings_do_not_depend_on_the_cut(cut: int) -> None:
    values = _noise(9, metrics=3)
    _spike(values)
    whole, pieces = Detector("abc"), Detector("abc")
    found = whole.step(_times(60), values)
    parts = [pieces.step(_times(60)[at : at + cut], values[at : at + cut]) for at in range(0, ROWS, cut)]
    for name in found._fields:
        np.testing.assert_array_equal(getattr(found, name), np.concatenate([getattr(part, name) for part in parts]))
    assert whole.metric.tobytes() == pieces.metric.tobytes()
    assert whole.series.tobytes() == pieces.series.tobytes()


def test_a_frozen_threshold_stays_and_scores_follow_it() -> None:
    detector = Detector(["a"])
    detector.step(_times(60)[:1000], _noise(10)[:1000])
    detector.freeze()
    before = detector.threshold
    found = detector.step(_times(60)[1000:], 3 * _noise(11)[1000:])
    assert detector.threshold == before > 0
    assert 0.5 < found.score[found.alert].max() < 1.0


def test_states_have_no_hidden_bytes() -> None:
    for dtype in (SERIES, METRIC):
        assert dtype.itemsize == sum(dtype[name].itemsize for name in dtype.names)


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("alarms_per_day", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("power", [0.3, 0.6])
def test_a_threshold_is_exceeded_about_as_often_as_the_budget_says(alarms_per_day: float, power: float, k: int) -> None:
    rng = np.random.default_rng(12)
    series = np.zeros(1, [*TAIL])[0]
    for score in rng.exponential(power, 3000):
        learn_score(series, k, score, np.inf, 1.0)
    threshold = threshold_of(series, k, 60_000.0, alarms_per_day)
    expected = power * np.log(1440 / alarms_per_day)
    assert threshold == pytest.approx(expected, rel=0.15)
    assert quantile_of(series, k, 0.9) == pytest.approx(power * np.log(10), rel=0.1)


@pytest.mark.parametrize(
    ("deviations", "value", "kind"),
    [
        ({"PodServerLatencyP90(s)": 240.0, "CpuUsage(m)": 1.0}, 90.0, "latency_spike"),
        ({"PodServerLatencyP90(s)": 240.0, "CpuUsage(m)": 40.0}, 90.0, "resource_exhaustion"),
        ({"PodServerLatencyP90(s)": 240.0, "CpuUsageRate(%)": 2.9}, 90.0, "resource_exhaustion"),
        ({"PodServerLatencyP90(s)": 240.0, "CpuUsageRate(%)": 2.9}, 80.0, "latency_spike"),
        ({"PodServerLatencyP90(s)": 240.0, "NodeMemoryUsageRate(%)": 19.0}, 80.0, "latency_spike"),
        ({"SuccessRate(%)": -8.0, "rtt_ms": 40.0}, 90.0, "error_burst"),
        ({"http_5xx": 8.0}, 90.0, "error_burst"),
        ({"requests": -9.0}, 90.0, "throughput_drop"),
        ({"requests": 9.0}, 90.0, "unknown"),
        ({"latency": -9.0}, 90.0, "unknown"),
        ({"compression_ratio": -4.0}, 90.0, "compression_failure"),
        ({"prediction_accuracy": -4.0}, 90.0, "prediction_error"),
        ({"consensus_time": 4.0}, 90.0, "consensus_delay"),
        ({"x": 40.0, "latency": 1.0}, 90.0, "unknown"),
    ],
)
def test_types_follow_names_directions_and_limits(deviations: dict[str, float], value: float, kind: str) -> None:
    values = np.full(len(deviations), value)
    assert kind_of(list(deviations), np.array(list(deviations.values())), values) == kind
