"""What a partition believes of its systems' settings, and the most promising change of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from online_models.optimizer.choice import Choice, choose
from online_models.optimizer.context import told_of, unit_of
from online_models.optimizer.evidence import Evidence
from online_models.optimizer.posterior import Posterior, Trials
from online_models.optimizer.prior import COST, PERFORMANCE, Prior
from online_models.optimizer.space import GROUPS
from online_models.optimizer.tuner import limits_of, remember
from online_models.optimizer.watch import group_levels

F64 = NDArray[np.float64]

LEVEL: Final = "log_performance"
"""What the setting in force does, as told of a context."""


class Belief(NamedTuple):
    """A system's settings given its trials, and what nodes told of the context, by name; empty when it is not used."""

    posterior: Posterior
    told: Mapping[str, float]


class Promise(NamedTuple):
    """The most promising choice, the system it is of, and why it is believed in."""

    choice: Choice
    group: int
    belief: Belief


def most_promising(
    tuner: Any, priors: Mapping[str, Prior], rows: NDArray[Any], gains: Mapping[str, F64]
) -> Promise | None:
    """What of all tuned systems is expected to improve most; None when none is tuned.

    What is in force is noted as a trial of each of them, with what nodes show now.

    Parameters
    ----------
    tuner
        The partition's tuning.
    priors
        What is known of each system's settings.
    rows
        Nodes.
    gains
        What rollouts taught of settings, to be added to their expected performance, `[s]` by system.
    """
    levels, limits = group_levels(rows), limits_of(tuner)
    found: Promise | None = None
    for group, (name, where) in enumerate(GROUPS.items()):
        prior = priors.get(name)
        if prior is None or not tuner["tunable"][where].all():
            continue
        remember(tuner, group, prior.nearest(tuner["values"][where]), levels[group])
        belief = _believe(tuner, group, prior, rows, gains.get(name))
        choice = choose(belief.posterior, limits)
        if found is None or choice.improvement > found.choice.improvement:
            found = Promise(choice, group, belief)
    return found


def _believe(tuner: Any, group: int, prior: Prior, rows: NDArray[Any], gain: F64 | None) -> Belief:
    """A system's settings given what nodes tell of the context now, as far as its trials do not belie it."""
    name = list(GROUPS)[group]
    newest = int(tuner["trials"][group]) - 1
    at, shown = int(tuner["setting"][group, newest]), float(tuner["seen"][group, newest, PERFORMANCE])
    about, level = told_of(name, prior.names, rows, prior.values[at], shown)
    near = prior.near(about, at, level)
    is_told = near is not prior
    if gain is not None:
        near, prior = near.shifted(gain), prior.shifted(gain)
    if is_told:
        trials = _trials(tuner, group, near)
        if not Evidence(near, trials).belies(Evidence(prior, trials)):
            known = dict(zip((*prior.names, LEVEL), (*about.tolist(), level), strict=False))
            return Belief(Posterior(near, trials), {k: v for k, v in known.items() if np.isfinite(v)})
    return Belief(Posterior(prior, _trials(tuner, group, prior)), {})


def _trials(tuner: Any, group: int, prior: Prior) -> Trials:
    """What was tried, in the prior's units: performance and cost relative to the first trial."""
    n = int(tuner["trials"][group])
    setting, seen = tuner["setting"][group, :n].astype(np.intp), tuner["seen"][group, :n].copy()
    seen[:, PERFORMANCE] += np.nan_to_num(unit_of(list(GROUPS)[group], prior.values[setting]))
    for metric in (PERFORMANCE, COST):
        seen[:, metric] += prior.mean[setting[0], metric] - seen[0, metric]
    return Trials(setting, seen)
