"""Splits by time: what a model is judged on lies after everything it learned from."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.error import ConfigError

SHARES: Final = (0.70, 0.15, 0.15)


class Split(NamedTuple):
    """Rows of each part, bool `[n]`; rows in the gaps are in none."""

    training: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    test: NDArray[np.bool_]


def split_by_time(time_ms: NDArray[np.int64], shares: tuple[float, float, float] = SHARES, gap_ms: int = 0) -> Split:
    """Earlier rows train, later ones validate, the last ones test.

    Boundaries are moments, so all links are cut at the same one.

    Parameters
    ----------
    time_ms
        When each row was known, int64 `[n]`, in any order.
    shares
        Of the rows.
    gap_ms
        Rows so close before a boundary belong to no part: a label that lies one horizon
        ahead would otherwise be seen in training and asked for in the test.

    Raises
    ------
    ConfigError
        When a part would be empty.

    Examples
    --------
    >>> split = split_by_time(np.arange(10, dtype=np.int64), (0.6, 0.2, 0.2), gap_ms=1)
    >>> [np.flatnonzero(part).tolist() for part in split]
    [[0, 1, 2, 3, 4], [6], [8, 9]]
    """
    if len(time_ms) < 3:
        raise ConfigError("--data", len(time_ms), "at least three rows, one to train, validate and test on")
    ordered = np.sort(time_ms)
    first, second = (int(ordered[min(round(len(ordered) * at), len(ordered) - 1)]) for at in np.cumsum(shares[:2]))
    split = Split(
        time_ms < first - gap_ms,
        (time_ms >= first) & (time_ms < second - gap_ms),
        time_ms >= second,
    )
    for name, part in split._asdict().items():
        if not part.any():
            span = (ordered[-1] - ordered[0]) / 60_000
            raise ConfigError(
                "--data", f"{len(time_ms)} rows over {span:.0f} min", f"more data: the {name} part is empty"
            )
    return split
