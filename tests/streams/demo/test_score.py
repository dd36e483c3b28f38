"""Published records are scored beside the baseline they have to beat."""

from __future__ import annotations

import msgspec
import pytest

from streams.demo.score import FAULT_GRACE_MS, Announced, BandwidthScore, Fault, SelectorScore, score_faults


def label(event: int, best: str, hde: float, amst: float) -> bytes:
    return msgspec.json.encode({"event_id": str(event), "label": best, "utility_hde": hde, "utility_amst": amst})


def prediction(event: int, algorithm: str, heuristic: str) -> bytes:
    return msgspec.json.encode(
        {
            "event_id": str(event), "node_id": "a", "peer_id": "b", "algorithm": algorithm,
            "heuristic_algorithm": heuristic, "confidence": 0.9, "fallback": False, "model_name": "m",
        }
    )  # fmt: skip


@pytest.mark.parametrize("label_first", [True, False])
def test_selector_is_scored_whichever_side_arrives_first(label_first: bool) -> None:
    score = SelectorScore()
    rows = [(label(i, best, h, a), prediction(i, said, "AMST")) for i, (best, h, a, said) in enumerate(
        [("HDE", 10.0, 5.0, "HDE"), ("HDE", 10.0, 8.0, "AMST"), ("AMST", 1.0, 2.0, "AMST"), ("HDE", 4.0, 1.0, "HDE")]
    )]  # fmt: skip
    for one_label, one_prediction in rows:
        if label_first:
            score.label(one_label)
            score.prediction(one_prediction)
        else:
            score.prediction(one_prediction)
            score.label(one_label)
    assert score.summary() == {
        "scored": 4,
        "accuracy": 0.75,
        "majority": 0.75,
        "heuristic": 0.25,
        "regret": pytest.approx(0.2 / 4),
        "heuristic_regret": pytest.approx((0.5 + 0.2 + 0.75) / 4),
    }


def test_nothing_scored_is_none_not_zero() -> None:
    assert SelectorScore().summary()["accuracy"] is None
    assert BandwidthScore().summary()["mae"] is None


def test_bandwidth_error_stands_beside_persistence() -> None:
    score = BandwidthScore()
    for error in (1.0, 3.0):
        score.score(
            msgspec.json.encode(
                {
                    "error": [error] * 4,
                    "persistence_error": [2 * error] * 4,
                    "moving_average_error": [3 * error] * 4,
                    "covered": [True, True, False, error > 2],
                }
            )
        )
    summary = score.summary()
    assert (summary["mae"], summary["mae_persistence"], summary["mae_moving_average"]) == (2.0, 4.0, 6.0)
    assert summary["targets"]["jitter_ms"]["coverage_90"] == 0.5


def test_faults_are_found_typed_and_told_from_false_announcements() -> None:
    truth = [
        Fault("anomaly", "latency_spike", "n1", 1000, 2000),
        Fault("anomaly", "error_burst", "n1", 500_000, 600_000),
        Fault("anomaly", "error_burst", "n2", 1000, 2000),
        Fault("anomaly", "latency_spike", "n1:n2", 1000, 2000),
        Fault("drift", "hde_cost", "*", 0, 9_000_000),
    ]
    announced = [
        Announced(1500, "n1", "latency_spike", "high", 0.6),
        Announced(600_000 + FAULT_GRACE_MS, "n1", "latency_spike", "low", 0.5),
        Announced(999, "n2", "error_burst", "low", 0.5),
        Announced(1500, "n3", "unknown", "low", 0.5),
    ]
    assert score_faults(truth, announced) == {"injected": 3, "found": 2, "typed": 1, "outside": 2}
