"""Prometheus metrics of one worker.

New metrics are in base units with bounded labels (topic, agent, reason), never a
node or a link. The `dwcp_pba_*` names are those of existing dashboards, kept
verbatim; they are fed from the gauges of the network state.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric

disable_created_metrics()

Gauges = Mapping[str, tuple[float, float | None]]
"""By name: numerator and denominator; None where values add up. A name may end in labels: `mae{target=rtt_ms}`."""

PBA_GAUGES: Final = {
    "dwcp_pba_current_bandwidth_mbps": ("current_throughput_mbps", "Mean latest bandwidth over the links"),
    "dwcp_pba_current_latency_ms": ("current_rtt_ms", "Mean latest round-trip time over the links"),
    "dwcp_pba_current_packet_loss_ratio": ("current_packet_loss", "Mean latest packet loss over the links"),
    "dwcp_pba_current_jitter_ms": ("current_jitter_ms", "Mean latest jitter over the links"),
    "dwcp_pba_predicted_bandwidth_mbps": ("predicted_throughput_mbps", "Mean bandwidth predicted 15 minutes ahead"),
    "dwcp_pba_sample_count": ("network_samples", "Network samples taken in"),
    "dwcp_pba_prediction_accuracy": ("forecast_accuracy", "1 - mean relative error of scored forecasts"),
    "dwcp_pba_confidence": ("forecast_confidence", "Mean confidence of the latest forecasts"),
    "dwcp_pba_model_version": ("model_version", "Version of the forecasting model"),
}
"""Existing name: gauge of the network state, and its help text."""

_STEP_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_RESTORE_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_AGE_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
_PBA_BUCKETS_MS: Final = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 20, 50, 100)


class Metrics:
    """Counters and histograms that the runner feeds, and gauges read when scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.newest_ms: dict[Hashable, int] = {}
        """Time of the newest record that was processed, by topic and partition."""
        r = self.registry
        ProcessCollector(registry=r)
        self.events_in = Counter("dwcp_events_in", "Records read", ["topic"], registry=r)
        self.events_out = Counter("dwcp_events_out", "Records handed to the producer", ["topic"], registry=r)
        self.dead_letters = Counter(
            "dwcp_dead_letters", "Records sent to the dead-letter topic", ["agent", "reason"], registry=r
        )
        self.late = Counter("dwcp_late_records", "Records too late to be applied", ["agent"], registry=r)
        self.redelivered = Counter(
            "dwcp_redelivered_records", "Records left out because ingest had sent them before", ["agent"], registry=r
        )
        self.misrouted = Counter(
            "dwcp_misrouted_records", "Records elsewhere than murmur2 of their key says", ["topic"], registry=r
        )
        self.skipped = Counter(
            "dwcp_skipped_offsets", "Offsets that held no record any more when they were due", ["agent"], registry=r
        )
        self.replayed = Counter(
            "dwcp_replayed_records", "Records stepped over again, silently, to restore a state", ["agent"], registry=r
        )
        self.snapshot_bytes = Counter("dwcp_snapshot_bytes", "Bytes of published snapshots", ["agent"], registry=r)
        self.restore_seconds = Histogram(
            "dwcp_restore_seconds",
            "Time to restore an agent's states",
            ["agent"],
            buckets=_RESTORE_BUCKETS_S,
            registry=r,
        )
        self.step_seconds = Histogram(
            "dwcp_step_seconds", "Time of one step", ["agent"], buckets=_STEP_BUCKETS_S, registry=r
        )
        self.batch_records = Histogram(
            "dwcp_batch_records", "Records per step", ["agent"], buckets=(1, 10, 100, 1000, 4000, 10_000), registry=r
        )
        self.record_age_seconds = Histogram(
            "dwcp_record_age_seconds",
            "Time from a record's timestamp until its outputs were handed over, of the oldest record of a batch",
            ["agent"],
            buckets=_AGE_BUCKETS_S,
            registry=r,
        )
        self.busy_seconds = Counter(
            "dwcp_busy_seconds", "Time that an agent worked, or waited for outputs to be taken", ["agent"], registry=r
        )
        self.step_failures = Counter(
            "dwcp_step_failures",
            "Batches whose step failed, and which were tried record by record",
            ["agent"],
            registry=r,
        )
        self.pba_predictions = Counter("dwcp_pba_predictions", "Forecasts published", registry=r)
        self.pba_retrain = Counter("dwcp_pba_retrain", "Forecasting models retrained and promoted", registry=r)
        self.pba_latency_ms = Histogram(
            "dwcp_pba_prediction_latency_ms",
            "Time of one forecast, mean over a step",
            buckets=_PBA_BUCKETS_MS,
            registry=r,
        )

        self.model_load_seconds = Histogram(
            "dwcp_model_load_seconds",
            "Time to fetch and verify a model",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
            registry=r,
        )
        self.model_answer_seconds = Histogram(
            "dwcp_model_answer_seconds",
            "Processor time of one call of a trained model",
            ["model"],
            buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05),
            registry=r,
        )
        self.model_rejections = Counter(
            "dwcp_model_rejections", "Announced models that did not verify", ["reason"], registry=r
        )

    def render(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self.registry)


class StateGauges:
    """Collector of the states' gauges, summed over partitions when scraped.

    Parameters
    ----------
    read
        Gives the gauges of every state by agent.
    """

    def __init__(self, read: Callable[[], Mapping[str, Iterable[Gauges]]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """`dwcp_state{agent,name}`, the existing `dwcp_pba_*` names, and a family per gauge with labels of its own."""
        family = GaugeMetricFamily("dwcp_state", "What the agents' states say of themselves", labels=["agent", "name"])
        network: Mapping[str, float] = {}
        labelled: dict[str, GaugeMetricFamily] = {}
        for agent, gauges in self._read().items():
            values = total(gauges)
            for name, value in values.items():
                plain, _, labels = name.partition("{")
                if labels:
                    _add_labelled(labelled, plain, labels[:-1], value)
                else:
                    family.add_metric([agent, name], value)
            if agent == "network":
                network = values
        yield family
        yield from labelled.values()
        for exported, (name, text) in PBA_GAUGES.items():
            if name in network:
                yield GaugeMetricFamily(exported, text, value=network[name])


LABELLED: Final = {
    "link_forecast_scored": "Forecasts met by their samples",
    "link_forecast_mae": "Mean absolute error of scored forecasts, in the target's unit",
    "link_forecast_mape": "Mean error of scored forecasts as a share of the actual value, where that is not 0",
    "link_forecast_coverage": "Share of samples within the 90 % interval they were forecast to lie in",
    "link_forecast_skill": "1 - mean absolute error over that of the bar it is against",
    "link_forecast_expert_ratio": "What an expert missed by, over what persistence did, in spreads of the links",
}
"""Gauges with labels of their own, and their help texts."""


def _add_labelled(families: dict[str, GaugeMetricFamily], name: str, labels: str, value: float) -> None:
    """Add a value whose labels are written `name=value,name=value`."""
    pairs = dict(pair.split("=", 1) for pair in labels.split(","))
    if name not in families:
        families[name] = GaugeMetricFamily(f"dwcp_{name}", LABELLED[name], labels=list(pairs))
    families[name].add_metric(list(pairs.values()), value)


class TopicGauges:
    """Collector of one number per topic, or per something else, read when scraped."""

    def __init__(self, name: str, text: str, read: Callable[[], Mapping[str, float]], label: str = "topic") -> None:
        self._name, self._text, self._read, self._label = name, text, read, label

    def collect(self) -> Iterable[Metric]:
        """One sample per topic."""
        family = GaugeMetricFamily(self._name, self._text, labels=[self._label])
        for topic, value in self._read().items():
            family.add_metric([topic], value)
        yield family


class WorkerGauges:
    """Collector of numbers of the whole worker, read when scraped.

    Parameters
    ----------
    read
        Gives each number and its help text by name.
    """

    def __init__(self, read: Callable[[], Mapping[str, tuple[float, str]]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """One gauge per number."""
        for name, (value, text) in self._read().items():
            yield GaugeMetricFamily(name, text, value=value)


def total(gauges: Iterable[Gauges]) -> dict[str, float]:
    """Gauges over all partitions: ratios of sums, or sums; what has no observations is left out.

    >>> total([{"accuracy": (9.0, 10.0), "links": (3.0, None)}, {"accuracy": (0.0, 5.0), "links": (1.0, None)}])
    {'accuracy': 0.6, 'links': 4.0}
    """
    sums: dict[str, list[float | None]] = {}
    for one in gauges:
        for name, (numerator, denominator) in one.items():
            entry = sums.setdefault(name, [0.0, None])
            entry[0] = (entry[0] or 0.0) + numerator
            if denominator is not None:
                entry[1] = (entry[1] or 0.0) + denominator
    return {
        name: float(n or 0.0) if d is None else float(n or 0.0) / d for name, (n, d) in sums.items() if d is None or d
    }
