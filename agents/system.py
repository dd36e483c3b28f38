"""System: how unusual a node's metrics are, and what kind of trouble that is."""

from __future__ import annotations

from online_models.system import SystemState
from schemas.topic import DRIFT_ALERT, SYSTEM_ANOMALY, SYSTEM_KEYED, SYSTEM_SCORE, SYSTEM_STATE
from streams.agent import declare

agent = declare(
    "system",
    source=SYSTEM_KEYED,
    state=SystemState,
    publishes=(SYSTEM_SCORE, SYSTEM_ANOMALY, DRIFT_ALERT),
    keeps=SYSTEM_STATE,
)
