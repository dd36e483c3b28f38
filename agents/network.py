"""Network: a sample's features, the link 15 minutes ahead, how well that went, and what is unusual about it."""

from __future__ import annotations

from online_models.anomaly.link_watch import LinkWatch
from online_models.bandwidth.artifact import load_forecaster
from online_models.bandwidth.state import NetworkState
from online_models.drift.watch import ForecasterAnswerWatch, ForecasterInputWatch
from online_models.parts import PartsOf
from schemas.topic import (
    DRIFT_ALERT,
    NETWORK_FEATURES,
    NETWORK_FORECAST,
    NETWORK_KEYED,
    NETWORK_SCORE,
    NETWORK_STATE,
    SYSTEM_ANOMALY,
    SYSTEM_THRESHOLD,
)
from streams.agent import declare

agent = declare(
    "network",
    source=NETWORK_KEYED,
    state=PartsOf(links=NetworkState, inputs=ForecasterInputWatch, watch=LinkWatch, answers=ForecasterAnswerWatch),
    publishes=(NETWORK_FEATURES, NETWORK_FORECAST, NETWORK_SCORE, SYSTEM_ANOMALY, SYSTEM_THRESHOLD, DRIFT_ALERT),
    keeps=NETWORK_STATE,
    models={"bandwidth": load_forecaster},
    settings=("false_alarms_per_link_day", "feedback_rate"),
)
