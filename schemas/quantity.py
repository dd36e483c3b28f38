"""Quantities: what a number that a producer sent means.

No unit is ever guessed from a value, because 0.5 may be half a percent or a half:

1. A name that ends in a unit means that unit: `rtt_ms`, `rtt_ns`, `packet_loss_percent`.
2. A name without one means what its contract or `ALTERNATES` says, unless the record's
   `units`, or the deployment's, declare another: `{"packet_loss": "percent"}`.
3. A name that Go code uses for two units (`utilization`, `delta_hit_rate`) means
   nothing until it is declared.

What breaks a rule, or says one quantity twice and differently, is rejected with the
reason `unit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple, get_type_hints

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.batch import Columns, object_column
from schemas.compression import CompressionTelemetry
from schemas.error import ConfigError, ValidationError
from schemas.network import NetworkSample
from schemas.system import SystemMetrics
from schemas.unit import F64, RATIO, Conversion, Problems, Units, units_of

VARIABLE: Final = "DWCP_UNITS"
"""The setting that declares units for a deployment."""

_SUFFIXES: Final = ("_ms", "_ns", "_ms2", "_mbps", "_bps", "_percent", "_pct", "_ratio", "_normalized")

# How far two names of one quantity may be apart by rounding; units differ by more.
_ROUNDING: Final = 0.02
_SLACK: Final = 1e-3
_RATIO_SLACK: Final = 1e-5

ALTERNATES: Final[Mapping[str, tuple[str, str | None]]] = {
    "rtt_ns": ("rtt_ms", "ns"),
    "rtt": ("rtt_ms", "ns"),
    "latency_ms": ("rtt_ms", "ms"),
    "latency_ns": ("rtt_ms", "ns"),
    "latency": ("rtt_ms", "ns"),
    "jitter_ns": ("jitter_ms", "ns"),
    "jitter": ("jitter_ms", "ns"),
    "jitter_variance_ms2": ("jitter_ms", "ms2"),
    "packet_loss_percent": ("packet_loss", "percent"),
    "packet_loss_pct": ("packet_loss", "percent"),
    "bandwidth_mbps": ("throughput_mbps", "Mbps"),
    "throughput_bps": ("throughput_mbps", "bit/s"),
    "throughput": ("throughput_mbps", None),
    "bandwidth": ("throughput_mbps", None),
    "bandwidth_utilization_ratio": ("bandwidth_utilization", "ratio"),
    "utilization": ("bandwidth_utilization", None),
    "entropy_normalized": ("entropy_estimate", "normalized"),
    "entropy": ("entropy_estimate", None),
    "hde_delta_hit_ratio": ("hde_delta_hit_rate", "ratio"),
    "delta_hit_rate": ("hde_delta_hit_rate", None),
    "hde_latency_ns": ("hde_latency_ms", "ns"),
    "hde_latency": ("hde_latency_ms", "ns"),
    "amst_latency_ns": ("amst_latency_ms", "ns"),
    "amst_latency": ("amst_latency_ms", "ns"),
    "amst_transfer_rate_bps": ("amst_transfer_rate_mbps", "bit/s"),
    "transfer_rate": ("amst_transfer_rate_mbps", None),
    "actual_latency_ns": ("actual_latency_ms", "ns"),
    "actual_latency": ("actual_latency_ms", "ns"),
}
"""Other names of canonical fields, and the unit each has until another is declared; None: it has none."""


Declared = Sequence[str | None]
"""The unit that each row declares for one field, None where it declares none; `n` of them."""


@dataclass(frozen=True, slots=True)
class Form:
    """A name under which a quantity is sent.

    Parameters
    ----------
    field
        The name.
    unit
        What it means where nothing is declared; None: it must be.
    whole
        A bare `time.Duration`: a fraction shows that it is not nanoseconds.
    """

    field: str
    unit: str | None
    whole: bool = False

    @property
    def fixed(self) -> bool:
        """Whether the name itself says the unit."""
        return self.field.endswith(_SUFFIXES)


class Reading(NamedTuple):
    """What a form's numbers mean in a unit.

    Parameters
    ----------
    objection
        Why they cannot be in it, and what to do; nothing when they can.
    whole
        A fraction shows that they are not.
    conversion
        To the canonical unit; None where it is that.
    """

    objection: str
    whole: bool = False
    conversion: Conversion | None = None


@dataclass(frozen=True)
class Quantity:
    """A canonical field with a unit, and every form in which it comes.

    Parameters
    ----------
    field
        The canonical name.
    units
        What can be declared.
    required
        Whether a record without it is rejected.
    forms
        The canonical one first.
    """

    field: str
    units: Units
    required: bool
    forms: tuple[Form, ...]

    @cached_property
    def usual(self) -> Mapping[str, Reading]:
        """How each form is read where nothing is declared."""
        return {form.field: self._reading(form, form.unit) for form in self.forms}

    @property
    def is_as_is(self) -> bool:
        """Whether the canonical form is the canonical unit, where nothing is declared."""
        return self.usual[self.field] == Reading("")

    def settle(
        self,
        columns: Columns,
        sent: Mapping[str, NDArray[np.bool_]],
        declared: Mapping[str, Declared],
        problems: Problems,
    ) -> F64:
        """The quantity in its canonical unit, `[n]`, NaN where it is missing.

        Parameters
        ----------
        columns
            float64 by form, NaN where it was not sent.
        sent
            Which rows have it, bool `[n]`, by form; those that no row has are left out.
        declared
            By form, for those whose unit some row declares.
        problems
            By row; what a row has already stays.
        """
        value: F64 = columns[self.field]
        said: NDArray[np.bool_] | None = None
        for form in self.forms:
            rows = sent.get(form.field)
            if rows is None:
                continue
            own = self._convert(form, columns[form.field], rows, declared, problems)
            if said is None:
                value, said = own, rows
                continue
            if (said & rows & (value != own)).any():
                self._compare(value, own, form, problems)
            value, said = np.where(np.isnan(value), own, value), said | rows
        if self.required:
            for row in np.isnan(value).nonzero()[0].tolist():
                message = f"{self.field} is missing: send {' or '.join(f.field for f in self.forms)}"
                problems.setdefault(row, ValidationError("schema", message))
        return value

    def _compare(self, value: F64, own: F64, form: Form, problems: Problems) -> None:
        """What was said so far and what this form says must be the same but for rounding."""
        slack = _RATIO_SLACK if self.units is RATIO else _SLACK
        clash = np.abs(value - own) > _ROUNDING * np.maximum(np.abs(value), np.abs(own)) + slack
        for row in np.flatnonzero(clash).tolist():
            unit = next(iter(self.units))
            message = f"{self.field} is said twice: {value[row]:g} {unit}, and {own[row]:g} {unit} by {form.field}"
            problems.setdefault(row, ValidationError("unit", message))

    def _convert(
        self,
        form: Form,
        column: F64,
        sent: NDArray[np.bool_],
        declared: Mapping[str, Declared],
        problems: Problems,
    ) -> F64:
        if form.field not in declared:
            return self._read(form, self.usual[form.field], column, sent, problems)
        units = object_column([form.unit if unit is None else unit for unit in declared[form.field]])
        out = np.full(len(column), np.nan)
        for unit in set(units[sent].tolist()):
            rows = sent & (units == unit)
            out[rows] = self._read(form, self._reading(form, unit), column, rows, problems)[rows]
        return out

    def _reading(self, form: Form, unit: str | None) -> Reading:
        if wrong := self.objection(form, unit):
            return Reading(wrong)
        conversion = self.units[unit or ""]
        return Reading("", form.whole and unit == form.unit, None if conversion == Conversion() else conversion)

    def _read(self, form: Form, reading: Reading, column: F64, rows: NDArray[np.bool_], problems: Problems) -> F64:
        if reading.objection:
            _reject(rows, reading.objection, problems)
            return column
        if reading.whole:
            fraction = rows & (np.floor(column) != column)
            wrong = f"{form.field} is a time.Duration, whole nanoseconds: send a fraction as {self.field}"
            _reject(fraction, wrong, problems)
        return column if reading.conversion is None else reading.conversion.apply(column)

    def objection(self, form: Form, unit: str | None) -> str:
        """Why this form cannot be in this unit, and what to do; nothing when it can."""
        allowed = ", ".join(self.units)
        if unit is None:
            names = " or ".join(f.field for f in self.forms if f.unit is not None)
            return f'{form.field} has no unit: send {names}, or "units": {{"{form.field}": one of {allowed}}}'
        if form.fixed and unit != form.unit:
            return f"units.{form.field}={unit!r} contradicts the name: leave it out, or rename the field"
        if unit not in self.units:
            return f"units.{form.field}={unit!r} is not one of {allowed}"
        return ""


def quantities_of(
    raw: type[Struct], target: type[Struct], units: Mapping[str, str] | None = None
) -> tuple[Quantity, ...]:
    """Every quantity of a canonical record that its raw record can say in more than one way.

    Parameters
    ----------
    raw, target
        The record that producers send, and the canonical one.
    units
        Units of names that do not say theirs, for every record that declares nothing.

    Raises
    ------
    ConfigError
        When a declared unit contradicts the name, or is none of the quantity's.
    """
    hints = get_type_hints(target, include_extras=True)
    defaults = {field.name: field.default for field in msgspec.structs.fields(target)}
    quantities = []
    for name in target.__struct_fields__:
        own = units_of(name, hints[name])
        if own is None or name not in raw.__struct_fields__:
            continue
        forms = [Form(name, next(iter(own)))]
        for alternate, (canonical, unit) in ALTERNATES.items():
            if canonical == name and alternate in raw.__struct_fields__:
                forms.append(Form(alternate, unit, unit == "ns" and not alternate.endswith(_SUFFIXES)))
        quantity = Quantity(name, own, defaults[name] is msgspec.NODEFAULT, tuple(forms))
        quantities.append(_declare(quantity, units or {}))
    return tuple(quantities)


def parse_units(text: str) -> dict[str, str]:
    """Units of a deployment from a setting's text.

    Raises
    ------
    ConfigError
        When it is not of this form, or names a field that is no quantity.

    >>> parse_units("utilization=ratio, packet_loss=percent")
    {'utilization': 'ratio', 'packet_loss': 'percent'}
    """
    units = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, equals, unit = map(str.strip, pair.partition("="))
        if not equals or not unit:
            raise ConfigError(VARIABLE, pair, "it is a list of field=unit, for example utilization=ratio")
        if name not in ALTERNATES and all(name not in known for known in _QUANTITIES):
            raise ConfigError(VARIABLE, pair, f"no input has a field {name} with a choice of units")
        units[name] = unit
    return units


def _declare(quantity: Quantity, units: Mapping[str, str]) -> Quantity:
    forms = []
    for form in quantity.forms:
        unit = units.get(form.field, form.unit)
        if form.field in units and (wrong := quantity.objection(form, unit)):
            raise ConfigError(VARIABLE, f"{form.field}={unit}", wrong)
        forms.append(replace(form, unit=unit, whole=form.whole and unit == form.unit))
    return replace(quantity, forms=tuple(forms))


_QUANTITIES: Final = [
    {name for name, hint in get_type_hints(record, include_extras=True).items() if units_of(name, hint)}
    for record in (NetworkSample, CompressionTelemetry, SystemMetrics)
]


def _reject(rows: NDArray[np.bool_], message: str, problems: Problems) -> None:
    for row in rows.nonzero()[0].tolist():
        problems.setdefault(row, ValidationError("unit", message))
