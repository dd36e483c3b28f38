"""Published records are scored beside the baseline they have to beat."""

from __future__ import annotations

import msgspec
import pytest

from streams.demo.score import BandwidthScore, SelectorScore


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
