"""What faults befall, nodes or links: where their records are, what is watched of them, and by which state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline import node_metric
from online_models.anomaly.baseline import FLOOR
from online_models.anomaly.calibration import FALSE_ALARMS_PER_NODE_DAY
from online_models.anomaly.link_baseline import LINK_HARM, LINK_METRICS
from online_models.anomaly.link_record import LINK_TYPES
from online_models.anomaly.link_watch import FALSE_ALARMS_PER_LINK_DAY, TYPE_OF_LINK_METRIC, LinkWatch, link_type_of
from online_models.anomaly.rule import HARM, TYPE_OF_METRIC, TYPES, type_of
from online_models.anomaly.state import SystemState
from online_models.partition import PartitionState
from online_models.served import Model
from schemas.batch import Batch
from schemas.system import METRICS
from schemas.topic import Topic


class Subject(NamedTuple):
    """Nodes or links.

    Parameters
    ----------
    name
        Of one of them.
    topics
        Raw and keyed topic of its records.
    metrics, harm, floor
        What is watched, the sign that hurts, and the least deviation that counts for a plain rule.
    type_of_metric
        Type that each metric speaks for.
    hour
        Records in an hour.
    budget
        Of false alarms per day, unless another is asked for.
    state
        A partition's state with a budget.
    type_of
        Type of a record by its deviations, metrics and their means.
    """

    name: str
    topics: tuple[Topic, Topic]
    metrics: tuple[str, ...]
    harm: NDArray[np.float64]
    floor: NDArray[np.float64]
    type_of_metric: tuple[str, ...]
    hour: float
    budget: float
    state: Callable[[float], PartitionState]
    type_of: Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], str]

    def matrix(self, batch: Batch) -> NDArray[np.float64]:
        """The metrics, `[n, metric]`."""
        return np.column_stack([batch.columns[name] for name in self.metrics]).astype(np.float64)

    def entities(self, batch: Batch) -> NDArray[np.str_]:
        """Whom each record is of, as truth files name them, `[n]`."""
        return self.named(batch.columns)

    def named(self, columns: Any) -> NDArray[np.str_]:
        """As `entities`, of columns with `node_id` and, for links, `peer_id`."""
        node = np.asarray(columns["node_id"]).astype(str)
        if self.name == "node":
            return node
        return np.char.add(np.char.add(node, ":"), np.asarray(columns["peer_id"]).astype(str))

    def owns(self, entity: str) -> bool:
        """Whether a truth file's entity is one of these."""
        return (":" in entity) == (self.name == "link")


def _names(of: Sequence[str], at: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(of[k] for k in at.tolist())


NODES: Final = Subject(
    "node",
    node_metric.NODES,
    METRICS,
    HARM,
    FLOOR,
    _names(TYPES, TYPE_OF_METRIC),
    720.0,
    FALSE_ALARMS_PER_NODE_DAY,
    lambda budget: SystemState(false_alarms_per_node_day=budget),
    lambda z, x, mean: TYPES[type_of(z, x, mean)],
)


def nodes_with(champion: Model) -> Subject:
    """Nodes whose state asks trained isolation forests besides."""
    return NODES._replace(state=lambda budget: SystemState(false_alarms_per_node_day=budget, champion=champion))


LINKS: Final = Subject(
    "link",
    node_metric.LINKS,
    LINK_METRICS,
    LINK_HARM,
    np.array([0.1, 0.05, 1e-4, 0.05, 1.0, 1.0]),
    _names(LINK_TYPES, TYPE_OF_LINK_METRIC),
    60.0,
    FALSE_ALARMS_PER_LINK_DAY,
    lambda budget: LinkWatch(false_alarms_per_link_day=budget),
    lambda z, x, mean: LINK_TYPES[link_type_of(z, x, mean[0])],
)
