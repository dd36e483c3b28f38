"""Compression: which mechanism was best for a transfer, which one to use for the next, and drift of what is asked."""

from __future__ import annotations

from functools import partial

from online_models.drift.watch import SelectorAnswerWatch, SelectorInputWatch
from online_models.onnx_model import OnnxModel
from online_models.parts import PartsOf
from online_models.selector.state import CompressionState
from schemas.compression import FEATURES
from schemas.topic import COMPRESSION_KEYED, COMPRESSION_LABEL, COMPRESSION_PREDICTION, COMPRESSION_STATE, DRIFT_ALERT
from streams.agent import declare

agent = declare(
    "compression",
    source=COMPRESSION_KEYED,
    state=PartsOf(selector=CompressionState, inputs=SelectorInputWatch, answers=SelectorAnswerWatch),
    publishes=(COMPRESSION_LABEL, COMPRESSION_PREDICTION, DRIFT_ALERT),
    keeps=COMPRESSION_STATE,
    models={"selector": partial(OnnxModel, features=FEATURES)},
)
