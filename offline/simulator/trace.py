"""Links and hosts driven by real series instead of the model.

============================================  =======  ======================================
series (below the folder given)               period   drives
============================================  =======  ======================================
speedtest-wizardtim/speedtests.csv download   30 min   capacity of edge links, by its median
speedtest-wizardtim/speedtests.csv ping       30 min   rtt of edge links, by its median
jitterbug-rtt/.../raw.csv                     5 min    rtt of wan links, by its median
ms-cloud-monitoring/.../ingress-04.csv        1 min    demand of dc and metro links
datacenter-traces/alibaba2018/..._30_...csv   30 s     CPU of hosts
============================================  =======  ======================================

Files are read in place. Each link and host reads its series from its own point on
(drawn from the seed), and starts over at the end. A series that is missing leaves
what it would drive to the model; none at all is an error.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.simulator.link import Overlay
from schemas.error import ConfigError
from schemas.field import LINK_TYPES

F64 = NDArray[np.float64]

_DC, _METRO, _WAN, _EDGE = range(len(LINK_TYPES))

_RELATIVE: Final = (0.05, 30.0)
"""Limits of a value over its median: outages are in the series as absurd pings."""


class Series(NamedTuple):
    """A regular series of one value per minute, without gaps."""

    name: str
    values: F64


def _minutes(name: str, times_s: Sequence[float], values: Sequence[float]) -> Series:
    """Irregular points as one value per minute: linear between neighbours, as a link changes slowly."""
    grid = np.arange(times_s[0], times_s[-1], 60.0)
    return Series(name, np.interp(grid, times_s, values))


def _read(path: Path, time: Callable[[dict[str, str]], float], column: str) -> tuple[list[float], list[float]]:
    times: list[float] = []
    values: list[float] = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            try:
                at, value = time(row), float(row[column])
            except (ValueError, TypeError):
                continue
            if value > 0 and (not times or at >= times[-1]):
                times.append(at)
                values.append(value)
    if len(times) < 2:
        raise ValueError(f"no usable rows of {column!r}")
    return times, values


def _stamp(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _speedtest(root: Path, column: str) -> Series:
    path = root / "speedtest-wizardtim" / "speedtests.csv"
    return _minutes(f"speedtest {column}", *_read(path, lambda r: _stamp(r["datetimestart"]), column))


def _jitterbug(root: Path) -> Series:
    path = root / "jitterbug-rtt" / "examples" / "network_analysis" / "data" / "raw.csv"
    times, values = (np.array(x) for x in _read(path, lambda r: float(r["epoch"]), "values"))
    # About 11 probes arrive in a burst every 5 minutes; their median is the path's rtt.
    slot, start = np.unique(times // 300, return_index=True)
    medians = [float(np.median(part)) for part in np.split(values, start[1:])]
    return _minutes("jitterbug rtt", (slot * 300).tolist(), medians)


def _ingress(root: Path) -> Series:
    path = root / "ms-cloud-monitoring" / "data" / "data-ingress-rate" / "ingress-04.csv"
    return _minutes("ms ingress-04", *_read(path, lambda r: _stamp(r["TimeStamp"].rstrip("Z")), "Value"))


def _alibaba(root: Path) -> Series:
    path = root / "datacenter-traces" / "alibaba2018" / "machine_usage_days_1_to_8_grouped_30_seconds.csv"
    with path.open(newline="") as file:
        values = [float(row["cpu_util_percent"]) for row in csv.DictReader(file)]
    return _minutes("alibaba cpu", [30.0 * i for i in range(len(values))], values)


_READERS: Final[dict[str, Callable[[Path], Series]]] = {
    "edge_capacity": lambda root: _speedtest(root, "download"),
    "edge_rtt": lambda root: _speedtest(root, "ping"),
    "wan_rtt": _jitterbug,
    "demand": _ingress,
    "host_cpu": _alibaba,
}


class Traces:
    """Real series as overlays of the fleet.

    Parameters
    ----------
    root
        Folder the series lie under.
    rng
        Draws where in its series each link and host begins.
    link_type
        Index into `LINK_TYPES` of each link.
    nodes
        Number of hosts.

    Raises
    ------
    ConfigError
        When none of the series is there, or one is not readable.
    """

    def __init__(self, root: Path, rng: Generator, link_type: NDArray[np.int64], nodes: int) -> None:
        self.series: dict[str, Series] = {}
        for use, read in _READERS.items():
            try:
                self.series[use] = read(root)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError) as exc:
                raise ConfigError("--traces", str(root), f"a folder of readable series; {use}: {exc!r}") from exc
        if not self.series:
            raise ConfigError("--traces", str(root), f"a folder with at least one of the series {__name__} lists")
        self._type = link_type
        self._link_start = rng.random(len(link_type))
        self._node_start = rng.random(nodes)

    def _at(self, use: str, minute: int, start: F64) -> F64 | None:
        series = self.series.get(use)
        if series is None:
            return None
        n = len(series.values)
        return series.values[((start * n).astype(np.int64) + minute) % n]

    def links(self, minute: int) -> Overlay:
        """What the series say of the links, so many minutes after the start."""
        overlay = Overlay.none(len(self._type))
        for use, target, types in (
            ("edge_capacity", overlay.capacity, (_EDGE,)),
            ("edge_rtt", overlay.rtt, (_EDGE,)),
            ("wan_rtt", overlay.rtt, (_WAN,)),
            ("demand", overlay.demand_logit, (_DC, _METRO)),
        ):
            values = self._at(use, minute, self._link_start)
            if values is not None:
                relative = np.clip(values / np.median(self.series[use].values), *_RELATIVE)
                driven = np.isin(self._type, types)
                target[driven] = (np.log(relative) if use == "demand" else relative)[driven]
        return overlay

    def host_cpu(self, minute: int) -> F64 | None:
        """CPU of each host, %, or None without that series."""
        return self._at("host_cpu", minute, self._node_start)
