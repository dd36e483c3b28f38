"""An app of the ingest agents only: what the end-to-end tests and the ingest benchmark run."""

from agents import ingest
from streams.application import application

app = application(ingest.agents)
