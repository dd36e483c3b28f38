"""Alerts against injected faults: found, typed, how late, and what could be seen at all.

A fault counts as found when an alert of its node opens or is updated between its start and a minute
after its end, and as typed when one of those has its type. What opens outside every fault
of its node is a false alarm. Beside the alerts stand as many at random, and a plain rule of three deviations.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from offline.node_metric import metric_matrix
from online_models.anomaly import HARM, TYPE_OF_METRIC, TYPES
from schemas.batch import Batch
from schemas.error import ConfigError
from schemas.system import ANOMALY_TYPES

GRACE_MS: Final = 60_000
"""How long after a fault's end an alert may still be about it."""

_DAY_MS: Final = 86_400_000.0


class Fault(Struct, frozen=True):
    """A line of a truth file, as far as anomalies of nodes go."""

    kind: str
    type: str
    entity: str
    start_ms: int
    end_ms: int


class Said(NamedTuple):
    """One word of an alert: that it opened, or goes on."""

    node_id: str
    time_ms: int
    type: str
    opens: bool


class TypeScore(Struct, frozen=True):
    """What became of the faults of one type.

    `within_usual` are those whose metrics stayed within what the node showed outside faults: no
    limit on values alone can find them.
    """

    injected: int
    found: int
    typed: int
    within_usual: int
    median_delay_s: float | None

    @property
    def recall(self) -> float | None:
        """Share found; None without faults."""
        return self.found / self.injected if self.injected else None


class FaultScore(Struct, frozen=True):
    """What became of all faults, and what was said outside them."""

    types: dict[str, TypeScore]
    injected: int
    found: int
    typed: int
    within_usual: int
    median_delay_s: float | None
    alarms: int
    false_alarms: int
    false_alarms_by_type: dict[str, int]
    node_days: float
    false_alarms_per_node_day: float


def read_truth(path: Path) -> list[Fault]:
    """Faults of nodes in a truth file of the simulator, JSON lines.

    Raises
    ------
    ConfigError
        When it cannot be read or names none.
    """
    try:
        lines = msgspec.json.Decoder(Fault).decode_lines(path.read_bytes())
    except (OSError, msgspec.MsgspecError) as exc:
        raise ConfigError("--truth", str(path), f"a truth file of `dwcp simulate --truth` ({exc})") from exc
    faults = [one for one in lines if one.kind == "anomaly" and ":" not in one.entity and one.type in ANOMALY_TYPES]
    if not faults:
        raise ConfigError("--truth", str(path), "a truth file with anomalies of nodes: simulate with --faults random")
    return faults


def score_faults(faults: Sequence[Fault], said: Iterable[Said], batches: Sequence[Batch]) -> FaultScore:
    """Hold what was said against the faults.

    Parameters
    ----------
    faults
        Of nodes.
    said
        In any order.
    batches
        The nodes' metrics, for how long they were watched and what was usual.
    """
    by_node: dict[str, list[Said]] = defaultdict(list)
    for one in sorted(said, key=lambda one: one.time_ms):
        by_node[one.node_id].append(one)
    usual = _within_usual(faults, batches)
    delays: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, Counter[str]] = {name: Counter() for name in ANOMALY_TYPES}
    for fault, hidden in zip(faults, usual, strict=True):
        about = [one for one in by_node[fault.entity] if _covers(fault, one.time_ms)]
        count = counts[fault.type]
        count.update(injected=1, found=bool(about), within_usual=hidden)
        count.update(typed=any(one.type == fault.type for one in about))
        if about:
            delays[fault.type].append((about[0].time_ms - fault.start_ms) / 1000.0)
    types = {name: _type_score(counts[name], delays[name]) for name in ANOMALY_TYPES}
    opened = [one for own in by_node.values() for one in own if one.opens]
    false = [one for one in opened if not any(_covers(f, one.time_ms) for f in faults if f.entity == one.node_id)]
    node_days = sum(_observed_ms(batch) for batch in batches) / _DAY_MS
    total = sum(counts.values(), Counter())
    return FaultScore(
        types=types,
        **{name: total[name] for name in ("injected", "found", "typed", "within_usual")},
        median_delay_s=_median([delay for own in delays.values() for delay in own]),
        alarms=len(opened),
        false_alarms=len(false),
        false_alarms_by_type=dict(Counter(one.type for one in false).most_common()),
        node_days=node_days,
        false_alarms_per_node_day=len(false) / node_days,
    )


def scatter(said: Sequence[Said], batches: Sequence[Batch], seed: int) -> list[Said]:
    """As many words with the same types, at nodes and times drawn at random."""
    rng = np.random.default_rng(seed)
    nodes = np.concatenate([batch.columns["node_id"] for batch in batches])
    times = np.concatenate([batch.columns["timestamp"] for batch in batches])
    at = rng.integers(0, len(times), len(said)).tolist()
    return [one._replace(node_id=nodes[k], time_ms=int(times[k])) for one, k in zip(said, at, strict=True)]


def _covers(fault: Fault, time_ms: int) -> bool:
    return fault.start_ms <= time_ms <= fault.end_ms + GRACE_MS


def _type_score(count: Mapping[str, int], delays: Sequence[float]) -> TypeScore:
    return TypeScore(count["injected"], count["found"], count["typed"], count["within_usual"], _median(delays))


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _observed_ms(batch: Batch) -> float:
    """Sum over nodes of the time between first and last record."""
    time_ms: NDArray[np.int64] = batch.columns["timestamp"]
    _, node = np.unique(batch.columns["node_id"].astype(str), return_inverse=True)
    first, last = np.full(node.max() + 1, np.iinfo(np.int64).max), np.zeros(node.max() + 1, np.int64)
    np.minimum.at(first, node, time_ms)
    np.maximum.at(last, node, time_ms)
    return float((last - first).sum())


def _within_usual(faults: Sequence[Fault], batches: Sequence[Batch]) -> list[bool]:
    """For each fault, whether none of its type's metrics went further to harm than outside the node's faults."""
    tables: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    for batch in batches:
        node, x = batch.columns["node_id"], metric_matrix(batch)
        for name in set(node.tolist()):
            own = node == name
            tables[name] = (batch.columns["timestamp"][own], x[own])
    found = []
    for fault in faults:
        if fault.entity not in tables:
            found.append(True)
            continue
        time_ms, x = tables[fault.entity]
        ill = np.zeros(len(time_ms), np.bool_)
        for other in faults:
            if other.entity == fault.entity:
                ill |= (time_ms >= other.start_ms) & (time_ms <= other.end_ms)
        during = (time_ms >= fault.start_ms) & (time_ms < fault.end_ms)
        metrics = np.flatnonzero(np.equal(TYPE_OF_METRIC, TYPES.index(fault.type)))
        harm: NDArray[Any] = x[:, metrics] * HARM[metrics]
        nothing = not during.any() or bool(ill.all())
        found.append(nothing or bool((harm[during].max(axis=0) <= harm[~ill].max(axis=0)).all()))
    return found
