"""An allocation on the topic: the node's newest degradation prediction, once more, with the allocation's fields."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from offline.capacity.allocation import Allocation
from offline.publish import Statement, send
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.header import ORIGIN
from schemas.performance import DegradationPrediction
from schemas.topic import PERFORMANCE_PREDICTION
from streams.recording.log import Log
from streams.settings import Settings

RECENT_MS: Final = 3_600_000
"""How old the prediction may be that is published with an allocation."""


def publish_allocation(settings: Settings, node: str, found: Allocation, now_ms: int) -> DegradationPrediction:
    """Publish the answer to a request; what was published.

    Raises
    ------
    ConfigError
        When nothing was predicted of the node within the last hour.
    InfraError
        When the broker does not answer, or does not take it.
    """
    prediction = newest_prediction(settings, node, now_ms - RECENT_MS)
    record = with_allocation(prediction, found)
    origin = prediction.id.rpartition(":")[0].encode()
    send(settings, [Statement(PERFORMANCE_PREDICTION, record, node)], "capacity", [(ORIGIN, origin)])
    return record


def newest_prediction(settings: Settings, node: str, since_ms: int) -> DegradationPrediction:
    """The node's newest prediction that a worker made.

    Raises
    ------
    ConfigError
        When there is none since then.
    """
    name, codec = settings.name_of(PERFORMANCE_PREDICTION), codec_of(DegradationPrediction)
    newest: DegradationPrediction | None = None
    with Log(settings, [name], since_ms) as log:
        for record in log.read():
            if record.key != node.encode() or record.value is None:
                continue
            for one in codec.decode([record.value])[0]:
                answered = one.optimal_allocation is not None or one.allocation_reason is not None
                if not answered and (newest is None or one.timestamp >= newest.timestamp):
                    newest = one
    if newest is None:
        raise ConfigError("--publish", node, f"a node with a prediction on {name} within the last hour")
    return newest


def with_allocation(prediction: DegradationPrediction, found: Allocation) -> DegradationPrediction:
    """The prediction with the answer, under an id of its own: another answer has another, the same one is a repeat."""
    performance = found.expected_performance
    if performance is not None:
        performance = performance | {"latency_mean_objective": found.latency_objective_ms, "load_pct": found.load_pct}
    answer = blake2b(msgspec.json.encode(found), digest_size=4).hexdigest()
    return msgspec.structs.replace(
        prediction,
        id=f"{prediction.id}.allocation-{answer}",
        optimal_allocation=found.optimal_allocation,
        expected_performance=performance,
        cost_estimate=found.cost_estimate,
        allocation_confidence=found.confidence,
        allocation_reason=found.reason,
    )
