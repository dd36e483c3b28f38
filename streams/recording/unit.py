"""Units as they stand in the headers of CSV files: `latency (s)`, `download [Mbit/s]`, `rtt_us`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, get_type_hints

from msgspec import Struct

from schemas.error import ConfigError
from schemas.unit import other_units_of, units_of

_SCALES: Final[Mapping[str, Mapping[str, float]]] = {
    "ms": {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1, "s": 1e3, "sec": 1e3, "seconds": 1e3, "min": 6e4},
    "Mbps": {
        "bit/s": 1e-6, "bps": 1e-6, "kbps": 1e-3, "kbit/s": 1e-3, "mbps": 1, "mbit/s": 1, "gbps": 1e3, "gbit/s": 1e3,
        "B/s": 8e-6, "kB/s": 8e-3, "MB/s": 8, "GB/s": 8e3,
    },
    "percent": {"%": 1, "percent": 1, "pct": 1, "ratio": 100},
    "ratio": {"ratio": 1, "1": 1, "%": 0.01, "percent": 0.01, "pct": 0.01},
    "bytes": {"B": 1, "bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30},
    "bits/byte": {"bits/byte": 1, "normalized": 8},
}  # fmt: skip
"""What one of a unit is in the canonical one."""

_IN_BRACKETS: Final = re.compile(r"(.*?)\s*[(\[]([^)\]]*)[)\]]\s*")


def split_unit(column: str) -> tuple[str, str]:
    """Name and unit of a CSV column; no unit where the header says none.

    >>> split_unit("LatencyP90(s)"), split_unit("download [Mbit/s]"), split_unit("ping")
    (('LatencyP90', 's'), ('download', 'Mbit/s'), ('ping', ''))
    """
    found = _IN_BRACKETS.fullmatch(column)
    return (found[1], found[2].strip()) if found else (column, "")


def canonical_units(raw: type[Struct], target: type[Struct]) -> dict[str, str]:
    """The canonical unit of every field that a raw and a canonical record share and that has one."""
    hints = get_type_hints(target, include_extras=True)
    found = dict(other_units_of(raw, target))
    for name in target.__struct_fields__:
        units = units_of(name, hints[name])
        if units is not None:
            found[name] = next(iter(units))
    return found


def scale(field: str, canonical: str, unit: str) -> float:
    """What to multiply by.

    Parameters
    ----------
    field
        What it is for, for the error.
    canonical
        The field's own unit; empty when it has none.
    unit
        The file's.

    Raises
    ------
    ConfigError
        When one is not the other's kind.
    """
    known = _SCALES.get(canonical, {canonical: 1.0} if canonical else {})
    # B/s and bit/s differ by case alone in some spellings: exact first.
    factor = known.get(unit, known.get(unit.lower()))
    if factor is None:
        can = f"one of {', '.join(known)}" if known else "nothing: the field has no unit"
        raise ConfigError("unit", f"{field} in {unit}", can)
    return factor
