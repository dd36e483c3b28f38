"""`faust -A app worker`."""

from agents import compression, ingest, network, side, system
from streams.application import application

app = application((*ingest.agents, *side.agents, network.agent, compression.agent, system.agent))
