"""How good decisions were: accuracy, regret, calibration, per class and per link type."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from online_models.selector.oracle import AMST, HDE
from schemas.field import ALGORITHMS, LINK_TYPES

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

BINS: Final = 15
_DRAWS: Final = 100
_SEED: Final = 1


class ClassQuality(Struct, frozen=True):
    """One class's figures; None where nothing was predicted or none occurred."""

    precision: float | None
    recall: float | None


class LinkQuality(Struct, frozen=True):
    """Figures of one link type."""

    n: int
    accuracy: float
    regret: float


class Quality(Struct, frozen=True):
    """How good one decider was on the test part.

    `regret` is the share of the better utility given away, mean over all decisions, `regret_p95` its 95th
    percentile. `log_loss`, `ece` and `ece_noise` are None for deciders without probabilities;
    `ece_noise` is what a perfectly calibrated one would show on so many decisions.
    """

    name: str
    accuracy: float
    regret: float
    regret_p95: float
    log_loss: float | None
    ece: float | None
    ece_noise: float | None
    classes: dict[str, ClassQuality]
    link_types: dict[str, LinkQuality]


class Truth(Struct, frozen=True):
    """What was best in the scored rows: labels and margins `[n]`, link types `[n]`."""

    label: Any
    margin: Any
    link_type: Any

    def take(self, row: NDArray[np.intp]) -> Truth:
        """Some rows."""
        return Truth(self.label[row], self.margin[row], self.link_type[row])


def quality(name: str, choice: I64, truth: Truth, probability: F64 | None = None) -> Quality:
    """Score decisions.

    Parameters
    ----------
    name
        Who decided.
    choice
        `HDE` or `AMST`, `[n]`.
    truth
        What was best.
    probability
        Of AMST, `[n]`, where the decider has one.
    """
    wrong = choice != truth.label
    lost = np.where(wrong, truth.margin, 0.0)
    types = {
        kind: LinkQuality(int(of.sum()), float(1.0 - wrong[of].mean()), float(lost[of].mean()))
        for kind in LINK_TYPES
        if (of := truth.link_type == kind).any()
    }
    classes = {ALGORITHMS[k]: _class_quality(choice == k, truth.label == k) for k in (HDE, AMST)}
    loss = error = noise = None
    if probability is not None:
        loss = log_loss(probability, truth.label)
        error, noise = calibration_error(probability, truth.label), calibration_noise(probability)
    return Quality(
        name, float(1.0 - wrong.mean()), float(lost.mean()), float(np.quantile(lost, 0.95)), loss, error, noise,
        classes, types,
    )  # fmt: skip


def log_loss(probability: F64, label: I64) -> float:
    """Mean negative log-likelihood, in nats; probabilities are kept 1e-6 away from 0 and 1."""
    p = np.clip(probability, 1e-6, 1.0 - 1e-6)
    return float(-np.where(label == AMST, np.log(p), np.log1p(-p)).mean())


def reliability(probability: F64, label: NDArray[Any], bins: int = BINS) -> tuple[F64, F64, I64]:
    """Mean probability, observed share and count by bin; bins hold equally many decisions."""
    order = np.argsort(probability, kind="stable")
    pieces = np.array_split(order, min(bins, len(order)))
    said = np.array([probability[piece].mean() for piece in pieces])
    seen = np.array([label[piece].mean() for piece in pieces])
    return said, seen, np.array([len(piece) for piece in pieces])


def calibration_error(probability: F64, label: NDArray[Any]) -> float:
    """Expected calibration error over bins of equally many decisions."""
    said, seen, count = reliability(probability, label)
    return float((np.abs(said - seen) * count).sum() / count.sum())


def calibration_noise(probability: F64) -> float:
    """The calibration error that chance alone makes: its mean over labels drawn from the probabilities."""
    rng = np.random.default_rng(_SEED)
    drawn = (rng.random(len(probability)) < probability for _ in range(_DRAWS))
    return float(np.mean([calibration_error(probability, label) for label in drawn]))


def _class_quality(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> ClassQuality:
    both = float((said & true).sum())
    return ClassQuality(
        both / float(said.sum()) if said.any() else None,
        both / float(true.sum()) if true.any() else None,
    )
