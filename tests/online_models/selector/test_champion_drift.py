"""A champion that goes wrong is drift, however well the online model beside it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from online_models.selector.state import TRUST_TURN_MS, CompressionState
from schemas.topic import COMPRESSION_PREDICTION, DRIFT_ALERT
from tests.online_models.selector.test_champion import Said
from tests.online_models.stream import cuts, transfer_stream, transfers_of

N = 3_000
TURN = 1_800


class Told:
    """Says what it was told, row after row, and is sure of it."""

    def __init__(self, amst: np.ndarray) -> None:
        self.manifest, self._amst, self._at = Said(), amst, 0

    def predict(self, x: np.ndarray) -> dict[str, np.ndarray]:
        rows = self._amst[self._at : self._at + len(x)]
        self._at += len(x)
        return {"probability_amst": np.where(rows, 0.95, 0.05).astype(np.float32)}


def truth() -> np.ndarray:
    """What is better, by the labels that the state itself publishes."""
    state = CompressionState()
    outputs = state.step(transfers_of(transfer_stream(N))).outputs
    label = next(o for t, o in outputs.items() if t.kind == "compression.label")
    found = np.zeros(N, bool)
    found[label.row] = np.asarray(label.columns["label"]) == "AMST"
    return found


@pytest.fixture(scope="module")
def right() -> np.ndarray:
    return truth()


def alerts(state: Any, seed: int | None = None) -> list[tuple[str, str]]:
    batch = transfers_of(transfer_stream(N))
    found = []
    for piece in [batch] if seed is None else cuts(batch, seed):
        if (said := state.step(piece).outputs.get(DRIFT_ALERT)) is not None:
            found += zip(said.columns["model"], said.columns["reference_version"], strict=True)
    return found


def test_a_champion_that_turns_wrong_is_announced_with_its_version(right: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    wrong = rng.random(N) < np.where(np.arange(N) < TURN, 0.05, 0.4)
    found = alerts(CompressionState(champion=Told(right ^ wrong)))
    assert ("selector", "v7") in found


def test_one_that_stays_as_it_was_is_not(right: np.ndarray) -> None:
    wrong = np.random.default_rng(4).random(N) < 0.05
    assert [one for one in alerts(CompressionState(champion=Told(right ^ wrong))) if one[0] == "selector"] == []


def test_the_cut_of_the_stream_makes_no_difference(right: np.ndarray) -> None:
    wrong = np.random.default_rng(3).random(N) < np.where(np.arange(N) < TURN, 0.05, 0.4)
    whole, cut = CompressionState(champion=Told(right ^ wrong)), CompressionState(champion=Told(right ^ wrong))
    assert alerts(whole) == alerts(cut, 5)
    assert whole._champion_drift.memory.tobytes() == cut._champion_drift.memory.tobytes()


@pytest.mark.parametrize("seed", [None, 5])
def test_it_is_less_sure_and_decides_less_from_the_next_minute_on(right: np.ndarray, seed: int | None) -> None:
    wrong = np.random.default_rng(3).random(N) < np.where(np.arange(N) < TURN, 0.05, 0.4)
    state, batch = CompressionState(champion=Told(right ^ wrong)), transfers_of(transfer_stream(N))
    said, at = [], None
    for piece in [batch] if seed is None else cuts(batch, seed):
        outputs = state.step(piece).outputs
        made = outputs[COMPRESSION_PREDICTION].columns
        said += zip(made["timestamp"], made["model_name"], made["confidence"], strict=True)
        if at is None and (drift := outputs.get(DRIFT_ALERT)) is not None:
            at = next((t for t, m in zip(drift.columns["timestamp"], drift.columns["model"], strict=True)
                       if m == "selector"), None)  # fmt: skip
    assert at is not None
    before = [sure for t, name, sure in said if name == "selector" and t <= at]
    after = [(name, sure) for t, name, sure in said if t >= (at // TRUST_TURN_MS + 1) * TRUST_TURN_MS]
    assert min(before) == pytest.approx(0.95)
    assert len(after) > 300
    assert all(sure < 0.95 for name, sure in after if name == "selector")
