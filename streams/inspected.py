"""A trained model in use: how long it takes and whether it answers, looked at before it serves and while it does.

A model may be quick and right on its golden vectors, and slow or without an answer on what comes. A
call may take the limit, and as much again for every thousand rows; when more than one in a hundred of
the last thousand calls takes longer (so their 99th percentile is above the limit), or they took half a second
more than they may in all, or more than one in a thousand of their rows has no answer, that is said
once. Timed in processor time, because others wait for the processor too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.error import ModelError, ModelRejected

SLOWEST_MS: Final[Mapping[str, float]] = {"selector": 2.0}
SLOWEST_OTHER_MS: Final = 10.0
"""What one answer may take of a processor; a slower one would hold up every record behind it."""

UNANSWERED: Final = 0.001
"""Share of rows that a model may leave without an answer; the documented limit of errors."""

_CALLS: Final = 1000
_SLOW: Final = 10
_EXCESS_S: Final = 0.5
_VOID: Final = 20
_ROWS: Final = 1000
_TRIED: Final = 7


class Inspected:
    """A model, for all who use it, that watches how long it takes and whether it answers.

    Parameters
    ----------
    model
        With a `manifest` and `predict`, which leaves NaN in rows that it does not answer.
    refuse
        Called once, with why, when it should not serve any more.
    observe
        Called with the seconds of every call.
    """

    def __init__(
        self, model: Any, refuse: Callable[[Any, ModelRejected], None], observe: Callable[[float], None]
    ) -> None:
        self._model = model
        self._refuse = refuse
        self._observe = observe
        self._limit_ms = _limit_ms_of(model)
        self.begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def begin(self) -> None:
        """Forget what was seen: it was announced anew, after a release for one."""
        self._excess_s = np.zeros(_CALLS)
        self._rows = np.zeros(_CALLS, np.int64)
        self._void = np.zeros(_CALLS, np.int64)
        self._calls = 0
        self._refused = False

    def predict(self, x: NDArray[Any]) -> Any:
        """What the model answers."""
        void = len(x)
        began = time.thread_time()
        try:
            found = self._model.predict(x)
            void = _unanswered(found, len(x))
            return found
        finally:
            self._count(time.thread_time() - began, len(x), void)

    def _count(self, taken_s: float, rows: int, void: int) -> None:
        self._observe(taken_s)
        at = self._calls % _CALLS
        self._excess_s[at] = max(taken_s - 1e-3 * self._limit_ms * (1.0 + rows / _ROWS), 0.0)
        self._rows[at], self._void[at] = rows, void
        self._calls += 1
        if (self._excess_s[at] or void) and not self._refused and (why := self._against()) is not None:
            self._refused = True
            self._refuse(self._model.manifest, why)

    def _against(self) -> ModelRejected | None:
        """What speaks against it by now."""
        slow, of = np.count_nonzero(self._excess_s), min(self._calls, _CALLS)
        if slow > _SLOW or self._excess_s.sum() > _EXCESS_S:
            return ModelRejected(f"{slow} of its last {of} answers took more than {self._limit_ms:g} ms", "slow")
        void, rows = int(self._void.sum()), int(self._rows.sum())
        if void > max(_VOID, UNANSWERED * rows):
            return ModelRejected(f"{void} of the last {rows} rows that it was asked have no usable answer", "answer")
        return None


def _unanswered(outputs: Mapping[str, Any], rows: int) -> int:
    """How many rows are NaN in an output; in all of them, where they are in one."""
    for values in outputs.values():
        if values.dtype.kind == "f" and len(values) == rows:
            return int(np.isnan(values.reshape(rows, -1)[:, 0]).sum()) if rows else 0
    return 0


def check_speed(model: Any) -> None:
    """Refuse a model that takes too long; of a few answers the quickest counts, because others wait for the processor.

    Raises
    ------
    ModelRejected
        Saying how long it took.
    """
    manifest = model.manifest
    x = np.zeros((1, *manifest.input_shape), np.float32)
    limit_ms = _limit_ms_of(model)
    taken = []
    for _ in range(_TRIED):
        began = time.thread_time()
        with suppress(ModelError):  # zeros may mean nothing to it: whether it answers is asked of its golden vectors
            model.predict(x)
        taken.append(1e3 * (time.thread_time() - began))
        if taken[-1] <= limit_ms:
            return
    raise ModelRejected(f"one answer takes {min(taken):.1f} ms, {limit_ms:g} ms is allowed", "slow")


def _limit_ms_of(model: Any) -> float:
    """Milliseconds that one answer of a model may take."""
    return SLOWEST_MS.get(model.manifest.model_name, SLOWEST_OTHER_MS)
