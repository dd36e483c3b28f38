"""What a worker would have known: its own features and forecasts, and the right sample to meet."""

from __future__ import annotations

import numpy as np
import pytest

from offline.training.bandwidth_trace import find_targets, trace
from online_models.bandwidth.state import NetworkState
from schemas.network import HORIZON_MS, TARGETS
from schemas.topic import NETWORK_FEATURES, NETWORK_FORECAST
from tests.offline.training.link_samples import MINUTE_MS, make_records, table_of
from tests.online_models.stream import samples_of

PREDICTED = ("bandwidth_mbps", "latency_ms", "packet_loss", "jitter_ms")


@pytest.mark.parametrize("seed", range(2))
def test_features_and_forecasts_are_the_workers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    records = [r for r in make_records(90, 5, seed) if rng.random() > 0.2]  # gaps
    samples = table_of(records)
    in_order = sorted(records, key=lambda r: r.timestamp)
    outputs = NetworkState().step(samples_of(in_order)).outputs
    found = trace(samples, HORIZON_MS)
    back = np.lexsort((found.link, found.time_ms))  # to the order of time
    features = np.asarray(outputs[NETWORK_FEATURES].columns["features"])
    np.testing.assert_array_equal(found.feature[back], features.astype(np.float32))
    forecasts = outputs[NETWORK_FORECAST].columns
    published = np.column_stack([forecasts[f"predicted_{name}"] for name in PREDICTED])
    np.testing.assert_allclose(found.published[back], published, rtol=1e-12)


def test_repeated_and_shuffled_samples_change_nothing() -> None:
    records = make_records(60, 3)
    twice = [records[k % len(records)] for k in np.random.default_rng(0).permutation(2 * len(records))]
    one, other = trace(table_of(records), HORIZON_MS), trace(table_of(twice), HORIZON_MS)
    for name in ("time_ms", "link", "age", "feature", "context", "published", "target"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_persistence_and_moving_average_are_what_they_say() -> None:
    records = make_records(40, 2)
    found = trace(table_of(records), HORIZON_MS)
    value = found.feature[:, :4]
    np.testing.assert_allclose(found.bar[:, 0], value, rtol=1e-6)
    for i in range(len(found)):
        tail = value[i - min(found.age[i], 9) : i + 1]
        np.testing.assert_allclose(found.bar[i, 1], tail.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_targets_equal_a_slow_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    link = np.repeat([0, 1, 2], 50)
    time_ms = np.concatenate([np.sort(rng.choice(4000, 50, replace=False)) * 1000 for _ in range(3)])
    value = rng.normal(size=(150, 4))
    found = find_targets(link, time_ms, value, HORIZON_MS)
    for i in range(150):
        away = np.where(link == link[i], np.abs(time_ms - time_ms[i] - HORIZON_MS), 10**9)
        if away.min() <= 30_000:
            np.testing.assert_array_equal(found[i], value[np.argmin(away)])
        else:
            assert np.isnan(found[i]).all()


@pytest.mark.parametrize(("off_ms", "meets"), [(-30_000, True), (30_000, True), (30_001, False), (-30_001, False)])
def test_a_target_is_at_most_half_a_minute_off(off_ms: int, meets: bool) -> None:
    time_ms = np.array([0, HORIZON_MS + off_ms])
    found = find_targets(np.zeros(2, np.int64), time_ms, np.ones((2, 4)), HORIZON_MS)
    assert np.isfinite(found[0]).all() == meets


def test_another_links_sample_is_no_target() -> None:
    found = find_targets(np.array([0, 1]), np.array([0, HORIZON_MS]), np.ones((2, 4)), HORIZON_MS)
    assert np.isnan(found).all()


def test_the_future_changes_nothing_known_before() -> None:
    records = make_records(80, 2)
    early = [r for r in records if r.timestamp < records[0].timestamp + 50 * MINUTE_MS]
    whole, part = trace(table_of(records), HORIZON_MS), trace(table_of(early), HORIZON_MS)
    same = np.isin(whole.time_ms * 10 + whole.link, part.time_ms * 10 + part.link)
    for name in ("feature", "context", "published", "bar"):
        np.testing.assert_array_equal(getattr(whole, name)[same], getattr(part, name))
    assert len(TARGETS) == whole.target.shape[1]
