"""What the live page keeps: bounded, joined by transfer, and found again by id."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from schemas.capacity import CapacityForecast
from schemas.compression import OracleLabel, SelectorPrediction
from schemas.network import Forecast, ForecastScore, NetworkSample
from schemas.system import Anomaly
from schemas.topic import (
    CAPACITY_FORECAST,
    COMPRESSION_LABEL,
    COMPRESSION_PREDICTION,
    NETWORK_FORECAST,
    NETWORK_KEYED,
    NETWORK_SCORE,
    SYSTEM_ANOMALY,
)
from streams.web.view import Seen, View
from tests.streams.web.example import example


def seen(offset: int, timestamp_ms: int = 0) -> Seen:
    return Seen("t", 0, offset, timestamp_ms, "k", b"{}")


FORECAST = example(Forecast)


def forecast(link: int, at: int) -> Forecast:
    return replace(FORECAST, id=f"f/{link}/{at}:network.forecast", node_id=f"n{link}", peer_id="hub", target_time=at)


def test_a_forecast_is_drawn_at_its_target_time_beside_the_sample() -> None:
    view = View()
    view.take(NETWORK_FORECAST, [(forecast(1, 900_000), seen(1))])
    sample = example(NetworkSample, node_id="n1", peer_id="hub", timestamp=5, throughput_mbps=7.0)
    view.take(NETWORK_KEYED, [(sample, seen(2))])
    document = view.document()
    assert document["link"] == "n1:hub"
    assert document["forecast"][0][0] == 900_000
    assert document["actual"] == [[5, 7.0]]


def test_the_chosen_link_is_shown_and_else_the_one_there_is_most_of() -> None:
    view = View()
    view.take(NETWORK_FORECAST, [(forecast(link, link), seen(link)) for link in (1, 2, 3)])
    assert view.document("n2:hub")["forecast"][0][0] == 2
    assert view.document("nobody:hub")["link"] == view.fullest() == "n3:hub", "the latest of equals"
    view.take(NETWORK_FORECAST, [(forecast(1, 9), seen(4)), (forecast(3, 10), seen(5)), (forecast(1, 11), seen(6))])
    assert view.document()["link"] == view.fullest() == "n1:hub"
    assert view.document()["links"] == ["n1:hub", "n2:hub", "n3:hub"]


@pytest.mark.parametrize("score_first", [False, True])
def test_a_residual_is_what_came_less_what_was_forecast(score_first: bool) -> None:
    view = View()
    said = replace(forecast(1, 900_000), prediction_time=7, predicted_bandwidth_mbps=120.0)
    score = example(
        ForecastScore, id="s", node_id="n1", peer_id="hub", timestamp=900_010, prediction_time=7,
        actual=[100.0, 1.0, 0.0, 1.0], persistence_error=[30.0, 0.0, 0.0, 0.0], covered=[True, False, False, False],
    )  # fmt: skip
    work = [(NETWORK_FORECAST, said), (NETWORK_SCORE, score), (NETWORK_SCORE, replace(score, prediction_time=8))]
    for topic, record in reversed(work) if score_first else work:
        view.take(topic, [(record, seen(1))])
    assert view.document("n1:hub")["residual"] == [[900_010, -20.0, 30.0, True, "s"]]


@pytest.mark.parametrize("length", [48, 51])
def test_a_capacity_forecast_is_shown_by_the_whole_day_and_the_latest_one_only(length: int) -> None:
    view = View()
    hour = 3_600_000
    hours = [float(h) for h in range(length)]
    for name in ("old", "new"):
        record = example(
            CapacityForecast, id=name, scope="fleet", resource="cpu", first_target_time=0, step_ms=hour,
            predicted=hours, lower=[h - 1 for h in hours], upper=[h + 1 for h in hours],
            critical_probability=[h / 100 for h in hours],
        )  # fmt: skip
        view.take(CAPACITY_FORECAST, [(record, seen(1))])
    (shown,) = view.document()["capacity"]
    assert shown["id"] == "new"
    assert shown["days"] == [[0, 23.0, -1.0, 24.0, 0.23], [24 * hour, 47.0, 23.0, 48.0, 0.47]]


def test_without_forecasts_there_is_no_link() -> None:
    assert (View().fullest(), View().document()["link"]) == ("", "")


def test_memory_is_bounded() -> None:
    view = View()
    for link in range(70):
        view.take(NETWORK_FORECAST, [(forecast(link, at), seen(at)) for at in range(300)])
    document = view.document()
    assert len(document["links"]) == 64
    assert len(document["forecast"]) == 240
    assert document["counts"]["network.forecast"] == 21_000
    anomaly = example(Anomaly)
    anomalies = [(replace(anomaly, id=f"a{i}"), seen(i)) for i in range(500)]
    view.take(SYSTEM_ANOMALY, anomalies)
    assert [a["id"] for a in view.records("system.anomaly")] == [f"a{i}" for i in range(499, 399, -1)]
    assert view.find("a499") == seen(499)
    assert view.find("f/0/0:network.forecast") is None


@pytest.mark.parametrize("labels_first", [False, True])
def test_decisions_are_scored_once_their_label_is_there(labels_first: bool) -> None:
    view = View()
    said = ["HDE", "HDE", "AMST", "AMST"]
    rule = ["HDE", "AMST", "AMST", "HDE"]
    best = ["HDE", "HDE", "AMST", "HDE"]
    decided = [
        example(SelectorPrediction, event_id=f"e{i}", algorithm=a, heuristic_algorithm=h)
        for i, (a, h) in enumerate(zip(said, rule, strict=True))
    ]
    labels = [example(OracleLabel, event_id=f"e{i}", label=b, margin=0.4, timestamp=1000) for i, b in enumerate(best)]
    work = [(COMPRESSION_PREDICTION, decided), (COMPRESSION_LABEL, labels)]
    for topic, records in reversed(work) if labels_first else work:
        view.take(topic, [(one, seen(i)) for i, one in enumerate(records)])
    ((at, accuracy, heuristic, majority, regret, rule_regret, record),) = view.document()["selector"]
    assert record == "x"
    assert (at, accuracy, heuristic, majority) == (1000, 0.75, 0.75, 0.75)
    assert (regret, rule_regret) == pytest.approx((0.1, 0.1))
