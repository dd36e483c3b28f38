"""Links, hosts and TCP: the documented model, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from offline.simulator.ar import AutoRegression
from offline.simulator.cycle import daily, is_weekend, local_hour
from offline.simulator.host import METRIC_LEVELS, Hosts, complete
from offline.simulator.link import CONGESTED, FAILED, LEVELS, NORMAL, Links, Overlay
from offline.simulator.probe import probe
from offline.simulator.tcp import mathis_mbps, parallel_mbps
from schemas.field import LINK_TYPES
from schemas.system import ANOMALY_TYPES, METRICS

MONDAY_MS = 1_767_571_200_000
HOUR_MS = 3_600_000


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def links(n: int = 40) -> Links:
    return Links(rng(), np.arange(n) % 4, np.zeros(n))


def test_mathis_is_the_published_formula() -> None:
    # 1460 bytes, 100 ms, p = 1e-4: 1460 * 8 / 0.1 * sqrt(1.5) / 0.01 bit/s
    assert mathis_mbps(100.0, 1e-4) == pytest.approx(1460 * 8 / 0.1 * 1.5**0.5 / 0.01 / 1e6)


@pytest.mark.parametrize(("rtt_factor", "loss_factor", "expected"), [(2, 1, 0.5), (1, 4, 0.5), (0.5, 0.25, 4.0)])
def test_mathis_scales(rtt_factor: float, loss_factor: float, expected: float) -> None:
    assert mathis_mbps(30 * rtt_factor, 1e-3 * loss_factor) == pytest.approx(expected * mathis_mbps(30, 1e-3))


def test_without_loss_only_the_path_limits() -> None:
    assert mathis_mbps(10.0, 0.0) == np.inf
    assert parallel_mbps(1, 10.0, 0.0, 300.0) == 300.0


@pytest.mark.parametrize("streams", [1, 2, 8, 64, 1024])
def test_streams_add_up_until_the_path_is_full(streams: int) -> None:
    one = float(mathis_mbps(50.0, 1e-3))
    assert parallel_mbps(streams, 50.0, 1e-3, 100.0) == pytest.approx(min(streams * one, 100.0))


@pytest.mark.parametrize("type_", LINK_TYPES)
def test_links_keep_their_type_level(type_: str) -> None:
    process = Links(rng(3), np.full(400, LINK_TYPES.index(type_)), np.zeros(400))
    state = process.state(MONDAY_MS, Overlay.none(400))
    assert np.median(process.capacity_mbps) == pytest.approx(LEVELS[type_].capacity_mbps, rel=0.1)
    assert np.median(process.base_rtt_ms) == pytest.approx(LEVELS[type_].rtt_ms, rel=0.1)
    assert (state.available_mbps < state.capacity_mbps).all()
    assert (state.throughput_mbps <= state.available_mbps).all()


def test_more_demand_means_less_bandwidth_more_delay_and_loss() -> None:
    process = links()
    quiet, busy = Overlay.none(40), Overlay.none(40)
    quiet.demand_logit[:], busy.demand_logit[:] = -1.0, 1.0
    low, high = process.state(MONDAY_MS, quiet), process.state(MONDAY_MS, busy)
    assert (high.utilization > low.utilization).all()
    assert (high.available_mbps < low.available_mbps).all()
    assert (high.rtt_ms > low.rtt_ms).all()
    assert (high.loss > low.loss).all()
    assert (high.jitter_ms > low.jitter_ms).all()


@pytest.mark.parametrize(("regime", "worse"), [(CONGESTED, True), (FAILED, True), (NORMAL, False)])
def test_regimes_hurt(regime: int, worse: bool) -> None:
    process = links()
    before = process.state(MONDAY_MS, Overlay.none(40))
    process.regime[:] = regime
    after = process.state(MONDAY_MS, Overlay.none(40))
    assert (after.throughput_mbps < before.throughput_mbps).all() == worse
    assert (after.loss > before.loss).all() == worse


def test_overlays_are_factors() -> None:
    process, overlay = links(), Overlay.none(40)
    overlay.capacity[:], overlay.rtt[:] = 0.5, 3.0
    plain, changed = process.state(MONDAY_MS, Overlay.none(40)), process.state(MONDAY_MS, overlay)
    assert changed.capacity_mbps == pytest.approx(0.5 * plain.capacity_mbps)
    assert changed.rtt_ms == pytest.approx(3.0 * plain.rtt_ms)


def test_episodes_come_and_go() -> None:
    process = links(200)
    seen = np.zeros((3, 200))
    for _ in range(1440):
        process.step()
        seen[process.regime, np.arange(200)] += 1
    assert (seen[CONGESTED] > 0).mean() > 0.3
    assert 0.002 < seen[CONGESTED].sum() / seen.sum() < 0.1
    assert seen[NORMAL].sum() / seen.sum() > 0.9


def test_regimes_ahead_are_the_chain_iterated() -> None:
    process = Links(rng(), np.full(1, LINK_TYPES.index("edge")), np.zeros(1))
    process.regime[:] = CONGESTED
    share = (process.regime_ahead(rng(5), 15, 20_000, np.arange(1)) == CONGESTED).mean()
    assert share == pytest.approx((1 - 1 / 25) ** 15, abs=0.02)


@pytest.mark.parametrize("steps", [1, 15, 60])
def test_residuals_have_the_stated_autocorrelation(steps: int) -> None:
    process = AutoRegression(rng(), np.array(40.0), (3000,))
    before = process.state
    for _ in range(steps):
        process.step()
    assert np.corrcoef(before, process.state)[0, 1] == pytest.approx(np.exp(-steps / 40), abs=0.05)
    assert process.state.std() == pytest.approx(1, abs=0.05)


def test_draws_ahead_agree_with_stepping() -> None:
    process = AutoRegression(rng(), np.full((4, 1), 30.0), (4, 2))
    process.state = np.full((4, 2), 2.0)
    draws = process.ahead(rng(2), 15, 20_000, np.array([1]))
    assert draws.shape == (20_000, 4, 1)
    assert draws.mean() == pytest.approx(2 * np.exp(-0.5), abs=0.02)
    assert draws.std() == pytest.approx(np.sqrt(1 - np.exp(-1.0)), abs=0.02)


@pytest.mark.parametrize(("hours", "offset", "weekend"), [(0, 0, False), (5 * 24, 0, True), (5 * 24 - 1, 2, True)])
def test_weekends_are_local(hours: int, offset: float, weekend: bool) -> None:
    assert is_weekend(MONDAY_MS + hours * HOUR_MS, offset) == weekend


def test_days_peak_at_the_local_hour() -> None:
    assert local_hour(MONDAY_MS, -5) == 19
    hours = np.arange(24)
    assert hours[np.argmax(daily(hours, 14))] == 14


def test_probes_measure_with_error_but_without_bias() -> None:
    process = links(2000)
    state = process.state(MONDAY_MS, Overlay.none(2000))
    sample = probe(rng(2), state, process.streams)
    assert np.median(sample.throughput_mbps / state.throughput_mbps) == pytest.approx(1, abs=0.01)
    assert sample.packet_loss.sum() == pytest.approx(state.loss.sum(), rel=0.05)
    assert (sample.packet_loss <= 1).all()
    assert (sample.rtt_ms > 0).all()
    assert not np.array_equal(sample.rtt_ms, state.rtt_ms)


def host_samples(minutes: int = 120, nodes: int = 200) -> np.ndarray:
    hosts = Hosts(rng(), np.zeros(nodes))
    return np.concatenate([hosts.step(MONDAY_MS + m * 60_000) for m in range(minutes)])


def test_hosts_have_the_documented_baselines() -> None:
    samples = host_samples()
    for i, (name, level) in enumerate(METRIC_LEVELS.items()):
        assert np.median(samples[:, i]) == pytest.approx(level.mean, abs=0.35 * level.deviation), name
        assert samples[:, i].min() >= level.low
        assert samples[:, i].max() <= level.high


def test_all_metrics_of_the_contract_come_out() -> None:
    columns = complete(rng(), host_samples(1))
    assert set(METRICS) <= set(columns)
    assert (columns["latency_p95"] > columns["latency_mean"]).all()
    assert (columns["latency_p99"] > columns["latency_p95"]).mean() > 0.99


def test_metrics_of_a_host_move_together_with_its_load() -> None:
    names = list(METRIC_LEVELS)
    samples = host_samples(600, 20)
    cpu, latency = samples[:, names.index("cpu_usage")], samples[:, names.index("latency_mean")]
    correlations = [np.corrcoef(cpu[:, n], latency[:, n])[0, 1] for n in range(20)]
    assert np.mean(correlations) > 0.15


@pytest.mark.parametrize(
    ("type_", "metric", "sign"),
    [
        ("latency_spike", "latency_mean", 1),
        ("throughput_drop", "throughput_mean", -1),
        ("error_burst", "error_rate", 1),
        ("resource_exhaustion", "cpu_usage", 1),
        ("compression_failure", "compression_ratio", -1),
        ("prediction_error", "prediction_accuracy", -1),
        ("consensus_delay", "consensus_time", 1),
    ],
)
def test_anomalies_push_their_metric_out_of_its_range(type_: str, metric: str, sign: int) -> None:
    assert type_ in ANOMALY_TYPES
    hosts = Hosts(rng(), np.zeros(3))
    usual = np.concatenate([hosts.step(MONDAY_MS + m * 60_000) for m in range(60)])
    samples = hosts.step(MONDAY_MS)
    healthy = samples.copy()
    rows = np.arange(12) >= 6
    hosts.afflict(samples, type_, 6.0, (rows, 1))
    i = list(METRIC_LEVELS).index(metric)
    z = (samples[6:, i, 1].mean() - usual[:, i, 1].mean()) / usual[:, i, 1].std()
    assert sign * z > 2
    untouched = np.ones_like(samples, bool)
    untouched[rows, :, 1] = False
    assert (samples[untouched] == healthy[untouched]).all()
