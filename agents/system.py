"""System: how unusual a node's metrics are, what kind of trouble that is, and what an hour and a day come to."""

from __future__ import annotations

from online_models.parts import PartsOf
from online_models.rollup import RollupState
from online_models.system import SystemState
from schemas.topic import (
    DRIFT_ALERT,
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
    state=PartsOf(anomalies=SystemState, rollups=RollupState),
    publishes=(SYSTEM_SCORE, SYSTEM_ANOMALY, SYSTEM_THRESHOLD, SYSTEM_ROLLUP, DRIFT_ALERT),
    keeps=SYSTEM_STATE,
)
