"""The compression agent's records: oracle labels and decisions as columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.experiment.arm import NEITHER
from online_models.selector.oracle import FORMULA, SOURCES, Label
from online_models.selector.trained import Asked, Version
from schemas.batch import Output, object_column
from schemas.field import ALGORITHMS

REASONS: Final = ("", "not_ready", "low_confidence", "model_error")
NOT_READY, UNSURE, FAILED = 1, 2, 3

ONLINE, RULES, CHAMPION, CHALLENGER = 0, 1, 2, 3
"""Who decided."""

DECISION: Final = np.dtype(
    [
        ("algorithm", "i8"),
        ("probability", "f8"),
        ("confidence", "f8"),
        ("utility", "f8", (2,)),
        ("propensity", "f8"),
        ("reason", "i8"),
        ("decider", "i8"),
        ("greedy", "i8"),
        ("voted", "i8"),
        ("scored", "?"),
        ("wrong", "?"),
    ]
)
"""What was decided for a row.

`utility` is the online model's expectation, `greedy` what would have been decided without exploring,
`voted` what the online model alone says, `wrong` its own error where it was scored.
"""

_ARM: Final = np.array(("control", "treatment", ""), object)
"""By arm; -1, the last, is neither."""

_ALGORITHM: Final = np.array(ALGORITHMS, object)
_SOURCE: Final = np.array(SOURCES, object)
_REASON: Final = np.array(REASONS, object)


def label_records(columns: Mapping[str, NDArray[Any]], row: NDArray[np.intp], label: Label) -> Output:
    """Oracle labels of some rows."""
    names = ("event_id", "timestamp", "node_id", "peer_id", "link_type")
    found: dict[str, Any] = {name: columns[name][row] for name in names} | {
        "label": _ALGORITHM[label.label[row]],
        "utility_hde": label.utility_hde[row],
        "utility_amst": label.utility_amst[row],
        "margin": label.margin[row],
        "formula": [FORMULA] * len(row),
        "label_source": _SOURCE[label.source[row]],
    }
    return Output(row, found)


def prediction_records(
    columns: Mapping[str, NDArray[Any]],
    row: NDArray[np.intp],
    decision: NDArray[Any],
    rule: NDArray[np.int64],
    own: tuple[Version, Version],
    asked: Asked,
) -> Output:
    """Decisions of some rows.

    Parameters
    ----------
    columns
        Of the whole batch.
    row
        Which rows.
    decision, rule
        `DECISION` and what the heuristic says, of those rows.
    own
        Name and version of the online model and of the heuristic.
    asked
        What trained models say of the whole batch.
    """
    names = ("event_id", "request_id", "timestamp", "node_id", "peer_id", "link_type")
    decider = decision["decider"]
    models = (*own, asked.champion, asked.challenger)
    arm = asked.arm[row]
    found: dict[str, Any] = {name: columns[name][row] for name in names} | {
        "algorithm": _ALGORITHM[decision["algorithm"]],
        "probability_amst": decision["probability"],
        "confidence": decision["confidence"],
        "heuristic_algorithm": _ALGORITHM[rule],
        "fallback": decision["reason"] != 0,
        "fallback_reason": _REASON[decision["reason"]],
        "model_name": object_column([name for name, _ in models])[decider],
        "model_version": object_column([version for _, version in models])[decider],
        "expected_utility_hde": decision["utility"][:, 0],
        "expected_utility_amst": decision["utility"][:, 1],
        "propensity": decision["propensity"],
        "experiment_id": np.where(arm == NEITHER, "", asked.experiment_id).astype(object),
        "experiment_arm": _ARM[arm],
        "shadow_version": [asked.shadow_version] * len(row),
        "shadow_probability_amst": asked.shadow[row],
    }
    return Output(row, found)
