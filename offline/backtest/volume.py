"""Area and volume under the precision-recall surface of a score: AUC-PR and VUS-PR.

J. Paparrizos, P. Boniol, T. Palpanas, R. S. Tsay, A. Elmore, M. J. Franklin, Volume Under
the Surface: A New Accuracy Evaluation Measure for Time-Series Anomaly Detection, VLDB 2022.
Around every event a buffer of half a length on either side counts too, with a weight that
falls as the square root of the distance; recall is multiplied by the share of events met at all. VUS-PR is the mean
over buffer lengths.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.backtest.event_score import Flags, runs

THRESHOLDS: Final = 250
"""Thresholds tried: so many ranks of the score, evenly."""


def auc_pr(score: NDArray[np.float64], label: Flags) -> float:
    """Area under the precision-recall curve by points (average precision); equal scores fall together."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))
    hits = np.cumsum(label[order])[last]
    recall = hits / label.sum()
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / (last + 1)))


def vus_pr(score: NDArray[np.float64], label: Flags, longest: int) -> float:
    """Volume under the precision-recall surface.

    Parameters
    ----------
    score
        Higher is more anomalous, `[n]`.
    label
        Whether a sample is anomalous, `[n]`, at least one of them.
    longest
        The longest buffer, in samples; the median length of the events is a usual choice.
    """
    return float(np.mean([range_auc_pr(score, label, length) for length in range(longest + 1)]))


def range_auc_pr(score: NDArray[np.float64], label: Flags, length: int) -> float:
    """Area under the precision-recall curve with one buffer length."""
    weight = soften(label, length)
    order = np.argsort(-score, kind="stable")
    ranks = np.unique(np.linspace(0, len(score) - 1, THRESHOLDS).astype(np.intp))
    threshold = score[order][ranks]
    predicted = np.searchsorted(-score[order], -threshold, side="right")
    hits = np.cumsum(weight[order])[predicted - 1]
    peak = np.array([score[begin:end].max() for begin, end in runs(weight > 0.0)])
    met = (peak[None, :] >= threshold[:, None]).mean(axis=1)
    recall = np.minimum(hits / (0.5 * (label.sum() + weight.sum())), 1.0) * met
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / predicted))


def soften(label: Flags, length: int) -> NDArray[np.float64]:
    """Weight of every sample: 1 in an event, falling over `length // 2` samples on either side, else 0.

    >>> soften(np.array([False, False, True, False]), 2).round(3).tolist()
    [0.0, 0.707, 1.0, 0.707]
    """
    weight = label.astype(np.float64)
    for begin, end in runs(label):
        for at in range(1, length // 2 + 1):
            for sample in (begin - at, end - 1 + at):
                if 0 <= sample < len(weight):
                    weight[sample] = min(1.0, weight[sample] + np.sqrt(1.0 - at / length))
    return weight
