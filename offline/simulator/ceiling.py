"""The best reachable score on what was generated, where it is known.

*Forecast.* The process of a link is known, so what can be known 15 minutes ahead is a
distribution to draw from: residuals move on as AR(1) series, regimes by the power of
their transition matrix. The median of the draws has the least expected absolute error,
their mean the least squared one. A forecaster sees only noisy samples of the state
this starts from, so it may come near these figures and not below them.

*Selector.* A predictor that knows the link, the host and every formula here, but sees
the payload through the features' estimates and the transfer's own noise not at all:
it draws the payloads that fit the estimates, and the noise, and follows the majority.
History is no more than a view of link and host, so no selector can do better.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.simulator.bank import Bank
from offline.simulator.link import MINUTE_MS, Links, Overlay
from offline.simulator.outcome import Noise, Outcome, outcome
from offline.simulator.probe import Sample
from offline.simulator.transfer import ENTROPY_SD, REPETITION_SD, Transfers
from online_models.selector.oracle import Measurement, relative_loss, utilities
from schemas.field import LINK_TYPES
from schemas.network import HORIZON_MS, TARGETS

F64 = NDArray[np.float64]

DRAWS: Final = 64
LINKS: Final = 32
TRANSFERS_PER_MINUTE: Final = 100
TRANSFERS: Final = 20_000

_STEPS: Final = HORIZON_MS // MINUTE_MS


class ForecastCeiling:
    """Scores the conditional expectation against the samples that came.

    Parameters
    ----------
    rng
        Source of the draws; the fleet's own randomness is untouched by it.
    links
        The process to look into.
    """

    def __init__(self, rng: Generator, links: Links) -> None:
        self._rng, self._links = rng, links
        self._index = np.arange(min(len(links), LINKS))
        self._waiting: deque[tuple[F64, F64, F64]] = deque()
        n = len(self._index)
        # By target and link: count, sum and sum of squares of the samples; then errors.
        self._sum = {name: np.zeros((len(TARGETS), n)) for name in ("n", "y", "yy", "ae", "se", "ae_last", "se_last")}

    def step(self, time_ms: int, overlay: Overlay, sample: Sample) -> None:
        """Take the samples of one minute: score the forecasts made for it, make the next."""
        actual = np.stack([getattr(sample, name)[self._index] for name in TARGETS])
        if len(self._waiting) == _STEPS:
            self._score(actual, *self._waiting.popleft())
        median, mean = self._ahead(time_ms, overlay)
        self._waiting.append((median, mean, actual))

    def _ahead(self, time_ms: int, overlay: Overlay) -> tuple[F64, F64]:
        links, index = self._links, self._index
        noise = links.noise.ahead(self._rng, _STEPS, DRAWS, index)
        regime = links.regime_ahead(self._rng, _STEPS, DRAWS, index)
        state = links.condition(links.cycle(time_ms + HORIZON_MS)[index], noise, regime, overlay, index)
        draws = np.stack([state.throughput_mbps, state.rtt_ms, state.loss, state.jitter_ms], axis=1)
        return np.median(draws, axis=0), draws.mean(axis=0)

    def _score(self, actual: F64, median: F64, mean: F64, last: F64) -> None:
        total = self._sum
        total["n"] += 1
        total["y"] += actual
        total["yy"] += actual**2
        total["ae"] += abs(actual - median)
        total["se"] += (actual - mean) ** 2
        total["ae_last"] += abs(actual - last)
        total["se_last"] += (actual - last) ** 2

    def report(self) -> dict[str, Any] | None:
        """Per link type and target: best MAE and R2 beside persistence's; None before any score.

        R2 is within links: against each link's own mean.
        """
        if not self._sum["n"].any():
            return None
        types = self._links.link_type[self._index]
        table: dict[str, Any] = {"scored": int(self._sum["n"][0].sum())}
        for type_ in np.unique(types).tolist():
            table[LINK_TYPES[type_]] = {target: self._row(k, types == type_) for k, target in enumerate(TARGETS)}
        return table

    def _row(self, target: int, of_type: NDArray[np.bool_]) -> dict[str, float]:
        s = {name: total[target, of_type] for name, total in self._sum.items()}
        n, variation = s["n"].sum(), (s["yy"] - s["y"] ** 2 / s["n"]).sum()
        row = {"mae": s["ae"].sum() / n, "mae_persistence": s["ae_last"].sum() / n}
        if variation > 0:
            row |= {"r2": 1 - s["se"].sum() / variation, "r2_persistence": 1 - s["se_last"].sum() / variation}
        return {name: _significant(float(value)) for name, value in row.items()}


class Outlook(NamedTuple):
    """What can be known of transfers before they run, arrays `[transfer]`.

    Parameters
    ----------
    share
        Probability that HDE is best.
    hde_loss, amst_loss
        Share of the better utility that always taking HDE, or AMST, is expected to lose.
    """

    share: F64
    hde_loss: F64
    amst_loss: F64


class SelectorCeiling:
    """Scores the best decision given the features against the oracle's labels."""

    def __init__(self, rng: Generator, bank: Bank) -> None:
        self._rng, self._bank = rng, bank
        self.scored = self.right = self.hde = 0
        self.expected = 0.0

    def step(self, transfers: Transfers) -> None:
        """Take some of one minute's transfers, until enough were scored."""
        known = np.flatnonzero(transfers.shadow)
        take = min(len(known), TRANSFERS_PER_MINUTE, TRANSFERS - self.scored)
        if take <= 0:
            return
        index = np.sort(self._rng.choice(known, take, replace=False))
        actual = _hde_wins(Outcome(*(v[index] for v in transfers.result)), transfers, index)
        share = self.probability(transfers, index)
        self.scored += take
        self.hde += int(actual.sum())
        self.right += int(((share > 0.5) == actual).sum())
        self.expected += float(np.maximum(share, 1 - share).sum())

    def probability(self, t: Transfers, index: NDArray[np.intp]) -> F64:
        """Probability that HDE is best, given what the features tell: `[len(index)]`."""
        return self.outlook(t, index).share

    def outlook(self, t: Transfers, index: NDArray[np.intp]) -> Outlook:
        """What the features tell of these transfers."""
        rows = self._plausible_rows(t, index)
        c = t.conditions._replace(**{name: value[index] for name, value in t.conditions._asdict().items()})
        # What differs from the table on this transfer (a failing encoder, a drifted cost) is known to the host.
        bank, true_row = self._bank, t.row[index]
        drawn = c._replace(
            ratio=np.where(c.ratio == bank.ratio[true_row], bank.ratio[rows], c.ratio),
            encode_ms_per_mib=bank.encode_ms_per_mib[rows] * (c.encode_ms_per_mib / bank.encode_ms_per_mib[true_row]),
            cpu_ms_per_mib=bank.cpu_ms_per_mib[rows] * (c.cpu_ms_per_mib / bank.cpu_ms_per_mib[true_row]),
        )
        hde, amst = _utilities(outcome(drawn, Noise.draw(self._rng, rows.shape)), t, index)
        wins, margin = hde > amst, relative_loss(hde, amst)
        return Outlook(
            wins.mean(axis=0), np.where(wins, 0.0, margin).mean(axis=0), np.where(wins, margin, 0.0).mean(axis=0)
        )

    def _plausible_rows(self, t: Transfers, index: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows of the bank drawn by how well they fit the estimates, `[DRAWS, len(index)]`."""
        rows = np.empty((DRAWS, len(index)), np.intp)
        u = self._rng.random((DRAWS, len(index)))
        kinds = np.stack([t.payload_type[index], t.has_baseline[index], t.level[index]], axis=1)
        for kind in np.unique(kinds, axis=0).tolist():
            candidates = self._bank.group(kind[0], bool(kind[1]), kind[2])
            members = np.flatnonzero((kinds == kind).all(axis=1))
            misfit = _misfit(t.seen_entropy[index[members]], self._bank.entropy[candidates], ENTROPY_SD)
            misfit += _misfit(t.seen_repetition[index[members]], self._bank.repetition[candidates], REPETITION_SD)
            weight = np.exp(misfit.min(axis=1, keepdims=True) - misfit)
            below = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)[:, :-1]
            rows[:, members] = candidates.start + (u[:, members, None] > below).sum(axis=2)
        return rows

    def report(self) -> dict[str, Any] | None:
        """Accuracy of the best decision, and of always saying the more frequent label."""
        if not self.scored:
            return None
        share = self.hde / self.scored
        return {
            "scored": self.scored,
            "accuracy": round(self.right / self.scored, 4),
            "expected_accuracy": round(self.expected / self.scored, 4),
            "majority": round(max(share, 1 - share), 4),
            "hde_share": round(share, 4),
        }


def _hde_wins(result: Outcome, t: Transfers, index: NDArray[np.intp]) -> NDArray[np.bool_]:
    hde, amst = _utilities(result, t, index)
    return np.asarray(hde > amst)


def _utilities(result: Outcome, t: Transfers, index: NDArray[np.intp]) -> tuple[F64, F64]:
    size = t.conditions.size_mib[index] * (1 << 20)
    return utilities(Measurement(*result), t.seen_bandwidth_mbps[index], t.seen_rtt_ms[index], size)


def _misfit(seen: F64, rows: F64, sd: float) -> F64:
    """Negative log-likelihood of each row, `[transfer, row]`; 0 where nothing was seen."""
    return np.asarray(0.5 * np.nan_to_num((seen[:, None] - rows) / sd) ** 2)


def _significant(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
