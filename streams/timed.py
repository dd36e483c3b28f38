"""How long a trained model may take, looked at before it serves and while it does.

A model may be quick when it is loaded and slow on what comes. A call may take the
limit, and as much again for every thousand rows; when more than one in a hundred of
the last thousand calls takes longer (so their 99th percentile is above the limit),
that is said once. Timed in processor time, because others wait for the processor too.
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

_CALLS: Final = 1000
_SLOW: Final = 10
_ROWS: Final = 1000
_TRIED: Final = 7


class Timed:
    """A model, for all who use it, that watches how long it takes.

    Parameters
    ----------
    model
        With a `manifest` and `predict`.
    refuse
        Called once, with why, when it has become too slow.
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
        self._slow = np.zeros(_CALLS, np.bool_)
        self._calls = 0
        self._refused = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, x: NDArray[Any]) -> Any:
        """What the model answers."""
        began = time.thread_time()
        try:
            return self._model.predict(x)
        finally:
            self._count(time.thread_time() - began, len(x))

    def _count(self, taken_s: float, rows: int) -> None:
        self._observe(taken_s)
        allowed_ms = self._limit_ms * (1.0 + rows / _ROWS)
        self._slow[self._calls % _CALLS] = 1e3 * taken_s > allowed_ms
        self._calls += 1
        if self._slow[(self._calls - 1) % _CALLS] and not self._refused and np.count_nonzero(self._slow) > _SLOW:
            self._refused = True
            of = min(self._calls, _CALLS)
            text = f"{np.count_nonzero(self._slow)} of its last {of} answers took more than {self._limit_ms:g} ms"
            self._refuse(self._model.manifest, ModelRejected(text, "slow"))


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
