"""Hosts: system metrics every 5 s around the documented baselines.

A metric is `level + deviation * (a load + sqrt(1 - a^2) own)`: the level differs
between hosts, `load` is shared by all metrics of a host (daily cycle plus an AR(1) of
half an hour) and `own` is an AR(1) of one minute. Percentiles follow from mean and
standard deviation as they do for a normal distribution with a heavier tail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.simulator.ar import AutoRegression
from offline.simulator.cycle import daily, local_hour

F64 = NDArray[np.float64]

PERIOD_MS: Final = 5_000
SAMPLES_PER_MINUTE: Final = 12

_BETWEEN, _WITHIN = 0.8, 0.6  # 0.8^2 + 0.6^2 = 1: the documented deviation is of the fleet


@dataclass(frozen=True, slots=True)
class MetricLevel:
    """Baseline of one metric over the fleet.

    Parameters
    ----------
    mean, deviation
        Over all hosts and times; documented ones first, ours marked by a comment below.
    load
        Correlation with the host's load, -1..1.
    low, high
        Limits of a sample; host levels keep a deviation and a half away from them.
    """

    mean: float
    deviation: float
    load: float
    low: float
    high: float


METRIC_LEVELS: Final = {
    "latency_mean": MetricLevel(127.4, 48.3, 0.5, 1.0, 3.6e6),
    "latency_std": MetricLevel(48.3, 9.0, 0.3, 1.0, 3.6e6),  # spread of one sample: ours
    "throughput_mean": MetricLevel(2847.0, 487.0, 0.6, 1.0, 1e9),
    "throughput_std": MetricLevel(240.0, 60.0, 0.3, 0.0, 1e9),  # ours
    "error_rate": MetricLevel(0.34, 0.12, 0.3, 0.0, 100.0),
    "cpu_usage": MetricLevel(68.2, 15.7, 0.7, 1.0, 100.0),
    "memory_usage": MetricLevel(71.5, 12.4, 0.5, 1.0, 100.0),
    "disk_usage": MetricLevel(58.0, 8.0, 0.0, 1.0, 100.0),  # ours
    "network_io": MetricLevel(310.0, 80.0, 0.7, 0.0, 1e9),  # ours
    "disk_io": MetricLevel(140.0, 40.0, 0.5, 0.0, 1e9),  # ours
    "compression_ratio": MetricLevel(3.47, 0.68, -0.1, 1.0, 1e6),
    "prediction_accuracy": MetricLevel(96.3, 1.2, -0.2, 0.0, 100.0),  # level documented, spread ours
    "consensus_time": MetricLevel(45.7, 18.3, 0.4, 1.0, 3.6e6),
}

LOAD_MIN: Final = 30.0
OWN_SAMPLES: Final = 12.0

_NAMES = tuple(METRIC_LEVELS)
INDEX: Final = {name: i for i, name in enumerate(_NAMES)}


class Hosts:
    """The hosts' levels and their process.

    Parameters
    ----------
    rng
        Source of everything random here.
    utc_offset_h
        Local time of each host.
    """

    def __init__(self, rng: Generator, utc_offset_h: F64) -> None:
        n = len(utc_offset_h)
        table = np.array([[getattr(m, f) for f in MetricLevel.__slots__] for m in METRIC_LEVELS.values()])
        mean, deviation, self._share, self._low, self._high = (c[:, None] for c in table.T)
        level = mean + _BETWEEN * deviation * np.clip(rng.standard_normal((len(table), n)), -2, 2)
        self.within = _WITHIN * deviation
        self.level = np.clip(level, self._low + 1.5 * self.within, self._high - 1.5 * self.within)
        self.utc_offset_h = utc_offset_h
        self._load = AutoRegression(rng, np.array(LOAD_MIN), (n,))
        self._own = AutoRegression(rng, np.array(OWN_SAMPLES), (len(table), n))
        self._before = self._load.state

    def __len__(self) -> int:
        return len(self.utc_offset_h)

    def step(self, time_ms: int, cpu_pct: F64 | None = None) -> F64:
        """One minute of samples of the metrics in `METRIC_LEVELS`.

        Parameters
        ----------
        time_ms
            Beginning of the minute.
        cpu_pct
            CPU of each host where a trace drives it; else the model's.

        Returns
        -------
        Array `[sample, metric, node]`, 12 samples.
        """
        cycle = daily(local_hour(time_ms, self.utc_offset_h), 14.0)
        load = 0.6 * cycle + 0.8 * self._load.step()
        ramp = (np.arange(SAMPLES_PER_MINUTE) + 1)[:, None] / SAMPLES_PER_MINUTE
        loads = self._before + ramp * (load - self._before)
        self._before = load
        own = np.stack([self._own.step() for _ in range(SAMPLES_PER_MINUTE)])
        shape = self._share * loads[:, None, :] + np.sqrt(1 - self._share**2) * own
        samples = self.level + self.within * shape
        if cpu_pct is not None:
            samples[:, INDEX["cpu_usage"], :] = cpu_pct + 1.5 * own[:, INDEX["cpu_usage"], :]
        return np.asarray(np.clip(samples, self._low, self._high))

    def afflict(self, samples: F64, type_: str, magnitude: float, where: tuple[NDArray[np.bool_], int]) -> None:
        """Put an anomaly of one type into samples, in place.

        Parameters
        ----------
        samples
            As `step` returns them.
        type_
            One of `schemas.system.ANOMALY_TYPES`.
        magnitude
            Size in standard deviations of a healthy host.
        where
            Which of the 12 samples, and which node.
        """
        rows, node = where

        def shift(name: str, deviations: float) -> None:
            samples[rows, INDEX[name], node] += deviations * self.within[INDEX[name], 0]

        def saturate(name: str) -> None:
            samples[rows, INDEX[name], node] = 100 - (100 - samples[rows, INDEX[name], node]) / (4 * magnitude)

        if type_ == "latency_spike":
            shift("latency_mean", magnitude)
            shift("latency_std", magnitude)
        elif type_ == "throughput_drop":
            samples[rows, INDEX["throughput_mean"], node] *= max(0.05, 1 - magnitude / 10)
        elif type_ == "error_burst":
            shift("error_rate", 1.5 * magnitude)
        elif type_ == "resource_exhaustion":
            saturate("cpu_usage")
            saturate("memory_usage")
        elif type_ == "compression_failure":
            ratio = samples[rows, INDEX["compression_ratio"], node]
            samples[rows, INDEX["compression_ratio"], node] = 1 + (ratio - 1) / 50
        elif type_ == "prediction_error":
            shift("prediction_accuracy", -1.5 * magnitude)
        else:
            shift("consensus_time", magnitude)
        np.clip(samples, self._low, self._high, out=samples)


def complete(rng: Generator, samples: F64) -> dict[str, F64]:
    """All metrics of the contract, by name, each `[sample, node]`; derived ones follow from the others.

    Parameters
    ----------
    samples
        `[sample, metric, node]` from `Hosts.step`.
    """
    columns = {name: samples[:, i, :] for i, name in enumerate(_NAMES)}
    mean, std = columns["latency_mean"], columns["latency_std"]
    tail = 1 + 0.03 * rng.standard_normal((2, *mean.shape))
    columns["latency_p95"] = mean + 1.48 * std * tail[0]
    columns["latency_p99"] = mean + 3.31 * std * tail[1]
    columns["error_count"] = np.round(columns["error_rate"] / 100 * columns["throughput_mean"] * PERIOD_MS / 1000)
    columns["network_bandwidth"] = columns["network_io"] * 8 / 1000
    columns["storage_used"] = columns["disk_usage"] / 100 * 40.0
    columns["request_rate"] = columns["throughput_mean"] * (1 + columns["error_rate"] / 100)
    return columns
