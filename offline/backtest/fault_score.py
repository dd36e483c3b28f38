"""Alerts against injected faults: found, typed, how late, and what could be seen at all.

A fault counts as found when an alert of its node or link opens or is updated between its start and a minute
after its end, and as typed when one of those has its type. What opens outside every fault of its own is a
false alarm, unless the link really was in trouble by itself: simulated links congest and fail, and lose capacity
for good, which the truth says too. Beside the alerts stand as many at random, and a plain rule of three deviations.
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

from offline.backtest.fault_subject import NODES, Subject
from schemas.batch import Batch
from schemas.error import ConfigError
from schemas.system import ANOMALY_TYPES

GRACE_MS: Final = 60_000
"""How long after a fault's end an alert may still be about it."""

ONSET_MS: Final = 15 * 60_000
"""How long a lasting change is news."""

_DAY_MS: Final = 86_400_000.0


class Fault(Struct, frozen=True):
    """A line of a truth file, as far as anomalies and links go."""

    kind: str
    type: str
    entity: str
    start_ms: int
    end_ms: int


class Said(NamedTuple):
    """One word of an alert: that it opened, or goes on."""

    entity: str
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
    """What became of all faults, and what was said outside them; `days` are those of all nodes or links together.

    `explained` are alarms while the link was in trouble by itself: no false ones.
    """

    types: dict[str, TypeScore]
    injected: int
    found: int
    typed: int
    within_usual: int
    median_delay_s: float | None
    alarms: int
    false_alarms: int
    explained: int
    false_alarms_by_type: dict[str, int]
    days: float
    false_alarms_per_day: float


class Known(NamedTuple):
    """What a truth file says: injected faults, and what else there was to see."""

    faults: list[Fault]
    trouble: list[Fault]


def read_truth(path: Path, subject: Subject = NODES) -> Known:
    """Faults of nodes or links in a truth file of the simulator, JSON lines.

    Raises
    ------
    ConfigError
        When it cannot be read or names none.
    """
    try:
        lines = msgspec.json.Decoder(Fault).decode_lines(path.read_bytes())
    except (OSError, msgspec.MsgspecError) as exc:
        raise ConfigError("--truth", str(path), f"a truth file of `dwcp simulate --truth` ({exc})") from exc
    anomalies = [one for one in lines if one.kind == "anomaly" and one.type in ANOMALY_TYPES]
    faults = [one for one in anomalies if subject.owns(one.entity)]
    if not faults:
        needed = f"a truth file with anomalies of {subject.name}s: simulate with --faults random"
        raise ConfigError("--truth", str(path), needed)
    if subject.name == NODES.name:
        return Known(faults, [])
    lost = [one for one in lines if one.type == "link_capacity"]
    onsets = [msgspec.structs.replace(one, end_ms=one.start_ms + ONSET_MS) for one in lost]
    return Known(faults, onsets + [one for one in lines if one.kind == "episode"])


def score_faults(known: Known, said: Iterable[Said], batches: Sequence[Batch], subject: Subject = NODES) -> FaultScore:
    """Hold what was said against the truth.

    Parameters
    ----------
    known
        The truth.
    said
        In any order.
    batches
        The records, for how long they were watched and what was usual.
    subject
        Nodes or links.
    """
    faults = known.faults
    by_entity: dict[str, list[Said]] = defaultdict(list)
    for one in sorted(said, key=lambda one: one.time_ms):
        by_entity[one.entity].append(one)
    usual = _within_usual(faults, batches, subject)
    delays: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, Counter[str]] = {name: Counter() for name in ANOMALY_TYPES}
    for fault, hidden in zip(faults, usual, strict=True):
        about = [one for one in by_entity[fault.entity] if _covers(fault, one.time_ms)]
        count = counts[fault.type]
        count.update(injected=1, found=bool(about), within_usual=hidden)
        count.update(typed=any(one.type == fault.type for one in about))
        if about:
            delays[fault.type].append((about[0].time_ms - fault.start_ms) / 1000.0)
    types = {name: _type_score(counts[name], delays[name]) for name in ANOMALY_TYPES}
    opened = [one for own in by_entity.values() for one in own if one.opens]
    outside = [one for one in opened if not any(_covers(f, one.time_ms) for f in faults if f.entity == one.entity)]
    kinds = _link_types(batches) if known.trouble else {}
    false = [one for one in outside if not _in_trouble(one, known.trouble, kinds.get(one.entity, ""))]
    days = sum(_observed_ms(batch, subject) for batch in batches) / _DAY_MS
    total = sum(counts.values(), Counter())
    return FaultScore(
        types=types,
        **{name: total[name] for name in ("injected", "found", "typed", "within_usual")},
        median_delay_s=_median([delay for own in delays.values() for delay in own]),
        alarms=len(opened),
        false_alarms=len(false),
        explained=len(outside) - len(false),
        false_alarms_by_type=dict(Counter(one.type for one in false).most_common()),
        days=days,
        false_alarms_per_day=len(false) / days,
    )


def scatter(said: Sequence[Said], batches: Sequence[Batch], seed: int, subject: Subject = NODES) -> list[Said]:
    """As many words with the same types, at nodes or links and times drawn at random."""
    rng = np.random.default_rng(seed)
    entities = np.concatenate([subject.entities(batch) for batch in batches])
    times = np.concatenate([batch.columns["timestamp"] for batch in batches])
    at = rng.integers(0, len(times), len(said)).tolist()
    return [one._replace(entity=str(entities[k]), time_ms=int(times[k])) for one, k in zip(said, at, strict=True)]


def _covers(fault: Fault, time_ms: int) -> bool:
    return fault.start_ms <= time_ms <= fault.end_ms + GRACE_MS


def _in_trouble(one: Said, trouble: Sequence[Fault], link_type: str) -> bool:
    return any(_covers(t, one.time_ms) for t in trouble if t.entity in (one.entity, link_type, "*"))


def _link_types(batches: Sequence[Batch]) -> dict[str, str]:
    names = ("node_id", "peer_id", "link_type")
    rows = (row for batch in batches for row in zip(*(batch.columns[name].tolist() for name in names), strict=True))
    return {f"{node}:{peer}": kind for node, peer, kind in rows}


def _type_score(count: Mapping[str, int], delays: Sequence[float]) -> TypeScore:
    return TypeScore(count["injected"], count["found"], count["typed"], count["within_usual"], _median(delays))


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _observed_ms(batch: Batch, subject: Subject) -> float:
    """Sum over nodes or links of the time between first and last record."""
    time_ms: NDArray[np.int64] = batch.columns["timestamp"]
    _, node = np.unique(subject.entities(batch), return_inverse=True)
    first, last = np.full(node.max() + 1, np.iinfo(np.int64).max), np.zeros(node.max() + 1, np.int64)
    np.minimum.at(first, node, time_ms)
    np.maximum.at(last, node, time_ms)
    return float((last - first).sum())


def _within_usual(faults: Sequence[Fault], batches: Sequence[Batch], subject: Subject) -> list[bool]:
    """For each fault, whether none of its type's metrics went further to harm than outside all faults of its own."""
    tables: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    for batch in batches:
        entity, x = subject.entities(batch), subject.matrix(batch)
        for name in np.unique(entity).tolist():
            own = entity == name
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
        metrics = [j for j, kind in enumerate(subject.type_of_metric) if kind == fault.type]
        harm: NDArray[Any] = x[:, metrics] * subject.harm[metrics]
        nothing = not during.any() or bool(ill.all())
        found.append(nothing or bool((harm[during].max(axis=0) <= harm[~ill].max(axis=0)).all()))
    return found
