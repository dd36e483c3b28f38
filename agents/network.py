"""Network: a sample's features, the link 15 minutes and more or less ahead, how that went, what is unusual about it."""

from __future__ import annotations

from online_models.anomaly.link_watch import LinkWatch
from online_models.bandwidth.artifact import load_forecaster
from online_models.bandwidth.horizon import HorizonState
from online_models.bandwidth.quality import horizon_name
from online_models.bandwidth.state import NetworkState
from online_models.drift.watch import ForecasterAnswerWatch, ForecasterInputWatch
from online_models.parts import Each, PartsOf
from schemas.topic import (
    DRIFT_ALERT,
    NETWORK_FEATURES,
    NETWORK_FORECAST,
    NETWORK_HORIZON,
    NETWORK_HORIZON_SCORE,
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
    state=PartsOf(
        links=NetworkState,
        inputs=ForecasterInputWatch,
        watch=LinkWatch,
        answers=ForecasterAnswerWatch,
        horizon=Each(HorizonState, "horizons", horizon_name),
    ),
    publishes=(
        NETWORK_FEATURES,
        NETWORK_FORECAST,
        NETWORK_SCORE,
        NETWORK_HORIZON,
        NETWORK_HORIZON_SCORE,
        SYSTEM_ANOMALY,
        SYSTEM_THRESHOLD,
        DRIFT_ALERT,
    ),
    keeps=NETWORK_STATE,
    models={"bandwidth": load_forecaster},
    settings=("false_alarms_per_link_day", "feedback_rate", "horizons", "amst_factors"),
)
