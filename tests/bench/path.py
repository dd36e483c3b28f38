"""The paths that the pipeline benchmark measures: which agents, what goes in, which outputs answer it.

As an app, `faust -A tests.bench.path worker`, it runs the agents of the path named by BENCH_PATH.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents import compression, ingest, network, system
from schemas.topic import (
    COMPRESSION_KEYED,
    COMPRESSION_PREDICTION,
    COMPRESSION_RAW,
    NETWORK_FORECAST,
    NETWORK_KEYED,
    NETWORK_RAW,
    SYSTEM_KEYED,
    SYSTEM_RAW,
    SYSTEM_SCORE,
    Topic,
)
from streams.agent import Agent
from streams.application import application

EVERY = (*ingest.agents, network.agent, compression.agent, system.agent)


@dataclass(frozen=True)
class Path:
    """One path: its agents, and by input topic the topic whose records answer it."""

    agents: Sequence[Agent]
    answers: Mapping[Topic, Topic]


PATHS: Mapping[str, Path] = {
    "ingest": Path(
        ingest.agents, {NETWORK_RAW: NETWORK_KEYED, COMPRESSION_RAW: COMPRESSION_KEYED, SYSTEM_RAW: SYSTEM_KEYED}
    ),
    "network": Path((network.agent,), {NETWORK_KEYED: NETWORK_FORECAST}),
    "compression": Path((compression.agent,), {COMPRESSION_KEYED: COMPRESSION_PREDICTION}),
    "system": Path((system.agent,), {SYSTEM_KEYED: SYSTEM_SCORE}),
    "all": Path(
        EVERY, {NETWORK_RAW: NETWORK_FORECAST, COMPRESSION_RAW: COMPRESSION_PREDICTION, SYSTEM_RAW: SYSTEM_SCORE}
    ),
}

if "BENCH_PATH" in os.environ:
    app = application(PATHS[os.environ["BENCH_PATH"]].agents)
