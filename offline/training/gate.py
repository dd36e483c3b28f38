"""Gates: what a model must reach before it is announced."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Final, Literal

from schemas.error import GateFailed
from schemas.model import Gate

Comparison = Literal["at_least", "at_most", "above", "below"]

_PASSES: Final[dict[str, Callable[[float, float], bool]]] = {
    "at_least": operator.ge,
    "at_most": operator.le,
    "above": operator.gt,
    "below": operator.lt,
}

SIGNS: Final = {"at_least": ">=", "at_most": "<=", "above": ">", "below": "<"}


def gate(name: str, value: float, comparison: Comparison, limit: float) -> Gate:
    """A gate and whether it was reached; NaN reaches none.

    Examples
    --------
    >>> gate("accuracy", 0.97, "at_least", 0.95).passed
    True
    """
    return Gate(name, float(value), float(limit), comparison, _PASSES[comparison](value, limit))


def require(gates: Sequence[Gate]) -> None:
    """Check that all gates were reached.

    Raises
    ------
    GateFailed
        For the first that was not.
    """
    for one in gates:
        if not one.passed:
            raise GateFailed(one.gate, one.value, one.limit)
