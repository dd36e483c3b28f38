"""One transfer after another, compiled: what was best is told, what to do is decided and scored, then learned from."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.arrival import DUPLICATE, FRESH, LATE, arrival
from online_models.drift.trust import doubted
from online_models.selector.decision import decide, explore, vote
from online_models.selector.feature import BANDWIDTH, ENTROPY, HISTORY, HITS, REPETITION, RTT, inputs_of
from online_models.selector.heuristic import rule
from online_models.selector.oracle import HISTORY as LATELY
from online_models.selector.oracle import NONE, OUTCOME, relative_loss, utilities_of
from online_models.selector.record import CHALLENGER, CHAMPION, ONLINE
from online_models.selector.utility import (
    AMST,
    HDE,
    INPUTS,
    LINK,
    Shared,
    Work,
    calibrate,
    calibrated,
    estimate,
    learn,
    log_utility,
    new_work,
    postpone,
    settle,
)
from online_models.slot import row_dtype

HISTORY_WEIGHT: Final = 0.1

SHADOWED: Final = 0.5
"""Share of transfers with both sides measured, of those with any, below which the other side is tried now and then."""

SHADOW_RATE: Final = 0.002

_SAME_MS: Final = 8

ROW: Final = row_dtype(("clock", "i8"), ("count", "i8"), ("events", "i8"), ("event", "u4", (_SAME_MS,)), *LINK)
"""One link's state; `event` holds digests of the newest of the `events` transfers at the clock's millisecond."""


class Tally(NamedTuple):
    """What all transfers of a partition came to.

    Parameters
    ----------
    learned, shadowed, explored
        Labels learned, share of transfers with both sides measured, and decisions against what looked better: `[1]`.
    seen, fallback, decided
        Transfers by arrival, answered ones by reason of the fallback and by who decided, `[4]`.
    best
        Scored transfers by label, `[2]`.
    right
        Of these those that the decision, the online model and the heuristic had right, `[3]`.
    regret
        Sums of what the decision and the heuristic lost of the better utility, `[2]`.
    """

    learned: NDArray[np.int64]
    shadowed: NDArray[np.float64]
    explored: NDArray[np.int64]
    seen: NDArray[np.int64]
    fallback: NDArray[np.int64]
    decided: NDArray[np.int64]
    best: NDArray[np.int64]
    right: NDArray[np.int64]
    regret: NDArray[np.float64]


class Transfers(NamedTuple):
    """A batch.

    Parameters
    ----------
    slot, timestamp, event
        Row of the link, event time in ms and digest of the event's id, `[n]`.
    number, realised
        By `feature.numbers` and `oracle.realised`, a row each.
    payload
        By `feature.payload_kinds`, `[n]`.
    asked, expected, treated
        Of `trained.Asked`, `[n]`.
    draw
        By `exploration.draws`, `[n]`.
    """

    slot: NDArray[np.intp]
    timestamp: NDArray[np.int64]
    event: NDArray[np.uint32]
    number: NDArray[np.float64]
    realised: NDArray[np.float64]
    payload: NDArray[np.int64]
    asked: NDArray[np.float64]
    expected: NDArray[np.bool_]
    treated: NDArray[np.bool_]
    draw: NDArray[np.float64]


class Policy(NamedTuple):
    """How decisions are made; see `state.CompressionState`."""

    lateness_ms: int
    ready_after: int
    confident: float
    only_chosen: bool


@njit(cache=True)
def step(
    links: NDArray[Any],
    model: Shared,
    tally: Tally,
    transfers: Transfers,
    policy: Policy,
    trust: float,
    decision: NDArray[Any],
) -> None:
    """Answer a batch and learn from it.

    Parameters
    ----------
    links
        `ROW` `[link]`, updated.
    model, tally
        Updated.
    transfers, policy
        What to answer, and how.
    trust
        What the online model's confidence is scaled by when it is told, 0..1.
    decision
        `record.DECISION` `[n]` of zeros; set.
    """
    work, hde, amst = new_work(), np.empty(INPUTS), np.empty(INPUTS)
    for i in range(len(decision)):
        link, made, time_ms = links[transfers.slot[i]], decision[i], transfers.timestamp[i]
        made.clock = link.clock
        made.arrival = _arrival(link, time_ms, transfers.event[i], policy.lateness_ms)
        tally.seen[made.arrival] += 1
        if made.arrival == LATE:
            continue
        if made.arrival == FRESH:
            settle(link, time_ms, work.near)
        number, payload = transfers.number[i], transfers.payload[i]
        realised = utilities_of(transfers.realised[i], number[BANDWIDTH])
        _judge(made, realised, utilities_of(number[HISTORY:], number[BANDWIDTH]))
        made.rule = rule(number[BANDWIDTH], number[RTT], number[HISTORY], number[HITS])
        inputs_of(number, hde, amst)
        logit = estimate(model, link, work, hde, amst, payload, number[ENTROPY], number[REPETITION])
        vote(made, calibrated(model.head, logit), work.loss)
        ready = tally.learned[0] >= policy.ready_after
        decide(made, transfers.asked[i], transfers.expected[i], ready, policy.confident, made.rule)
        made.greedy = made.algorithm
        made.propensity = math.nan
        if policy.only_chosen or tally.shadowed[0] < SHADOWED:
            explore(made, abs(work.loss[HDE] - work.loss[AMST]), transfers.draw[i])
        known = tally.learned[0] > 0
        for side in range(2):
            made.utility[side] = number[BANDWIDTH] * math.exp(work.utility[side]) if known else math.nan
        if made.arrival == FRESH:
            _enter(link, time_ms, transfers.event[i])
            made.scored = made.label != NONE and made.source == OUTCOME
            made.wrong = made.scored and made.voted != made.label
            _learn(model, tally, link, work, transfers, i, hde, amst, realised, logit, made, policy.only_chosen)
        if made.decider == CHAMPION and transfers.treated[i]:
            made.decider = CHALLENGER
        if made.decider == ONLINE:
            made.confidence = doubted(made.confidence, trust)
        _count(tally, made)


@njit(cache=True)
def one_sided(realised: NDArray[Any]) -> int:
    """How many transfers have one side measured and not the other."""
    found = 0
    for i in range(len(realised)):
        hde, amst = utilities_of(realised[i], 1.0)
        found += math.isnan(hde) != math.isnan(amst)
    return found


@njit(cache=True)
def _arrival(link: Any, time_ms: int, event: int, lateness_ms: int) -> int:
    found = arrival(link.count > 0, link.clock, time_ms, lateness_ms)
    if found != DUPLICATE:
        return int(found)
    for k in range(min(link.events, _SAME_MS)):
        if link.event[k] == event:
            return DUPLICATE
    return FRESH  # another transfer in the same millisecond


@njit(cache=True)
def _enter(link: Any, time_ms: int, event: int) -> None:
    """The link's clock moves on to this transfer."""
    if time_ms > link.clock:
        link.events = 0
    link.event[link.events % _SAME_MS] = event
    link.events += 1
    link.clock = time_ms
    link.count += 1


@njit(cache=True)
def _judge(made: Any, realised: tuple[float, float], lately: tuple[float, float]) -> None:
    """The label, as `oracle.label_of`."""
    measured = not math.isnan(realised[HDE] + realised[AMST])
    hde, amst = realised if measured else lately
    made.source = OUTCOME if measured else LATELY
    made.label = NONE if math.isnan(hde + amst) else (HDE if hde > amst else AMST)
    made.actual[HDE], made.actual[AMST] = hde, amst
    made.margin = relative_loss(hde, amst)


@njit(cache=True)
def _learn(
    model: Shared, tally: Tally, link: Any, work: Work, transfers: Transfers, i: int, hde: NDArray[Any],
    amst: NDArray[Any], realised: tuple[float, float], logit: float, made: Any, only_chosen: bool,
) -> None:  # fmt: skip
    """Learn what came of the transfer that was estimated last; without an outcome its history, and that for less."""
    number, payload, weight, actual = transfers.number[i], transfers.payload[i], 1.0, np.empty(2)
    for side in range(2):
        shown = not only_chosen or side == made.algorithm
        actual[side] = log_utility(realised[side], number[BANDWIDTH]) if shown else math.nan
    if math.isnan(actual[HDE]) and math.isnan(actual[AMST]):
        if made.label == NONE or made.source != LATELY:
            return
        weight = HISTORY_WEIGHT
        for side in range(2):
            actual[side] = log_utility(made.actual[side], number[BANDWIDTH])
    else:
        both = 0.0 if math.isnan(actual[HDE] + actual[AMST]) else 1.0
        tally.shadowed[0] += SHADOW_RATE * (both - tally.shadowed[0])
    tally.learned[0] += 1
    if not math.isnan(actual[HDE] + actual[AMST]):
        calibrate(model.head, logit, made.label, weight)
    learn(model, work, hde, amst, payload, number[ENTROPY], number[REPETITION], actual, weight)
    if weight == 1.0:
        done = transfers.timestamp[i]
        for side in range(2):
            if not math.isnan(actual[side]):
                latency_ms = transfers.realised[i, 1 if side == HDE else 4]
                done = max(done, int(float(transfers.timestamp[i]) + np.ceil(latency_ms)))
        postpone(link, work, done, payload, number[ENTROPY], number[REPETITION], actual)


@njit(cache=True)
def _count(tally: Tally, made: Any) -> None:
    tally.fallback[made.reason] += 1
    tally.decided[made.decider] += 1
    tally.explored[0] += made.algorithm != made.greedy
    if not made.scored:
        return
    tally.best[made.label] += 1
    tally.right[0] += made.algorithm == made.label
    tally.right[1] += not made.wrong
    tally.right[2] += made.rule == made.label
    if made.algorithm != made.label:
        tally.regret[0] += made.margin
    if made.rule != made.label:
        tally.regret[1] += made.margin
