"""Which events were seen lately."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray


class RecentSet:
    """Remembers at least the last `capacity` distinct members, at most twice as many.

    Two generations of sets: forgetting is dropping the older one, never a scan.

    >>> RecentSet(capacity=2).add_many("abab").tolist()
    [False, False, True, True]
    """

    def __init__(self, capacity: int = 65_536) -> None:
        self._capacity = capacity
        self._young: set[Hashable] = set()
        self._old: set[Hashable] = set()

    def add_many(self, members: Iterable[Hashable]) -> NDArray[np.bool_]:
        """Add members in order; True where one was there already."""
        repeated = []
        for member in members:
            known = member in self._young or member in self._old
            repeated.append(known)
            if not known:
                self._young.add(member)
                if len(self._young) == self._capacity:
                    self._old, self._young = self._young, set()
        return np.array(repeated, np.bool_)
