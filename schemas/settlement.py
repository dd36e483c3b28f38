"""The quantities of a batch in their canonical units: one that came as the contract has it costs nothing.

Most records say most quantities by their canonical names and declare no units. What has to be looked at is
found in one pass over all names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from schemas.batch import Columns
from schemas.quantity import Declared, Quantity
from schemas.unit import Problems


def declarations(units: Sequence[Mapping[str, str] | None]) -> dict[str, Declared]:
    """What rows declare, by field."""
    if not any(units):
        return {}
    named = set().union(*(own for own in units if own))
    return {name: [own.get(name) if own else None for own in units] for name in named}


class Settlement:
    """Settles all quantities of a record.

    Parameters
    ----------
    quantities
        In the order in which a row's problems count: the first is told.
    """

    def __init__(self, quantities: Sequence[Quantity]) -> None:
        self._quantities = quantities
        forms = [(form.field, quantity) for quantity in quantities for form in quantity.forms]
        self._forms = [field for field, _ in forms]
        self._field = {field: quantity.field for field, quantity in forms}
        as_is = [one.is_as_is and field == one.field for field, one in forms]
        required = [one.required and field == one.field for field, one in forms]
        self._unusual, self._required = (np.flatnonzero(rows) for rows in (np.logical_not(as_is), required))

    def apply(self, columns: Columns, declared: Mapping[str, Declared], problems: Problems) -> None:
        """Put every quantity's canonical values into its column.

        Parameters
        ----------
        columns
            float64 by form, NaN where it was not sent.
        declared
            By form, for those whose unit some row declares.
        problems
            By row; what a row has already stays.
        """
        if not self._forms:
            return
        rows = ~np.isnan(np.array([columns[form] for form in self._forms]))
        look = [*self._unusual[rows[self._unusual].any(axis=1)], *self._required[~rows[self._required].all(axis=1)]]
        fields = [self._forms[k] for k in look] + [field for field in declared if field in self._field]
        due = {self._field[field] for field in fields}
        if not due:
            return
        sent = {self._forms[k]: rows[k] for k in rows.any(axis=1).nonzero()[0].tolist()}
        for quantity in self._quantities:
            if quantity.field in due:
                columns[quantity.field] = quantity.settle(columns, sent, declared, problems)
