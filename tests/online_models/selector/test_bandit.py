"""The selector as a contextual bandit: of each transfer it learns the side it chose."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from online_models.selector.exploration import LEAST, MOST, draws, explore_probability
from online_models.selector.heuristic import heuristic
from online_models.selector.oracle import label_of
from online_models.selector.state import CompressionState
from schemas.compression import CompressionTelemetry
from schemas.topic import COMPRESSION_PREDICTION
from tests.online_models.stream import encoded, run_cut, transfer_stream, transfers_of

OTHER = {"HDE": "amst", "AMST": "hde"}


def _made(state: CompressionState, records: list[CompressionTelemetry]) -> Any:
    return state.step(transfers_of(records)).outputs[COMPRESSION_PREDICTION].columns


def _identified(n: int, seed: int = 0) -> list[CompressionTelemetry]:
    return [msgspec.structs.replace(r, request_id=f"req-{i:08d}") for i, r in enumerate(transfer_stream(n, seed))]


def test_only_the_chosen_side_teaches() -> None:
    records = _identified(1500)
    made = _made(CompressionState(feedback="chosen"), records)
    hidden = [
        msgspec.structs.replace(
            r, **{n: None for n in CompressionTelemetry.__struct_fields__ if n.startswith(f"outcome_{OTHER[chosen]}_")}
        )
        for r, chosen in zip(records, made["algorithm"], strict=True)
    ]
    again = _made(CompressionState(feedback="chosen"), hidden)
    np.testing.assert_array_equal(again["probability_amst"], made["probability_amst"])
    np.testing.assert_array_equal(again["algorithm"], made["algorithm"])


def test_it_learns_nearly_as_well_as_with_both_sides() -> None:
    records = _identified(6000)
    truth = np.array([r.outcome_hde_compression_ratio * 1.0 for r in records])
    assert np.isfinite(truth).all()
    regret = {}
    for feedback in ("measured", "chosen"):
        state = CompressionState(feedback=feedback)
        state.step(transfers_of(records))
        gauges = state.gauges()
        regret[feedback] = gauges["selector_regret"][0] / gauges["selector_regret"][1]
        rule = gauges["selector_heuristic_regret"][0] / gauges["selector_heuristic_regret"][1]
        assert regret[feedback] < 0.6 * rule
    assert regret["chosen"] < regret["measured"] + 0.06


def _executed(records: list[CompressionTelemetry], side: Any) -> list[CompressionTelemetry]:
    """The same, measured on one side only, as where no shadow runs."""
    return [
        msgspec.structs.replace(
            r, **{n: None for n in CompressionTelemetry.__struct_fields__ if n.startswith(f"outcome_{OTHER[side(k)]}_")}
        )
        for k, r in enumerate(records)
    ]


def test_it_explores_by_itself_where_only_one_side_is_measured() -> None:
    records = _identified(4000)
    state = CompressionState()
    before = np.asarray(_made(state, records[:1000])["propensity"])
    assert np.isnan(before).all()
    after = np.asarray(_made(state, _executed(records[1000:], lambda k: "HDE" if k % 3 else "AMST"))["propensity"])
    began = int(np.flatnonzero(np.isfinite(after))[0])
    assert 300 < began < 400
    assert np.isfinite(after[began:]).all()
    again = np.asarray(_made(state, _identified(5000)[4000:])["propensity"])
    assert np.isnan(again[-300:]).all(), "both sides are measured again"


def test_it_learns_from_what_was_executed_alone() -> None:
    records = _executed(_identified(6000), lambda k: "HDE" if k % 2 else "AMST")
    made = _made(CompressionState(), records)
    choice = (np.asarray(made["algorithm"]) == "AMST").astype(int)
    label = label_of(transfers_of(_identified(6000)).columns)
    late = np.arange(6000) > 3000
    lost, by_rule = (
        np.where(said != label.label, label.margin, 0.0)[late].mean()
        for said in (choice, heuristic(transfers_of(records).columns))
    )
    assert lost < 0.5 * by_rule


@pytest.mark.parametrize("cut", [1, 3])
def test_exploring_begins_at_the_same_transfer_however_the_stream_is_cut(cut: int) -> None:
    batch = transfers_of(_executed(_identified(900), lambda k: "HDE"))
    assert run_cut(CompressionState(), batch, cut) == encoded([(0, CompressionState().step(batch))])


def test_propensities_are_published_and_bounded() -> None:
    made = _made(CompressionState(feedback="chosen"), _identified(3000))
    propensity = np.asarray(made["propensity"])
    other = np.minimum(propensity, 1.0 - propensity)
    assert (other >= LEAST - 1e-12).all()
    assert (other <= MOST + 1e-12).all()
    explored = propensity < 0.5
    assert explored.mean() == pytest.approx(other.mean(), abs=0.015)
    assert not np.isfinite(_made(CompressionState(), _identified(5))["propensity"]).any()


def test_a_replay_explores_the_same_requests() -> None:
    batch = transfers_of(_identified(1200))
    once = encoded([(0, CompressionState(feedback="chosen").step(batch))])
    assert run_cut(CompressionState(feedback="chosen"), batch, 3) == once


def test_draws_are_uniform_repeatable_and_not_those_of_experiments() -> None:
    ids = [f"req-{i:010d}" for i in range(20_000)]
    found = draws(ids)
    np.testing.assert_array_equal(found, draws(ids))
    np.testing.assert_array_equal(found[5:9], draws(ids[5:9]))
    share, _ = np.histogram(found, 20, (0.0, 1.0))
    assert np.abs(share / 1000 - 1.0).max() < 0.15
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.03
    assert draws([""]).shape == (1,)


@pytest.mark.parametrize("gap", [0.0, 0.01, 0.3, 1.0])
def test_the_worse_the_other_side_looks_the_less_it_is_tried(gap: float) -> None:
    assert LEAST <= explore_probability(gap) <= MOST
    assert explore_probability(gap + 0.001) <= explore_probability(gap)
