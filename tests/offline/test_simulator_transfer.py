"""Transfers: history from the past only, outcomes by the formulas, a mix that can be learned from."""

from __future__ import annotations

import numpy as np
import pytest

from offline.simulator.bank import Bank
from offline.simulator.history import AMST, HDE, WEIGHT, Completions, History
from offline.simulator.link import Links, Overlay
from offline.simulator.outcome import Conditions, Noise, outcome
from offline.simulator.tcp import parallel_mbps
from offline.simulator.transfer import Senders, Transfers, Workload
from online_models.selector.oracle import Measurement, utilities
from schemas.field import LINK_TYPES, PAYLOAD_TYPES

START_MS = 1_767_571_200_000
NODES = 10


def run(bank: Bank, seed: int, minutes: int, rate: float = 0.2, n: int = 40) -> tuple[Links, list[Transfers]]:
    rng = np.random.default_rng(seed)
    links = Links(rng, np.arange(n) % 4, np.zeros(n))
    workload = Workload(rng, bank, links, np.arange(n) % NODES, rate)
    usual = Senders.with_load(np.full(NODES, 0.65))
    batches = []
    for minute in range(minutes):
        links.step()
        at = START_MS + 60_000 * minute
        batches.append(workload.step(at, links.state(at, Overlay.none(n)), usual))
    return links, batches


def hde_is_best(t: Transfers) -> np.ndarray:
    size = t.conditions.size_mib * (1 << 20)
    hde, amst = utilities(Measurement(*t.result), t.seen_bandwidth_mbps, t.seen_rtt_ms, size)
    return np.asarray(hde > amst)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_labels_and_all_link_types_have_their_share(bank: Bank, seed: int) -> None:
    links, batches = run(bank, seed, 240)
    label = np.concatenate([hde_is_best(t) for t in batches])
    type_ = np.concatenate([links.link_type[t.link] for t in batches])
    payload = np.concatenate([t.payload_type for t in batches])
    assert len(label) > 10_000
    # How often HDE wins depends on how fast its codec was measured, perhaps beside other tests.
    assert 0.2 < label.mean() < 0.8
    for i in range(len(LINK_TYPES)):
        assert (type_ == i).mean() > 0.05
    for i in range(len(PAYLOAD_TYPES)):
        assert (payload == i).mean() > 0.05
    # Neither the link type nor the baseline decides alone: there is something to learn.
    assert 0.05 < label[type_ == LINK_TYPES.index("wan")].mean() < 0.95


def reference_history(
    starts: list[tuple[float, int]], known: list[tuple[float, int, int, list[float]]]
) -> list[list[list[float]]]:
    """The definition: each start looks back at the outcomes complete by then, oldest first."""
    seen = []
    for at, link in starts:
        sides = []
        for side in (HDE, AMST):
            mean = [np.nan] * 4
            for _, _, _, values in sorted(k for k in known if k[0] <= at and k[1] == link and k[2] == side):
                mean = [v if m != m else m + WEIGHT * (v - m) for m, v in zip(mean, values, strict=True)]
            sides.append(mean)
        seen.append(sides)
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_history_is_of_the_past_only(seed: int) -> None:
    rng = np.random.default_rng(seed)
    history, starts, known, seen = History(3), [], [], []
    for minute in range(4):
        n = 12
        at = np.sort(rng.uniform(minute * 100, minute * 100 + 100, n))
        link = rng.integers(0, 3, n)
        done = Completions(at + rng.exponential(120, n), link, rng.integers(0, 2, n), rng.random((n, 4)))
        seen.append(history.read(at, link, done, minute * 100 + 100))
        starts += list(zip(at.tolist(), link.tolist(), strict=True))
        known += list(zip(*(c.tolist() for c in done), strict=True))
    assert np.concatenate(seen) == pytest.approx(np.array(reference_history(starts, known)), nan_ok=True)


def test_history_does_not_know_its_own_transfer(bank: Bank) -> None:
    _, batches = run(bank, 5, 2, rate=0.05)
    t = batches[0]
    first = [int(np.flatnonzero(t.link == link)[0]) for link in np.unique(t.link)]
    assert np.isnan(t.history[first]).all()
    assert not np.isnan(batches[1].history[-20:]).all()


def conditions(**changes: float) -> Conditions:
    usual = {
        "available_mbps": 500.0, "rtt_ms": 20.0, "loss": 1e-4, "streams": 16.0, "load": 0.0, "size_mib": 8.0,
        "ratio": 4.0, "encode_ms_per_mib": 4.0, "cpu_ms_per_mib": 4.0,
        "contention": 1.0,
    }  # fmt: skip
    return Conditions(**{name: np.array(value) for name, value in (usual | changes).items()})


SILENCE = Noise(*np.zeros((4,)))


def test_amst_outcome_follows_from_the_link() -> None:
    result = outcome(conditions(), SILENCE)
    rate = float(parallel_mbps(16, 20.0, 1e-4, 500.0))
    assert result.amst_rate_mbps == pytest.approx(rate)
    assert result.amst_latency_ms == pytest.approx(8 * 8.388608 / rate * 1000 + 2 * 20 + 16 * 0.02)


def test_hde_outcome_follows_from_payload_and_link() -> None:
    result = outcome(conditions(), SILENCE)
    rate = float(parallel_mbps(4, 20.0, 1e-4, 500.0))
    assert result.hde_latency_ms == pytest.approx(8 * 4 + 2 * 8.388608 / rate * 1000 + 2 * 20)
    assert result.hde_cpu_pct == pytest.approx(100 * (8 * 4 + 2) / result.hde_latency_ms + 0.5)


@pytest.mark.parametrize(
    ("change", "hde_slower", "amst_slower"),
    [
        ({"load": 0.9}, True, False),
        ({"ratio": 1.0}, True, False),
        ({"loss": 1e-2}, True, True),
        ({"available_mbps": 20.0}, True, True),
        ({"streams": 2.0}, False, True),
        ({"encode_ms_per_mib": 40.0}, True, False),
    ],
)
def test_what_slows_a_transfer(change: dict[str, float], hde_slower: bool, amst_slower: bool) -> None:
    before, after = outcome(conditions(), SILENCE), outcome(conditions(**change), SILENCE)
    assert (after.hde_latency_ms > before.hde_latency_ms) == hde_slower
    assert (after.amst_latency_ms > before.amst_latency_ms) == amst_slower


def test_outcomes_are_within_the_contract(bank: Bank) -> None:
    for t in run(bank, 4, 30)[1]:
        r = t.result
        for percent in (r.hde_cpu_pct, r.amst_cpu_pct, t.seen_utilization_pct):
            assert ((percent >= 0) & (percent <= 100)).all()
        for positive in (r.hde_ratio, r.hde_latency_ms, r.amst_rate_mbps, r.amst_latency_ms, t.seen_bandwidth_mbps):
            assert (positive > 0).all()
        assert np.nanmax(t.seen_entropy, initial=0) <= 8
        assert (np.diff(t.start_ms) >= 0).all()
