"""What the live page keeps: bounded, joined by transfer, and found again by id."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from schemas.compression import OracleLabel, SelectorPrediction
from schemas.network import Forecast, NetworkSample
from schemas.system import Anomaly
from schemas.topic import COMPRESSION_LABEL, COMPRESSION_PREDICTION, NETWORK_FORECAST, NETWORK_KEYED, SYSTEM_ANOMALY
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


def test_the_chosen_link_is_shown_and_an_unknown_one_is_the_latest() -> None:
    view = View()
    view.take(NETWORK_FORECAST, [(forecast(link, link), seen(link)) for link in (1, 2, 3)])
    assert view.document("n2:hub")["forecast"][0][0] == 2
    assert view.document("nobody:hub")["link"] == "n3:hub"
    assert view.document()["links"] == ["n1:hub", "n2:hub", "n3:hub"]


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
    ((at, accuracy, heuristic, majority, regret, rule_regret),) = view.document()["selector"]
    assert (at, accuracy, heuristic, majority) == (1000, 0.75, 0.75, 0.75)
    assert (regret, rule_regret) == pytest.approx((0.1, 0.1))
