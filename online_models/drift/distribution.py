"""A stream of features held against a reference: PSI and KS of one window of event time after another.

Windows are whole days unless told otherwise, because telemetry has a daily course: the
hours of an afternoon are no drift against those of a morning. The reference is a model's training
data, as the nine inner edges of ten quantile bins; without one, it is the first window, from an even
sample of its rows. Missing values are a bin of their own. All of it is arrays of a fixed size.

Both distances are over the bins, so the KS distance is that at their edges. A window is judged
when a record of a later one arrives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.drift.divergence import ALERT_PSI, BINS, WARN_PSI, binned_ks, binned_psi, ks_limit

DAY_MS: Final = 86_400_000

LEAST: Final = 1_000
"""Rows without which a window is neither judged nor taken as the reference; it then goes on."""

SAMPLE: Final = 2_048
"""Rows that the reference is made of where no model brings one."""

KS_LEVELS: Final = (0.1, 0.15)
"""Distances from which KS warns and alerts: those of a shift that makes a PSI of .1 or .15 are .13 and .15."""

CELLS: Final = BINS + 1
"""Bins, and one of missing values."""

_FIRST: Final = "first-window"


class Drift(NamedTuple):
    """One feature of one window that is too far from the reference."""

    feature: str
    statistic: str
    value: float
    threshold: float
    window: int
    level: str


class Distribution:
    """The features of a stream.

    Parameters
    ----------
    names
        The features.
    window_ms
        Length of a window.
    least
        Rows that a window needs.
    """

    def __init__(self, names: Sequence[str], window_ms: int = DAY_MS, least: int = LEAST) -> None:
        self.names = tuple(names)
        self._window_ms = window_ms
        self._least = least
        n = len(self.names)
        self.edges = np.full((n, BINS - 1), np.inf)
        self.expected = np.zeros((n, CELLS))
        self.count = np.zeros((n, CELLS), np.int64)
        self.sample = np.zeros((SAMPLE, n), np.float32)
        self.sampled = np.zeros(SAMPLE, np.int64)
        self.progress = np.zeros(5, np.int64)
        """Window, rows in it, rows sampled, halvings of the sample, rows behind the reference (0: none yet)."""
        self.version = np.array([_FIRST], "S64")

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All there is to keep."""
        names = ("edges", "expected", "count", "sample", "sampled", "progress", "version")
        return {name: getattr(self, name) for name in names}

    @property
    def reference_version(self) -> str:
        """Whose data the reference is."""
        return str(self.version[0].decode())

    def refer(self, reference: Mapping[str, Sequence[float]], version: str) -> None:
        """Take a model's training data as the reference from now on; the present window begins anew.

        Parameters
        ----------
        reference
            Nine inner edges of ten quantile bins by feature. What it lacks is not watched, nor
            what has edges that fall together: they do not say how frequent the value there is.
        version
            The model's, at most 64 bytes.
        """
        for j, name in enumerate(self.names):
            edges = np.sort(np.asarray(reference.get(name, ()), np.float64))
            known = len(edges) == BINS - 1 and bool((np.diff(edges) > 0.0).all())
            self.edges[j] = edges if known else np.inf
            self.expected[j] = 0.0
            self.expected[j, :BINS] = 1.0 / BINS if known else 0.0
        self.sample[:] = 0.0
        self.sampled[:] = 0
        self.version[0] = version.encode()[:64]
        self.count[:] = 0
        self.progress[1:] = (0, 0, 0, self._least)

    def step(self, time_ms: NDArray[np.int64], x: NDArray[np.floating[Any]]) -> list[tuple[int, Drift]]:
        """Count rows in order of arrival; what the windows that ended showed, with the row that ended each.

        Parameters
        ----------
        time_ms
            Event times, UTC epoch ms, `[n]`, at least one.
        x
            The features, `[n, feature]`; NaN where one is missing.
        """
        if time_ms.max() // self._window_ms <= self.progress[0]:  # nearly always: no window ends
            self._take(x)
            return []
        window = np.maximum(np.maximum.accumulate(time_ms // self._window_ms), self.progress[0])
        before = np.concatenate((self.progress[:1], window[:-1]))
        cuts = [*np.flatnonzero(window != before).tolist(), len(window)]
        self._take(x[: cuts[0]])
        found = []
        for first, end in pairwise(cuts):
            found += [(first, drift) for drift in self._close()]
            self.progress[0] = window[first]
            self._take(x[first:end])
        return found

    def _take(self, x: NDArray[np.floating[Any]]) -> None:
        x = np.ascontiguousarray(x, np.float64)
        _take(x, self.edges, self.count, self.sample, self.sampled, self.progress)

    def _close(self) -> list[Drift]:
        """Judge the window that ended, or make it the reference; too few rows go on into the next."""
        rows = int(self.progress[1])
        if rows < self._least:
            return []
        if not self.progress[4]:
            self._learn(self.sample[: self.progress[2]].astype(np.float64))
            self.progress[4] = self.progress[2]
            found: list[Drift] = []
        else:
            found = self._judge()
        self.count[:] = 0
        self.progress[1:4] = 0
        return found

    def _learn(self, sample: NDArray[np.float64]) -> None:
        for j in range(len(self.names)):
            known = sample[np.isfinite(sample[:, j]), j]
            if len(known):
                self.edges[j] = _apart(np.quantile(known, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
                cell = np.searchsorted(self.edges[j], known, side="right")
                self.expected[j, :BINS] = np.bincount(cell, minlength=BINS) / len(sample)
            self.expected[j, BINS] = 1.0 - len(known) / len(sample)
        self.sample[:] = 0.0
        self.sampled[:] = 0

    def _judge(self) -> list[Drift]:
        found = []
        n_reference = int(self.progress[4])
        for j, name in enumerate(self.names):
            rows = int(self.count[j].sum())
            if not rows or not self.expected[j].any():
                continue
            actual = self.count[j] / rows
            chance = ks_limit(n_reference, rows)
            psi = binned_psi(self.expected[j], actual)
            ks = binned_ks(self.expected[j], actual)
            for statistic, value, (warn, alert) in (("psi", psi, (WARN_PSI, ALERT_PSI)), ("ks", ks, KS_LEVELS)):
                if value > warn and (statistic == "psi" or value > chance):
                    above = value > alert
                    level = "alert" if above else "warning"
                    found.append(Drift(name, statistic, value, alert if above else warn, rows, level))
        return found


def _apart(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges that fall together at a frequent value, with the value in a bin of its own."""
    repeated = np.concatenate(([False], edges[1:] == edges[:-1]))
    return np.where(repeated, np.nextafter(edges.astype(np.float32), np.float32(np.inf)).astype(np.float64), edges)


@njit(cache=True)
def _take(
    x: NDArray[Any], edges: NDArray[Any], count: NDArray[Any], sample: NDArray[Any], sampled: NDArray[Any],
    progress: NDArray[Any],
) -> None:  # fmt: skip
    """Count the values of rows by bin; without a reference, sample the rows."""
    for i in range(len(x)):
        if progress[4]:
            for j in range(len(edges)):
                count[j, _cell(edges[j], x[i, j])] += 1
        else:
            _sample(x[i], sample, sampled, progress)
        progress[1] += 1


@njit(cache=True)
def _cell(edges: NDArray[Any], value: float) -> int:
    if math.isnan(value):
        return BINS
    cell = 0
    for edge in edges:
        cell += value >= edge
    return cell


@njit(cache=True)
def _sample(row: NDArray[Any], sample: NDArray[Any], sampled: NDArray[Any], progress: NDArray[Any]) -> None:
    """Keep a row whose number hashes low enough; when there is no room for it, half as low."""
    number = progress[1]
    while progress[2] == SAMPLE and _is_low(number, progress[3]):
        _halve(sample, sampled, progress)
    if _is_low(number, progress[3]):
        sampled[progress[2]] = number
        sample[progress[2]] = row
        progress[2] += 1


@njit(cache=True)
def _halve(sample: NDArray[Any], sampled: NDArray[Any], progress: NDArray[Any]) -> None:
    progress[3] += 1
    kept = 0
    for k in range(SAMPLE):
        if _is_low(sampled[k], progress[3]):
            sampled[kept] = sampled[k]
            sample[kept] = sample[k]
            kept += 1
    sampled[kept:] = 0
    sample[kept:] = 0.0
    progress[2] = kept


@njit(cache=True)
def _is_low(number: int, halvings: int) -> bool:
    """Whether a row's number hashes (SplitMix64) below `2 ** -halvings` of the range; periods do not survive it."""
    z = (np.uint64(number) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bool((z >> np.uint64(32)) < (np.uint64(1) << np.uint64(32 - halvings)))
