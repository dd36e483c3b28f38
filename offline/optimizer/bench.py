"""The bench: every policy in every environment, at equal budget, in contexts that none of them has seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.random import Generator
from numpy.typing import NDArray

from offline.optimizer.environment import Task
from offline.optimizer.grid import Grid
from offline.optimizer.policy import Make, Policy

F64 = NDArray[np.float64]

SEEDS: Final = 30
BUDGET: Final = 40
GOAL: Final = 0.97
"""Of the measured optimum."""

CHOICE_GOAL_US: Final = 20.0
"""Processor time of a choice, what is asked for."""

TIMED: Final = 5
"""Runs in which choices are timed."""


class Episode(Struct, frozen=True):
    """One policy in one context: evaluations until its recommendation reached the goal (None: never), and the rest.

    `share` has the recommendation's part of the optimum after each evaluation.
    """

    evaluations: int | None
    share: list[float]
    start_share: float
    gain_share: float
    unsafe: int
    over_limit: int


class Cell(Struct, frozen=True):
    """A policy in an environment, over all runs; `evaluations` that were not enough count as one more than the budget.

    `interval` is the median's, 95 %, by bootstrap over seeds. `reconverged` is after a change of context.
    `choice_us` is the processor time of what to try next, median over all trials; `learn_us` that of taking a
    trial in and saying what to stay with, `told_ms` the longest such of each run, which has what is told of a context.
    """

    policy: str
    environment: str
    runs: int
    median_evaluations: float
    interval: tuple[float, float]
    p90_evaluations: float
    reached: float
    reconverged_median: float
    reconverged_p90: float
    reconverged_within_10: float
    trials: int
    unsafe_pct: float
    over_limit_pct: float
    start_share: float
    share_at_20: float
    gain_share: float
    choice_us: float
    learn_us: float
    told_ms: float
    curve: list[float]


class Difficulty(Struct, frozen=True):
    """How hard an environment is: contexts tested, settings, and the mean part of them within 3 % of the optimum."""

    environment: str
    contexts: int
    settings: int
    good_settings: float
    default_share: float


def run_bench(
    grids: Mapping[str, Grid], policies: Mapping[str, Make], seeds: int | None, budget: int, say: Callable[[str], None]
) -> tuple[list[Cell], list[Difficulty]]:
    """Every policy in every environment; the same contexts, starts and noise for all.

    No context begins another run before each has begun one; without seeds each does once.
    """
    cells = []
    for environment, grid in grids.items():
        for name, make in policies.items():
            say(f"{environment}: {name}")
            policy = make(grid)
            pairs = [_run_pair(policy, grid, pair, seed, budget) for seed, pair in enumerate(draw_pairs(grid, seeds))]
            cells.append(_summarise(name, environment, pairs, _time(policy, grid, budget)))
    return cells, [_difficulty(name, grid) for name, grid in grids.items()]


def run_episode(policy: Policy, task: Task, budget: int, rng: Generator) -> Episode:
    """Tune in one context until the budget is used."""
    policy.begin(task.about, task.start, rng)
    incumbent = task.start
    share: list[float] = []
    unsafe = over = 0
    for _ in range(budget):
        setting = policy.propose()
        unsafe += task.is_unsafe(setting, incumbent)
        over += task.breaks_limit(setting)
        policy.learn(setting, task.evaluate(setting, rng))
        incumbent = policy.recommend()
        share.append(task.share(incumbent))
    first = next((n + 1 for n, one in enumerate(share) if one >= GOAL), None)
    return Episode(first, share, task.share(task.start), task.gain_share(incumbent), unsafe, over)


def draw_pairs(grid: Grid, seeds: int | None) -> list[tuple[int, int]]:
    """The contexts of each run: drawn without replacement, so that few runs stand for as many contexts as they can.

    Each is the first one of a run before any is again, and the second one of another run likewise.
    """
    order = np.random.default_rng(77).permutation(list(grid.test)).tolist()
    n = len(order)
    runs = range(n if seeds is None else seeds)
    return [(order[run % n], order[(run + 1 + run // n % (n - 1)) % n]) for run in runs]


def _run_pair(policy: Policy, grid: Grid, pair: tuple[int, int], seed: int, budget: int) -> tuple[Episode, Episode]:
    """A context from the default setting, then another from what was found."""
    first, second = pair
    before = run_episode(policy, Task(grid, first, grid.default), budget, np.random.default_rng([seed, 1]))
    kept = policy.recommend()
    after = run_episode(policy, Task(grid, second, kept), budget, np.random.default_rng([seed, 2]))
    return before, after


def _time(policy: Policy, grid: Grid, budget: int) -> F64:
    """Processor time of choosing and of learning, ns, `[run, trial, 2]`; runs of one context are as many again."""
    found = np.zeros((TIMED, budget, 2))
    for run in range(TIMED):
        task, rng = Task(grid, grid.test[run % len(grid.test)], grid.default), np.random.default_rng([run, 3])
        policy.begin(task.about, task.start, rng)
        for trial in range(budget):
            began = time.thread_time_ns()
            setting = policy.propose()
            chosen = time.thread_time_ns()
            seen = task.evaluate(setting, rng)
            back = time.thread_time_ns()
            policy.learn(setting, seen)
            policy.recommend()
            found[run, trial] = chosen - began, time.thread_time_ns() - back
    return found


def _summarise(name: str, environment: str, pairs: Sequence[tuple[Episode, Episode]], took: F64) -> Cell:
    budget = took.shape[1]
    first = np.array([before.evaluations or budget + 1 for before, _ in pairs], np.float64)
    again = np.array([after.evaluations or budget + 1 for _, after in pairs], np.float64)
    trials = 2 * budget * len(pairs)
    unsafe = sum(before.unsafe + after.unsafe for before, after in pairs)
    over = sum(before.over_limit + after.over_limit for before, after in pairs)
    curve = np.array([before.share for before, _ in pairs]).mean(axis=0)
    return Cell(
        name, environment, len(pairs), float(np.median(first)), _interval(first), float(np.quantile(first, 0.9)),
        float((first <= budget).mean()), float(np.median(again)), float(np.quantile(again, 0.9)),
        float((again <= 10).mean()), trials, 100.0 * unsafe / trials, 100.0 * over / trials,
        float(np.mean([before.start_share for before, _ in pairs])), float(curve[min(19, budget - 1)]),
        float(np.mean([before.gain_share for before, _ in pairs])),
        float(np.median(took[:, 1:, 0])) / 1e3, float(np.median(took[:, 1:, 1])) / 1e3,
        float(np.median(took[..., 1].max(axis=1))) / 1e6, np.round(curve, 4).tolist(),
    )  # fmt: skip


def _interval(values: F64, draws: int = 2000) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (draws, len(values))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def _difficulty(name: str, grid: Grid) -> Difficulty:
    good, start = [], []
    for context in grid.test:
        task = Task(grid, context, grid.default)
        surface = grid.surfaces()[context]
        good.append(float((task.keeps(surface) & (surface[:, 0] >= task.optimum + np.log(GOAL))).mean()))
        start.append(task.share(grid.default))
    return Difficulty(name, len(good), len(grid.settings), float(np.mean(good)), float(np.mean(start)))
