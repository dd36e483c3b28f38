"""The application with a bug in the network step: it fails on records of nodes called poison, half-way."""

from __future__ import annotations

from agents import compression, ingest, system
from agents import network as sound
from online_models.bandwidth.state import NetworkState
from schemas.batch import Batch, Result
from streams.agent import declare
from streams.application import application


class PoisonedState(NetworkState):
    """Forgets itself on the last record before it raises."""

    def apply(self, batch: Batch) -> Result:
        """As ever, or an error after the state has changed."""
        result = super().apply(batch)
        if any(node.startswith("poison") for node in batch.columns["node_id"]):
            raise ZeroDivisionError("a bug in the step")
        return result


network = declare(
    "network",
    source=sound.agent.source,
    state=PoisonedState,
    publishes=sound.agent.publishes,
    keeps=sound.agent.keeps,
)
app = application((*ingest.agents, network, compression.agent, system.agent))
