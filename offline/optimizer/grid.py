"""A measured grid: what every setting of three parameters does in every context.

Stored as logarithms in steps of 0.001, which is finer than anything was measured.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.optimizer.space import DEFAULT, GROUPS
from schemas.error import ConfigError

F64 = NDArray[np.float64]

METRICS: Final = ("performance", "cost", "cpu_pct", "memory_pct")
"""Performance is better when higher; its unit is the environment's. Cost is in units of the default's."""

TRAINING_SHARE: Final = 2 / 3
"""Of the contexts; what is built on them is judged on the others."""

NAMES: Final = tuple(GROUPS)
_QUANTUM: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Grid:
    """Measurements of one environment.

    Parameters
    ----------
    name
        One of `NAMES`.
    axes
        Three arrays of values, increasing.
    context
        What is known of each context before any trial, `[context, feature]`.
    features
        Names of those.
    log
        Logarithms of `METRICS`, `[context, i, j, k, metric]`.
    source
        What was measured, on what.
    learned
        How many contexts, the first ones, policies may learn from; by default `TRAINING_SHARE` of them.
    """

    name: str
    axes: tuple[F64, F64, F64]
    context: F64
    features: tuple[str, ...]
    log: F64
    source: str
    learned: int | None = None

    @property
    def contexts(self) -> int:
        """How many."""
        return len(self.context)

    @property
    def training(self) -> range:
        """Contexts that policies may learn from."""
        return range(round(self.contexts * TRAINING_SHARE) if self.learned is None else self.learned)

    @property
    def test(self) -> range:
        """Contexts that they are judged on."""
        return range(len(self.training), self.contexts)

    def after(self, known: Grid) -> Grid:
        """The same contexts to be judged on, all of them, by policies that learned from all of another grid's.

        Raises
        ------
        ConfigError
            When the other one's settings or features are not the same.
        """
        same = all(np.array_equal(a, b) for a, b in zip(self.axes, known.axes, strict=True))
        if not same or self.features != known.features:
            raise ConfigError("--grids", self.name, "grids that this version's `dwcp optimize grid` wrote")
        context, log = np.concatenate([known.context, self.context]), np.concatenate([known.log, self.log])
        return replace(self, context=context, log=log, learned=known.contexts)

    @property
    def settings(self) -> F64:
        """All settings, `[s, 3]`."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(-1, 3)

    @property
    def default(self) -> F64:
        """The setting before any tuning, `[3]`."""
        return DEFAULT[GROUPS[self.name]]

    def surfaces(self) -> F64:
        """Logarithms of every setting, `[context, s, metric]`."""
        return self.log.reshape(self.contexts, -1, len(METRICS))

    def at(self, context: NDArray[Any], values: F64) -> F64:
        """Logarithms of `METRICS` at settings on or between those measured, `[n, metric]`.

        Linear between the eight neighbours, in logarithms of parameters and metrics, so
        that no setting is better than the best one measured.

        Parameters
        ----------
        context
            `[n]`.
        values
            `[n, 3]`.
        """
        low, weight = [], []
        for axis, value in zip(self.axes, values.T, strict=True):
            place = np.interp(np.log(value), np.log(axis), np.arange(len(axis)))
            below = np.minimum(place.astype(np.intp), len(axis) - 2)
            low.append(below)
            weight.append(place - below)
        found = np.zeros((len(values), len(METRICS)))
        for corner in range(8):
            index, share = [], np.ones(len(values))
            for axis_number in range(3):
                up = corner >> axis_number & 1
                index.append(low[axis_number] + up)
                share = share * (weight[axis_number] if up else 1.0 - weight[axis_number])
            found += share[:, None] * self.log[context, index[0], index[1], index[2]]
        return found

    def to_bytes(self) -> bytes:
        """As an npz file."""
        mean = self.log.mean(axis=(1, 2, 3), keepdims=True)
        packed = np.clip(np.round((self.log - mean) / _QUANTUM), -32_767, 32_767).astype(np.int16)
        arrays: dict[str, Any] = {f"axis_{k}": axis for k, axis in enumerate(self.axes)}
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, name=self.name, quantum=_QUANTUM, context=self.context.astype(np.float32),
            features=np.array(self.features),
            mean=mean.astype(np.float32), log=packed, source=self.source, **arrays,
        )  # fmt: skip
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Grid:
        """From an npz file.

        Raises
        ------
        ConfigError
            When it is none of these.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                log = held["log"] * held["quantum"] + held["mean"].astype(np.float64)
                axes = (held["axis_0"], held["axis_1"], held["axis_2"])
                return cls(
                    str(held["name"]), axes, held["context"].astype(np.float64),
                    tuple(held["features"].tolist()), log, str(held["source"]),
                )  # fmt: skip
        except (OSError, ValueError, KeyError) as exc:
            raise ConfigError("--grids", f"{len(content)} bytes", f"grids of `dwcp optimize grid` ({exc})") from exc


def load_grids(directory: Path | None = None, names: Sequence[str] = NAMES) -> dict[str, Grid]:
    """Grids by name: those of a directory, or those that come with the package.

    Raises
    ------
    ConfigError
        When one is missing or damaged.
    """
    found = {}
    for name in names:
        at = (directory or resources.files("online_models.optimizer") / "measured") / f"{name}.npz"
        try:
            found[name] = Grid.from_bytes(at.read_bytes())
        except OSError as exc:
            raise ConfigError("--grids", str(at), f"a directory that `dwcp optimize grid` wrote ({exc})") from exc
    return found
