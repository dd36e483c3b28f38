"""What an agent is: the topic it reads, the pure step it applies, the topics it publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.batch import Batch, Result
from schemas.topic import Topic
from streams.metric import Gauges


class State(Protocol):
    """What an agent keeps per partition, and the pure step it applies."""

    def step(self, batch: Batch) -> Result:
        """Apply a batch: the records it yields, and the rows it rejects."""
        ...

    def gauges(self) -> Gauges:
        """What the state says of itself: by name, numerator and denominator."""
        ...


@dataclass(frozen=True, slots=True)
class Agent:
    """What an agent reads, the step it applies, and what it publishes."""

    name: str
    source: Topic
    state: type[State]
    publishes: tuple[Topic, ...]

    def warm(self) -> None:
        """Compile what the step needs, where the state knows how."""
        warm = getattr(self.state, "warm", None)
        if warm is not None:
            warm()


def declare(name: str, *, source: Topic, state: type[State], publishes: tuple[Topic, ...]) -> Agent:
    """An agent: one guarded loop with one state per partition of its source.

    Raises
    ------
    TypeError
        When the source has no record type to decode.
    """
    if source.record is None:
        raise TypeError(f"agent {name!r} cannot read {source.name}: it has no record type")
    return Agent(name, source, state, publishes)


def agents_by_name(agents: Sequence[Agent]) -> Mapping[str, Agent]:
    """Agents by name.

    Raises
    ------
    ValueError
        When two have one name or read one topic.
    """
    by_name = {agent.name: agent for agent in agents}
    if len(by_name) < len(agents) or len({agent.source for agent in agents}) < len(agents):
        raise ValueError("two agents have the same name or read the same topic")
    return by_name
