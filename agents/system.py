"""System: how unusual a node's metrics are, what hours come to, whether latency will break, what would do better."""

from __future__ import annotations

from functools import partial
from importlib import resources

from online_models.anomaly.state import SystemState
from online_models.anomaly.trained import INPUTS as DEVIATIONS
from online_models.collector.rollup import RollupState
from online_models.onnx_model import OnnxModel
from online_models.optimizer.learned import INPUTS as SETTING
from online_models.optimizer.learned import NAME as LEARNED
from online_models.optimizer.prior import Prior
from online_models.optimizer.space import GROUPS
from online_models.optimizer.state import Optimizing
from online_models.parts import PartsOf
from online_models.performance.input import INPUT_NAMES
from online_models.performance.state import PerformanceState
from schemas.topic import (
    DRIFT_ALERT,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_ROLLOUT,
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

_MEASURED = resources.files("online_models.optimizer") / "measured"
_PRIORS = {name: Prior.read((_MEASURED / f"{name}.npz").read_bytes()) for name in GROUPS}

agent = declare(
    "system",
    source=SYSTEM_KEYED,
    state=PartsOf(
        anomalies=SystemState, rollups=RollupState, performance=PerformanceState, optimizer=Optimizing(_PRIORS)
    ),
    publishes=(
        SYSTEM_SCORE,
        SYSTEM_ANOMALY,
        SYSTEM_THRESHOLD,
        SYSTEM_ROLLUP,
        PERFORMANCE_FEATURES,
        PERFORMANCE_PREDICTION,
        OPTIMIZER_RECOMMENDATION,
        OPTIMIZER_ROLLOUT,
        DRIFT_ALERT,
    ),
    keeps=SYSTEM_STATE,
    models={
        "anomaly": partial(OnnxModel, features=DEVIATIONS),
        "performance": partial(OnnxModel, features=INPUT_NAMES),
        LEARNED: partial(OnnxModel, features=SETTING),
    },
    settings=("false_alarms_per_node_day", "feedback_rate"),
)
