"""Network: features of every sample, the link 15 minutes ahead, and how well that went."""

from __future__ import annotations

from online_models.network import NetworkState
from schemas.topic import DRIFT_ALERT, NETWORK_FEATURES, NETWORK_FORECAST, NETWORK_KEYED, NETWORK_SCORE, NETWORK_STATE
from streams.agent import declare

agent = declare(
    "network",
    source=NETWORK_KEYED,
    state=NetworkState,
    publishes=(NETWORK_FEATURES, NETWORK_FORECAST, NETWORK_SCORE, DRIFT_ALERT),
    keeps=NETWORK_STATE,
)
