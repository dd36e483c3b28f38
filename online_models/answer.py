"""What models say of rows, each row's answer its own: NaN where a model has none.

Results must not depend on how a stream is cut into batches, so one row that a model fails on, or
answers with no number, costs no other its answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.served import Model
from schemas.error import ModelError

PROBABILITY: Final = "probability"
"""How the names of outputs begin that are between 0 and 1."""

_BEYOND: Final = 1e-4
"""How far beyond 0 and 1 a probability may be: sums of single precision."""


def ask(model: Model | None, x: NDArray[np.float32], outputs: Mapping[str, tuple[int, ...]]) -> list[NDArray[Any]]:
    """What a model says of `x` `[n, ...]`; NaN where it has no answer.

    A batch that it fails on is asked in halves, so that rows fail alone.

    Parameters
    ----------
    model
        Which; None says nothing.
    outputs
        Outputs by name, and the shape of each for one row.

    Returns
    -------
    list
        Of each output float64 `[n, *shape]`.
    """
    n = len(x)
    if model is None or not n:
        return [np.full((n, *shape), np.nan) for shape in outputs.values()]
    found: Mapping[str, NDArray[Any]] = {}
    try:
        found = model.predict(x)
    except ModelError:
        if n > 1:
            first, rest = ask(model, x[: n // 2], outputs), ask(model, x[n // 2 :], outputs)
            return [np.concatenate(pair) for pair in zip(first, rest, strict=True)]
    if all(name in found and found[name].size == n * np.prod(shape, dtype=int) for name, shape in outputs.items()):
        return [np.asarray(found[name], np.float64).reshape(n, *shape) for name, shape in outputs.items()]
    return [np.full((n, *shape), np.nan) for shape in outputs.values()]


def blank(outputs: Mapping[str, NDArray[Any]], n: int) -> dict[str, NDArray[Any]]:
    """The outputs with NaN in every row that one of them does not answer: not finite, or an impossible probability.

    >>> blank({"score": np.array([1.0, np.inf]), "probability": np.array([0.5, 0.5])}, 2)["probability"].tolist()
    [0.5, nan]
    """
    void = np.zeros(n, np.bool_)
    rows = [name for name, values in outputs.items() if values.dtype.kind == "f" and len(values) == n]
    for name in rows:
        flat = outputs[name].reshape(n, -1)
        if name.startswith(PROBABILITY):
            with np.errstate(invalid="ignore"):
                void |= ~((flat >= -_BEYOND) & (flat <= 1.0 + _BEYOND)).all(axis=1)
        else:
            void |= ~np.isfinite(flat).all(axis=1)
    if not void.any():
        return dict(outputs)
    found = dict(outputs)
    for name in rows:
        found[name] = outputs[name].copy()
        found[name][void] = np.nan
    return found
