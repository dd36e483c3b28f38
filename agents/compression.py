"""Compression: which mechanism was best for a transfer, and which one to use for the next."""

from __future__ import annotations

from online_models.compression import CompressionState
from schemas.topic import COMPRESSION_KEYED, COMPRESSION_LABEL, COMPRESSION_PREDICTION, COMPRESSION_STATE, DRIFT_ALERT
from streams.agent import declare

agent = declare(
    "compression",
    source=COMPRESSION_KEYED,
    state=CompressionState,
    publishes=(COMPRESSION_LABEL, COMPRESSION_PREDICTION, DRIFT_ALERT),
    keeps=COMPRESSION_STATE,
)
