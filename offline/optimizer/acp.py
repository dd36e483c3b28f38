"""ACP simulated event by event: batches of requests agreed on by members whose messages take real round-trip times.

A leader proposes a batch once it is full or its oldest request has waited long enough; members exchange
prepare and commit messages; a quorum of answers ends each phase. Members are down, messages are lost, a
leader that does not answer within the timeout is replaced. `n` members tolerate `(n - 1) // 3` Byzantine
ones and `(n - 1) // 2` crashed ones; with more of them nothing is decided for certain.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offline.optimizer.grid import Grid
from offline.series import read_series
from online_models.optimizer.context import INTOLERANT

F64 = NDArray[np.float64]

TIMEOUTS_MS: Final = np.array([100, 250, 600, 1200, 2000, 5000.0])
BATCHES: Final = np.array([1, 5, 12, 25, 50, 100.0])
MEMBERS: Final = np.array([3, 5, 7, 9, 11, 13, 15.0])

CONTEXTS: Final = 60
SEED: Final = 6
BATCHES_SEEN: Final = 200
"""In each run."""

LIARS: Final = 1
"""How many members may be arbitrarily faulty: fewer than four members tolerate none."""

REPAIR_MS: Final = 30_000.0
"""How long a member is down."""

QUANTILES: Final = np.array(
    [
        1.0,
        1.06,
        1.1,
        1.13,
        1.17,
        1.21,
        1.27,
        1.32,
        1.35,
        1.41,
        1.48,
        1.56,
        1.68,
        2.64,
        4.28,
        5.44,
        6.34,
        7.33,
        8.4,
        9.75,
        22.24,
    ]
)
"""Round trips over their 1 % quantile, at 0, 5 .. 100 %, when no measured ones are at hand; see `shape_of`."""

TAIL: Final = 19
"""Index of the 95 % quantile."""

MESSAGE_MS: Final = 0.02
"""Processor time of one message; with `REQUEST_MS` for each request in a proposal."""
REQUEST_MS: Final = 0.01

STORE_MS: Final = 4.0
"""Until a phase's vote is on disk; no member answers before."""


def byzantine_faults(members: NDArray[Any] | int) -> Any:
    """How many arbitrary faults so many members tolerate: n >= 3 f + 1.

    >>> [int(byzantine_faults(n)) for n in (3, 4, 7, 9, 10)]
    [0, 1, 2, 2, 3]
    """
    return (np.asarray(members) - 1) // 3


def quorum_of(members: int) -> int:
    """Answers that two decisions cannot both have: more than (n + f) / 2.

    >>> [quorum_of(n) for n in (3, 5, 7, 9)]
    [2, 4, 5, 6]
    """
    return int((members + byzantine_faults(members)) // 2 + 1)


def shape_of(path: Path | None) -> tuple[F64, str]:
    """Quantiles of round trips in a CSV file over their 1 % quantile, `[21]`, and their source."""
    if path is None:
        return QUANTILES, "quantiles of the jitterbug project's example path (MIT licence), rounded"
    series = read_series(path, None, [])
    value = next(iter(series.columns.values()))
    value = value[np.isfinite(value) & (value > 0)]
    low = np.quantile(value, 0.01)
    found = np.maximum(np.quantile(value, np.linspace(0, 1, 21)) / low, 1.0)
    return found, f"{len(value)} round trips of {path.name}"


def build(say: Callable[[str], None], rtt: Path | None = None, contexts: int = CONTEXTS, seed: int = SEED) -> Grid:
    """The grid: links from a data centre to the other side of the world, quiet and busy, members up and down."""
    shape, source = shape_of(rtt)
    places = [draw_place(shape, seed, c) for c in range(contexts)]
    log = np.empty((contexts, len(TIMEOUTS_MS), len(BATCHES), len(MEMBERS), 4))
    for c, place in enumerate(places):
        say(f"acp: context {c + 1} of {contexts}")
        for i, timeout in enumerate(TIMEOUTS_MS):
            for j, batch in enumerate(BATCHES.astype(int)):
                for k, members in enumerate(MEMBERS.astype(int)):
                    log[c, i, j, k] = _measure(place, float(timeout), int(batch), int(members))
    features = np.log([
        [2.0 * one.delays[0], one.delays[TAIL] / one.delays[0], one.loss, one.rate, one.down] for one in places
    ])  # fmt: skip
    known = ("log_rtt_ms", "log_rtt_95_over_least", "log_loss", "log_requests_per_s", "log_share_down")
    return Grid("acp", (TIMEOUTS_MS, BATCHES, MEMBERS), features, known, log, f"seed {seed}; round trips: {source}")


class Place(NamedTuple):
    """A context: the seed of its events, message delays, loss, load, share of time that a member is down."""

    seed: int
    delays: F64
    loss: float
    rate: float
    down: float


def draw_place(shape: F64, seed: int, number: int) -> Place:
    """A seed's context of that number, which does not depend on how many there are."""
    rng = np.random.default_rng([seed, number])

    def spread(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    delays = 0.5 * spread(0.3, 150.0) * (1.0 + rng.uniform(0.15, 1.0) * (shape - 1.0))
    return Place(seed * 1000 + number, delays, spread(1e-5, 0.01), spread(50, 1000), spread(1e-4, 0.01))


def _measure(place: Place, timeout_ms: float, batch: int, members: int) -> F64:
    """Logarithms of `grid.METRICS`: means over how many members are down, and what a lost leader costs."""
    quorum = quorum_of(members)
    chance = [comb(members - 1, k) * place.down**k * (1 - place.down) ** (members - 1 - k) for k in range(3)]
    chance.append(max(1.0 - sum(chance), 0.0))
    runs = [
        simulate(place.seed, place.delays, place.loss, place.rate, timeout_ms, batch, members, quorum, k)
        for k in range(4) if members > k and (k == 0 or chance[k] > 1e-4)
    ]  # fmt: skip
    share = np.array(chance[: len(runs)])
    share = share / share.sum()
    latency, success, messages, busy = share @ np.array(runs)
    # A leader is lost once per REPAIR_MS / down; who asks meanwhile waits half of the time until there is another.
    gap = timeout_ms + 2.0 * float(place.delays.mean())
    latency += place.down / REPAIR_MS * gap * gap / 2.0
    # What too few members decide while one of them may lie has to be decided again, by hand.
    certain = success * (1.0 if byzantine_faults(members) >= LIARS else INTOLERANT)
    cost = 1.0 + messages / 50.0
    cpu = 20.0 + 80.0 * min(busy, 1.0)
    memory = 40.0 + 40.0 * min(place.rate * latency * 1e-3 / 4000.0, 1.0)
    return np.log([1000.0 * max(certain, 1e-3) / max(latency, 1e-3), cost, cpu, memory])


@njit(cache=True)
def _delay(delays: F64, loss: float, resend_ms: float) -> float:
    """One message: an inverse of the quantiles, and lost ones sent again."""
    luck = np.random.random()
    resent = 0.0
    while luck < loss:
        resent += resend_ms
        luck = np.random.random()
    place = (luck - loss) / (1.0 - loss) * (len(delays) - 1)
    below = int(place)
    return float(resent + delays[below] + (place - below) * (delays[min(below + 1, len(delays) - 1)] - delays[below]))


@njit(cache=True)
def simulate(
    seed: int, delays: F64, loss: float, rate: float, timeout_ms: float, batch: int, members: int, quorum: int,
    crashed: int,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Run one setting while some members, not the leader, are down.

    Parameters
    ----------
    delays
        Quantiles of a message's way, ms, evenly spaced from 0 to 1.
    loss, rate
        Share of messages lost; requests per second.
    timeout_ms, batch, members, quorum
        The setting.
    crashed
        How many members do not answer.

    Returns
    -------
    mean latency of a request in ms, share that was decided, messages per request, busiest member's load
    """
    np.random.seed(seed)
    prepared, committed, work = np.empty(members), np.empty(members), np.empty(members)
    resend = 2.0 * delays[-1]
    linger = min(timeout_ms / 4.0, 1000.0 * batch / rate)
    clock, served, waited, decided, messages, busy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    next_request = 0.0
    for _ in range(BATCHES_SEEN):
        first = next_request
        last = first + np.random.gamma(batch - 1) * 1000.0 / rate if batch > 1 else first
        begin = max(min(last, first + linger), clock)
        count = float(batch)
        if last > begin:  # not full when it leaves
            count = min(max(1.0, 1.0 + np.floor((begin - first) * rate / 1000.0)), count)
        next_request = max(last, first) + 1000.0 / rate if count == batch else begin + 1000.0 / rate
        now, allowed = begin, timeout_ms
        effort = MESSAGE_MS * 2.0 * members + REQUEST_MS * count
        for _attempt in range(4):
            messages += 2.0 * members * (members - 1) + (members - 1)
            busy += effort
            took = _agree(delays, loss, resend, effort, members, quorum, crashed, prepared, committed, work)
            if took <= allowed:
                now += took
                decided += count
                break
            now += allowed + _delay(delays, loss, resend)  # another leader, with more patience
            messages += members * members
            allowed *= 2.0
        clock = now
        waited += count * max(now - 0.5 * (first + min(last, begin)), 0.0)
        served += count
    return waited / served, decided / served, messages / served, busy / max(clock, 1.0)


@njit(cache=True)
def _agree(
    delays: F64, loss: float, resend: float, effort: float, members: int, quorum: int, crashed: int,
    prepared: F64, committed: F64, work: F64,
) -> float:  # fmt: skip
    """How long a proposal takes until its leader knows that a quorum committed; infinite without a quorum."""
    up = members - crashed
    if up < quorum:
        return np.inf
    for m in range(up):
        prepared[m] = effort + (0.0 if m == 0 else _delay(delays, loss, resend))
    for _phase in range(2):
        for m in range(up):
            for other in range(up):
                arrived = prepared[other] + (0.0 if other == m else _delay(delays, loss, resend))
                place = other
                while place > 0 and work[place - 1] > arrived:
                    work[place] = work[place - 1]
                    place -= 1
                work[place] = arrived
            committed[m] = work[quorum - 1] + STORE_MS
        for m in range(up):
            prepared[m] = committed[m]
    return float(prepared[0])
