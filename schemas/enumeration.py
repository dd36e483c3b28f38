"""Enumerations in every spelling that producers send.

A name in any case, an alias, or the integer of Go's `iota` (the names in the order in
which `schemas.field` states them, from 0). Network tiers count from 1 instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.batch import object_column
from schemas.error import ValidationError
from schemas.field import ALGORITHMS, DWCP_MODES, LINK_TYPES, PAYLOAD_TYPES, TRANSPORT_TYPES

_UNKNOWN: Final = object()


class Spellings(dict[Any, Any]):
    """Every spelling of an enumeration's values, and what each one is.

    >>> tiers = Spellings({1: 1, "premium": 1})
    >>> tiers["Premium"], tiers["PREMIUM"], tiers[1]
    (1, 1, 1)
    """

    def __init__(self, known: Mapping[Any, Any]) -> None:
        super().__init__(known)
        self.allowed = ", ".join(sorted({k.lower() for k in known if isinstance(k, str)}))
        self.first = next(iter(known.values()))
        self.dtype = np.int64 if isinstance(self.first, int) else np.object_

    def __missing__(self, sent: Any) -> Any:
        return self.get(sent.lower(), _UNKNOWN) if isinstance(sent, str) else _UNKNOWN

    def column(self, name: str, sent: NDArray[Any], problems: dict[int, ValidationError]) -> NDArray[Any]:
        """What was sent as canonical values, `[n]`; a problem for each row that is none of them.

        Parameters
        ----------
        name
            Of the field, for messages.
        sent
            Names or numbers, `[n]`.
        problems
            By row; what a row has already stays.
        """
        values = list(map(self.__getitem__, sent.tolist()))
        if _UNKNOWN in values:
            for row, value in enumerate(values):
                if value is _UNKNOWN:
                    message = f"{name}={sent[row]!r} is not one of {self.allowed}"
                    problems.setdefault(row, ValidationError("enum", message))
                    values[row] = self.first
        return np.array(values, np.int64) if self.dtype is np.int64 else object_column(values)


def _spellings(names: tuple[str, ...], more: Mapping[Any, Any] | None = None) -> Spellings:
    by_name = {name.lower(): name for name in names} | {name: name for name in names}
    return Spellings({**by_name, **dict(enumerate(names)), **(more or {})})


ENUMERATIONS: Final[Mapping[str, Spellings]] = {
    "link_type": _spellings(LINK_TYPES, {"datacenter": "dc", "data_center": "dc"}),
    "payload_type": _spellings(PAYLOAD_TYPES),
    "dwcp_mode": _spellings(DWCP_MODES),
    "transport_type": _spellings(TRANSPORT_TYPES),
    "actual_algorithm": _spellings(ALGORITHMS, {None: None}),
    "network_tier": Spellings(
        {tier: tier for tier in (1, 2, 3)}
        | {spelling: tier for tier in (1, 2, 3) for spelling in (str(tier), f"tier{tier}")}
        | {"premium": 1, "standard": 2, "economy": 3, "Premium": 1, "Standard": 2, "Economy": 3}
    ),
}
"""By the field that is spelled so, in whatever record."""
