"""Faults with ground truth: what is scheduled, on whom, from when to when.

A schedule is a JSON list of objects::

    {"kind": "anomaly", "type": "latency_spike", "entity": "node-003", "start_s": 600, "end_s": 780, "magnitude": 6}
    {"kind": "drift", "type": "link_capacity", "entity": "wan", "start_s": 1800, "magnitude": 0.5}
    {"kind": "delivery", "type": "corrupt", "entity": "network", "start_s": 0, "rate": 0.001}

`entity` is a node, a link (`node:peer`), a link type, a dataset (for delivery) or `*`.
Times are seconds of event time after the start; `end_s` defaults to the end of the run.
`magnitude` is above 0, in deviations for anomalies and a factor for drifts; `rate` is a share of
the records, 0..0.2 (see `MAGNITUDE` and `RATE` for the defaults).
Hosts are hit to the sample; links and encoders change by the minute, so their faults
cover every minute they touch, and the truth says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.random import Generator
from numpy.typing import NDArray

from schemas.error import ConfigError
from schemas.field import LINK_TYPES
from schemas.system import ANOMALY_TYPES

LINK_ANOMALIES: Final = ("latency_spike", "throughput_drop")
"""Anomaly types that can befall a link too: its rtt, its capacity."""

DRIFT_TYPES: Final = ("link_capacity", "hde_cost", "contention", "hde_codec")
"""Drifts, times magnitude: a link's capacity, the CPU that HDE needs, the noise of every transfer, and another
codec, which needs so much more for large images and small files, and so much less for small images and large files."""

DELIVERY_TYPES: Final = ("duplicate", "late", "out_of_order", "corrupt")
DATASETS: Final = ("network", "compression", "system")

MAGNITUDE: Final = {"anomaly": 6.0, "link_capacity": 0.5, "hde_cost": 3.0, "contention": 6.0, "hde_codec": 4.0}
"""Defaults: anomalies in standard deviations of the metric, drifts as factors."""

_HOUR_S: Final = 3600.0
_LATEST_S: Final = 400 * 24 * _HOUR_S
"""Beyond the longest run and the faults that outlast it."""

RATE: Final = 0.001


class Fault(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of a schedule."""

    kind: Literal["anomaly", "drift", "delivery"]
    type: str
    entity: str = "*"
    start_s: float = 0.0
    end_s: float | None = None
    magnitude: float | None = None
    rate: float | None = None

    def size(self) -> float:
        """The magnitude, or its default."""
        if self.magnitude is not None:
            return self.magnitude
        return MAGNITUDE.get(self.type, MAGNITUDE["anomaly"])


class Truth(Struct, frozen=True, omit_defaults=True):
    """One line of the truth file: what really happened; `count` where records were touched."""

    kind: str
    type: str
    entity: str
    start_ms: int
    end_ms: int
    magnitude: float | None = None
    count: int | None = None


class Schedule:
    """The faults of one run, resolved against its fleet.

    Raises
    ------
    ConfigError
        When a fault names a type or entity that does not exist.
    """

    def __init__(self, faults: Sequence[Fault], nodes: Sequence[str], links: Sequence[str], link_type: Any) -> None:
        self.faults = list(faults)
        self._nodes = {name: i for i, name in enumerate(nodes)}
        self._links = {name: i for i, name in enumerate(links)}
        self._link_type: NDArray[np.int64] = np.asarray(link_type, np.int64)
        self._by_minute: dict[int, list[Fault]] = {}
        self._endless: list[Fault] = []
        for fault in self.faults:
            self._check(fault)
            self._file(fault)

    def active(self, kind: str, minute: int) -> list[Fault]:
        """Faults of a kind with some part in a minute, counted from the start."""
        begun = [f for f in self._endless if f.start_s < 60 * (minute + 1)]
        return [f for f in (*begun, *self._by_minute.get(minute, ())) if f.kind == kind]

    def add(self, fault: Fault) -> None:
        """Schedule one more fault while the fleet runs; minutes that are generated already stay as they are.

        Raises
        ------
        ConfigError
            When it names a type or entity that does not exist.
        """
        self._check(fault)
        self.faults.append(fault)
        self._file(fault)

    def nodes_of(self, fault: Fault) -> NDArray[np.intp]:
        """Indices of the nodes a fault is on; none when it is on links."""
        if fault.entity == "*":
            return np.arange(len(self._nodes))
        return np.array([self._nodes[fault.entity]] if fault.entity in self._nodes else [], np.intp)

    def links_of(self, fault: Fault) -> NDArray[np.intp]:
        """Indices of the links a fault is on; none when it is on a node."""
        if fault.entity == "*":
            return np.arange(len(self._links))
        if fault.entity in LINK_TYPES:
            return np.flatnonzero(self._link_type == LINK_TYPES.index(fault.entity))
        return np.array([self._links[fault.entity]] if fault.entity in self._links else [], np.intp)

    def truth(self, start_ms: int, end_ms: int) -> list[Truth]:
        """The scheduled anomalies and drifts that began within the run."""
        lines = []
        for fault in self.faults:
            begin_s, end_s = fault.start_s, np.inf if fault.end_s is None else fault.end_s
            if fault.kind == "drift" or not len(self.nodes_of(fault)):
                begin_s, end_s = 60 * np.floor(begin_s / 60), 60 * np.ceil(end_s / 60)
            begin = start_ms + round(1000 * begin_s)
            if fault.kind == "delivery" or begin >= end_ms:
                continue
            finish = int(min(start_ms + 1000 * end_s, end_ms))
            lines.append(Truth(fault.kind, fault.type, fault.entity, begin, finish, fault.size()))
        return lines

    def _file(self, fault: Fault) -> None:
        """Put a fault under the minutes it touches, so that a long schedule costs nothing to ask."""
        if fault.end_s is None:
            self._endless.append(fault)
            return
        for minute in range(int(fault.start_s // 60), int(-(-fault.end_s // 60))):
            self._by_minute.setdefault(minute, []).append(fault)

    def _check(self, fault: Fault) -> None:
        types = {"anomaly": ANOMALY_TYPES, "drift": DRIFT_TYPES, "delivery": DELIVERY_TYPES}[fault.kind]
        if fault.type not in types:
            raise ConfigError("--faults", fault.type, f"types of {fault.kind}: {', '.join(types)}")
        for name, time_s in (("start_s", fault.start_s), ("end_s", fault.end_s or 0.0)):
            if not 0 <= time_s <= _LATEST_S:
                raise ConfigError("--faults", time_s, f"{name} of a {fault.type}: 0..{_LATEST_S:.0f} s")
        if fault.end_s is not None and fault.end_s <= fault.start_s:
            raise ConfigError("--faults", fault.end_s, f"end_s of a {fault.type} must come after its start_s")
        if fault.rate is not None and not 0 <= fault.rate <= 0.2:
            raise ConfigError("--faults", fault.rate, "a rate is a share of the records, 0..0.2")
        if fault.magnitude is not None and fault.magnitude <= 0:
            raise ConfigError("--faults", fault.magnitude, "a magnitude is above 0")
        known: set[str] = {"*"}
        if fault.kind == "delivery":
            known |= set(DATASETS)
        elif fault.type == "link_capacity" or fault.type in LINK_ANOMALIES:
            known |= set(self._links) | set(LINK_TYPES)
        if fault.kind == "anomaly" or fault.type in ("hde_cost", "contention", "hde_codec"):
            known |= set(self._nodes)
        if fault.entity not in known:
            some = ", ".join(sorted(known)[:6])
            raise ConfigError("--faults", fault.entity, f"entity of a {fault.type}: one of {some}, ...")


def read_faults(path: Path) -> list[Fault]:
    """Read a schedule file.

    Raises
    ------
    ConfigError
        When it is not a JSON list of faults.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Fault])
    except (OSError, msgspec.MsgspecError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        allowed = f"none, random or a file with a JSON list of faults ({reason})"
        raise ConfigError("--faults", str(path), allowed) from exc


def random_faults(rng: Generator, seconds: float, nodes: Sequence[str], links: Sequence[str]) -> list[Fault]:
    """A schedule with every type in it: anomalies on nodes and links, drifts, all delivery faults.

    Drawn hour by hour, so that the first hour of a long run has its share. The first
    fifth of the first hour (or of the run) stays healthy, to learn baselines from.
    """
    faults = []
    hours = max(int(-(-seconds // _HOUR_S)), 1)
    length = min(seconds, _HOUR_S)
    for hour in range(hours):
        begin = hour * _HOUR_S
        quiet = begin + (0.2 * length if hour == 0 else 0.0)
        faults += _hour_of_anomalies(rng, quiet, begin + length, nodes, links)
    for day in range(0, hours, 24):
        begin = day * _HOUR_S
        faults += _drifts(rng, begin, min(seconds - begin, 5 * _HOUR_S))
    rates = {"duplicate": 0.002, "late": 0.0005, "out_of_order": 0.003, "corrupt": 0.002}
    faults += [Fault("delivery", type_, rate=rate) for type_, rate in rates.items()]
    return sorted(faults, key=lambda f: (f.start_s, f.kind, f.type, f.entity))


def _hour_of_anomalies(
    rng: Generator, quiet: float, end: float, nodes: Sequence[str], links: Sequence[str]
) -> list[Fault]:
    longest = max(min(300.0, (end - quiet) / 10), 5.0)
    per_type = max(1, round(len(nodes) / 12))
    faults = []
    for types, entities, count in ((ANOMALY_TYPES, nodes, per_type), (LINK_ANOMALIES, links, 1)):
        for type_ in types:
            for entity in rng.choice(len(entities), count).tolist():
                duration = float(rng.uniform(0.4, 1.0)) * longest
                start = float(rng.uniform(quiet, max(end - duration, quiet + 1)))
                size = round(float(rng.uniform(5, 9)), 2)
                faults.append(
                    Fault("anomaly", type_, entities[entity], round(start, 3), round(start + duration, 3), size)
                )
    return faults


def _drifts(rng: Generator, begin: float, length: float) -> list[Fault]:
    """Unpredictable hosts for a while, a type of link whose capacity halves, then a slower encoder.

    The first raises errors for as long as it lasts; the others are got over within
    minutes by a model that follows its history. The encoder comes last, because it
    widens the margin between the two sides, which hides the rest.
    """
    type_ = LINK_TYPES[int(rng.integers(len(LINK_TYPES)))]
    faults = []
    for kind, entity, earliest, lasts_s in (
        ("contention", "*", 0.2, 0.4 * length),
        ("link_capacity", type_, 0.25, 12 * _HOUR_S),
        ("hde_cost", "*", 0.75, 12 * _HOUR_S),
    ):
        start = begin + float(rng.uniform(earliest, earliest + 0.15)) * length
        faults.append(Fault("drift", kind, entity, round(start, 3), round(start + lasts_s, 3)))
    return faults
