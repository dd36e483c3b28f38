"""A fleet that is tuned: nodes' minutes, requests, and who has new parameters."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import numpy as np

from offline.optimizer.grid import load_grids
from online_models.optimizer.prior import Prior
from online_models.optimizer.space import DEFAULT
from online_models.optimizer.state import OptimizerState, Optimizing
from schemas.batch import Control, Result
from schemas.codec import codec_of
from schemas.optimizer import PARAMETERS, OptimizerRequest
from schemas.system import SystemMetrics
from schemas.topic import OPTIMIZER_RECOMMENDATION, OPTIMIZER_REQUEST, OPTIMIZER_ROLLOUT
from tests.online_models.stream import START_MS, metrics, metrics_of

NODES = 24


@cache
def priors() -> dict[str, Prior]:
    return {name: Prior.learn(g.settings, g.surfaces(), g.context, g.features) for name, g in load_grids().items()}


def request(trigger: Any = "operator", scope: str = "fleet", **current: float) -> Control:
    known = {p.name: float(v) for p, v in zip(PARAMETERS, DEFAULT, strict=True)} | current
    record = OptimizerRequest("r-1", START_MS, scope, known, trigger)  # type: ignore[arg-type]
    return Control(OPTIMIZER_REQUEST.kind, msgspec.json.encode(record), b"x/0/0", 0, START_MS)


def minute_of(minute: int, gain: dict[str, float], seed: int = 0, traffic: float = 1.0) -> list[SystemMetrics]:
    """Three records a minute of every node; the treated ones' throughput is times `gain`, their traffic too."""
    rng = np.random.default_rng([seed, minute])
    together = 1.0 + 0.03 * np.sin(minute / 9.0)
    records = []
    for third in range(3):
        for k in range(NODES):
            name = f"n{k}"
            factor = together * gain.get(name, 1.0) * float(np.exp(0.01 * rng.standard_normal()))
            at = START_MS + 60_000 * minute + 20_000 * third
            sent = 10.0 * (traffic if name in gain else 1.0) * float(np.exp(0.01 * rng.standard_normal()))
            records.append(metrics(at, name, throughput_mean=2847.0 * factor, request_rate=2800.0, network_io=sent))
    return records


def records_of(result: Result, topic: Any) -> list[Any]:
    if topic not in result.outputs:
        return []
    output = result.outputs[topic]
    lines = codec_of(topic.record).encode({**output.columns, "id": ["id"] * len(output.row)})
    return [msgspec.json.decode(line, type=topic.record) for line in lines]


def live(state: OptimizerState, minutes: range, factor: float, traffic: float = 1.0) -> Iterator[Any]:
    """Let a fleet live in which nodes with new parameters have their throughput and traffic times something."""
    treated: set[str] = set()
    names = [f"n{k}" for k in range(NODES)]
    for minute in minutes:
        batch = metrics_of(minute_of(minute, dict.fromkeys(treated, factor), 0, traffic))
        result = state.step(batch)
        yield from records_of(result, OPTIMIZER_RECOMMENDATION)
        for rollout in records_of(result, OPTIMIZER_ROLLOUT):
            yield rollout
            digests = {key: int(d) for key, d in zip(state._table.keys, state._table.rows["digest"], strict=True)}
            order = sorted(names, key=lambda name: digests[name.encode()])
            stages = [5, 25, 50, 100]
            at = stages.index(rollout.stage_pct) + (rollout.status == "advanced")
            count = max(1, round(NODES * stages[at] / 100.0))
            treated = set() if rollout.status == "rolled_back" else set(order[:count])


def asked(**current: float) -> OptimizerState:
    state = Optimizing(priors())()
    assert not state.control(request(**current)).outputs
    return state
