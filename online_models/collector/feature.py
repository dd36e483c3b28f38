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
def write_statistics(value: NDArray[Any], n: int, out: NDArray[Any]) -> None:
    """Distribution, but for its quantiles, and lags of one metric.

    Parameters
    ----------
    value
        The first `n` >= 1 are samples, oldest first, finite.
    out
        Features `[27]`; those of calendar, spike, quantiles and spectrum are left alone.
    """
    total, low, high = sum_values(value, n)
    mean = min(max(total / n, low), high)  # a mean of equal values is that value
    second, third, fourth = sum_powers(value, n, mean)
    out[MEAN], out[MIN], out[MAX] = mean, low, high
    _write_moments(n, second, third, fourth, low != high, out)
    newest = value[n - 1]
    for k in range(_LAGS.shape[0]):
        lag = value[max(n - 1 - _LAGS[k], 0)]
        out[LAG + k] = lag
        out[DIFF + k] = newest - lag


# Sums in the order that suits the processor, several values at a time: they are of finite values.
@njit(cache=True, fastmath={"reassoc", "nsz", "nnan"})
def sum_values(value: NDArray[Any], n: int) -> tuple[float, float, float]:
    """Sum, least and largest of the first `n` >= 1 values."""
    total, low, high = 0.0, value[0], value[0]
    for i in range(n):
        x = value[i]
        total += x
        low = x if x < low else low
        high = x if x > high else high
    return total, low, high


@njit(cache=True, fastmath={"reassoc", "nsz", "nnan"})
def sum_powers(value: NDArray[Any], n: int, mean: float) -> tuple[float, float, float]:
    """Sums of the second, third and fourth powers of differences to the mean."""
    second = third = fourth = 0.0
    for i in range(n):
        d = value[i] - mean
        square = d * d
        second += square
        third += square * d
        fourth += square * square
    return second, third, fourth


@njit(cache=True, fastmath={"reassoc", "nsz", "nnan"})
def sum_apart(value: NDArray[Any], n: int) -> tuple[float, float]:
    """Sums of differences to the newest of `n` values, and of their squares.

    Parameters
    ----------
    value
        `[64]`; what follows the first `n` <= 64 is as the newest, so adds nothing.
    """
    newest = value[n - 1]
    total = square = 0.0
    for i in range(RANKED_MAX):
        d = value[i] - newest
        total += d
        square += d * d
    return total, square


@njit(cache=True)
def _write_moments(n: int, second: float, third: float, fourth: float, varies: bool, out: NDArray[Any]) -> None:
    out[STD] = out[SKEWNESS] = out[KURTOSIS] = 0.0
    if not varies:
        return
    out[STD] = math.sqrt(second / (n - 1))
    second, third, fourth = second / n, third / n, fourth / n
    if n >= 3:
        out[SKEWNESS] = math.sqrt(n * (n - 1.0)) / (n - 2) * third / (second * math.sqrt(second))
    if n >= 4:
        excess = fourth / (second * second) - 3.0
        out[KURTOSIS] = (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1) * excess + 6.0)


@njit(cache=True)
def write_quantiles(ordered: NDArray[Any], n: int, out: NDArray[Any]) -> None:
    """Quantiles of one metric.

    Parameters
    ----------
    ordered
        The first `n` >= 1 are its samples in order of size.
    out
        Features `[27]`.
    """
    for k in range(_QUANTILES.shape[0]):
        at = _QUANTILES[k] * (n - 1)
        i = min(int(at), n - 1)
        left, right = np.float64(ordered[i]), np.float64(ordered[min(i + 1, n - 1)])
        out[QUANTILE + k] = left + (at - i) * (right - left)


RANKED_MAX: Final = 64


@njit(cache=True)
def rank_values(value: NDArray[Any], n: int, key: NDArray[Any], ordered: NDArray[Any]) -> None:
    """Put the first `n` <= 64 values in order, by counting those below each: no branches, eight at a time.

    Parameters
    ----------
    value
        Numbers of single precision.
    key
        Work space, float32 `[64]`.
    ordered
        At least `n`.
    """
    for i in range(RANKED_MAX):
        key[i] = value[i] if i < n else np.inf
    for i in range(n):
        below, same = _count_below(key, key[i])
        for k in range(below, below + same):
            ordered[k] = value[i]


@njit(cache=True, fastmath={"reassoc"})
def _count_below(key: NDArray[Any], x: float) -> tuple[int, int]:
    one, none = np.float32(1.0), np.float32(0.0)
    below = same = none
    for k in range(RANKED_MAX):
        below += one if key[k] < x else none
        same += one if key[k] == x else none
    return int(below), int(same)


@njit(cache=True)
def newest_above(time_ms: NDArray[Any], value: NDArray[Any], n: int, limit: float) -> int:
    """Time of the newest of the first `n` samples above a limit, 0 where there is none."""
    for i in range(n - 1, -1, -1):
        if value[i] > limit:
            return int(time_ms[i])
    return 0


@njit(cache=True)
def minutes_since(time_ms: int, spike_ms: int) -> float:
    """Minutes from a spike to now."""
    return (time_ms - spike_ms) / _MINUTE_MS


@njit(cache=True)
def median_spacing(time_ms: NDArray[Any], work: NDArray[Any]) -> int:
    """Lower median of the times between neighbours, ms; 0 for a single sample.

    Parameters
    ----------
    time_ms
        Increasing, `[n]`.
    work
        Work space of at least `n`, int64.
    """
    n = time_ms.shape[0] - 1
    if n < 1:
        return 0
    newest = time_ms[n] - time_ms[n - 1]
    below = same = 0
    for i in range(n):
        gap = time_ms[i + 1] - time_ms[i]
        work[i] = gap
        below += gap < newest
        same += gap == newest
    if below <= (n - 1) // 2 < below + same:  # as nearly always: nothing to sort
        return int(newest)
    gaps = work[:n]
    gaps.sort()
    return int(gaps[(n - 1) // 2])


@njit(cache=True)
def write_even(time_ms: NDArray[Any], value: NDArray[Any], spacing_ms: int, out: NDArray[Any]) -> int:
    """A window at even times, back from its newest sample; returns how many.

    Parameters
    ----------
    time_ms, value
        Increasing times `[n]`; the first n of `[metric, window]` are samples at them.
    spacing_ms
        Between even samples.
    out
        `[metric, window]`; the first ones are filled, oldest first.
    """
    n = time_ms.shape[0]
    if spacing_ms < 1:
        return 0
    uneven = 0
    for i in range(n - 1):
        uneven += time_ms[i + 1] - time_ms[i] != spacing_ms
    if uneven == 0:
        for j in range(value.shape[0]):
            for i in range(n):
                out[j, i] = value[j, i]
        return int(n)
    count = min(n, int((time_ms[n - 1] - time_ms[0]) // spacing_ms) + 1)
    i = 0
    for k in range(count):
        at = time_ms[n - 1] - (count - 1 - k) * spacing_ms
        while i < n - 2 and time_ms[i + 1] < at:
            i += 1
        share = (at - time_ms[i]) / (time_ms[i + 1] - time_ms[i])
        for j in range(value.shape[0]):
            left, right = value[j, i], value[j, i + 1]
            out[j, k] = right if share == 1.0 else left + share * (right - left)
    return int(count)


def write_spectra(
    even: NDArray[np.float64], count: NDArray[np.int64], spacing_ms: NDArray[np.int64], features: NDArray[np.float64]
) -> None:
    """Dominant frequency and spectral entropy of every metric of some windows.

    Windows of one length are transformed together. NumPy does so row by row, so what a window's features are
    does not depend on those beside it, and so not on how the stream was cut.

    Parameters
    ----------
    even
        `[m, metric, window]`; of window k the first `count[k]` are samples at even times.
    count, spacing_ms
        `[m]`: how many, and the time between them.
    features
        `[m, metric, 27]`, updated in place.
    """
    features[:, :, FREQUENCY : ENTROPY + 1] = 0.0
    for n in np.unique(count):
        if n >= SPECTRUM_MIN:
            at = np.flatnonzero(count == n)
            whole = len(at) == len(even)
            _write_spectra(even[:, :, :n] if whole else even[at, :, :n], spacing_ms[at], features, at)


def _write_spectra(
    even: NDArray[np.float64], spacing_ms: NDArray[np.int64], features: NDArray[np.float64], at: NDArray[np.intp]
) -> None:
    n = even.shape[2]
    spectrum = np.fft.rfft(even - even.mean(axis=2, keepdims=True))[:, :, 1:]
    power = spectrum.real**2 + spectrum.imag**2
    total = power.sum(axis=2)
    varies = (even.max(axis=2) != even.min(axis=2)) & (total > 0.0)
    share = power / np.where(varies, total, 1.0)[:, :, None]
    bits = -(share * np.log(np.where(share > 0.0, share, 1.0))).sum(axis=2)
    frequency = (np.argmax(power, axis=2) + 1) / (n * spacing_ms / 1000.0)[:, None]
    features[at, :, FREQUENCY] = np.where(varies, frequency, 0.0)
    features[at, :, ENTROPY] = np.where(varies, np.clip(bits / math.log(power.shape[2]), 0.0, 1.0), 0.0)
