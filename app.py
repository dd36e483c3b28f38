"""`faust -A app worker`."""

from agents import compression, ingest, network, system
from streams.application import application

app = application((*ingest.agents, network.agent, compression.agent, system.agent))
