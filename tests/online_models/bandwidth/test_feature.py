"""The 34 features against a slow reference in plain Python."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models.arrival import LATENESS_MS
from online_models.bandwidth.feature import FEATURE_NAMES, FEATURE_SCHEMA, hour_utc, weekday_utc
from online_models.bandwidth.state import NetworkState
from online_models.encoding import bucket, fnv1a_32
from schemas.field import DWCP_MODES, LINK_TYPES, TRANSPORT_TYPES
from schemas.network import NetworkSample
from schemas.topic import NETWORK_FEATURES
from tests.online_models.stream import (
    MINUTE_MS,
    START_MS,
    encoded,
    network_stream,
    run_cut,
    sample,
    samples_of,
)


def _reference(history: list[NetworkSample], s: NetworkSample) -> list[float]:
    """Features of a sample whose link had `history` before it."""
    past = [*history, s]
    at = datetime.fromtimestamp(s.timestamp / 1000, UTC)
    total = s.bytes_tx + s.bytes_rx
    out = [s.throughput_mbps, s.rtt_ms, s.packet_loss, s.jitter_ms, at.hour, at.weekday()]
    out += [s.congestion_window, s.queue_depth, s.retransmits, total]
    out += [s.bytes_tx / (s.bytes_rx + 1), total / (s.throughput_mbps * 1e6 + 1)]
    out += [0.4 * s.packet_loss + 0.3 * s.queue_depth / 100 + 0.3 * s.retransmits / 100]
    for span in (3, 5, 10):
        tail = past[-span:]
        for name in ("throughput_mbps", "rtt_ms", "packet_loss", "jitter_ms"):
            out.append(sum(getattr(p, name) for p in tail) / len(tail))
    for name in ("throughput_mbps", "rtt_ms", "packet_loss"):
        out.append(getattr(s, name) - getattr(past[-2], name) if len(past) > 1 else 0.0)
    out += [bucket(s.region), bucket(s.az), LINK_TYPES.index(s.link_type), DWCP_MODES.index(s.dwcp_mode)]
    return [*out, s.network_tier, TRANSPORT_TYPES.index(s.transport_type)]


def _features(records: list[NetworkSample]) -> np.ndarray:
    return np.asarray(NetworkState().step(samples_of(records)).outputs[NETWORK_FEATURES].columns["features"])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("links", [1, 7])
def test_features_equal_the_reference(seed: int, links: int) -> None:
    rng = np.random.default_rng(seed)
    records = [r for r in network_stream(40, links, seed) if rng.random() > 0.2]  # gaps
    past: dict[str, list[NetworkSample]] = {}
    expected = []
    for record in records:
        history = past.setdefault(record.node_id, [])
        expected.append(_reference(history, record))
        history.append(record)
    found = _features(records)
    past_free = [*range(13), *range(len(FEATURE_NAMES) - 6, len(FEATURE_NAMES))]
    np.testing.assert_allclose(found[:, past_free], np.array(expected)[:, past_free], rtol=1e-12)
    largest = 2.0**-23 * np.abs(np.array(expected)[:, :3]).max()  # a link's past is kept in single precision
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=largest)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), min_size=1, max_size=80),
    st.integers(0, 1000),
)
def test_features_equal_the_reference_however_samples_come(arrivals: list[tuple[int, int]], seed: int) -> None:
    """Gaps, repeats, shuffled and late ones: what is not ahead of its link's newest sample moves no window."""
    rng = np.random.default_rng(seed)
    records, expected = [], []
    past: dict[int, list[NetworkSample]] = {}
    for link, minute in arrivals:
        one = sample(
            START_MS + minute * MINUTE_MS, rate=float(rng.uniform(1.0, 900.0)), rtt=float(rng.uniform(0.1, 90.0)),
            packet_loss=float(rng.uniform(0.0, 0.1)), node_id=f"n{link}", queue_depth=int(rng.integers(50)),
        )  # fmt: skip
        records.append(one)
        history = past.setdefault(link, [])
        newest = history[-1].timestamp if history else -1
        if one.timestamp > newest:
            expected.append(_reference(history, one))
            history.append(one)
        elif one.timestamp >= newest - LATENESS_MS:
            own, seen = _reference([], one), _reference(history[:-1], history[-1])
            expected.append(own[:13] + seen[13:28] + own[28:])
    batch = samples_of(records)
    whole, cut = NetworkState().step(batch), NetworkState()
    assert len(expected) == len(records) - len(whole.rejected)
    found = np.asarray(whole.outputs[NETWORK_FEATURES].columns["features"])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2.0**-23 * 900.0)
    assert run_cut(cut, batch, seed) == encoded([(0, whole)])


def test_a_repeated_sample_has_the_features_of_the_first() -> None:
    records = network_stream(15, 1)
    twice = _features([r for r in records for _ in range(2)])
    np.testing.assert_array_equal(twice[::2], twice[1::2])
    np.testing.assert_array_equal(twice[::2], _features(records))


def test_a_reordered_sample_does_not_move_the_window() -> None:
    records = network_stream(12, 1)
    held = [*records[:5], *records[6:], records[5]]
    without = [*records[:5], *records[6:]]
    np.testing.assert_array_equal(_features(held)[:-1], _features(without))


def test_names_are_the_contract() -> None:
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 34
    assert FEATURE_NAMES[:4] == ("throughput_mbps", "rtt_ms", "packet_loss", "jitter_ms")
    assert FEATURE_NAMES[13:17] == ("throughput_mean_3", "rtt_mean_3", "loss_mean_3", "jitter_mean_3")
    assert len(FEATURE_SCHEMA) == 16


@pytest.mark.parametrize("text", ["", "a", "foobar"])
def test_fnv_1a_known_values(text: str) -> None:
    assert fnv1a_32(text) == {"": 0x811C9DC5, "a": 0xE40C292C, "foobar": 0xBF9CF968}[text]


def test_buckets_keep_zero_for_unknown() -> None:
    assert bucket("") == 0
    assert {bucket(f"region-{k}") for k in range(500)} == set(range(1, 64))


@pytest.mark.parametrize("offset_hours", [0, 1, 23, 24, 100, 5000])
def test_calendar_is_utc_with_monday_zero(offset_hours: int) -> None:
    timestamp = START_MS + offset_hours * 3_600_000
    at = datetime.fromtimestamp(timestamp / 1000, UTC)
    assert (hour_utc(timestamp), weekday_utc(timestamp)) == (at.hour, at.weekday())


def test_an_idle_link_has_finite_features() -> None:
    features = _features([sample(START_MS + k * MINUTE_MS, rate=0.0, rtt=0.0, jitter_ms=0.0) for k in range(3)])
    assert np.isfinite(features).all()
