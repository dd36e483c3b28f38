"""System: how unusual a node's metrics are, what hours come to, and whether latency will break its objective."""

from __future__ import annotations

from functools import partial

from online_models.onnx_model import OnnxModel
from online_models.parts import PartsOf
from online_models.performance import PerformanceState
from online_models.performance_input import INPUT_NAMES
from online_models.rollup import RollupState
from online_models.system import SystemState
from schemas.topic import (
    DRIFT_ALERT,
    PERFORMANCE_FEATURES,
    PERFORMANCE_PREDICTION,
    SYSTEM_ANOMALY,
    SYSTEM_KEYED,
    SYSTEM_ROLLUP,
    SYSTEM_SCORE,
    SYSTEM_STATE,
    SYSTEM_THRESHOLD,
)
from streams.agent import declare

agent = declare(
    "system",
    source=SYSTEM_KEYED,
    state=PartsOf(anomalies=SystemState, rollups=RollupState, performance=PerformanceState),
    publishes=(
        SYSTEM_SCORE,
        SYSTEM_ANOMALY,
        SYSTEM_THRESHOLD,
        SYSTEM_ROLLUP,
        PERFORMANCE_FEATURES,
        PERFORMANCE_PREDICTION,
        DRIFT_ALERT,
    ),
    keeps=SYSTEM_STATE,
    models={"performance": partial(OnnxModel, features=INPUT_NAMES)},
)
