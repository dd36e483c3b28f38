"""What takes effect everywhere at one place: records of a side topic, handed to the partitions they concern.

A side topic has one partition, so that every partition of the keyed topic gets its records in
one order. They travel as controls within the keyed topic itself (`schemas.batch.Control`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from online_models.experiment.trial import KIND as EXPERIMENT
from online_models.optimizer.state import check_request
from online_models.served import KIND
from schemas.batch import Batch, Broadcast, Rejection, Result
from schemas.codec import Codec, codec_of
from schemas.error import RecordError, ValidationError
from schemas.experiment import ExperimentState
from schemas.feedback import AnomalyFeedback, about_link, check_feedback
from schemas.model import ModelAnnouncement
from schemas.optimizer import OptimizerRequest
from schemas.topic import COMPRESSION_KEYED, NETWORK_KEYED, OPTIMIZER_REQUEST, SYSTEM_KEYED, Topic

MODEL_TOPICS: Final = {
    "selector": COMPRESSION_KEYED,
    "bandwidth": NETWORK_KEYED,
    "anomaly": SYSTEM_KEYED,
    "performance": SYSTEM_KEYED,
    "optimizer": SYSTEM_KEYED,
}
"""Where the state that asks a model steps."""


class Forward:
    """Hands every record on; a subclass says where to."""

    record: ClassVar[type[Struct]]
    kind: ClassVar[str]

    def __init__(self) -> None:
        self._codec: Codec[Any] = codec_of(self.record)
        self._forwarded = 0

    def targets(self, record: Any) -> tuple[Topic, ...]:
        """The keyed topics that a record concerns; one, unless a subclass knows of more."""
        return (self.target(record),)

    def target(self, record: Any) -> Topic:
        """The keyed topic that a record concerns.

        Raises
        ------
        RecordError
            When it concerns none.
        """
        raise NotImplementedError

    def step(self, batch: Batch) -> Result:
        """Broadcasts for every record."""
        broadcasts: list[Broadcast] = []
        rejected: list[Rejection] = []
        for row, body in enumerate(self._codec.encode(batch.columns)):
            try:
                targets = self.targets(msgspec.json.decode(body, type=self.record))
                broadcasts += [Broadcast(row, target, self.kind, body) for target in targets]
            except RecordError as exc:
                rejected.append(Rejection(row, exc))
        self._forwarded += len(broadcasts)
        return Result(rejected=rejected, broadcasts=broadcasts)

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """How many were handed on since the worker began."""
        return {"forwarded": (float(self._forwarded), None)}


class Announcements(Forward):
    """Announced models, to the states that ask them."""

    record = ModelAnnouncement
    kind = KIND

    def target(self, record: ModelAnnouncement) -> Topic:
        """Where the model is asked."""
        return _asked(record.model_name)


class Experiments(Forward):
    """Where experiments stand, to the states whose models are on trial."""

    record = ExperimentState
    kind = EXPERIMENT

    def target(self, record: ExperimentState) -> Topic:
        """Where the model is asked."""
        return _asked(record.model_name)


class Feedback(Forward):
    """What operators say of anomalies, to the states that find them."""

    record = AnomalyFeedback
    kind = "system.feedback"

    def targets(self, record: AnomalyFeedback) -> tuple[Topic, ...]:
        """Where such anomalies are found; maintenance of a node is also of its links."""
        check_feedback(record)
        if record.maintenance_until is not None:
            return SYSTEM_KEYED, NETWORK_KEYED
        return (NETWORK_KEYED if about_link(record) else SYSTEM_KEYED,)


class Requests(Forward):
    """Requests for better parameters, to the states that watch the nodes."""

    record = OptimizerRequest
    kind = OPTIMIZER_REQUEST.kind

    def target(self, record: OptimizerRequest) -> Topic:
        """Where nodes are watched."""
        check_request(record)
        return SYSTEM_KEYED


def _asked(model: str) -> Topic:
    if model not in MODEL_TOPICS:
        raise ValidationError("enum", f"no agent asks a model {model!r}: it is one of {', '.join(MODEL_TOPICS)}")
    return MODEL_TOPICS[model]
