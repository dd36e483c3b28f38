"""Network: a sample's features, the link 15 minutes ahead, how well that went, and drift of what it is made of."""

from __future__ import annotations

from online_models.distribution_watch import ForecasterInputWatch
from online_models.forecast_artifact import load_forecaster
from online_models.network import NetworkState
from online_models.parts import PartsOf
from schemas.topic import (
    DRIFT_ALERT,
    NETWORK_FEATURES,
    NETWORK_FORECAST,
    NETWORK_KEYED,
    NETWORK_SCORE,
    NETWORK_STATE,
)
from streams.agent import declare

agent = declare(
    "network",
    source=NETWORK_KEYED,
    state=PartsOf(links=NetworkState, inputs=ForecasterInputWatch),
    publishes=(NETWORK_FEATURES, NETWORK_FORECAST, NETWORK_SCORE, DRIFT_ALERT),
    keeps=NETWORK_STATE,
    models={"bandwidth": load_forecaster},
)
