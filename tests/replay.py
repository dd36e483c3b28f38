"""Recordings in tests: three lines to replay one, through the agents' steps or through a worker.

    answers = replay("fleet")
    forecasts = [json.loads(record.value) for record in answers[NETWORK_FORECAST]]
    assert all(f["confidence"] <= 1 for f in forecasts)

`replay` needs no broker and takes milliseconds. `replay_through_worker` starts the
embedded broker and a worker process, and gives the same shape of answer.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from agents import compression, ingest, network, side, system
from schemas.topic import INPUTS, KEYED, OUTPUTS, REJECTS, Topic
from streams.embedded import EmbeddedBroker
from streams.recording.file import read_recording
from streams.recording.format import Recorded
from streams.recording.log import Log
from streams.recording.replay import BrokerTarget, survey
from streams.recording.replay import replay as send
from streams.recording.run import Answers, run
from streams.settings import Settings
from streams.sink import KafkaSink
from tests.e2e.harness import QUICK, Worker

RECORDINGS = Path(__file__).parent / "recordings"
AGENTS = (*ingest.agents, *side.agents, network.agent, compression.agent, system.agent)


def recording(name: str) -> Path:
    """File of a recording in `tests/recordings`."""
    return RECORDINGS / f"{name}.jsonl.zst"


def replay(name: str) -> Answers:
    """What all agents make of a recording, by topic."""
    return run(AGENTS, read_recording(recording(name)))


def replay_through_worker(name: str, directory: Path) -> Answers:
    """What a worker on the embedded broker makes of a recording, by topic."""
    path = recording(name)
    with EmbeddedBroker() as broker:
        settings = Settings.from_environment({"BROKER_URL": broker.address})
        found = survey(path)
        target = BrokerTarget(KafkaSink(broker.address), found, {}, keep_time=True)
        send(read_recording(path), target, None, lambda: False, lambda _: None)
        worker = Worker({"BROKER_URL": broker.address, **QUICK}, directory, app="app")
        try:
            worker.wait_ready(timeout_s=120)
            _wait_answered(worker, found.records)
            assert worker.stop() == 0, worker.tail()
        finally:
            worker.kill()
        return _answers(settings)


def _wait_answered(worker: Worker, inputs: int, timeout_s: float = 60) -> None:
    """Wait until the inputs, and every keyed record made of them, were processed."""
    deadline = time.monotonic() + timeout_s

    def read(topics: Sequence[Topic], counter: str = "dwcp_events_in_total") -> float:
        return sum(worker.counter(counter, topic=topic.name) for topic in topics)

    while read(INPUTS) < inputs or read(KEYED) < read(KEYED, "dwcp_events_out_total"):
        assert worker.process.poll() is None, worker.tail()
        assert time.monotonic() < deadline, worker.tail()
        time.sleep(0.05)


def _answers(settings: Settings) -> Answers:
    kind = {settings.name_of(topic): topic for topic in KEYED + OUTPUTS + REJECTS}
    answers: dict[Topic, list[Recorded]] = defaultdict(list)
    with Log(settings, list(kind)) as log:
        for record in log.read():
            answers[kind[record.topic]].append(record)
    return answers
