"""The compression agent's records: oracle labels and decisions as columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.experiment.arm import NEITHER
from online_models.selector.oracle import AMST, FORMULA, HDE, SOURCES
from online_models.selector.trained import Asked, Version
from online_models.slot import row_dtype
from schemas.batch import Output, object_column
from schemas.field import ALGORITHMS

REASONS: Final = ("", "not_ready", "low_confidence", "model_error")
NOT_READY, UNSURE, FAILED = 1, 2, 3

ONLINE, RULES, CHAMPION, CHALLENGER = 0, 1, 2, 3
"""Who decided."""

DECISION: Final = row_dtype(
    ("arrival", "i8"),
    ("clock", "i8"),
    ("label", "i8"),
    ("source", "i8"),
    ("actual", "f8", (2,)),
    ("margin", "f8"),
    ("rule", "i8"),
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
)
"""What was decided for a row, and what was best.

`arrival` and its link's `clock` then are of `online_models.arrival`; of a late row there is nothing else. `label`,
its `source`, `actual` utilities and `margin` are of `oracle.Label`, `rule` is what the heuristic says.
`utility` is the online model's expectation, `greedy` what would have been decided without exploring,
`voted` what the online model alone says, `wrong` its own error where it was scored.
"""

_ARM: Final = np.array(("control", "treatment", ""), object)
"""By arm; -1, the last, is neither."""

_ALGORITHM: Final = np.array(ALGORITHMS, object)
_SOURCE: Final = np.array(SOURCES, object)
_REASON: Final = np.array(REASONS, object)


def label_records(columns: Mapping[str, NDArray[Any]], row: NDArray[np.intp], decision: NDArray[Any]) -> Output:
    """Oracle labels of some rows of a batch, which has these columns and decisions."""
    names = ("event_id", "timestamp", "node_id", "peer_id", "link_type")
    found: dict[str, Any] = {name: columns[name][row] for name in names} | {
        "label": _ALGORITHM[decision["label"][row]],
        "utility_hde": decision["actual"][row, HDE],
        "utility_amst": decision["actual"][row, AMST],
        "margin": decision["margin"][row],
        "formula": [FORMULA] * len(row),
        "label_source": _SOURCE[decision["source"][row]],
    }
    return Output(row, found)


def prediction_records(
    columns: Mapping[str, NDArray[Any]],
    row: NDArray[np.intp],
    decision: NDArray[Any],
    own: tuple[Version, Version],
    asked: Asked,
) -> Output:
    """Decisions of some rows.

    Parameters
    ----------
    columns, decision, asked
        Of the whole batch: its columns, `DECISION` and what trained models say.
    row
        Which rows.
    own
        Name and version of the online model and of the heuristic.
    """
    names = ("event_id", "request_id", "timestamp", "node_id", "peer_id", "link_type")
    decider, reason = decision["decider"][row], decision["reason"][row]
    models = (*own, asked.champion, asked.challenger)
    arm = asked.arm[row]
    found: dict[str, Any] = {name: columns[name][row] for name in names} | {
        "algorithm": _ALGORITHM[decision["algorithm"][row]],
        "probability_amst": decision["probability"][row],
        "confidence": decision["confidence"][row],
        "heuristic_algorithm": _ALGORITHM[decision["rule"][row]],
        "fallback": reason != 0,
        "fallback_reason": _REASON[reason],
        "model_name": object_column([name for name, _ in models])[decider],
        "model_version": object_column([version for _, version in models])[decider],
        "expected_utility_hde": decision["utility"][row, HDE],
        "expected_utility_amst": decision["utility"][row, AMST],
        "propensity": decision["propensity"][row],
        "experiment_id": object_column([asked.experiment_id, ""])[(arm == NEITHER).astype(np.intp)],
        "experiment_arm": _ARM[arm],
        "shadow_version": [asked.shadow_version] * len(row),
        "shadow_probability_amst": asked.shadow[row],
    }
    return Output(row, found)
