"""Decisions over event time: each stretch is scored by itself, beside the bars of that stretch."""

from __future__ import annotations

import math

import msgspec
import pytest

from streams.demo.course import SelectorCourse

MINUTE_MS = 60_000


def feed(
    course: SelectorCourse, at_ms: int, said: str, best: str, model: str = "selector", version: str = "v1"
) -> None:
    event = f"{at_ms}-{said}-{best}-{version}"
    made = {
        "event_id": event, "node_id": "a", "peer_id": "b", "algorithm": said, "heuristic_algorithm": "AMST",
        "confidence": 0.9, "fallback": False, "model_name": model, "model_version": version, "timestamp": at_ms,
    }  # fmt: skip
    course.prediction(msgspec.json.encode(made))
    utility = {"utility_hde": 4.0, "utility_amst": 1.0} if best == "HDE" else {"utility_hde": 1.0, "utility_amst": 2.0}
    course.label(msgspec.json.encode({"event_id": event, "label": best, **utility}))


@pytest.fixture
def course() -> SelectorCourse:
    found = SelectorCourse()
    for k in range(10):
        feed(found, 1000 * k, "HDE", "HDE", "utility", "online")
    for k in range(10):
        feed(found, MINUTE_MS + 1000 * k, "HDE", "HDE" if k < 4 else "AMST")
    found.ceiling({"time_ms": 0, "scored": 100, "right": 97})
    found.ceiling({"time_ms": MINUTE_MS, "scored": 100, "right": 91})
    return found


def test_a_period_is_scored_by_itself(course: SelectorCourse) -> None:
    assert course.period(0, MINUTE_MS)["accuracy"] == 1.0
    late = course.period(MINUTE_MS, math.inf)
    assert late == {
        "scored": 10, "accuracy": 0.4, "majority": 0.6, "heuristic": 0.6, "ceiling": pytest.approx(0.91),
        "regret": pytest.approx(0.6 * 0.5),
    }  # fmt: skip
    assert course.scored_since(MINUTE_MS) == 10
    assert course.summary()["scored"] == 20


def test_a_stretch_without_decisions_has_no_figures(course: SelectorCourse) -> None:
    assert set(course.period(10 * MINUTE_MS, math.inf).values()) == {0, None}


def test_trained_versions_are_told_apart_from_the_online_model(course: SelectorCourse) -> None:
    assert course.newest_ms == MINUTE_MS + 9000
    assert course.decided == {"v1": 10}


def test_the_course_is_cut_into_buckets(course: SelectorCourse) -> None:
    first, second = course.buckets(MINUTE_MS)
    assert (first.accuracy, second.accuracy) == (1.0, 0.4)
    assert (first.ceiling, second.majority) == (0.97, 0.6)
