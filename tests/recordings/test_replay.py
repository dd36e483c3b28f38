"""The recordings, and what three lines say of them."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from schemas.header import ERROR_REASON, ORIGIN
from schemas.topic import (
    COMPRESSION_PREDICTION,
    DEAD_LETTER,
    INPUTS,
    LATE,
    NETWORK_FORECAST,
    NETWORK_KEYED,
    NETWORK_SCORE,
    SYSTEM_ANOMALY,
)
from streams.agent import Agent
from streams.recording.file import read_recording
from streams.recording.run import run
from tests.replay import AGENTS, RECORDINGS, recording, replay

NAMES = ("fleet", "network", "faults")


def test_three_lines() -> None:
    answers = replay("fleet")
    forecasts = [json.loads(record.value or b"") for record in answers[NETWORK_FORECAST]]
    assert all(0 <= f["confidence"] <= 1 and f["amst_streams"] >= 2 for f in forecasts)


@pytest.mark.parametrize("name", NAMES)
def test_recordings_are_small_and_listed(name: str) -> None:
    path = recording(name)
    assert path.stat().st_size < 100_000
    count = sum(1 for _ in read_recording(path))
    assert f"| `{path.name}` | {count} |" in (RECORDINGS / "README.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_input_is_answered_or_rejected(name: str) -> None:
    inputs = {f"{r.topic}/{r.partition}/{r.offset}".encode() for r in read_recording(recording(name))}
    answers = replay(name)
    keyed = {dict(r.headers)[ORIGIN] for topic, rs in answers.items() if topic.stage == "keyed" for r in rs}
    dead = {dict(r.headers)[ORIGIN] for r in answers.get(DEAD_LETTER, ())}
    assert keyed | dead == inputs
    assert not keyed & dead


def test_faults_are_found() -> None:
    answers = replay("faults")
    reasons = Counter(dict(r.headers)[ERROR_REASON] for r in answers[DEAD_LETTER])
    assert reasons.keys() == {b"empty", b"malformed", b"schema", b"range"}
    assert len(answers[LATE]) == 9
    assert {json.loads(r.value or b"")["anomaly_type"] for r in answers[SYSTEM_ANOMALY]} == {"latency_spike"}


def test_forecasts_are_scored() -> None:
    answers = replay("network")
    assert len(answers[NETWORK_SCORE]) == len(answers[NETWORK_KEYED]) - 4 * 15


@pytest.mark.parametrize("name", NAMES)
def test_replaying_twice_gives_the_same_bytes(name: str) -> None:
    assert replay(name) == replay(name)


def test_nothing_is_made_of_nothing() -> None:
    assert run(AGENTS, []) == {}


def test_agents_that_read_what_they_publish_are_refused() -> None:
    agent = next(a for a in AGENTS if a.source == INPUTS[0])
    with pytest.raises(ValueError, match="read what they publish"):
        run([Agent("a", COMPRESSION_PREDICTION, agent.state, (COMPRESSION_PREDICTION,))], [])
