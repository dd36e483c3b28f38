"""Gauges add up over partitions, and existing dashboards keep their names."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents import network
from streams.metric import LABELLED, PBA_GAUGES, Gauges, Metrics, StateGauges, TopicGauges, total
from tests.online_models.stream import network_stream, samples_of


@pytest.mark.parametrize(
    ("gauges", "expected"),
    [
        ([], {}),
        ([{"n": (1.0, None)}, {"n": (2.0, None)}], {"n": 3.0}),
        ([{"r": (1.0, 2.0)}, {"r": (5.0, 6.0)}], {"r": 0.75}),
        ([{"r": (0.0, 0.0)}], {}),
        ([{"r": (0.0, 0.0)}, {"r": (1.0, 4.0)}], {"r": 0.25}),
    ],
)
def test_total(gauges: list[Gauges], expected: dict[str, float]) -> None:
    assert total(gauges) == expected


def test_exported_text_parses_and_has_the_existing_names() -> None:
    metrics = Metrics()
    network = {name: (2.0, 4.0) for name, _ in PBA_GAUGES.values()}
    metrics.registry.register(StateGauges(lambda: {"network": [network], "system": [{"nodes": (3.0, None)}]}))
    metrics.registry.register(TopicGauges("dwcp_consumer_lag_records", "Lag", lambda: {"t": 5.0}))
    metrics.pba_predictions.inc(7)
    metrics.pba_latency_ms.observe(0.02)
    families = {f.name: f for f in text_string_to_metric_families(metrics.render().decode())}
    for name in PBA_GAUGES:
        assert families[name].samples[0].value == 0.5
    assert families["dwcp_pba_predictions"].samples[0].name == "dwcp_pba_predictions_total"
    assert "dwcp_pba_retrain" in families
    assert {s.name for s in families["dwcp_pba_prediction_latency_ms"].samples} >= {
        "dwcp_pba_prediction_latency_ms_bucket", "dwcp_pba_prediction_latency_ms_count"
    }  # fmt: skip
    assert families["dwcp_consumer_lag_records"].samples[0].value == 5
    state = {(s.labels["agent"], s.labels["name"]): s.value for s in families["dwcp_state"].samples}
    assert state["system", "nodes"] == 3


def test_gauges_with_labels_are_families_of_their_own() -> None:
    metrics = Metrics()
    name = "link_forecast_mae{horizon=1min,link_type=wan,target=rtt_ms}"
    metrics.registry.register(
        StateGauges(lambda: {"network": [{name: (2.0, 4.0)}, {name: (1.0, 2.0), "n": (1.0, None)}]})
    )
    families = {f.name: f for f in text_string_to_metric_families(metrics.render().decode())}
    (one,) = families["dwcp_link_forecast_mae"].samples
    assert (one.labels, one.value) == ({"horizon": "1min", "link_type": "wan", "target": "rtt_ms"}, 0.5)
    assert [s.labels["name"] for s in families["dwcp_state"].samples] == ["n"]


def test_every_gauge_of_the_network_is_exported_with_labels_of_few_values() -> None:
    state = network.agent.state(horizons=(60_000,))
    state.step(samples_of(network_stream(60, 4)))
    metrics = Metrics()
    metrics.registry.register(StateGauges(lambda: {"network": [state.gauges()]}))
    families = {f.name: f for f in text_string_to_metric_families(metrics.render().decode())}
    assert {f"dwcp_{name}" for name in LABELLED} <= set(families)
    for name in LABELLED:
        for one in families[f"dwcp_{name}"].samples:
            assert set(one.labels) <= {"horizon", "link_type", "target", "against", "expert"}
            assert one.labels["horizon"] in {"1min", "15min"}


def test_no_existing_gauge_is_made_up() -> None:
    metrics = Metrics()
    metrics.registry.register(StateGauges(lambda: {"network": []}))
    assert "dwcp_pba_confidence" not in metrics.render().decode()
