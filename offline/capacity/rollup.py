"""Hourly rollups of nodes as series: from a broker, or a recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from offline.series import Series
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.rollup import ROLLUP_METRICS, SystemRollup
from schemas.topic import SYSTEM_ROLLUP
from streams.recording.format import Recorded
from streams.recording.log import Log
from streams.settings import Settings

Figure = Literal["mean", "max", "p95"]
_PIECE: Final = 10_000


def series_of(rollups: Iterable[SystemRollup], nodes: Sequence[str] = (), figure: Figure = "mean") -> Series:
    """Hours of a node, or of several as one: means over them by samples, or the greatest `max`.

    A node's `p95` is the mean of theirs as well: percentiles of several do not add up.

    Parameters
    ----------
    rollups
        In any order; repeats count once.
    nodes
        Whose; by default of all.
    figure
        What of each hour.

    Raises
    ------
    ConfigError
        When there is no hour of these nodes.
    """
    wanted, seen = set(nodes), set[str]()
    there: dict[tuple[str, int], SystemRollup] = {}
    for one in rollups:
        seen.add(one.node_id)
        if one.window == "hour" and (not wanted or one.node_id in wanted):
            there[one.node_id, one.window_start] = one
    if not there or wanted - seen:
        known = ", ".join(sorted(seen)[:20]) or "none"
        raise ConfigError("--node", ", ".join(sorted(wanted)), f"nodes that have hourly rollups there: {known}")
    ordered = list(there.values())
    start = np.array([one.window_start for one in ordered], np.int64)
    weight = np.array([float(one.samples) for one in ordered])
    times, at = np.unique(start, return_inverse=True)
    columns = {}
    for name in ROLLUP_METRICS:
        value = np.array([getattr(one.metrics[name], figure) if name in one.metrics else np.nan for one in ordered])
        columns[name] = _joined(value, weight, at, len(times), figure)
    return Series(times, columns, [str(t) for t in times.tolist()])


def _joined(
    value: NDArray[np.float64], weight: NDArray[np.float64], at: NDArray[np.intp], many: int, figure: Figure
) -> NDArray[np.float64]:
    known = np.isfinite(value)
    found = np.full(many, np.nan)
    if figure == "max":
        np.fmax.at(found, at[known], value[known])
        return found
    total = np.bincount(at[known], value[known] * weight[known], many)
    samples = np.bincount(at[known], weight[known], many)
    np.divide(total, samples, out=found, where=samples > 0)
    return found


def decode(records: Iterable[Recorded], topic: str) -> Iterable[SystemRollup]:
    """The rollups among the records; what is none is left out."""
    codec = codec_of(SystemRollup)
    values: list[bytes] = []
    for record in records:
        if record.topic == topic and record.value is not None:
            values.append(record.value)
            if len(values) == _PIECE:
                yield from codec.decode(values)[0]
                values = []
    yield from codec.decode(values)[0]


def read_topic() -> list[SystemRollup]:
    """All rollups on the broker that the settings name.

    Raises
    ------
    ConfigError, InfraError
        When the topic is not there, or the broker does not answer.
    """
    settings = Settings.from_environment()
    name = settings.name_of(SYSTEM_ROLLUP)
    with Log(settings, [name]) as log:
        return list(decode(log.read(), name))
