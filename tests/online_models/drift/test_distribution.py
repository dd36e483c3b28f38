"""Features against a reference: windows of event time, PSI and KS, whatever the cut."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from agents import compression, network
from online_models.drift.distribution import DAY_MS, LEAST, SAMPLE, Distribution, Drift
from online_models.drift.divergence import binned_ks, binned_psi, ks_distance, psi, reference_edges
from online_models.drift.watch import (
    AnswerWatch,
    ForecasterAnswerWatch,
    ForecasterInputWatch,
    SelectorAnswerWatch,
    SelectorInputWatch,
)
from online_models.parts import Parts
from online_models.selector.state import CompressionState
from schemas.batch import Control
from schemas.binary import Binary
from schemas.drift import DriftAlert
from schemas.model import Manifest, ModelAnnouncement
from schemas.topic import COMPRESSION_PREDICTION, DRIFT_ALERT, NETWORK_FORECAST
from streams.envelope import Envelope
from tests.online_models.stream import encoded, network_stream, run_cut, samples_of, transfer_stream, transfers_of

HOUR = 3_600_000
N = 3000


def days(*parts: np.ndarray, each_ms: int = HOUR // N) -> tuple[np.ndarray, np.ndarray]:
    """Parts of one hour each, one after another: times and values."""
    time_ms = np.concatenate([k * HOUR + np.arange(len(part)) * each_ms for k, part in enumerate(parts)])
    return time_ms, np.concatenate(parts)


def watch(*parts: np.ndarray, names: tuple[str, ...] = ("a",)) -> list[tuple[int, Drift]]:
    time_ms, x = days(*parts)
    return Distribution(names, window_ms=HOUR, least=100).step(time_ms, x.reshape(len(time_ms), -1))


def normal(seed: int, n: int = N, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, n)


def test_the_same_distribution_raises_nothing() -> None:
    assert not watch(*(normal(seed) for seed in range(8)))


@pytest.mark.parametrize(("mean", "level"), [(0.33, "warning"), (0.6, "alert"), (-0.6, "alert")])
def test_a_shift_is_found_when_its_window_ends(mean: float, level: str) -> None:
    found = watch(normal(1), normal(2), normal(3, mean=mean), normal(4))
    assert [(row, drift.statistic, drift.level) for row, drift in found] == [
        (3 * N, "psi", level),
        (3 * N, "ks", level),
    ]
    psi_found, ks_found = (drift for _, drift in found)
    assert psi_found.window == N
    assert psi_found.value > psi_found.threshold == (0.1 if level == "warning" else 0.15)
    assert ks_found.value == pytest.approx(ks_distance(normal(1), normal(3, mean=mean)), abs=0.04)
    assert psi_found.value == pytest.approx(psi(normal(1), normal(3, mean=mean)), abs=0.08)


def test_missing_values_are_a_bin_of_their_own() -> None:
    holes = normal(2)
    holes[::3] = np.nan
    found = watch(normal(1), holes, normal(3))
    assert {drift.statistic for _, drift in found} == {"psi", "ks"}
    assert not watch(holes, holes.copy(), normal(3)[:100])


@pytest.mark.parametrize("values", [np.zeros(N), np.repeat([0.0, 1.0], N // 2), np.full(N, np.nan)])
def test_what_hardly_varies_is_compared_too(values: np.ndarray) -> None:
    assert not watch(values, values.copy(), values.copy())
    assert any(drift.statistic == "psi" for _, drift in watch(values, normal(1) + 5, normal(2)))


def test_windows_with_too_few_rows_go_on() -> None:
    found = watch(normal(1), normal(2, n=50, mean=3.0), normal(3, n=60, mean=3.0), normal(4))
    assert [(row, drift.window) for row, drift in found if drift.statistic == "psi"] == [(N + 110, 110)]


def test_every_feature_is_on_its_own() -> None:
    x = np.column_stack([normal(1, 3 * N), normal(2, 3 * N)])
    x[N : 2 * N, 1] += 1.0
    found = watch(x[:N], x[N : 2 * N], x[2 * N :], names=("a", "b"))
    assert {drift.feature for _, drift in found} == {"b"}


def test_the_reference_is_an_even_sample_of_a_long_first_window() -> None:
    n = 5 * SAMPLE + 17
    rising = np.arange(n, dtype=float)
    one = Distribution(("a",), window_ms=HOUR, least=100)
    time_ms, x = days(rising, normal(1), each_ms=HOUR // (2 * n))
    one.step(time_ms, x[:, None])
    assert one.edges[0] == pytest.approx(np.linspace(0, n, 11)[1:-1], abs=0.05 * n)


@pytest.mark.parametrize("ties", [False, True])
def test_a_models_reference_replaces_the_first_window(ties: bool) -> None:
    training = np.round(normal(1)) if ties else normal(1)
    one = Distribution(("a", "b"), window_ms=HOUR, least=100)
    one.refer({"a": np.quantile(training, np.linspace(0, 1, 11)[1:-1]).tolist()}, "2026-01-04")
    current = np.round(normal(2)) if ties else normal(2)
    time_ms, x = days(current, current + 2.0, current[:200])
    found = one.step(time_ms, np.column_stack([x, x]))
    assert {drift.feature for row, drift in found if row > N} == (set() if ties else {"a"})
    assert not [drift for row, drift in found if row == N]
    assert one.reference_version == "2026-01-04"


def test_binned_distances_are_those_of_values_where_bins_are_fine() -> None:
    one, two = normal(1), normal(2, mean=0.5)
    edges = reference_edges(one)
    shares = [np.bincount(np.searchsorted(edges, v, side="right"), minlength=10) / len(v) for v in (one, two)]
    assert binned_psi(*shares) == pytest.approx(psi(one, two))
    assert binned_ks(*shares) <= ks_distance(one, two)
    assert binned_ks(*shares) == pytest.approx(ks_distance(one, two), abs=0.03)


WATCHES = [
    pytest.param(SelectorInputWatch, lambda: transfers_of(transfer_stream(4000)), 60_000, id="transfers"),
    pytest.param(ForecasterInputWatch, lambda: samples_of(network_stream(600, 6)), HOUR, id="samples"),
]


@pytest.mark.parametrize(("state", "make", "window_ms"), WATCHES)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_watch_does_not_depend_on_the_cut(state, make, window_ms: int, seed: int) -> None:
    batch = make()
    whole, cut = (state(window_ms, 100) for _ in range(2))
    result = whole.step(batch)
    run_cut(cut, batch, seed)
    assert cut.digest() == whole.digest()
    copy = state(window_ms, 100)
    for piece in whole.capture(whole=True):
        copy.load(piece)
    assert copy.digest() == whole.digest()
    assert DRIFT_ALERT not in result.outputs or len(result.outputs[DRIFT_ALERT].row)


@pytest.mark.parametrize("cut", [1, 77, 1000])
def test_the_sample_does_not_depend_on_the_cut(cut: int) -> None:
    """Far more rows than the sample has room for, so that it is halved again and again."""
    x = np.random.default_rng(3).normal(size=(5 * SAMPLE + 13, 2))
    time_ms = np.zeros(len(x), np.int64)
    whole, cut_up = (Distribution(("a", "b"), DAY_MS, LEAST) for _ in range(2))
    whole.step(time_ms, x)
    for first in range(0, len(x), cut):
        cut_up.step(time_ms[first : first + cut], x[first : first + cut])
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(cut_up.arrays[name], array, name)


def test_a_changed_fleet_is_alerted_by_feature() -> None:
    records = transfer_stream(4000)
    changed = [msgspec.structs.replace(r, rtt_ms=3 * r.rtt_ms) if k > 2000 else r for k, r in enumerate(records)]
    state = SelectorInputWatch(window_ms=60_000, least=500)
    batch = transfers_of(changed)
    output = state.step(batch).outputs[DRIFT_ALERT]
    values = Envelope(DRIFT_ALERT, "test").encode(output, Binary.of(batch.origin), Binary.of(batch.key)).values
    alerts = [msgspec.json.decode(value, type=DriftAlert) for value in values]
    assert {alert.feature for alert in alerts} == {"rtt_ms"}
    assert {alert.statistic for alert in alerts} == {"psi", "ks"}
    assert {(alert.model, alert.reference_version) for alert in alerts} == {("selector", "first-window")}
    assert state.gauges()["selector_input_drift_alerts"][0] == sum(alert.level == "alert" for alert in alerts) > 0


@pytest.mark.parametrize(
    ("state", "topic"), [(SelectorAnswerWatch, COMPRESSION_PREDICTION), (ForecasterAnswerWatch, NETWORK_FORECAST)]
)
def test_answers_are_fields_of_what_is_published(state, topic) -> None:
    assert set(state.names) <= set(topic.record.__struct_fields__)
    assert state(least=LEAST).gauges()


def test_answers_of_a_part_are_watched_whatever_the_cut() -> None:
    records = transfer_stream(4000)
    changed = [msgspec.structs.replace(r, rtt_ms=30 * r.rtt_ms) if k > 2000 else r for k, r in enumerate(records)]
    batch = transfers_of(changed)

    def watched() -> Parts:
        answers = SelectorAnswerWatch(window_ms=60_000, least=500)
        return Parts({"selector": CompressionState(), "answers": answers})

    whole = watched()
    result = whole.step(batch)
    for seed in (1, 2):
        assert run_cut(watched(), batch, seed) == encoded([(0, result)])
    found = result.outputs[DRIFT_ALERT]
    told = {
        (name, int(row), int(at))
        for name, row, at in zip(found.columns["feature"], found.row, found.columns["timestamp"], strict=True)
    }
    ours = {(row, at) for name, row, at in told if name == "probability_amst"}
    assert ours
    assert all(batch.columns["timestamp"][row] == at for row, at in ours)
    assert whole.gauges()["selector_answer_drift_alerts"][0] > 0


def test_agents_watch_their_models_answers() -> None:
    for agent in (compression.agent, network.agent):
        assert any(isinstance(part, AnswerWatch) for part in agent.state().parts.values())


class OneModel(NamedTuple):
    """A model that is only asked for its manifest."""

    manifest: Manifest

    def predict(self, x: np.ndarray) -> dict[str, np.ndarray]:
        raise NotImplementedError


class Shelf:
    """Verified models by hash; every announcement may take effect."""

    def __init__(self, **reference: dict[str, list[float]]) -> None:
        self._models = {digest(version): OneModel(manifest(version, of)) for version, of in reference.items()}

    def get(self, sha256: str, /) -> OneModel | None:
        return self._models.get(sha256)

    def admits(self, announcement: ModelAnnouncement, /) -> bool:
        return announcement.artifact_sha256 in self._models


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def manifest(version: str, reference: dict[str, list[float]]) -> Manifest:
    return Manifest(
        model_name="selector", model_version=version, feature_schema="s", feature_names=[], input_shape=[0], outputs=[],
        trained_at=0, training_from=0, training_to=0, training_rows=0, training_data_sha256="", metrics={}, gates=[],
        library_versions={}, reference=reference,
    )  # fmt: skip


def announce(version: str, model: str = "selector") -> Control:
    said = ModelAnnouncement(
        id="i", timestamp=0, model_name=model, model_version=version, stage="champion", previous_stage=None, reason="",
        artifact=version, artifact_format="onnx", artifact_bytes=0, artifact_sha256=digest(version), feature_schema="s",
        feature_schema_sha256=digest(""), trained_at=0, training_from=0, training_to=0, training_rows=0,
        training_data_sha256=digest(""), metrics={}, gates=[], library_versions={},
    )  # fmt: skip
    return Control("model", msgspec.json.encode(said), b"m/0/0", 0, 0)


def test_a_new_champions_training_data_becomes_the_reference() -> None:
    batch = transfers_of(transfer_stream(4000))
    edges = np.quantile(batch.columns["rtt_ms"], np.linspace(0, 1, 11)[1:-1])
    shelf = Shelf(same={"rtt_ms": edges.tolist()}, far={"rtt_ms": (3 * edges).tolist()}, other={"x": [1.0]})
    found = {}
    for version in ("same", "far", "other", "unknown"):
        state = SelectorInputWatch(window_ms=60_000, least=500)
        state.use(shelf)
        state.control(announce(version))
        state.control(announce("far", model="bandwidth"))
        output = state.step(batch).outputs.get(DRIFT_ALERT)
        found[version] = set() if output is None else set(output.columns["reference_version"])
    assert found == {"same": set(), "far": {"far"}, "other": set(), "unknown": set()}
