"""Trainings while a series streams by, as the sidecar does them beside workers: on the past only, gated, served after.

At each turn boosting learns from the forecasts whose samples are there by then, split by time with gaps of a horizon
as `dwcp train bandwidth` splits them. The newest part judges it; it serves from the next sample on unless it misses
a gate, and then the champion before goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace as with_changes
from numpy.typing import NDArray

from offline.backtest.bandwidth_stream import Champion, Taken, stream_link
from offline.backtest.grid import match_targets
from offline.training.artifact import fingerprint, seal
from offline.training.bandwidth_input import make_input, split_rows
from offline.training.bandwidth_manifest import make_manifest
from offline.training.bandwidth_model import fit_model, forecast_rows
from offline.training.bandwidth_score import SKILL_BARS, WORSE, score
from offline.training.bandwidth_trace import BARS, Trace
from offline.training.course import Course
from offline.training.gate import SIGNS, gate
from online_models.bandwidth.artifact import load_forecaster
from online_models.bandwidth.trained_input import NEWEST, make_context
from schemas.error import ConfigError
from schemas.model import Gate
from schemas.network import TARGETS

MODEL: Final = "boosting"
GATES: Final = ("against_bar", "against_online")
"""MAE over the better of persistence and moving average; and by how many of its standard errors it is less than that of
the forecast without a trained model, which a lucky day among few does not reach."""

CERTAIN: Final = 1.0
"""Such errors, at least."""

FIRST: Final = 850
"""Samples before the first turn: fewer leave too few to judge by."""

ROWS: Final = 20_000
"""Training rows at most, evenly over time."""


class Turn(Struct, frozen=True):
    """One training.

    `at_ms` is the time of the first sample after it; `ratio` its MAE over the better of persistence and moving average
    on the newest `judged` forecasts that were known; None where those are never wrong. `refused` names the gate that it
    missed, with the figure, None where it serves.
    """

    at_ms: int
    version: str
    rows: int
    judged: int
    ratio: float | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class Retraining:
    """When to train.

    Parameters
    ----------
    growth
        Whenever there are more samples than last time by this share; None to go by time.
    every_ms
        Whenever so much time has passed.
    seed
        Of the trees.
    """

    growth: float | None = 0.15
    every_ms: int = 0
    seed: int = 0

    def turns(self, time_ms: NDArray[np.int64]) -> list[int]:
        """Numbers of the samples before which a training takes place.

        >>> Retraining(growth=0.5).turns(np.arange(2000))
        [850, 1275, 1913]
        """
        found, at = [], FIRST
        while at < len(time_ms):
            found.append(at)
            if self.growth is None:
                at = max(at + 1, int(np.searchsorted(time_ms, time_ms[at] + self.every_ms)))
            else:
                at = max(at + 1, math.ceil(at * (1.0 + self.growth)))
        return found


def retrain(
    taken: Taken, bounds: NDArray[Any], how: Retraining, say: Callable[[str], None]
) -> tuple[list[Champion], list[Turn]]:
    """The champions of a series that has been taken in, and all trainings.

    Parameters
    ----------
    bounds
        Least and greatest value of each target, `[4, 2]`.
    say
        Is told of each turn.

    Raises
    ------
    ConfigError
        When a library is missing.
    """
    meets = match_targets(taken.grid.time_ms, taken.horizon_ms, taken.grid.period_ms)
    online = stream_link(taken.grid, taken.m, taken.horizon_ms, bounds)["predicted"]
    whole = _trace(taken, meets, online)
    champions, turns = [], []
    for at in how.turns(whole.time_ms):
        known = (meets >= 0) & (meets < at)
        seen = replace(whole, target=np.where(known[:, None], whole.target, np.nan))
        trained = _train(seen, taken, bounds, how.seed, int(whole.time_ms[at]))
        if trained is None:
            continue
        content, turn = trained
        say(f"{at:,} samples: {turn.version}, {turn.refused or 'serves'}")
        turns.append(turn)
        if content is not None:
            champions.append(Champion(at, load_forecaster(content, taken.horizon_ms)))
    return champions, turns


def _train(seen: Trace, taken: Taken, bounds: NDArray[Any], seed: int, now_ms: int) -> tuple[bytes | None, Turn] | None:
    """An artifact, None of one that is refused, and how it was judged; None where there is too little to learn from."""
    try:
        training, validation, test = split_rows(seen, taken.horizon_ms, ROWS)
    except ConfigError:
        return None
    fitted = fit_model(MODEL, seen, training, validation, Course(seed), _say_nothing, refit=True, bounds=bounds)
    said = forecast_rows(fitted, seen, test)
    forecasts = {name: seen.bar[test, k] for k, name in enumerate(BARS) if name in SKILL_BARS}
    found = score(forecasts | {MODEL: said}, seen.target[test])[MODEL]
    ratio = found[TARGETS[taken.m]].ratio
    error, without = (np.abs(each - seen.target[test])[:, taken.m] for each in (said, seen.published[test]))
    gates = [
        gate(GATES[0], math.nan if ratio is None else ratio, "at_most", WORSE),
        gate(GATES[1], certainty(without - error, round(taken.horizon_ms / taken.grid.period_ms)), "at_least", CERTAIN),
    ]
    learned = np.concatenate([training, validation])
    data = fingerprint(seen.time_ms[learned], seen.target[learned])
    manifest = make_manifest(fitted, seen, learned, found, data, taken.horizon_ms, seed, now_ms)
    refused = next((_words(one) for one in gates if not one.passed), None)
    turn = Turn(now_ms, manifest.model_version, len(learned), len(test), ratio, refused)
    if refused:
        return None, turn
    return seal(fitted.content, with_changes(manifest, gates=gates), make_input(seen, NEWEST, test)), turn


def certainty(gain: NDArray[np.float64], together: int) -> float:
    """Mean of what was gained over its standard error; `together` neighbours say one thing.

    >>> certainty(np.array([1.0, 3.0, 1.0, 3.0, 1.0, 3.0]), 1)
    4.47213595499958
    >>> certainty(np.zeros(6), 2)
    0.0
    """
    blocks = len(gain) // together
    if blocks < 2:
        return 0.0
    mean = gain[: blocks * together].reshape(blocks, together).mean(axis=1)
    spread = float(mean.std(ddof=1))
    return float(mean.mean()) / spread * math.sqrt(blocks) if spread > 0.0 else 0.0


def _words(missed: Gate) -> str:
    value = "never wrong" if math.isnan(missed.value) else f"{missed.value:.3f}"
    return f"gate {missed.gate} missed: {value}, not {SIGNS[missed.comparison]} {missed.limit:g}"


def _trace(taken: Taken, meets: NDArray[np.int64], online: NDArray[np.float64]) -> Trace:
    """What a training sees of the series, with every target that will ever be known.

    What is too large for single precision is no target: workers do not ask models about it either.
    """
    n, made = len(taken.made), taken.made
    with np.errstate(over="ignore"):
        feature = taken.feature.astype(np.float32)
        context = make_context(made["expert"], made["scale"], made["made_at"] + taken.horizon_ms)
    fit = (meets >= 0) & np.isfinite(feature).all(axis=1) & np.isfinite(context).all(axis=1)
    return Trace(
        taken.grid.time_ms, np.zeros(n, np.int64), np.arange(n), np.zeros(n, np.int64), feature, context, online,
        made["expert"][:, list(BARS.values())], taken.period, np.where(fit[:, None], taken.samples[meets], np.nan),
    )  # fmt: skip


def _say_nothing(line: str) -> None:
    pass
