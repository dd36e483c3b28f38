"""Telemetry through the worker's selector, and what else could have decided, on the same transfers.

Online learners see everything in order and are scored on the last part only; what is fixed
(the majority, the best side by link type, the table) is chosen on what lies before it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from offline.backtest.selector_score import Quality, Truth, quality
from offline.training.gate import gate
from offline.training.selector_data import Transfers
from online_models.logistic import Logistic, learn, probability
from online_models.selector.feature import INPUTS, feature_matrix, selector_inputs
from online_models.selector.heuristic import heuristic
from online_models.selector.oracle import AMST, HDE, OUTCOME, label_of
from online_models.selector.state import CompressionState
from online_models.served import Model
from schemas.batch import Columns
from schemas.error import ConfigError
from schemas.field import ALGORITHMS, LINK_TYPES
from schemas.model import Gate
from schemas.topic import COMPRESSION_PREDICTION

TABLE_ROWS: Final = 20
BY_TYPE: Final = "best by link type"
MEAN_REGRET: Final = 0.02
REGRET_P95: Final = 0.05
WORSE_THAN_STATIC: Final = 0.01
OF_CEILING: Final = 0.98
_CPU_BINS: Final = TABLE_ROWS // len(LINK_TYPES)


class Answers(NamedTuple):
    """A state's answers: choice, choice without exploring, probability of AMST, whether a fallback chose; `[n]`."""

    choice: NDArray[np.int64]
    greedy: NDArray[np.int64]
    probability: NDArray[np.float64]
    fallback: NDArray[np.bool_]


class Backtest(Struct, frozen=True):
    """What came of one stream.

    `scored` decisions of the last `test_fraction` were judged. `table` is the 20-row table as learned.
    """

    transfers: int
    rejected: int
    scored: int
    test_from_ms: int
    test_fraction: float
    fallback_share: float
    deciders: list[Quality]
    table: list[dict[str, Any]]


class Scored(NamedTuple):
    """Rows of the test part, those before it that have a realised label, and what was best in all rows."""

    test: NDArray[np.intp]
    before: NDArray[np.intp]
    truth: Truth


def backtest_selector(transfers: Transfers, champion: Model | None, test_fraction: float) -> Backtest:
    """Stream transfers and score every decider on the last ones.

    Parameters
    ----------
    transfers
        In order of arrival.
    champion
        A trained model, scored alone and in the worker's chain.
    test_fraction
        Share of the transfers, the last ones.

    Raises
    ------
    ConfigError
        When nothing can be scored.
    """
    columns = transfers.columns
    scored = split(columns, test_fraction)
    truth = scored.truth.take(scored.test)

    def judge(name: str, choice: NDArray[Any], p: NDArray[Any] | None = None) -> Quality:
        return quality(name, choice[scored.test], truth, None if p is None else p[scored.test])

    alone = stream(transfers, partial(CompressionState, ready_after=0, confident=0.0))
    published = stream(transfers, partial(CompressionState, champion=champion))
    bandit = stream(transfers, partial(CompressionState, feedback="chosen"))
    linear = stream_linear(transfers)
    table, rows = learn_table(columns, scored)
    found = [
        judge("published", published.choice, published.probability),
        judge("online", alone.choice, alone.probability),
        judge("bandit", bandit.choice, bandit.probability),
        judge("bandit, not exploring", bandit.greedy, bandit.probability),
        judge("linear", (linear > 0.5).astype(np.int64), linear),
        judge("heuristic", heuristic(columns)),
        judge("majority", np.full(len(transfers), np.bincount(scored.truth.label[scored.before]).argmax())),
        judge(BY_TYPE, best_by(_codes(columns), scored)),
        judge(f"table of {TABLE_ROWS}", table),
    ]
    if champion is not None:
        p = np.asarray(champion.predict(feature_matrix(columns))["probability_amst"], np.float64).reshape(-1)
        found.insert(2, judge("champion", (p > 0.5).astype(np.int64), p))
    return Backtest(
        len(transfers), transfers.rejected, len(scored.test), int(columns["timestamp"][scored.test[0]]),
        test_fraction, float(published.fallback[scored.test].mean()), found, rows,
    )  # fmt: skip


def goals(backtest: Backtest, most_accurate: Quality | None) -> list[Gate]:
    """What the published decisions are to reach, and whether they do; a share of the ceiling where that is known."""
    by_name = {one.name: one for one in backtest.deciders}
    published, static = by_name["published"], by_name[BY_TYPE]
    excess = max(of.regret - static.link_types[kind].regret for kind, of in published.link_types.items())
    found = [
        gate("mean regret", published.regret, "at_most", MEAN_REGRET),
        gate("regret p95", published.regret_p95, "at_most", REGRET_P95),
        gate("regret over the best static choice's, worst link type", excess, "at_most", WORSE_THAN_STATIC),
    ]
    if most_accurate is not None:
        share = published.accuracy / most_accurate.accuracy
        found.append(gate("accuracy of the ceiling's", share, "at_least", OF_CEILING))
    return found


def split(columns: Columns, test_fraction: float) -> Scored:
    """Rows with a realised label, before and in the test part."""
    label = label_of(columns)
    cut = round(len(label.label) * (1.0 - test_fraction))
    realised = np.flatnonzero(label.source == OUTCOME)
    before, test = realised[realised < cut], realised[realised >= cut]
    if not len(before) or not len(test):
        allowed = "telemetry with realised outcomes of both sides, before and in the test part"
        raise ConfigError("--recording", f"{len(realised)} such of {len(label.label)} transfers", allowed)
    return Scored(test, before, Truth(label.label, label.margin, columns["link_type"]))


def stream(transfers: Transfers, make: Callable[[], CompressionState]) -> Answers:
    """What states, one per partition, publish. Rejected rows count as HDE."""
    n = len(transfers)
    found = Answers(np.zeros(n, np.int64), np.zeros(n, np.int64), np.full(n, 0.5), np.zeros(n, np.bool_))
    states: dict[int, CompressionState] = {}
    for row, batch in transfers.batches():
        state = states.setdefault(batch.partition, make()) if batch.partition not in states else states[batch.partition]
        made = state.step(batch).outputs.get(COMPRESSION_PREDICTION)
        if made is None:
            continue
        at = row[made.row]
        found.choice[at] = [ALGORITHMS.index(name) for name in made.columns["algorithm"]]
        explored = np.asarray(made.columns["propensity"], np.float64) < 0.5
        found.greedy[at] = np.where(explored, 1 - found.choice[at], found.choice[at])
        found.probability[at] = made.columns["probability_amst"]
        found.fallback[at] = made.columns["fallback"]
    return found


def stream_linear(transfers: Transfers) -> NDArray[np.float64]:
    """Prequential probabilities of River's scaler and logistic regression, one per partition, `[n]`."""
    label = label_of(transfers.columns)
    x = selector_inputs(transfers.columns)
    known = np.where(label.source == OUTCOME, label.label, -1)
    found = np.full(len(transfers), 0.5)
    for partition in np.unique(transfers.partition).tolist():
        row = np.flatnonzero(transfers.partition == partition)
        model = Logistic(INPUTS)
        found[row] = _stream_linear(model.state, model.intercept, x[row], known[row])
    return found


def best_by(cell: NDArray[np.int64], scored: Scored) -> NDArray[np.int64]:
    """The side that lost less utility in each row's cell before the test part, `[n]`; AMST where there was none."""
    size = int(cell.max()) + 1
    of, label = cell[scored.before], scored.truth.label[scored.before]
    lost = [
        np.bincount(of, np.where(label != side, scored.truth.margin[scored.before], 0.0), size) for side in (HDE, AMST)
    ]
    return np.where(lost[HDE] < lost[AMST], HDE, AMST)[cell]


def learn_table(columns: Columns, scored: Scored) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """Decisions of the table by link type and fifths of HDE's recent CPU usage, and its rows."""
    cpu = columns["hde_cpu_usage"]
    edges = np.nanquantile(cpu[scored.before], np.arange(1, _CPU_BINS) / _CPU_BINS)
    filled = np.where(np.isnan(cpu), np.nanmedian(cpu[scored.before]), cpu)
    cell = _codes(columns) * _CPU_BINS + np.searchsorted(edges, filled, "right")
    choice = best_by(cell, scored)
    limits = [None, *np.round(edges, 4).tolist(), None]
    rows = []
    for code in np.unique(cell).tolist():
        low = code % _CPU_BINS
        rows.append({
            "link_type": LINK_TYPES[code // _CPU_BINS], "cpu_from": limits[low], "cpu_to": limits[low + 1],
            "algorithm": ALGORITHMS[int(choice[cell == code][0])],
            "transfers": int((cell[scored.before] == code).sum()),
        })  # fmt: skip
    return choice, rows


def _codes(columns: Columns) -> NDArray[np.int64]:
    return np.array([LINK_TYPES.index(kind) for kind in columns["link_type"].tolist()], np.int64)


@njit(cache=True)
def _stream_linear(
    state: NDArray[Any], intercept: NDArray[Any], x: NDArray[Any], label: NDArray[Any]
) -> NDArray[np.float64]:
    found = np.empty(len(label))
    for i in range(len(label)):
        found[i] = probability(state, intercept, x[i])
        if label[i] >= 0:
            learn(state, intercept, x[i], label[i], 1.0)
    return found
