"""A straight line: least squares with a penalty, its strength chosen on validation."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from offline.training.bandwidth_graph import linear_body

PENALTIES: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Per training row."""

F32 = NDArray[np.float32]


def fit_ridge(z: F32, y: F32, z_validation: F32, y_validation: F32) -> onnx.ModelProto:
    """The line with the least absolute error on validation, target by target.

    Parameters
    ----------
    z, y
        Inputs `[n, d]` and differences `[n, 4]` of the training part.
    z_validation, y_validation
        Of the validation part.
    """
    centre, mean = z.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    apart = z - centre
    gram, moment = apart.T @ apart, apart.T @ (y - mean)
    unit = len(z) * np.eye(len(gram))
    weights = np.stack([np.linalg.solve(gram + penalty * unit, moment) for penalty in PENALTIES])
    biases = mean - centre @ weights
    errors = [np.abs(z_validation @ w + b - y_validation).mean(axis=0) for w, b in zip(weights, biases, strict=True)]
    best = np.argmin(errors, axis=0)
    targets = np.arange(y.shape[1])
    return linear_body(weights[best, :, targets].T.astype(np.float32), biases[best, targets].astype(np.float32))
