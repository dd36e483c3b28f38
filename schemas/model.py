"""Models: which versions there are, what each is used for, and why."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.error import Refusal
from schemas.field import Bytes, Count, Identifier, OptionalIdentifier, TimestampMs

ModelStage = Literal["candidate", "shadow", "challenger", "champion", "previous", "retired"]
ModelFormat = Literal["onnx", "arrays"]

Sha256 = Annotated[
    str, Meta(min_length=64, max_length=64, pattern="^[0-9a-f]{64}$", description="SHA-256 in lower-case hex digits")
]


class Gate(Struct, frozen=True, gc=False):
    """One condition for promotion, and what the model reached."""

    gate: Identifier
    value: float
    limit: float
    comparison: Literal["at_least", "at_most", "above", "below"]
    passed: bool


class Manifest(Struct, frozen=True, kw_only=True):
    """What an artifact says of itself; it travels inside the artifact.

    `feature_names` are the input's last axis in order, `input_shape` its shape without the
    rows, `reference` the quantiles of each feature in training (10 bins, 9 inner edges),
    against which drift is measured.
    """

    model_name: Identifier
    model_version: Identifier
    feature_schema: Identifier
    feature_names: list[str]
    input_shape: list[int]
    outputs: list[str]
    trained_at: TimestampMs
    training_from: TimestampMs
    training_to: TimestampMs
    training_rows: Count
    training_data_sha256: Sha256
    metrics: dict[str, float]
    gates: list[Gate]
    library_versions: dict[str, str]
    settings: dict[str, str] = {}
    reference: dict[str, list[float]] = {}

    @property
    def feature_schema_sha256(self) -> str:
        """Hash of the features' names and order; a model trained on another one must not be served."""
        return sha256("\n".join(self.feature_names).encode()).hexdigest()


class ModelAnnouncement(Struct, frozen=True, gc=False):
    """One version of a model and its stage from now on; one record per change.

    The topic keeps the last record of every version, in one partition, so in order:
    the champion of a model is the version announced as such last. A version whose
    `held` is true was rolled back and is not promoted again until it is released.
    """

    id: Identifier
    timestamp: TimestampMs
    model_name: Identifier
    model_version: Identifier
    stage: ModelStage
    previous_stage: ModelStage | None
    reason: str
    artifact: Identifier
    artifact_format: ModelFormat
    artifact_bytes: Bytes
    artifact_sha256: Sha256
    feature_schema: Identifier
    feature_schema_sha256: Sha256
    trained_at: TimestampMs
    training_from: TimestampMs
    training_to: TimestampMs
    training_rows: Count
    training_data_sha256: Sha256
    metrics: dict[str, float]
    gates: list[Gate]
    library_versions: dict[str, str]
    held: bool = False
    announced_by: OptionalIdentifier = ""
    signature: str = ""


class ModelRejection(Struct, frozen=True, gc=False):
    """A version that a worker would not take; what ran before goes on.

    signature: of the announcement; artifact: it is not in the store; hash, size: it is another;
    format: it does not load; features: it takes others; golden: it answers its golden vectors otherwise;
    answer: it fails on live input, or is not finite; slow: it takes too long.
    """

    id: Identifier
    timestamp: TimestampMs
    model_name: Identifier
    model_version: Identifier
    artifact_sha256: Sha256
    reason: Refusal
    message: str
    worker: OptionalIdentifier = ""
