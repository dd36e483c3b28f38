"""The 27 features of one metric over a window of samples: where it is in time, its distribution, spectrum and lags.

Statistics are sample statistics without bias: `std` divides by n - 1, `skewness` and
`kurtosis` are G1 and G2 (Joanes and Gill, The Statistician 47, 1998), kurtosis in excess of the
normal distribution's, quantiles interpolate between samples (Hyndman and Fan's type 7).

The spectrum is the periodogram of the window made even: values are taken at the window's median
spacing, back from the newest sample, between samples by a straight line; their mean is removed. `dominant_frequency_hz`
is the frequency with most power, `spectral_entropy` the entropy of the powers' shares over that of equal
ones, so 0 for one sine and 1 for white noise without end.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schemas.performance import LAGS, PERFORMANCE_FEATURES, QUANTILES

N_FEATURES: Final = len(PERFORMANCE_FEATURES)
SPIKE_DEVIATIONS: Final = 3.0
"""A sample so many standard deviations above the window's mean is a spike."""

SPECTRUM_MIN: Final = 8
"""Even samples below which there is no spectrum."""

DAY_MS: Final = 86_400_000
_INSERTION_MAX: Final = 64
_MINUTE_MS: Final = 60_000.0
_HOUR_MS: Final = 3_600_000.0

HOUR: Final = PERFORMANCE_FEATURES.index("hour_of_day")
DAY: Final = PERFORMANCE_FEATURES.index("day_of_week")
SINCE_SPIKE: Final = PERFORMANCE_FEATURES.index("minutes_since_spike")
MEAN: Final = PERFORMANCE_FEATURES.index("mean")
STD: Final = PERFORMANCE_FEATURES.index("std")
MIN: Final = PERFORMANCE_FEATURES.index("min")
MAX: Final = PERFORMANCE_FEATURES.index("max")
QUANTILE: Final = MAX + 1
SKEWNESS: Final = PERFORMANCE_FEATURES.index("skewness")
KURTOSIS: Final = PERFORMANCE_FEATURES.index("kurtosis")
FREQUENCY: Final = PERFORMANCE_FEATURES.index("dominant_frequency_hz")
ENTROPY: Final = PERFORMANCE_FEATURES.index("spectral_entropy")
LAG: Final = ENTROPY + 1
DIFF: Final = LAG + len(LAGS)

_QUANTILES = np.array(QUANTILES)
_LAGS = np.array(LAGS)


@njit(cache=True)
def write_calendar(time_ms: int, out: NDArray[Any]) -> None:
    """Hour of the day, with its fraction, and day of the week, UTC, Monday = 0."""
    out[HOUR] = (time_ms % DAY_MS) / _HOUR_MS
    out[DAY] = (time_ms // DAY_MS + 3) % 7  # 1 January 1970 was a Thursday


@njit(cache=True)
def write_statistics(value: NDArray[Any], ordered: NDArray[Any], out: NDArray[Any]) -> None:
    """Distribution and lags of a window.

    Parameters
    ----------
    value
        Samples `[n]`, oldest first, n >= 1, finite.
    ordered
        Work space `[n]`; holds the samples in order of size afterwards.
    out
        Features `[27]`; those of calendar, spike and spectrum are left alone.
    """
    n = value.shape[0]
    total = 0.0
    for i in range(n):
        ordered[i] = value[i]
        total += value[i]
    sort_values(ordered)
    low, high = ordered[0], ordered[n - 1]
    mean = min(max(total / n, low), high)  # a mean of equal values is that value
    out[MEAN], out[MIN], out[MAX] = mean, low, high
    for k in range(_QUANTILES.shape[0]):
        at = _QUANTILES[k] * (n - 1)
        i = min(int(at), n - 1)
        j = min(i + 1, n - 1)
        out[QUANTILE + k] = ordered[i] + (at - i) * (ordered[j] - ordered[i])
    _write_moments(value, mean, low != high, out)
    for k in range(_LAGS.shape[0]):
        lag = value[max(n - 1 - _LAGS[k], 0)]
        out[LAG + k] = lag
        out[DIFF + k] = value[n - 1] - lag


@njit(cache=True)
def sort_values(value: NDArray[Any]) -> None:
    """Sort in place; short windows by insertion, which is several times as fast."""
    n = value.shape[0]
    if n > _INSERTION_MAX:
        value.sort()
        return
    for i in range(1, n):
        moved = value[i]
        k = i - 1
        while k >= 0 and value[k] > moved:
            value[k + 1] = value[k]
            k -= 1
        value[k + 1] = moved


@njit(cache=True)
def _write_moments(value: NDArray[Any], mean: float, varies: bool, out: NDArray[Any]) -> None:
    out[STD] = out[SKEWNESS] = out[KURTOSIS] = 0.0
    n = value.shape[0]
    if not varies:
        return
    second = third = fourth = 0.0
    for i in range(n):
        d = value[i] - mean
        second += d * d
        third += d * d * d
        fourth += d * d * d * d
    out[STD] = math.sqrt(second / (n - 1))
    second, third, fourth = second / n, third / n, fourth / n
    if n >= 3:
        out[SKEWNESS] = math.sqrt(n * (n - 1.0)) / (n - 2) * third / second**1.5
    if n >= 4:
        excess = fourth / (second * second) - 3.0
        out[KURTOSIS] = (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1) * excess + 6.0)


@njit(cache=True)
def spike_at(time_ms: NDArray[Any], value: NDArray[Any], mean: float, std: float) -> int:
    """Time of the newest spike of a window, 0 where there is none."""
    if std <= 0.0:
        return 0
    for i in range(value.shape[0] - 1, -1, -1):
        if value[i] > mean + SPIKE_DEVIATIONS * std:
            return int(time_ms[i])
    return 0


@njit(cache=True)
def minutes_since(time_ms: int, spike_ms: int) -> float:
    """Minutes from a spike to now."""
    return (time_ms - spike_ms) / _MINUTE_MS


@njit(cache=True)
def median_spacing(time_ms: NDArray[Any], ordered: NDArray[Any]) -> int:
    """Lower median of the times between neighbours, ms; 0 for a single sample.

    Parameters
    ----------
    time_ms
        Increasing, `[n]`.
    ordered
        Work space of at least `n`.
    """
    n = time_ms.shape[0] - 1
    if n < 1:
        return 0
    for i in range(n):
        ordered[i] = time_ms[i + 1] - time_ms[i]
    spacing = ordered[:n]
    sort_values(spacing)
    return int(spacing[(n - 1) // 2])


@njit(cache=True)
def write_even(time_ms: NDArray[Any], value: NDArray[Any], spacing_ms: int, out: NDArray[Any]) -> int:
    """A window at even times, back from its newest sample; returns how many.

    Parameters
    ----------
    time_ms, value
        Increasing times `[n]`, and samples `[n, metric]` at them.
    spacing_ms
        Between even samples.
    out
        `[metric, n]`; the first ones are filled, oldest first.
    """
    n = time_ms.shape[0]
    if spacing_ms < 1:
        return 0
    count = min(n, int((time_ms[n - 1] - time_ms[0]) // spacing_ms) + 1)
    i = 0
    for k in range(count):
        at = time_ms[n - 1] - (count - 1 - k) * spacing_ms
        while i < n - 2 and time_ms[i + 1] < at:
            i += 1
        share = (at - time_ms[i]) / (time_ms[i + 1] - time_ms[i])
        for j in range(value.shape[1]):
            left, right = value[i, j], value[i + 1, j]
            out[j, k] = right if share == 1.0 else left + share * (right - left)
    return int(count)


def write_spectrum(even: NDArray[np.float64], spacing_ms: int, features: NDArray[np.float64]) -> None:
    """Dominant frequency and spectral entropy of every metric.

    One call per window, always of the same shape for the same window: transforms of several rows at once
    may round otherwise, and features must not depend on how the stream was cut.

    Parameters
    ----------
    even
        Samples `[metric, n]` at even times.
    spacing_ms
        Between them.
    features
        `[metric, 27]`, updated in place.
    """
    n = even.shape[1]
    features[:, FREQUENCY : ENTROPY + 1] = 0.0
    if n < SPECTRUM_MIN:
        return
    power = np.abs(np.fft.rfft(even - even.mean(axis=1, keepdims=True))[:, 1:]) ** 2
    total = power.sum(axis=1)
    varies = (even.max(axis=1) != even.min(axis=1)) & (total > 0.0)
    share = power / np.where(varies, total, 1.0)[:, None]
    bits = -(share * np.log(np.where(share > 0.0, share, 1.0))).sum(axis=1)
    frequency = (np.argmax(power, axis=1) + 1) / (n * spacing_ms / 1000.0)
    features[:, FREQUENCY] = np.where(varies, frequency, 0.0)
    features[:, ENTROPY] = np.where(varies, np.clip(bits / math.log(power.shape[1]), 0.0, 1.0), 0.0)
