"""Units: what may be declared for a number, and how it becomes canonical."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from schemas.error import ValidationError
from schemas.field import DurationMs, Entropy, Mbps, Percent, PositiveMbps, Ratio

Problems = dict[int, ValidationError]
"""Why rows are rejected, by row; what a row has already stays."""

F64 = NDArray[np.float64]


class Conversion(NamedTuple):
    """From a unit to the canonical one: `value * times / per`, of the square root where it is a square."""

    times: float = 1.0
    per: float = 1.0
    squared: bool = False

    def apply(self, values: F64) -> F64:
        """Canonical values; negative ones stay negative, for the range check to see."""
        if self.squared:
            values = np.copysign(np.sqrt(np.abs(values)), values)
        return values * self.times / self.per


Units = Mapping[str, Conversion]
"""What may be declared for a quantity; the first is canonical."""

DURATION: Final[Units] = {
    "ms": Conversion(),
    "ns": Conversion(per=1e6),
    "us": Conversion(per=1e3),
    "s": Conversion(times=1e3),
}
SPREAD: Final[Units] = {**DURATION, "ms2": Conversion(squared=True)}
"""A standard deviation; `ms2` is its square, the variance."""
PERCENT: Final[Units] = {"percent": Conversion(), "ratio": Conversion(times=100)}
RATIO: Final[Units] = {"ratio": Conversion(), "percent": Conversion(per=100)}
RATE: Final[Units] = {"Mbps": Conversion(), "bit/s": Conversion(per=1e6), "B/s": Conversion(times=8, per=1e6)}
ENTROPY: Final[Units] = {"bits/byte": Conversion(), "normalized": Conversion(times=8)}

_SPREADS: Final = ("jitter_ms", "latency_std")
_BY_TYPE: Final[Sequence[tuple[Any, Units]]] = (
    (DurationMs, DURATION), (Percent, PERCENT), (Ratio, RATIO), (Mbps, RATE), (PositiveMbps, RATE), (Entropy, ENTROPY),
)  # fmt: skip


def units_of(name: str, annotation: Any) -> Units | None:
    """Units of a canonical field, or None when it has one only."""
    if name in _SPREADS:
        return SPREAD
    options = (annotation,) if get_origin(annotation) is Annotated else get_args(annotation)
    return next((units for kind, units in _BY_TYPE if kind in options), None)


def other_units_of(raw: type[Struct], target: type[Struct]) -> Mapping[str, str]:
    """The one unit of each numeric field that has no other, by name; empty where it has none."""
    hints = get_type_hints(target, include_extras=True)
    found = {}
    for name in target.__struct_fields__:
        if name in raw.__struct_fields__ and units_of(name, hints[name]) is None:
            found[name] = next(filter(None, map(_unit_text, _extras(hints[name]))), "")
    return found


def reject_units(declared: Mapping[str, Sequence[str | None]], known: Mapping[str, str], problems: Problems) -> None:
    """Add a problem for each row that declares another unit for a field that has one only.

    Parameters
    ----------
    declared
        The unit that each row declares, by field.
    known
        What `other_units_of` found.
    problems
        Where they are added.
    """
    for name in declared.keys() & known.keys():
        allowed = f"is always in {known[name]}" if known[name] else "has no unit to declare"
        for row, unit in enumerate(declared[name]):
            if unit is not None and unit != known[name]:
                message = f"units.{name}={unit!r} is not known here: {name} {allowed}"
                problems.setdefault(row, ValidationError("unit", message))


def _extras(annotation: Any) -> list[Any]:
    kinds = (annotation,) if get_origin(annotation) is Annotated else get_args(annotation)
    return [extra for kind in kinds if get_origin(kind) is Annotated for extra in get_args(kind)[1:]]


def _unit_text(extra: Any) -> str:
    return str((extra.extra_json_schema or {}).get("unit", "")) if isinstance(extra, Meta) else ""
